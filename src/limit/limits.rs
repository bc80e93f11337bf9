//! The [`Limits`] of a route: all rules that a request to it is held to, asked together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use http::{HeaderName, HeaderValue};

use super::decide::{Draw, Level, MOST};
use super::key::Subject;
use super::lease::Word;
use super::local::Local;
use super::plans::Plans;
use super::quota::Quotas;
use super::rule::{MOST_RATES, Rule, Said, Waiting};
use super::shared::{Names, Shared};
use super::standing::Standing;
use crate::auth::Consumer;
use crate::store::OnError;

/// A rule, and its number among those of a [`Limits`]: those of the route first, then those of all plans.
type Numbered<'a> = (usize, &'a Arc<Rule>);
/// The rules of one request: those of its route, and that of the caller's plan.
type Rules<'a> = ArrayVec<Numbered<'a>, { MOST_RATES + 1 }>;

/// What holds for the requests of a route. A route without any has none, and pays nothing.
#[derive(Debug)]
pub struct Limits {
    own: Box<[Arc<Rule>]>,
    plans: Arc<Plans>,
    quotas: Option<Arc<Quotas>>,
    local: Arc<Local>,
    shared: Option<Arc<Shared>>,
}

/// A request that is held to rules, and what it draws on.
pub struct Question<'a> {
    limits: &'a Limits,
    rules: Rules<'a>,
    draws: ArrayVec<Draw, MOST>,
    levels: ArrayVec<Level, MOST>,
    /// Whether that is known already, and what.
    word: Word,
    /// What the buckets are called in the store, if it has to be asked.
    names: Names,
    now: u64,
}

/// That the store cannot be asked, and that nobody is let through then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// What is done with a request.
#[derive(Debug)]
pub enum Outcome {
    /// It may pass.
    Pass,
    /// It may pass after this time, which somebody has to wait for.
    Wait(Duration, Waiting),
    /// It is too many, and is not before this time.
    Refuse(Duration),
}

/// What was decided of a request.
#[derive(Debug)]
pub struct Decision {
    /// What is done.
    pub outcome: Outcome,
    /// What is left to the caller, if anything is limited.
    pub standing: Option<Standing>,
    /// The rule that refuses it or holds it up, or would.
    pub rule: Option<Arc<Rule>>,
    /// Whether that rule only looks on.
    pub observed: bool,
}

impl Limits {
    pub(super) fn new(
        own: Box<[Arc<Rule>]>,
        plans: Arc<Plans>,
        quotas: Option<Arc<Quotas>>,
        local: Arc<Local>,
        shared: Option<Arc<Shared>>,
    ) -> Option<Self> {
        let any = !own.is_empty() || !plans.is_empty() || quotas.is_some();
        any.then_some(Self { own, plans, quotas, local, shared })
    }

    /// What callers have bought for a day or a month.
    #[must_use]
    pub fn quotas(&self) -> Option<&Quotas> {
        self.quotas.as_deref()
    }

    /// Whether the buckets are in the store.
    #[must_use]
    pub const fn are_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The rules that a request is held to.
    pub fn rules<'a>(
        &'a self,
        consumer: Option<&Consumer>,
        method: &http::Method,
    ) -> impl Iterator<Item = &'a Arc<Rule>> {
        self.numbered(consumer, method).map(|(_, rule)| rule)
    }

    fn numbered<'a>(
        &'a self,
        consumer: Option<&Consumer>,
        method: &http::Method,
    ) -> impl Iterator<Item = Numbered<'a>> {
        let plan = consumer.and_then(|consumer| self.plans.of(consumer));
        let plan = plan.map(|(number, rule)| (self.own.len() + number, rule));
        self.own.iter().enumerate().chain(plan).filter(|(_, rule)| rule.is_for(method))
    }

    /// What a caller is told of what is left to it, in the order in which it is sent.
    #[must_use]
    pub fn fields(&self, standing: &Standing) -> Option<[(HeaderName, HeaderValue); 2]> {
        let number = standing.rule;
        let plan = || self.plans.rule(number.checked_sub(self.own.len())?);
        standing.fields(self.own.get(number).or_else(plan)?)
    }

    /// Whether requests may be refused here, whoever sends them.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.own.iter().any(|rule| !rule.observe) || !self.plans.is_empty() || self.quotas.is_some()
    }

    /// Takes what a request costs from all its buckets in this process, or from none. It can be held up for `longest` at
    /// most.
    #[must_use]
    pub fn take(&self, subject: &Subject<'_>, now: Instant, longest: Option<Duration>) -> Decision {
        let (mut rules, mut draws) = (Rules::new(), ArrayVec::new());
        self.draw(subject, longest, &mut rules, &mut draws);
        self.locally(&rules, &draws, self.local.moment(now))
    }

    /// What a request will draw on, for whoever can wait for the answer.
    #[must_use]
    pub fn question(
        &self,
        subject: &Subject<'_>,
        now: Instant,
        longest: Option<Duration>,
    ) -> Question<'_> {
        let (mut rules, mut draws) = (Rules::new(), ArrayVec::new());
        self.draw(subject, longest, &mut rules, &mut draws);
        let now = self.local.moment(now);
        let mut levels = untouched(&draws);
        let (mut word, mut names) = (Word::Taken, Names::new());
        if let Some(shared) = self.shared.as_ref().filter(|_| !draws.is_empty()) {
            word = shared.known(&draws, now, &mut levels);
            if word == Word::Unknown {
                names = shared.names(rules.iter().map(|(_, rule)| &***rule), subject);
            }
        }
        Question { limits: self, rules, draws, levels, word, names, now }
    }

    /// What a request draws on, written where it is used, since it is large.
    fn draw<'a>(
        &'a self,
        subject: &Subject<'_>,
        longest: Option<Duration>,
        rules: &mut Rules<'a>,
        draws: &mut ArrayVec<Draw, MOST>,
    ) {
        let longest = longest.and_then(|longest| u64::try_from(longest.as_nanos()).ok());
        let longest = longest.unwrap_or(u64::MAX);
        for (number, rule) in (0_u8..).zip(self.numbered(subject.consumer, subject.method)) {
            // No more than there is room for, which compiling holds to.
            if rules.is_full() {
                break;
            }
            rules.push(rule);
            rule.1.draw(number, subject, longest, draws);
        }
    }

    /// Asks the buckets of this process.
    fn locally(&self, rules: &Rules<'_>, draws: &[Draw], now: u64) -> Decision {
        let mut levels = untouched(draws);
        if !draws.is_empty() {
            self.local.take(draws, now, &mut levels);
        }
        decision(rules, draws, &levels)
    }
}

impl Question<'_> {
    /// Asks the buckets in the store, from this worker; while it does not answer, what the configuration says holds.
    ///
    /// # Errors
    /// It does not answer, and that is to mean that nobody is let through.
    pub async fn in_store(mut self, worker: usize) -> Result<Decision, Unavailable> {
        let (limits, draws, now) = (self.limits, &self.draws, self.now);
        let Some(shared) = &limits.shared else {
            return Ok(limits.locally(&self.rules, draws, now));
        };
        if self.word == Word::Unknown {
            let asked = shared.take(worker, draws, &self.names, now, &mut self.levels);
            if asked.await.is_err() {
                return match shared.store.config().on_error {
                    OnError::Local => Ok(limits.locally(&self.rules, draws, now)),
                    OnError::Allow => Ok(decision(&[], &[], &[])),
                    OnError::Deny => Err(Unavailable),
                };
            }
        }
        Ok(decision(&self.rules, draws, &self.levels))
    }
}

/// Room for what as many buckets say.
#[inline]
fn untouched(draws: &[Draw]) -> ArrayVec<Level, MOST> {
    let mut levels = ArrayVec::new();
    for _ in draws.iter().take(MOST) {
        levels.push(Level::default());
    }
    levels
}

/// What the buckets' words come to.
fn decision(rules: &[Numbered<'_>], draws: &[Draw], levels: &[Level]) -> Decision {
    let mut said = [Said::Passed; MOST_RATES + 1];
    let (mut refused, mut wait, mut shown) = (None, (0, 0), None::<Shown>);
    let mut observed = None;
    let mut first = 0;
    for (index, draw) in draws.iter().enumerate() {
        let level = &levels[index];
        if index > 0 && draws[index - 1].rule != draw.rule {
            first = index;
        }
        let number = usize::from(draw.rule);
        let too_many = level.wait > draw.patience;
        if draw.observe {
            if too_many {
                said[number] = Said::Observed;
                observed.get_or_insert(number);
            }
            continue;
        }
        let window = index - first;
        let candidate = Shown::of(draw, level, window, too_many);
        if shown.as_ref().is_none_or(|shown| candidate.is_tighter(shown)) {
            shown = Some(candidate);
        }
        if too_many {
            said[number] = Said::Refused;
            refused = refused.max(Some((level.wait, number)));
        } else if level.wait > 0 && level.taken {
            said[number] = Said::Delayed;
            wait = wait.max((level.wait, number));
        }
    }
    for (number, (_, rule)) in rules.iter().enumerate() {
        rule.note(said[number]);
    }
    let (outcome, rule) = match (refused, wait) {
        (Some((wait, number)), _) => (Outcome::Refuse(Duration::from_nanos(wait)), Some(number)),
        (None, (0, _)) => (Outcome::Pass, None),
        (None, (wait, number)) => {
            let waiting = Waiting::at(rules[number].1);
            (Outcome::Wait(Duration::from_nanos(wait), waiting), Some(number))
        }
    };
    let standing = shown.map(|shown| shown.standing(rules));
    let observed_only = rule.is_none() && observed.is_some();
    let rule = rule.or(observed).map(|number| Arc::clone(rules[number].1));
    Decision { outcome, standing, rule, observed: observed_only }
}

/// What may be told to the caller: the tightest of its buckets.
struct Shown {
    rule: u8,
    window: usize,
    too_many: bool,
    left: u64,
    reset: u64,
}

impl Shown {
    fn of(draw: &Draw, level: &Level, window: usize, too_many: bool) -> Self {
        let bucket = draw.bucket;
        let reset = if too_many { level.wait } else { bucket.next(level.missing) };
        Self { rule: draw.rule, window, too_many, left: bucket.left(level.missing), reset }
    }

    fn is_tighter(&self, other: &Self) -> bool {
        let rank = |one: &Self| (!one.too_many, one.left, u64::MAX - one.reset);
        rank(self) < rank(other)
    }

    fn standing(&self, rules: &[Numbered<'_>]) -> Standing {
        Standing {
            rule: rules[usize::from(self.rule)].0,
            window: self.window,
            left: self.left,
            reset: self.reset,
        }
    }
}
