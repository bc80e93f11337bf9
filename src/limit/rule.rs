//! A [`Rule`] is one limit as it is applied: what it is for, its rates, and how often it spoke.
//!
//! Its buckets belong to the place where it is written: one in `defaults` or in a policy is shared by the routes that
//! have it from there, unless it counts `per: route` too.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use http::{HeaderName, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::bucket::Bucket;
use super::config::{Mode, Part as Written, Per, RuleConfig};
use super::decide::{Draw, Key, MOST};
use super::key::{Part, Subject};
use crate::counter::Counters;
use crate::diagnostic::{At, Diagnostics};
use crate::route::{MethodSet, parse_method};
use crate::units::Rate;

/// The most rates that one route may have of its own, and so one plan.
pub(super) const MOST_RATES: usize = 8;
/// The longest that a request may be held up.
const LONGEST_DELAY: u64 = 30;
/// So many requests may be held up by one rule at once.
pub const MOST_WAITING: usize = 1000;

/// What a rule said of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It may pass.
    Passed,
    /// It may pass after a while.
    Delayed,
    /// It is too many.
    Refused,
    /// It would be too many, if the rule did not only look on.
    Observed,
}

impl Said {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Delayed, Self::Refused, Self::Observed];

    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Delayed => "delayed",
            Self::Refused => "refused",
            Self::Observed => "observed",
        }
    }
}

/// One rate of a rule.
#[derive(Debug)]
pub struct Window {
    pub(super) bucket: Bucket,
    /// As it is written, in quotes.
    pub(super) quoted: Box<str>,
    /// The value of `RateLimit-Policy`.
    pub(super) policy: HeaderValue,
}

/// One limit.
pub struct Rule {
    name: Arc<str>,
    /// What it is: another place or another word makes another rule of it, with buckets of its own.
    id: [u8; 16],
    /// The beginning of its buckets' keys in this process, which is the same for all of them.
    start: SipHasher13,
    /// The key of the bucket that callers without one share.
    crowd: [u64; 2],
    pub(super) windows: Box<[Window]>,
    rates: Box<[Rate]>,
    per: Box<[Part]>,
    methods: MethodSet,
    pub(super) cost: u64,
    patience: u64,
    pub(super) observe: bool,
    said: Counters<4>,
    waiting: AtomicUsize,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

impl Rule {
    /// Reads what is written at this place.
    pub(super) fn compile(
        config: &RuleConfig,
        at: &At,
        mut start: SipHasher13,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let cost = u64::from(config.cost);
        if cost == 0 {
            diagnostics.error(
                at.key("cost"),
                "a request that costs nothing is not limited",
                "write 1 or more",
            );
        }
        if config.rate.is_empty() {
            diagnostics.error(
                at.key("rate"),
                "the list of rates is empty",
                "write one such as 5/min",
            );
        }
        for rate in config.rate.0.iter().filter(|rate| u64::from(rate.burst()) < cost) {
            diagnostics.error(
                at.key("cost"),
                format!(
                    "a request takes {cost}, and {rate} never holds more than {}",
                    rate.burst()
                ),
                "no request could pass; write a smaller cost or a larger burst",
            );
        }
        let per = parts(&config.per, &at.key("per"), diagnostics);
        let methods = methods(&config.methods.0, &at.key("methods"), diagnostics);
        let patience = patience(config.mode, &at.key("mode"), diagnostics);
        let name: Arc<str> = at.to_string().into();
        let id = id(&name, config);
        start.write(&id);
        (diagnostics.len() == before).then(|| Self {
            windows: config.rate.0.iter().map(|rate| Window::of(*rate)).collect(),
            rates: config.rate.0.clone().into(),
            name,
            id,
            start,
            crowd: halves(id),
            per,
            methods,
            cost,
            patience,
            observe: config.observe,
            said: Counters::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Its place in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether another one is the same.
    pub(super) fn is_still(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// In a sentence, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rates: Vec<String> = self.rates.iter().map(Rate::to_string).collect();
        let per: Vec<String> = self.per.iter().map(Part::to_string).collect();
        let mut parts = vec![format!("{} per {}", rates.join(" and "), per.join(" and "))];
        if self.cost > 1 {
            parts.push(format!("of which it takes {}", self.cost));
        }
        if self.patience > 0 {
            let wait = std::time::Duration::from_nanos(self.patience);
            parts.push(format!("or it waits for up to {wait:?}"));
        }
        if self.observe {
            parts.push("which only looks on".to_owned());
        }
        parts.join(", ")
    }

    /// Whether it is for requests of this method.
    #[must_use]
    pub fn is_for(&self, method: &Method) -> bool {
        self.methods.takes(method)
    }

    /// Gives `write` what tells its bucket for a subject from all others.
    pub(super) fn write(&self, subject: &Subject<'_>, mut write: impl FnMut(&[u8])) {
        write(&self.id);
        self.write_whose(subject, write);
    }

    /// Gives `write` what tells its bucket for a subject from its others.
    fn write_whose(&self, subject: &Subject<'_>, mut write: impl FnMut(&[u8])) {
        for part in &self.per {
            part.write(subject, &mut write);
        }
    }

    /// Adds the buckets that it asks, the rule being the `number`th of its request, which can wait no longer than
    /// `longest`.
    pub(super) fn draw(
        &self,
        number: u8,
        subject: &Subject<'_>,
        longest: u64,
        draws: &mut ArrayVec<Draw, MOST>,
    ) {
        let mut hasher = self.start;
        self.write_whose(subject, |bytes| hasher.write(bytes));
        let hash = hasher.finish128();
        // With so many waiting already it refuses at once.
        let is_full = self.patience > 0 && self.waiting.load(Ordering::Relaxed) >= MOST_WAITING;
        let patience = if is_full { 0 } else { self.patience.min(longest) };
        for (index, window) in (0_u64..).zip(&self.windows) {
            if draws.is_full() {
                return;
            }
            draws.push(Draw {
                key: nth([hash.h1, hash.h2], index),
                crowd: nth(self.crowd, index),
                bucket: window.bucket,
                cost: self.cost,
                patience,
                rule: number,
                observe: self.observe,
            });
        }
    }

    /// Notes what it said.
    pub(super) fn note(&self, said: Said) {
        self.said.add(said as usize, 1);
    }

    /// How often it said what, in the order of [`Said::ALL`].
    #[must_use]
    pub fn said(&self) -> [u64; 4] {
        self.said.read()
    }
}

/// The key of one of a rule's rates, near that of the first, so that they lie in one table.
fn nth(first: [u64; 2], index: u64) -> Key {
    Key([first[0].wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15)), first[1]])
}

impl Window {
    fn of(rate: Rate) -> Self {
        let quoted = format!("\"{rate}\"");
        let policy = format!("{quoted};q={};w={}", rate.amount(), rate.period().as_secs());
        let policy = HeaderValue::try_from(policy);
        Self {
            bucket: Bucket::of(rate),
            quoted: quoted.into(),
            // A rate is visible ASCII.
            policy: policy.unwrap_or(HeaderValue::from_static("")),
        }
    }
}

/// Somebody whom a rule holds up.
#[derive(Debug)]
pub struct Waiting(Arc<Rule>);

impl Waiting {
    pub(super) fn at(rule: &Arc<Rule>) -> Self {
        rule.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(rule))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same in all processes that read the same words at the same place.
fn id(name: &str, config: &RuleConfig) -> [u8; 16] {
    // Serializing what was read cannot fail.
    let text = serde_json::to_vec(config).unwrap_or_default();
    let digest = Sha256::new().chain_update(name).chain_update([0]).chain_update(text).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// An id as a key.
fn halves(id: [u8; 16]) -> [u64; 2] {
    let (halves, _) = id.as_chunks::<8>();
    [0, 1].map(|half: usize| halves.get(half).copied().map_or(0, u64::from_le_bytes))
}

fn parts(per: &Per, at: &At, diagnostics: &mut Diagnostics) -> Box<[Part]> {
    if per.0.is_empty() {
        let help = "name one, such as consumer; to count all callers together, write route";
        diagnostics.error(at.clone(), "the list of what to count by is empty", help);
    }
    let mut parts = Vec::with_capacity(per.0.len());
    for (index, written) in per.0.iter().enumerate() {
        let at = if per.0.len() == 1 { at.clone() } else { at.index(index) };
        let part = match written {
            Written::Consumer => Part::Consumer,
            Written::Ip => Part::Ip,
            Written::Route => Part::Route,
            Written::Header(name) => {
                let Ok(name) = HeaderName::try_from(name.as_str()) else {
                    diagnostics.error(
                        at.key("header"),
                        format!("{name:?} is not a header name"),
                        "write a name like X-Tenant",
                    );
                    continue;
                };
                Part::Header(name)
            }
            Written::Claim(name) => {
                if name.is_empty() {
                    diagnostics.error(
                        at.key("claim"),
                        "the claim has no name",
                        "write one such as sub",
                    );
                    continue;
                }
                Part::Claim(name.as_str().into())
            }
            Written::Cookie(name) => {
                let token =
                    |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
                if name.is_empty() || !name.bytes().all(token) {
                    diagnostics.error(
                        at.key("cookie"),
                        format!("{name:?} is not the name of a cookie"),
                        "write a name like session",
                    );
                    continue;
                }
                Part::Cookie(name.as_str().into())
            }
        };
        if parts.contains(&part) {
            diagnostics.error(at, format!("{part} stands here twice"), "take one out");
            continue;
        }
        parts.push(part);
    }
    parts.into()
}

fn methods(written: &[String], at: &At, diagnostics: &mut Diagnostics) -> MethodSet {
    let mut methods = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        match parse_method(text) {
            Ok(method) => methods.push(method),
            Err((what, help)) => {
                let at = if written.len() == 1 { at.clone() } else { at.index(index) };
                diagnostics.error(at, what, help);
            }
        }
    }
    MethodSet::new(methods)
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumer => f.write_str("consumer"),
            Self::Ip => f.write_str("address"),
            Self::Route => f.write_str("route"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Claim(name) => write!(f, "claim {name}"),
        }
    }
}

/// How long a request may be held up, in nanoseconds.
fn patience(mode: Mode, at: &At, diagnostics: &mut Diagnostics) -> u64 {
    let Mode::Delay(delay) = mode else { return 0 };
    if delay.get().is_zero() || delay.get().as_secs() > LONGEST_DELAY {
        diagnostics.error(
            at.key("delay"),
            format!("{delay} is no time to hold a request up for"),
            format!("write a time of up to {LONGEST_DELAY}s, or `mode: reject`"),
        );
    }
    u64::try_from(delay.get().as_nanos()).unwrap_or(u64::MAX)
}
