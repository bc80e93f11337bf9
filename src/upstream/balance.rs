//! A balancing policy says in which order targets are asked whether they can take a request.
//!
//! Each is a [`BackendSelection`] of its own, built anew whenever the set of targets changes. What a
//! pick costs does not depend on the number of targets: round robin and random read one entry of a
//! [`schedule`], ketama one bucket of its ring. Only when picks cannot be used does a request
//! walk on, and then first along the policy's own order, and at last once over [all](Walk).

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::config;

mod chance;
mod ketama;
mod random;
mod round_robin;
mod schedule;

pub(super) use chance::chance;
use ketama::Ketama;
use random::Random;
use round_robin::RoundRobin;

/// Picks that follow the policy's order; after them, all targets are walked once.
const POLICY_PICKS: usize = 16;

/// How many picks can be needed to see each of `targets` at least once.
pub(super) const fn enough_picks(targets: usize) -> usize {
    POLICY_PICKS + targets + 1
}

/// The policy of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Policy {
    #[default]
    RoundRobin,
    Random,
    Ketama,
}

impl From<&config::Balance> for Policy {
    fn from(balance: &config::Balance) -> Self {
        match balance {
            config::Balance::RoundRobin => Self::RoundRobin,
            config::Balance::Random => Self::Random,
            config::Balance::Hash(_) => Self::Ketama,
        }
    }
}

/// One of the policies, ready for a set of targets.
pub(super) enum Selector {
    RoundRobin(Arc<RoundRobin>),
    Random(Arc<Random>),
    Ketama(Arc<Ketama>),
}

/// The order in which one request asks targets.
pub(super) enum Picks {
    RoundRobin(round_robin::Picks),
    Random(random::Picks),
    Ketama(ketama::Picks),
}

impl BackendSelection for Selector {
    type Iter = Picks;
    type Config = Policy;

    fn build(backends: &BTreeSet<Backend>) -> Self {
        Self::build_with_config(backends, &Policy::default())
    }

    fn build_with_config(backends: &BTreeSet<Backend>, policy: &Policy) -> Self {
        match policy {
            Policy::RoundRobin => Self::RoundRobin(Arc::new(RoundRobin::build(backends))),
            Policy::Random => Self::Random(Arc::new(Random::build(backends))),
            Policy::Ketama => Self::Ketama(Arc::new(Ketama::build(backends))),
        }
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Picks {
        match &**self {
            Self::RoundRobin(policy) => Picks::RoundRobin(policy.iter(key)),
            Self::Random(policy) => Picks::Random(policy.iter(key)),
            Self::Ketama(policy) => Picks::Ketama(policy.iter(key)),
        }
    }
}

impl BackendIter for Picks {
    fn next(&mut self) -> Option<&Backend> {
        match self {
            Self::RoundRobin(picks) => picks.next(),
            Self::Random(picks) => picks.next(),
            Self::Ketama(picks) => picks.next(),
        }
    }
}

/// A walk over all of `count` targets, each once.
///
/// Where it starts and how far it steps depends on a seed, so that the neighbours of many dead
/// targets do not get all their requests.
struct Walk {
    at: usize,
    step: usize,
    left: usize,
    count: usize,
}

impl Walk {
    fn new(count: usize, seed: u64) -> Self {
        let at = below(seed, count);
        let first = 1 + below(seed.rotate_left(32), count);
        // A step that shares no divisor with the count meets everyone; 1 always does.
        let step = (first..=count).find(|step| schedule::gcd(*step, count) == 1).unwrap_or(1);
        Self { at, step, left: count, count }
    }

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        self.at = (self.at + self.step) % self.count;
        Some(self.at)
    }
}

/// Maps 64 random bits evenly to a number below `count` (0 if there is none), without a division.
#[allow(clippy::cast_possible_truncation, reason = "the product's upper half is below count")]
fn below(bits: u64, count: usize) -> usize {
    ((u128::from(bits) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests;
