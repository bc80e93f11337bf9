//! A [`Target`] is one address of an upstream; an [`Attempt`] is one request's try at one.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::HttpPeer;

use super::Upstream;
use super::ejection::{Ejection, Fault, Role};
use super::switch::{Patient, Switch};
use super::tally::{Outcome, Tally};
use crate::counter::Lasting;

/// The read timeout of a connection that has switched: a `WebSocket` may be silent for long.
const UPGRADED_READ: Duration = Duration::from_secs(3600);
/// The shortest timeout handed to Pingora, for a request whose time is as good as over.
const SHORTEST: Duration = Duration::from_millis(1);

/// One address of an upstream. It lives as long as the address is known, and longer while requests
/// to it are under way.
pub struct Target {
    pub(super) tally: Arc<Tally>,
    pub(super) template: HttpPeer,
    authority: HeaderValue,
    weight: usize,
    /// Requests under way; shared with the target of this address that it follows.
    in_flight: Lasting<AtomicUsize>,
    /// Names the next connection that must not come from the pool; 0 is the pool's own.
    fresh: AtomicU64,
    /// What the probes say; true until they say otherwise.
    pub(super) healthy: AtomicBool,
    /// Whether it was ever seen to work.
    pub(super) proven: AtomicBool,
    pub(super) ejection: Ejection,
    /// Why the last probe failed, for the log.
    pub(super) complaint: Mutex<String>,
    /// Whether an operator has taken it out of service.
    pub(super) drained: AtomicBool,
}

impl Target {
    pub(super) fn new(
        tally: Arc<Tally>,
        template: HttpPeer,
        authority: HeaderValue,
        weight: usize,
    ) -> Self {
        Self {
            tally,
            template,
            authority,
            weight,
            in_flight: Lasting::default(),
            fresh: AtomicU64::new(1),
            healthy: AtomicBool::new(true),
            proven: AtomicBool::new(false),
            ejection: Ejection::default(),
            complaint: Mutex::default(),
            drained: AtomicBool::new(false),
        }
    }

    /// The target as the configuration has it, such as `http://users-2:8001`. Of a host name with
    /// several addresses, all have the same label.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        self.tally.label()
    }

    /// What is connected to.
    #[must_use]
    pub fn address(&self) -> &SocketAddr {
        &self.template._address
    }

    /// The target's own Host.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Its share in relation to the other targets.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether an operator has taken it out of service: it gets no new requests.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.seen().map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts a request as under way, if it may have so many. Whoever is counted in is counted out by its [`Attempt`].
    pub(super) fn enter(&self, most: Option<usize>) -> bool {
        let count = self.in_flight.get();
        let Some(most) = most else {
            count.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let step = |count| (count < most).then_some(count + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    /// Counts a request out.
    pub(super) fn leave(&self) {
        self.in_flight.get().fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts on from the target of the same address that this one follows.
    pub(super) fn follow(&self, known: &Self) {
        self.in_flight.carry_on(&known.in_flight);
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("label", self.label())
            .field("address", self.address())
            .finish_non_exhaustive()
    }
}

/// What a request needs of its connection.
#[derive(Debug, Clone, Default)]
pub struct PeerWish {
    /// Set if it asks for a `WebSocket`: it gets a connection of its own.
    pub switch: Option<Switch>,
    /// What is left of its total time; `None` means no limit.
    pub remaining: Option<Duration>,
    /// Whether it must not be one that was kept from an earlier request.
    pub fresh: bool,
}

/// One request's try at one target. What became of it is told by [`answered`](Attempt::answered),
/// [`connect_failed`](Attempt::connect_failed) or [`broke`](Attempt::broke); dropping it ends and counts it.
pub struct Attempt {
    upstream: Arc<Upstream>,
    target: Arc<Target>,
    role: Role,
    started: Instant,
    /// The [`Outcome`], as far as it is known.
    outcome: AtomicU8,
}

impl Attempt {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        target: Arc<Target>,
        role: Role,
        now: Instant,
    ) -> Self {
        let outcome = AtomicU8::new(Outcome::Abandoned as u8);
        Self { upstream, target, role, started: now, outcome }
    }

    /// The target tried.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The upstream it belongs to.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Where Pingora connects to, and with which timeouts: the upstream's, but no longer than what
    /// is left of the request's time.
    #[must_use]
    pub fn peer(&self, wish: PeerWish) -> Box<HttpPeer> {
        let mut peer = Box::new(self.target.template.clone());
        let HttpPeer { options, group_key, .. } = &mut *peer;
        let own_read = options.read_timeout;
        if wish.fresh || wish.switch.is_some() {
            // Pingora looks into the pool first, by this key among other things: one that is new finds nothing.
            let fresh = self.target.fresh.fetch_add(1, Ordering::Relaxed);
            *group_key = group_key.wrapping_add(fresh);
            options.idle_timeout = Some(Duration::ZERO);
        }
        if let Some(remaining) = wish.remaining {
            let remaining = remaining.max(SHORTEST);
            for timeout in [
                &mut options.connection_timeout,
                &mut options.total_connection_timeout,
                &mut options.read_timeout,
                &mut options.write_timeout,
            ] {
                *timeout = Some(timeout.map_or(remaining, |own| own.min(remaining)));
            }
        }
        if let Some(switch) = wish.switch {
            options.write_timeout = self.target.template.options.write_timeout;
            options.read_timeout = Some(UPGRADED_READ);
            options.custom_l4 = Some(Arc::new(Patient {
                switch,
                read: own_read.unwrap_or(UPGRADED_READ),
                deadline: wish.remaining.map(|left| tokio::time::Instant::now() + left),
            }));
        }
        peer
    }

    /// No connection could be made. The target leaves the rotation at once.
    pub fn connect_failed(&self, now: Instant) {
        self.note(Outcome::Connect);
        self.upstream.pool.failed(&self.target, Fault::Connect, self.role, now);
    }

    /// The target answered with this final status.
    pub fn answered(&self, status: u16, now: Instant) {
        self.upstream.first_byte.get().observe(now.saturating_duration_since(self.started));
        if !is_fault(status) {
            self.upstream.room.answered(self.started, now);
        }
        if is_fault(status) {
            self.note(Outcome::Status5xx);
            self.upstream.pool.failed(&self.target, Fault::Answer, self.role, now);
        } else {
            self.note(Outcome::Answered);
            self.upstream.pool.succeeded(&self.target, self.role, now);
        }
    }

    /// The connection died, or the time was over, before there was an answer.
    pub fn broke(&self, now: Instant) {
        self.upstream.room.gave_up(self.started, now);
        self.note(Outcome::Broken);
        self.upstream.pool.failed(&self.target, Fault::Answer, self.role, now);
    }

    /// Says more exactly what became of it, for the counts; a later word replaces an earlier one.
    pub fn note(&self, outcome: Outcome) {
        self.outcome.store(outcome as u8, Ordering::Relaxed);
    }

    /// Whether the target's answer has begun.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let outcome = self.outcome.load(Ordering::Relaxed);
        outcome == Outcome::Answered as u8 || outcome == Outcome::Status5xx as u8
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.target.leave();
        self.target.tally.count(usize::from(self.outcome.load(Ordering::Relaxed)));
    }
}

/// Whether a status speaks against the target. 501 and 505 speak about the request.
const fn is_fault(status: u16) -> bool {
    status >= 500 && status <= 599 && status != 501 && status != 505
}
