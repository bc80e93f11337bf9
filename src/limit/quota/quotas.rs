//! The [`Quotas`] of one configuration: which consumer has which.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrayvec::{ArrayString, ArrayVec};
use http::HeaderValue;

use super::counter::{Counter, State, Word};
use super::ledger::Ledger;
use super::shared::Asking;
use crate::auth::Consumer;
use crate::counter::Counters;
use crate::limit::limits::Unavailable;
use crate::limit::rule::Said;
use crate::store::OnError;
use crate::units::Quota;

/// The most quotas of one plan.
pub(super) const MOST: usize = 4;
/// So often a request asks the store at most: once is enough, unless what it was given was taken back meanwhile.
const MOST_ROUNDS: usize = 3;

/// What a plan says of quotas.
#[derive(Debug)]
pub struct Rule {
    /// Its place in the configuration.
    name: Arc<str>,
    parts: Box<[Part]>,
    said: Counters<{ Said::ALL.len() }>,
}

/// One quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) quota: Quota,
    pub(super) zone: String,
    pub(super) observe: bool,
    /// `"1000/day"`, as it stands in `RateLimit`.
    quoted: String,
    /// What stands in `RateLimit-Policy`.
    policy: HeaderValue,
}

/// What a consumer has: the counters in the order of the parts.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) rule: Arc<Rule>,
    pub(super) counters: Box<[Arc<Counter>]>,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is within what was bought.
    Pass,
    /// It would be too many, if that quota did not only look on.
    Observed,
    /// It is too many; there is more after this time.
    Refuse(Duration),
}

/// What a decision stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Footing {
    /// What was used, as far as this process knows.
    Alone,
    /// What this process may use without asking others.
    Claims,
    /// Nothing: everybody passes.
    Nothing,
}

/// A request that needs to know more; as long as this is there, what it needs is kept for it.
#[derive(Default)]
struct Waiting(ArrayVec<Asking, MOST>);

/// What is left to a consumer of the tightest of its quotas.
#[derive(Debug, Clone)]
pub struct Left {
    rule: Arc<Rule>,
    part: usize,
    amount: u64,
    seconds: u64,
}

/// Who has which quota, and where they are kept.
#[derive(Debug)]
pub struct Quotas {
    pub(super) ledger: Arc<Ledger>,
    pub(super) rules: BTreeMap<Arc<str>, Arc<Rule>>,
    /// By the number of a consumer. Shorter than the list of consumers.
    pub(super) accounts: Box<[Option<Account>]>,
}

impl Part {
    pub(super) fn new(quota: Quota, zone: &str, observe: bool) -> Self {
        let quoted = format!("\"{quota}\"");
        let window = quota.calendar().usual_seconds();
        let policy = format!("{quoted};q={};w={window}", quota.amount());
        // A quota is visible ASCII.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(""));
        Self { quota, zone: zone.to_owned(), observe, quoted, policy }
    }
}

impl Rule {
    pub(super) fn new(name: String, parts: Vec<Part>) -> Self {
        Self { name: name.into(), parts: parts.into(), said: Counters::default() }
    }

    /// Its place in the configuration.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How often it said what, in the order of [`Said::ALL`].
    #[must_use]
    pub fn said(&self) -> [u64; 4] {
        self.said.read()
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// In a sentence, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let part = |part: &Part| {
            let looks_on = if part.observe { ", which only looks on" } else { "" };
            format!("{} by the clock of {}{looks_on}", part.quota, part.zone)
        };
        let parts: Vec<String> = self.parts.iter().map(part).collect();
        format!("a quota of {}", parts.join(" and "))
    }
}

impl Quotas {
    /// What a consumer's plan says of quotas.
    #[must_use]
    pub fn of(&self, consumer: &Consumer) -> Option<&Arc<Rule>> {
        self.account(consumer).map(|account| &account.rule)
    }

    fn account(&self, consumer: &Consumer) -> Option<&Account> {
        self.accounts.get(consumer.id()? as usize)?.as_ref()
    }

    /// All of them.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values().map(|rule| &**rule)
    }

    /// Whether several gateways count these together, and have to be asked for by [`Quotas::take_shared`].
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.ledger.shared().is_some()
    }

    /// Counts a request of this consumer in this process, or refuses it and counts nothing.
    pub fn take(&self, consumer: &Consumer, now: SystemTime) -> Option<(Verdict, Left)> {
        self.account(consumer)?.decide(seconds(now), Footing::Alone, Waiting::default()).ok()
    }

    /// The same where they are in the store, which this worker asks if it has to; while it does not answer, what the
    /// configuration says holds. Nothing if this consumer has none.
    ///
    /// # Errors
    /// It does not answer, and that is to mean that nobody is let through.
    pub async fn take_shared(
        &self,
        worker: usize,
        consumer: &Consumer,
        now: SystemTime,
    ) -> Result<Option<(Verdict, Left)>, Unavailable> {
        let (Some(account), now) = (self.account(consumer), seconds(now)) else { return Ok(None) };
        let Some(shared) = self.ledger.shared() else {
            return Ok(account.decide(now, Footing::Alone, Waiting::default()).ok());
        };
        let (mut until, mut waiting) = (None, Waiting::default());
        for _ in 0..MOST_ROUNDS {
            match account.decide(now, Footing::Claims, waiting) {
                Ok(decided) => return Ok(Some(decided)),
                Err(more) => waiting = more,
            }
            let until = *until.get_or_insert_with(|| shared.store.end(Instant::now()));
            if shared.ask(worker, &waiting.0, now, until).await.is_err() {
                break;
            }
        }
        let footing = match shared.store.config().on_error {
            OnError::Local => Footing::Alone,
            OnError::Allow => Footing::Nothing,
            OnError::Deny => return Err(Unavailable),
        };
        Ok(account.decide(now, footing, waiting).ok())
    }

    /// Opens the place where they are kept.
    ///
    /// # Errors
    /// The place, what is wrong with it, and what helps.
    pub async fn open(&self, now: SystemTime) -> Result<(), (String, String, &'static str)> {
        let opened = self.ledger.open(seconds(now)).await;
        opened.map_err(|(what, help)| (self.ledger.place(), what, help))
    }

    /// Keeps what was counted since the last time.
    pub async fn save(&self, now: SystemTime) {
        self.ledger.save(seconds(now)).await;
    }

    /// Keeps it for the last time, and leaves the place to the next process.
    pub async fn close(&self, now: SystemTime) {
        self.ledger.close(seconds(now)).await;
    }

    /// For how many seconds what is counted could not be kept.
    #[must_use]
    pub fn failing_for(&self, now: SystemTime) -> u64 {
        self.ledger.failing_for(seconds(now))
    }

    /// Whether what these count is kept with what others count.
    #[must_use]
    pub fn are_kept_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ledger, &other.ledger)
    }
}

impl Account {
    /// Counts a request, or refuses it and counts nothing; or says what has to be asked for first. What was kept for it
    /// while it was `waiting` is its own.
    fn decide(
        &self,
        now: i64,
        footing: Footing,
        waiting: Waiting,
    ) -> Result<(Verdict, Left), Waiting> {
        // In the same order for everybody.
        let mut states: ArrayVec<MutexGuard<'_, State>, MOST> =
            self.counters.iter().take(MOST).map(|counter| counter.at(now)).collect();
        let asked = waiting.end(&self.counters, &mut states);
        let (mut verdict, mut tightest) = (Verdict::Pass, None::<(u64, u64, usize)>);
        let (mut observed, mut unknown) = (false, ArrayVec::<usize, MOST>::new());
        for (index, (part, state)) in self.rule.parts.iter().zip(&states).enumerate() {
            let amount = u64::from(part.quota.amount());
            let wait = u64::try_from(state.ends().saturating_sub(now)).unwrap_or(0);
            let left = amount.saturating_sub(state.used());
            if part.observe {
                observed |= left == 0;
                continue;
            }
            let word = footing.weigh(state, amount, asked, now);
            match word {
                Word::There => {}
                Word::Unknown => unknown.push(index),
                Word::Gone => {
                    let longer = match verdict {
                        Verdict::Refuse(other) => other.max(Duration::from_secs(wait)),
                        _ => Duration::from_secs(wait),
                    };
                    verdict = Verdict::Refuse(longer);
                }
            }
            // What others have ahead is not for this caller.
            let left = if word == Word::Gone { 0 } else { left };
            let candidate = (left, u64::MAX - wait, index);
            if tightest.is_none_or(|tightest| candidate < tightest) {
                tightest = Some(candidate);
            }
        }
        let refused = matches!(verdict, Verdict::Refuse(_));
        if !refused && !unknown.is_empty() {
            let asking = |index: usize| Asking {
                counter: Arc::clone(&self.counters[index]),
                ask: states[index].ask(now),
                amount: u64::from(self.rule.parts[index].quota.amount()),
            };
            return Err(Waiting(unknown.into_iter().map(asking).collect()));
        }
        if !refused {
            states.iter_mut().for_each(|state| state.count(now));
            if observed {
                verdict = Verdict::Observed;
            }
        }
        drop(states);
        self.rule.said.add(verdict.said() as usize, 1);
        // Where all only look on the caller is told nothing.
        let (left, wait, part) = tightest.unwrap_or((u64::MAX, 0, 0));
        let left = if refused || tightest.is_none() { left } else { left.saturating_sub(1) };
        let rule = Arc::clone(&self.rule);
        Ok((verdict, Left { rule, part, amount: left, seconds: u64::MAX - wait }))
    }
}

impl Footing {
    /// Whether one more of this amount may be used.
    const fn weigh(self, state: &State, amount: u64, asked: bool, now: i64) -> Word {
        match self {
            Self::Claims => state.weigh(amount, asked, now),
            Self::Alone if state.used() >= amount => Word::Gone,
            Self::Alone | Self::Nothing => Word::There,
        }
    }
}

impl Verdict {
    const fn said(self) -> Said {
        match self {
            Self::Pass => Said::Passed,
            Self::Observed => Said::Observed,
            Self::Refuse(_) => Said::Refused,
        }
    }
}

impl Waiting {
    /// Ends it for a request that holds these. Whether it has asked.
    fn end(mut self, counters: &[Arc<Counter>], states: &mut [MutexGuard<'_, State>]) -> bool {
        let asked = !self.0.is_empty();
        for Asking { counter, ask, .. } in self.0.drain(..) {
            let place = counters.iter().position(|other| Arc::ptr_eq(other, &counter));
            if let Some(state) = place.and_then(|place| states.get_mut(place)) {
                state.asked(&ask);
            }
        }
        asked
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for Asking { counter, ask, .. } in &self.0 {
            counter.lock().asked(ask);
        }
    }
}

impl Left {
    /// What is left.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The place of the quota in the configuration.
    #[must_use]
    pub fn place(&self) -> Arc<str> {
        Arc::clone(&self.rule.name)
    }

    /// What is told of it: the values of `RateLimit-Policy` and `RateLimit`.
    #[must_use]
    pub fn values(&self) -> Option<[HeaderValue; 2]> {
        let part = self.rule.parts.get(self.part)?;
        if part.observe {
            return None;
        }
        let mut text = ArrayString::<128>::new();
        write!(text, "{};r={};t={}", part.quoted, self.amount, self.seconds).ok()?;
        Some([part.policy.clone(), HeaderValue::from_str(&text).ok()?])
    }
}

/// As Unix time.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
