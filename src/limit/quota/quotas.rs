//! The [`Quotas`] of one configuration: which consumer has which.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::{ArrayString, ArrayVec};
use http::HeaderValue;

use super::counter::{Counter, State};
use super::ledger::Ledger;
use crate::auth::Consumer;
use crate::counter::Counters;
use crate::limit::rule::Said;
use crate::units::Quota;

/// The most quotas of one plan.
pub(super) const MOST: usize = 4;

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

    /// Counts a request of this consumer, or refuses it and counts nothing.
    pub fn take(&self, consumer: &Consumer, now: SystemTime) -> Option<(Verdict, Left)> {
        let account = self.account(consumer)?;
        let now = seconds(now);
        // In the same order for everybody.
        let mut states: ArrayVec<MutexGuard<'_, State>, MOST> =
            account.counters.iter().take(MOST).map(|counter| counter.at(now)).collect();
        let (mut verdict, mut tightest) = (Verdict::Pass, None::<(u64, u64, usize)>);
        let mut observed = false;
        for (index, (part, state)) in account.rule.parts.iter().zip(&states).enumerate() {
            let amount = u64::from(part.quota.amount());
            let wait = u64::try_from(state.ends().saturating_sub(now)).unwrap_or(0);
            let left = amount.saturating_sub(state.used());
            if left == 0 && part.observe {
                observed = true;
            } else if left == 0 {
                let longer = match verdict {
                    Verdict::Refuse(other) => other.max(Duration::from_secs(wait)),
                    _ => Duration::from_secs(wait),
                };
                verdict = Verdict::Refuse(longer);
            }
            let candidate = (left, u64::MAX - wait, index);
            if !part.observe && tightest.is_none_or(|tightest| candidate < tightest) {
                tightest = Some(candidate);
            }
        }
        let refused = matches!(verdict, Verdict::Refuse(_));
        if !refused {
            states.iter_mut().for_each(|state| state.count());
            if observed {
                verdict = Verdict::Observed;
            }
        }
        drop(states);
        account.rule.said.add(
            match verdict {
                Verdict::Pass => Said::Passed,
                Verdict::Observed => Said::Observed,
                Verdict::Refuse(_) => Said::Refused,
            } as usize,
            1,
        );
        // Where all only look on the caller is told nothing.
        let (left, wait, part) = tightest.unwrap_or((u64::MAX, 0, 0));
        let left = if refused || tightest.is_none() { left } else { left.saturating_sub(1) };
        let rule = Arc::clone(&account.rule);
        Some((verdict, Left { rule, part, amount: left, seconds: u64::MAX - wait }))
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
