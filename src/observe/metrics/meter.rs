//! The requests of one route, in numbers.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;

use crate::counter::{Counters, Histogram, Lasting, Reading, Sparse};

/// The methods that are told apart; all others are `other`. In the order of their numbers.
pub const METHODS: [&str; 8] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// The final statuses that are told apart: those registered with IANA, 101 (the final one of an upgrade) and
/// 499 (the client left before the answer). All others are `other`.
pub const STATUSES: [u16; 60] = [
    101, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507,
    508, 510, 511,
];

/// The requests of one route. Takes a few words until the first one.
#[derive(Debug, Default)]
pub struct RouteMeter(Lasting<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Requests that began, and that ended.
    flow: Counters<2>,
    /// By method and status.
    requests: Sparse,
    durations: Histogram,
    /// What rules that only observe would have refused.
    observed: [AtomicU64; Observed::ALL.len()],
    /// What was found of requests that are held to a document.
    validated: [AtomicU64; Validated::ALL.len()],
}

/// A rule that can be made only to observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// `allow`
    Allow,
    /// `ip`
    Ip,
    /// `validate`
    Validate,
}

/// What was found of a request that is held to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validated {
    /// It is what is documented.
    Passed,
    /// There is no such operation.
    Operation,
    /// Something in its head is wrong, or its body cannot be read.
    Request,
    /// Its body is of a type that is not taken.
    MediaType,
    /// Its body is too large to be checked.
    Size,
    /// Its body does not fit.
    Body,
}

impl Validated {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Passed, Self::Operation, Self::Request, Self::MediaType, Self::Size, Self::Body];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Operation => "unknown_operation",
            Self::Request => "invalid_request",
            Self::MediaType => "unsupported_media_type",
            Self::Size => "unchecked_body",
            Self::Body => "invalid_body",
        }
    }
}

impl Observed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Ip, Self::Validate];

    /// The key in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ip => "ip",
            Self::Validate => "validate",
        }
    }
}

impl RouteMeter {
    /// A request that the route has taken.
    pub fn enter(&self) {
        self.0.get().flow.add(0, 1);
    }

    /// A request that is over, however it ended.
    pub fn leave(&self) {
        self.0.get().flow.add(1, 1);
    }

    /// Counts a request that a rule would have refused, did it not only observe.
    pub fn observe(&self, rule: Observed) {
        self.0.get().observed[rule as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was found of a request that is held to a document.
    pub fn validated(&self, found: Validated) {
        self.0.get().validated[found as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was found of them, in the order of [`Validated::ALL`].
    pub(super) fn validations(&self) -> [u64; Validated::ALL.len()] {
        let read = |counts: &Counts| {
            Validated::ALL.map(|found| counts.validated[found as usize].load(Ordering::Relaxed))
        };
        self.0.seen().map(read).unwrap_or_default()
    }

    /// What rules would have refused, in the order of [`Observed::ALL`].
    pub(super) fn observed(&self) -> [u64; Observed::ALL.len()] {
        let read = |counts: &Counts| {
            Observed::ALL.map(|rule| counts.observed[rule as usize].load(Ordering::Relaxed))
        };
        self.0.seen().map(read).unwrap_or_default()
    }

    /// Counts a request's end: what it was answered (without a method if that could not be read), and how long it took in all.
    pub fn record(&self, method: Option<&Method>, status: u16, total: Duration) {
        let counts = self.0.get();
        counts.requests.add(key(method, status));
        counts.durations.observe(total);
    }

    /// Goes on with the counts of the route that this one replaces.
    pub fn carry_on(&self, previous: &Self) {
        self.0.carry_on(&previous.0);
    }

    /// Whether it ever had a request.
    pub(super) fn is_used(&self) -> bool {
        self.0.seen().is_some()
    }

    /// The counts of requests, with method and status (`None`: another one).
    pub(super) fn requests(&self) -> Vec<(&'static str, Option<u16>, u64)> {
        let counts = self.0.seen().map(|counts| counts.requests.read()).unwrap_or_default();
        counts.into_iter().map(|(key, count)| (method(key), status(key), count)).collect()
    }

    pub(super) fn durations(&self) -> Option<Reading> {
        self.0.seen().map(|counts| counts.durations.read())
    }

    pub(super) fn in_flight(&self) -> u64 {
        let [began, ended] = self.0.seen().map(|counts| counts.flow.read()).unwrap_or_default();
        // One that began and ended while the shards were read may be seen to have ended only.
        began.saturating_sub(ended)
    }
}

/// How many bits the status takes.
const STATUS_BITS: u32 = 10;

/// The method's number from 1, then the status, or 0 for another one.
fn key(method: Option<&Method>, status: u16) -> NonZeroU16 {
    let number: u16 = match *method.unwrap_or(&Method::TRACE) {
        Method::GET => 1,
        Method::HEAD => 2,
        Method::POST => 3,
        Method::PUT => 4,
        Method::PATCH => 5,
        Method::DELETE => 6,
        Method::OPTIONS => 7,
        _ => 8,
    };
    let status = if STATUSES.binary_search(&status).is_ok() { status } else { 0 };
    NonZeroU16::MIN.saturating_add((number << STATUS_BITS | status) - 1)
}

fn method(key: u16) -> &'static str {
    METHODS[usize::from(key >> STATUS_BITS).clamp(1, METHODS.len()) - 1]
}

fn status(key: u16) -> Option<u16> {
    Some(key & ((1 << STATUS_BITS) - 1)).filter(|status| *status != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_a_method_and_a_status() {
        assert!(STATUSES.is_sorted_by(|a, b| a < b));
        for (index, name) in METHODS.iter().enumerate() {
            let sent = Method::from_bytes(name.as_bytes()).unwrap();
            for known in STATUSES {
                let key = key(Some(&sent), known).get();
                assert_eq!((method(key), status(key)), (METHODS[index], Some(known)));
            }
        }
        for unknown in [0, 100, 199, 299, 306, 420, 599, 600, 999, u16::MAX] {
            assert_eq!(status(key(Some(&Method::GET), unknown).get()), None, "{unknown}");
        }
        assert_eq!(method(key(None, 200).get()), "other");
        assert_eq!(method(key(Method::from_bytes(b"get").ok().as_ref(), 200).get()), "other");
    }

    #[test]
    fn a_request_is_in_flight_until_it_leaves() {
        let meter = RouteMeter::default();
        assert!(!meter.is_used() && meter.requests().is_empty());
        meter.enter();
        meter.enter();
        meter.record(Some(&Method::GET), 200, Duration::from_millis(3));
        meter.leave();
        assert_eq!(meter.in_flight(), 1);
        assert_eq!(meter.requests(), [("GET", Some(200), 1)]);
        assert_eq!(meter.durations().unwrap().count(), 1);
    }
}
