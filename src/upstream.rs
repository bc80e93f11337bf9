//! An [`Upstream`] is a group of interchangeable [`Target`]s that requests are forwarded to.
//!
//! It answers two questions for each try of a request: which target ([`Upstream::attempt`]), and
//! whether to try again ([`Upstream::retry`]). Three sources say whether a target is usable: discovery
//! (is there such an address), probes (does it answer them), and real traffic (did it fail requests;
//! then it is ejected for a while). Probes and discovery run beside the traffic and end with the
//! upstream; no request waits for either.
//!
//! It stands on Pingora's load balancer: the set of backends with their health, and its traits for
//! discovery, checks and selection. The policies behind the traits are our own, since the ones that
//! come with it are not smooth, know no ejection and no name resolution, and slow down with weights.
//!
//! [`Upstream::compile`] does no network I/O and starts nothing, so a configuration can be checked
//! anywhere. Targets given as IP addresses or sockets are usable from then on; host names from the
//! first resolution after [`Upstream::start`].

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use pingora::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::LoadBalancer;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::concurrency::Gate;
use crate::counter::{Histogram, Lasting};
use crate::diagnostic::{At, Diagnostics};

mod background;
mod balance;
mod call;
mod candidate;
mod compile;
pub mod config;
mod discovery;
mod dress;
pub mod ejection;
mod health;
mod origin;
mod pem;
mod pool;
mod retry;
mod room;
mod switch;
mod tally;
mod target;
mod tls;

pub use call::{CallError, CallRequest, CallResponse};
pub use candidate::Candidate;
pub use compile::HashSource;
pub use config::Config;
pub use retry::{Failure, FailureKind, Retry};
pub use switch::Switch;
pub use tally::{Outcome, Tally};
pub use target::{Attempt, PeerWish, Target};
pub use tls::ReadFile;

use background::{Tasks, Work};
use balance::{Selector, chance, enough_picks};
use config::WhenAllDown;
use ejection::{Admission, Role};
use room::Room;

/// How long [`Upstream::ready`] waits at most.
const READY_WITHIN: Duration = Duration::from_secs(6);

/// No target can take the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no target is usable")]
pub struct Unavailable {
    /// When to ask again: from 1 s to 30 s.
    pub retry_after: Duration,
    /// Whether there are usable ones, that have as many requests in flight as they may.
    pub full: bool,
}

/// What a hash policy sends to the same target. The other policies do not look at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashKey<'a>(Option<&'a [u8]>);

impl<'a> HashKey<'a> {
    /// A request that has no key, such as one without the cookie: it goes anywhere.
    pub const NONE: Self = Self(None);

    /// This key.
    #[must_use]
    pub const fn of(key: &'a [u8]) -> Self {
        Self(Some(key))
    }
}

/// One target as a status page shows it.
#[derive(Debug, Clone)]
pub struct TargetStatus {
    /// The target as the configuration has it.
    pub label: Arc<str>,
    /// What is connected to.
    pub address: SocketAddr,
    /// What the probes say.
    pub healthy: bool,
    /// The end of its ejection, if it is ejected. Once past, the next request tries the target.
    pub ejected_until: Option<Instant>,
    /// Requests under way.
    pub in_flight: usize,
    /// Its share in relation to the other targets.
    pub weight: usize,
    /// Whether an operator has taken it out of service.
    pub drained: bool,
}

/// A group of interchangeable targets.
pub struct Upstream {
    config: Config,
    hash: Option<HashSource>,
    files: u64,
    dress: Arc<dress::Dress>,
    caller: Arc<call::Caller>,
    pool: Arc<pool::Pool>,
    balancer: Arc<LoadBalancer<Selector>>,
    probe_every: Option<Duration>,
    /// Whether there are host names to resolve.
    names: bool,
    online: Arc<AtomicBool>,
    resolved: watch::Sender<bool>,
    /// What became of the tries, by the targets of the configuration.
    tallies: Vec<Arc<Tally>>,
    first_byte: Lasting<Histogram>,
    room: Room,
    tasks: OnceLock<Tasks>,
}

impl Upstream {
    /// Makes an upstream of its configuration, or says what is wrong with it. `read_file` gets the
    /// paths of TLS files.
    pub fn compile(
        name: &str,
        config: &Config,
        at: &At,
        read_file: ReadFile<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Self>> {
        let resolve = discovery::system_resolver();
        compile::compile(name, config, at, read_file, resolve, diagnostics)
    }

    /// Begins to resolve names and to probe targets, on this runtime, until the upstream is dropped.
    /// A second call does nothing.
    pub fn start(self: &Arc<Self>, handle: &Handle) {
        self.tasks.get_or_init(|| {
            self.online.store(true, Ordering::Release);
            let work = Work {
                balancer: Arc::clone(&self.balancer),
                pool: Arc::clone(&self.pool),
                resolved: self.resolved.clone(),
                names: self.names,
                probe_every: self.probe_every,
            };
            work.spawn(handle)
        });
    }

    /// Waits until every host name was resolved once, or failed to, but no longer than 6 s.
    pub async fn ready(&self) {
        let mut resolved = self.resolved.subscribe();
        let done = resolved.wait_for(|resolved| *resolved);
        let _ = tokio::time::timeout(READY_WITHIN, done).await;
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.pool.name
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether compiling `config` now would give the same upstream: equal settings, and the TLS
    /// files hold what they held. Then it can be kept over a reload, with all it knows.
    #[must_use]
    pub fn is_still(&self, config: &Config, read_file: ReadFile<'_>) -> bool {
        self.config == *config && self.files == tls::files_digest(&config.tls, read_file)
    }

    /// The rule for trying again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry { max: self.config.retries.max }
    }

    /// Whether its targets can switch a connection to `WebSocket`, which HTTP/1.1 alone can here.
    #[must_use]
    pub fn can_switch(&self) -> bool {
        self.config.protocol == config::Protocol::Http1
    }

    /// Whether its targets speak HTTP/2, and so may speak gRPC.
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        self.config.protocol == config::Protocol::H2
    }

    /// How long a request may take with all its tries.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        self.config.timeouts.total.get()
    }

    /// How long may pass without a byte.
    #[must_use]
    pub fn read_timeout(&self) -> Duration {
        self.config.timeouts.read.get()
    }

    /// What the hash key of a request is taken from; `None` if none is needed.
    #[must_use]
    pub fn hash_key_source(&self) -> Option<&HashSource> {
        self.hash.as_ref()
    }

    /// The header that carries the gateway's secret, if there is one.
    #[must_use]
    pub fn secret_header(&self) -> Option<&http::HeaderName> {
        self.dress.secret_header()
    }

    /// Chooses a target that is usable and not among `tried`. If only tried ones are usable, one of
    /// them is chosen again: with a single target, that is the only way to try again at all.
    ///
    /// # Errors
    /// No target is usable, and the configuration does not say to try one anyway.
    pub fn attempt(
        self: &Arc<Self>,
        key: HashKey<'_>,
        tried: &[Arc<Target>],
        now: Instant,
    ) -> Result<Attempt, Unavailable> {
        let random = chance().to_le_bytes();
        let key = key.0.unwrap_or(&random);
        let clock = self.pool.clock(now);
        let untried = |target: &Arc<Target>| !tried.iter().any(|t| Arc::ptr_eq(t, target));
        let full = std::cell::Cell::new(false);
        // Whoever is chosen is entered already, so that no two take the last place at once.
        let enter = |target: &Arc<Target>| {
            let entered = target.enter(self.room.per_target());
            full.set(full.get() || !entered);
            entered
        };
        let usable = |target: &Arc<Target>, healthy: bool| {
            if !healthy || target.is_drained() || target.ejection.is_out(clock) || !enter(target) {
                return None;
            }
            match target.ejection.admit(clock) {
                Admission::In => Some(Role::Normal),
                Admission::Trial => Some(Role::Trial),
                Admission::Out => {
                    target.leave();
                    None
                }
            }
        };
        let fresh = |target: &Arc<Target>, healthy| {
            if untried(target) { usable(target, healthy) } else { None }
        };
        let mut found = self.pick(key, fresh);
        if found.is_none() && !tried.is_empty() {
            found = self.pick(key, usable);
        }
        if found.is_none() && self.config.when_all_down == WhenAllDown::TryAnyway {
            // Whatever else is down, an operator's word counts.
            let forced = |target: &Arc<Target>| {
                (!target.is_drained() && enter(target)).then_some(Role::Forced)
            };
            found = self
                .pick(key, |target, _| if untried(target) { forced(target) } else { None })
                .or_else(|| self.pick(key, |target, _| forced(target)));
        }
        match found {
            Some((target, role)) => Ok(Attempt::new(Arc::clone(self), target, role, now)),
            None => Err(Unavailable { retry_after: self.pool.retry_after(now), full: full.get() }),
        }
    }

    /// Whether a target is left that is usable and not among `tried`.
    #[must_use]
    pub fn has_untried(&self, tried: &[Arc<Target>]) -> bool {
        self.pool.load().listed.iter().any(|target| {
            target.healthy.load(Ordering::Relaxed)
                && !target.is_drained()
                && target.ejection.until().is_none()
                && !tried.iter().any(|t| Arc::ptr_eq(t, target))
        })
    }

    /// The first target, in the policy's order, that gets a role.
    fn pick(
        &self,
        key: &[u8],
        role: impl Fn(&Arc<Target>, bool) -> Option<Role>,
    ) -> Option<(Arc<Target>, Role)> {
        let targets = self.pool.load();
        if let Some(only) = targets.only() {
            let role = role(only, only.healthy.load(Ordering::Relaxed));
            return role.map(|role| (Arc::clone(only), role));
        }
        let found = std::cell::Cell::new(None);
        self.balancer.select_with(key, enough_picks(targets.listed.len()), |backend, healthy| {
            let Some(target) = targets.get(&backend.addr) else { return false };
            let Some(role) = role(target, healthy) else { return false };
            found.set(Some((Arc::clone(target), role)));
            true
        });
        found.into_inner()
    }

    /// Gives a request's headers what this upstream's targets expect: their Host, and the gateway's
    /// secret in place of whatever the client sent under its name. `authority` is the own Host of the
    /// target that is chosen.
    pub fn dress(&self, authority: &HeaderValue, head: &mut HeaderMap) {
        self.dress.host(authority, head);
        self.dress.secret(head);
    }

    /// Sends one GET to one target, as traffic would.
    ///
    /// # Errors
    /// There was no sound answer before the deadline.
    pub async fn call(
        &self,
        target: &Target,
        request: CallRequest<'_>,
        deadline: Instant,
    ) -> Result<CallResponse, CallError> {
        self.caller.call(target, request, deadline).await
    }

    /// The targets now, in the order of the configuration.
    #[must_use]
    pub fn known_targets(&self) -> Vec<Arc<Target>> {
        self.pool.load().listed.clone()
    }

    /// Takes the targets of this label out of service, or back into it: a drained one gets no new
    /// requests, and those under way are answered. It lasts until it is undone, also for addresses that
    /// a host name gets later, and over reloads. Returns whether there is such a target.
    pub fn drain(&self, label: &str, drained: bool) -> bool {
        let known = self.config.targets.iter().any(|target| target.url == label);
        if known {
            self.pool.drain(label, drained);
        }
        known
    }

    /// Takes over what is known about targets from the upstream that this one follows: which ones are
    /// drained, and of addresses that stay, whether they work. One that did not answer its probes begins
    /// ejected, and comes back with its first good probe.
    pub fn follow(&self, previous: &Self, now: Instant) {
        self.pool.follow(&previous.pool, now);
    }

    /// What became of the tries so far, for each target of the configuration, in its order.
    #[must_use]
    pub fn tallies(&self) -> &[Arc<Tally>] {
        &self.tallies
    }

    /// How long targets took from the start of a try to the head of their answer; `None` if none answered yet.
    #[must_use]
    pub fn first_byte(&self) -> Option<&Histogram> {
        self.first_byte.seen()
    }

    /// The gate before it, if it has one, with as many places as its targets have now.
    #[must_use]
    pub fn gate(&self, now: impl FnOnce() -> Instant) -> Option<&Gate> {
        let gate = self.room.gate()?;
        self.room.look(&self.pool, now);
        Some(gate)
    }

    /// The same as it stands.
    #[must_use]
    pub fn known_gate(&self) -> Option<&Gate> {
        self.room.gate()
    }

    /// Goes on with the counts of the upstream that this one replaces: to be called before the first try.
    pub fn carry_on(&self, previous: &Self) {
        self.first_byte.carry_on(&previous.first_byte);
        self.room.carry_on(&previous.room);
        for tally in &self.tallies {
            let same = |other: &&Arc<Tally>| other.label() == tally.label();
            if let Some(other) = previous.tallies.iter().find(same) {
                tally.carry_on(other);
            }
        }
    }

    /// The targets now, for status pages.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetStatus> {
        let status = |target: &Arc<Target>| TargetStatus {
            label: Arc::clone(target.label()),
            address: target.address().clone(),
            healthy: target.healthy.load(Ordering::Relaxed),
            ejected_until: target.ejection.until().map(|until| self.pool.moment(until)),
            in_flight: target.in_flight(),
            weight: target.weight(),
            drained: target.is_drained(),
        };
        self.pool.load().listed.iter().map(status).collect()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("name", self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
