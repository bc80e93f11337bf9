//! How many requests an upstream has room for: the gate before it, and the places at its targets.
//!
//! With a cap for each target there are as many places as usable targets have together. So whoever is let in finds
//! one, and who waits for a place waits at the gate, where the most important is first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::pool::Pool;
use crate::concurrency::{Gate, UpstreamCap};

/// The usable targets are counted so often at most, in milliseconds.
const LOOK_EVERY: u64 = 50;

/// The room that an upstream has.
pub(super) struct Room {
    gate: Option<Gate>,
    per_target: Option<usize>,
    /// Whether that is only looked at.
    observe: bool,
    /// When the targets are next counted, by the pool's clock.
    next_look: AtomicU64,
}

impl Room {
    pub fn new(gate: Option<Gate>, written: Option<&UpstreamCap>) -> Self {
        let per_target = written.and_then(|cap| cap.per_target).map(|most| most as usize);
        let observe = written.is_some_and(|cap| cap.observe);
        Self { gate, per_target, observe, next_look: AtomicU64::new(0) }
    }

    pub const fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// So many requests may be under way at each target, and one more is not let in.
    pub const fn per_target(&self) -> Option<usize> {
        if self.observe { None } else { self.per_target }
    }

    /// Counts the places at the targets, if there are so many and that was some time ago.
    pub fn look(&self, pool: &Pool, now: impl FnOnce() -> Instant) {
        let (Some(gate), Some(most)) = (&self.gate, self.per_target) else { return };
        let clock = pool.clock(now());
        if clock < self.next_look.load(Ordering::Acquire) {
            return;
        }
        let targets = pool.load();
        let usable = targets.listed.iter().filter(|target| {
            target.healthy.load(Ordering::Relaxed)
                && !target.is_drained()
                && !target.ejection.is_out(clock)
        });
        // Where none is usable, that is what is to be told, and not that there is no place.
        let usable = Some(usable.count()).filter(|count| *count > 0);
        let places = most.saturating_mul(usable.unwrap_or(targets.listed.len().max(1)));
        gate.bound(u32::try_from(places).unwrap_or(u32::MAX));
        self.next_look.store(clock + LOOK_EVERY, Ordering::Release);
    }

    pub fn answered(&self, started: Instant, now: Instant) {
        if let Some(gate) = &self.gate {
            gate.answered(started, now);
        }
    }

    pub fn gave_up(&self, started: Instant, now: Instant) {
        if let Some(gate) = &self.gate {
            gate.gave_up(started, now);
        }
    }

    pub fn carry_on(&self, previous: &Self) {
        if let (Some(gate), Some(known)) = (&self.gate, &previous.gate) {
            gate.carry_on(known);
            if self.per_target.is_none() {
                gate.bound(u32::MAX);
            }
        }
        self.next_look.store(0, Ordering::Relaxed);
    }
}
