//! How many requests an upstream bears, found out from how long its answers take.
//!
//! As long as there is a free hand for each request, an answer takes as long with many in flight as with few. When
//! there is none, requests queue behind the gateway, where nobody sees which is important, and each takes longer for
//! every other. So the limit is kept where answers just begin to take longer than they do undisturbed, the *base*:
//!
//! - Answers are gathered in windows of at least [`WINDOW`] and two of their own lengths. After each, the limit becomes
//!   what the base is of the mean (with [`SLACK`] to spare), and a little more, so that it also finds its way up.
//! - It grows only while more than half of it is used: what nobody asks for is not learned.
//! - The base follows what is measured while the gate is half empty. While it is not, the limit is halved for a moment
//!   ([`Phase::Probe`]) every now and then, and what answers take then is the base. So a service that has become slower
//!   for other reasons does not count as overloaded for long.
//!
//! Only the time to the head of an answer counts: how long a body or a WebSocket lasts is the client's affair too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The shortest window, in microseconds.
pub const WINDOW: u64 = 100_000;
/// The longest time that is waited for the end of a window's requests, in microseconds.
const LONGEST: u64 = 5_000_000;
/// So many answers at least make a window.
const ENOUGH: u64 = 10;
/// So much longer than the base answers may take before the limit falls.
pub const SLACK: f64 = 1.1;
/// The limit before anything is known.
pub const START: u32 = 20;
/// The time to the first look at the base, and from each one that found something new, in microseconds.
const PROBE_SOON: u64 = 500_000;
/// The longest time between two looks, in microseconds.
const PROBE_SELDOM: u64 = 30_000_000;

/// Where the limit may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest.
    pub min: u32,
    /// The highest.
    pub max: u32,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The limit follows the answers.
    Steady,
    /// It is halved, and there are more requests yet. The number is when they have had time enough.
    Drain(u64),
    /// It is halved, and the base is measured.
    Probe(u64),
}

/// What is gathered between two decisions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Answers.
    pub count: u64,
    /// How long they took together, in microseconds.
    pub sum: u64,
    /// Requests in flight at its end.
    pub in_flight: u32,
}

/// The decisions, without a clock: times are microseconds of any.
#[derive(Debug)]
pub(super) struct Controller {
    bounds: Bounds,
    limit: f64,
    base: Option<f64>,
    phase: Phase,
    /// Whether nothing has spoken against more yet.
    eager: bool,
    next_probe: Option<u64>,
    interval: u64,
}

/// What is done until the next decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The limit.
    pub limit: u32,
    /// Not before this time is anything decided.
    pub due: u64,
    /// Requests that began before this time do not count.
    pub since: u64,
}

impl Controller {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: f64::from(START.clamp(bounds.min, bounds.max)),
            base: None,
            phase: Phase::Steady,
            eager: true,
            next_probe: None,
            interval: PROBE_SOON,
        }
    }

    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.clamp();
    }

    fn clamp(&mut self) {
        self.limit = self.limit.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
    }

    /// The limit that holds now.
    pub(super) fn limit(&self) -> u32 {
        let limit = if self.phase == Phase::Steady { self.limit } else { self.limit / 2.0 };
        #[expect(clippy::cast_possible_truncation, reason = "between the bounds")]
        #[expect(clippy::cast_sign_loss, reason = "between the bounds")]
        let limit = limit as u32;
        limit.max(1)
    }

    /// The usual length of an undisturbed answer, in microseconds.
    pub(super) fn base(&self) -> Option<f64> {
        self.base
    }

    /// Decides, if there is enough to decide by. `busy`: more than half the limit was used.
    pub(super) fn close(&mut self, window: Window, busy: bool, now: u64) -> Option<Step> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let mean = (window.count > 0).then(|| window.sum as f64 / window.count as f64);
        match self.phase {
            Phase::Drain(end) => {
                if window.in_flight > self.limit() && now < end {
                    return None;
                }
                self.phase = Phase::Probe(now + 5 * self.lengths(1.0));
                return Some(self.step(now, now + self.lengths(2.0) / 2));
            }
            Phase::Probe(end) => {
                if window.count < ENOUGH && now < end {
                    return None;
                }
                self.measured(mean.filter(|_| window.count >= ENOUGH), now);
                self.phase = Phase::Steady;
                return Some(self.step(now, now + self.lengths(2.0)));
            }
            Phase::Steady => {}
        }
        let mean = mean.filter(|_| window.count >= ENOUGH)?;
        self.follow(mean, busy);
        if busy && now >= *self.next_probe.get_or_insert(now + self.interval) {
            self.phase = Phase::Drain(now + self.lengths(2.0));
            return Some(self.step(0, now));
        }
        Some(self.step(0, now + self.lengths(2.0)))
    }

    /// So many lengths of an answer, but at least a window.
    fn lengths(&self, count: f64) -> u64 {
        let length = self.base.unwrap_or(0.0) * count;
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        #[expect(clippy::cast_sign_loss, reason = "lengths of time")]
        let length = length as u64;
        length.clamp(WINDOW, LONGEST)
    }

    fn step(&self, since: u64, due: u64) -> Step {
        Step { limit: self.limit(), due, since }
    }

    /// Lets base and limit follow what a window of the usual kind has shown.
    fn follow(&mut self, mean: f64, busy: bool) {
        let base = self.base.get_or_insert(mean);
        let at_floor = self.limit <= f64::from(self.bounds.min);
        if !busy || at_floor {
            *base += 0.2 * (mean - *base);
        } else if mean < *base {
            *base += 0.5 * (mean - *base);
        }
        if !busy {
            return;
        }
        let undisturbed = mean <= *base * SLACK;
        let gradient = (*base * SLACK / mean).clamp(0.5, 1.0);
        self.eager &= undisturbed;
        let room = self.limit.sqrt() * if undisturbed { 2.0 } else { 0.5 };
        let target = self.limit * gradient + room;
        let target = if self.eager { target.max(self.limit * 1.5) } else { target };
        self.limit += 0.5 * (target - self.limit);
        self.clamp();
    }

    /// Takes what answers took while the limit was halved for the base.
    fn measured(&mut self, mean: Option<f64>, now: u64) {
        if let (Some(mean), Some(base)) = (mean, &mut self.base) {
            let news = mean < *base * 0.9 || mean > *base * 1.25;
            self.interval = if news { PROBE_SOON } else { PROBE_SELDOM.min(self.interval * 2) };
            *base = if mean < *base { mean } else { f64::midpoint(*base, mean) };
        }
        self.next_probe = Some(now + self.interval);
    }
}

/// The bits that count the answers of a window; the others hold how long they took.
const COUNT_BITS: u32 = 20;
/// Set beside the time at which the next decision is due, once more than half the limit was used.
const BUSY: u64 = 1;

/// What is known, which outlives a change of the configuration.
#[derive(Debug)]
struct Known {
    epoch: Instant,
    window: AtomicU64,
    /// When the next decision is due, twice, and [`BUSY`].
    due: AtomicU64,
    since: AtomicU64,
    /// The base, in microseconds; 0 if it is not known.
    base: AtomicU64,
    controller: Mutex<Controller>,
}

/// A limit that follows how long answers take.
#[derive(Debug)]
pub struct Adaptive {
    bounds: Bounds,
    known: OnceLock<Arc<Known>>,
}

impl Adaptive {
    /// One that knows nothing yet.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self { bounds, known: OnceLock::new() }
    }

    fn known(&self) -> &Arc<Known> {
        self.known.get_or_init(|| {
            Arc::new(Known {
                epoch: Instant::now(),
                window: AtomicU64::new(0),
                due: AtomicU64::new(0),
                since: AtomicU64::new(0),
                base: AtomicU64::new(0),
                controller: Mutex::new(Controller::new(self.bounds)),
            })
        })
    }

    /// Goes on with what another one knows, within its own bounds.
    pub(super) fn carry_on(&self, previous: &Self) {
        // An error means that this one has begun already, or that it is the same.
        let _ = self.known.set(Arc::clone(previous.known()));
        let mut controller = self.known().controller.lock().unwrap_or_else(PoisonError::into_inner);
        controller.set_bounds(self.bounds);
    }

    /// The limit now.
    pub(super) fn limit(&self) -> u32 {
        self.known().controller.lock().unwrap_or_else(PoisonError::into_inner).limit()
    }

    /// Whether this is longer than answers usually take.
    pub(super) fn is_long(&self, started: Instant, now: Instant) -> bool {
        let base = self.known().base.load(Ordering::Relaxed);
        base > 0 && micros(now.saturating_duration_since(started)) > base
    }

    /// Counts an answer; a new limit if that decides for one.
    pub(super) fn answered(
        &self,
        started: Instant,
        now: Instant,
        in_flight: u32,
        limit: u32,
    ) -> Option<u32> {
        self.known().answered(started, now, in_flight, limit)
    }
}

impl Known {
    fn answered(&self, started: Instant, now: Instant, in_flight: u32, limit: u32) -> Option<u32> {
        let clock = |moment: Instant| micros(moment.saturating_duration_since(self.epoch));
        let now = clock(now);
        let began = clock(started);
        if began >= self.since.load(Ordering::Relaxed) {
            let took = now.saturating_sub(began).min(1 << 40);
            self.window.fetch_add(took << COUNT_BITS | 1, Ordering::Relaxed);
        }
        let due = self.due.load(Ordering::Relaxed);
        let busy = due & BUSY != 0 || in_flight > limit / 2;
        if busy && due & BUSY == 0 {
            self.due.fetch_or(BUSY, Ordering::Relaxed);
        }
        if now < due >> 1 {
            return None;
        }
        // One decides, and nobody waits for it.
        let mut controller = self.controller.try_lock().ok()?;
        let gathered = self.window.load(Ordering::Relaxed);
        let count = gathered & ((1 << COUNT_BITS) - 1);
        let window = Window { count, sum: gathered >> COUNT_BITS, in_flight };
        let step = controller.close(window, busy, now)?;
        self.window.fetch_sub(gathered, Ordering::Relaxed);
        self.since.store(step.since, Ordering::Relaxed);
        self.due.store(step.due << 1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        #[expect(clippy::cast_sign_loss, reason = "a length of time")]
        let base = controller.base().unwrap_or(0.0) as u64;
        self.base.store(base, Ordering::Relaxed);
        Some(step.limit)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX >> 1)
}
