//! Metrics: what the process does, in numbers, for Prometheus and whatever reads its formats.
//!
//! Every series is described in `docs/metrics.md`. The rules behind them:
//!
//! - **Labels come from the configuration or from a closed list**, never from a request; so there are at most
//!   [`most_series`] series whatever clients send.
//! - **A request looks nothing up.** Its route holds the [`RouteMeter`] it is counted in, its try the
//!   upstream's [`Tally`]; what is only a state, such as a target's health, is read when somebody asks.
//! - **Counts outlive a reload**: a route, an upstream or a target that keeps its name goes on with its
//!   counts. Whatever is gone from the configuration is gone from the metrics.

mod caps;
mod encode;
mod format;
mod limits;
mod meter;
mod process;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;

pub use encode::{Extent, most_series};
pub use format::Format;
pub use meter::{METHODS, Observed, RouteMeter, STATUSES, Validated};

use crate::auth::KeySetStatus;
use crate::concurrency::{Gate, Priority};
use crate::counter::Counters;
use crate::limit::Said;
use crate::listen::tls::Tls;
use crate::listen::{Flaw, Traffic};
use crate::store;
#[cfg(doc)]
use crate::upstream::Tally;
use crate::upstream::Upstream;

/// What metrics show of the configuration in force.
#[derive(Debug)]
pub struct View<'a> {
    /// The routes by name, with their counts.
    pub routes: Vec<(&'a str, &'a RouteMeter)>,
    /// The upstreams, with theirs.
    pub upstreams: Vec<&'a Upstream>,
    /// The limits and quotas by their places, each with how often it said what.
    pub limits: Vec<(&'a str, [u64; Said::ALL.len()])>,
    /// How the store is in which they are shared, if they are.
    pub store: Option<store::Status>,
    /// How many buckets are kept for them.
    pub limit_keys: u64,
    /// For how many seconds what was used of quotas could not be kept.
    pub quotas_unsaved: u64,
    /// The gates that let so many requests in at once.
    pub gates: Vec<&'a Gate>,
    /// The plans whose consumers may have so many in flight: place, priority, and how many they were refused.
    pub capped_plans: Vec<(&'a str, Priority, u64)>,
    /// The listeners that speak TLS, by name.
    pub tls: Vec<(&'a str, &'a Tls)>,
    /// The sets of keys that are fetched.
    pub key_sets: Vec<KeySetStatus>,
}

/// The numbers that belong to the process, and not to a part of the configuration.
#[derive(Debug)]
pub struct Metrics {
    /// Requests that no route took.
    unmatched: RouteMeter,
    /// Our own answers, by the word for why.
    rejections: Vec<(&'static str, Counters<1>)>,
    /// Clients that were refused below their requests, by the place of the reason in [`Flaw::ALL`].
    refused: [AtomicU64; Flaw::ALL.len()],
    listeners: Vec<(String, Arc<Traffic>)>,
    reloads: Reloads,
}

#[derive(Debug)]
struct Reloads {
    applied: AtomicU64,
    refused: AtomicU64,
    /// Whether the last one was applied.
    in_step: AtomicBool,
    /// When a configuration was last applied, in milliseconds since 1970.
    last_good: AtomicU64,
}

impl Metrics {
    /// Numbers that begin at zero. `codes` are the words for our own answers; `now` is when the
    /// configuration of the start was taken.
    #[must_use]
    pub fn new<'a>(
        codes: &[&'static str],
        listeners: impl Iterator<Item = &'a str>,
        now: SystemTime,
    ) -> Self {
        Self {
            unmatched: RouteMeter::default(),
            rejections: codes.iter().map(|code| (*code, Counters::default())).collect(),
            refused: [const { AtomicU64::new(0) }; Flaw::ALL.len()],
            listeners: listeners.map(|name| (name.to_owned(), Arc::default())).collect(),
            reloads: Reloads {
                applied: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                in_step: AtomicBool::new(true),
                last_good: AtomicU64::new(millis(now)),
            },
        }
    }

    /// Where the connections of this listener are counted. One that was not named at the start is not shown.
    #[must_use]
    pub fn traffic(&self, listener: &str) -> Arc<Traffic> {
        let known = self.listeners.iter().find(|(name, _)| name == listener);
        known.map(|(_, traffic)| Arc::clone(traffic)).unwrap_or_default()
    }

    /// Counts a request that is over, at its route or among those that no route took; `why` if the gateway
    /// says why it answered by itself.
    pub fn record(
        &self,
        route: Option<&RouteMeter>,
        method: Option<&Method>,
        status: u16,
        total: Duration,
        why: Option<&'static str>,
    ) {
        route.unwrap_or(&self.unmatched).record(method, status, total);
        if let Some(why) = why
            && let Some((_, count)) = self.rejections.iter().find(|(code, _)| *code == why)
        {
            count.add(0, 1);
        }
    }

    /// Counts a client that was refused below its request, or cut.
    pub fn refused(&self, flaw: Flaw) {
        self.refused[flaw as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a new configuration was applied, or refused, at `now`.
    pub fn reloaded(&self, applied: bool, now: SystemTime) {
        let reloads = &self.reloads;
        if applied {
            reloads.last_good.store(millis(now), Ordering::Relaxed);
        }
        reloads.in_step.store(applied, Ordering::Relaxed);
        let count = if applied { &reloads.applied } else { &reloads.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
