//! How much of a quota a consumer has used in the window of the calendar that it is.

mod claim;

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;

use super::calendar::Window;
use crate::units::Calendar;
use claim::Claim;
pub(super) use claim::{Ask, Told, Word};

/// What is counted together: it goes on being the same when the amount of a quota changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    /// Whose it is.
    pub(super) consumer: String,
    /// What it is counted in.
    pub(super) calendar: Calendar,
    /// Where the clock hangs, by its IANA name.
    pub(super) zone: String,
}

/// Somebody who comes this much late, in seconds, from the window before is counted in the one that has begun: to go
/// back would be to forget what was used in it.
const LATE: i64 = 3600;

/// The use of one consumer.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) name: Name,
    zone: TimeZone,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    window: Window,
    /// What this process let through.
    own: u64,
    /// What all others did, as far as that is known.
    others: u64,
    /// How much of `own` is kept where it outlives the process.
    saved: u64,
    /// Whether what was kept before this process is known.
    known: bool,
    /// What this process may use without asking, where it shares the quota with others.
    claim: Claim,
}

/// What has to be kept of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The window's name.
    pub(super) window: String,
    /// When it need not be kept any more, as Unix time.
    pub(super) ends: i64,
    /// What this process let through in it.
    pub(super) own: u64,
}

impl Counter {
    pub(super) fn new(name: Name, zone: TimeZone) -> Self {
        Self { name, zone, state: Mutex::default() }
    }

    /// Its state in whatever window it is.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its state in the window of this second.
    pub(super) fn at(&self, second: i64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if !state.window.has(second) && !state.window.is_soon(second, LATE) {
            let window = Window::at(second, self.name.calendar, &self.zone);
            // What was kept of the first window has to be looked up; later ones begin with nothing.
            let known = state.known;
            let claim = state.claim.successor();
            *state = State { window, known, claim, ..State::default() };
        }
        state
    }
}

impl State {
    /// What was used.
    pub(super) const fn used(&self) -> u64 {
        self.own.saturating_add(self.others)
    }

    /// When the window ends.
    pub(super) const fn ends(&self) -> i64 {
        self.window.ends
    }

    /// The window's name.
    pub(super) fn window(&self) -> &str {
        &self.window.name
    }

    /// Whether anything was used in this window, or asked for.
    pub(super) const fn is_in_use(&self) -> bool {
        self.own > 0 || self.claim.has_asked()
    }

    /// Uses one more at this second.
    pub(super) const fn count(&mut self, now: i64) {
        self.own = self.own.saturating_add(1);
        self.mark(now);
    }

    /// Whether what was kept before this process is known.
    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    /// Learns what was kept of this window before.
    pub(super) fn resume(&mut self, own: u64) {
        if !self.known {
            self.own = self.own.saturating_add(own);
            self.saved = own;
            self.known = true;
        }
    }

    /// What has to be kept, if something changed since it was.
    pub(super) fn unsaved(&self) -> Option<Entry> {
        (self.own != self.saved).then(|| Entry {
            window: self.window.name.clone(),
            ends: self.window.ends,
            own: self.own,
        })
    }

    /// Learns that this was kept, and what the others used of the same window.
    pub(super) fn saved(&mut self, entry: &Entry, others: u64) {
        if self.window.name == entry.window {
            self.saved = entry.own;
            self.others = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T00:00:00Z.
    const MIDNIGHT: i64 = 1_795_478_400;

    fn counter() -> Counter {
        let name = Name { consumer: "a".into(), calendar: Calendar::Day, zone: "UTC".into() };
        Counter::new(name, TimeZone::UTC)
    }

    #[test]
    fn another_window_begins_with_nothing() {
        let counter = counter();
        counter.at(MIDNIGHT).resume(5);
        counter.at(MIDNIGHT).count(MIDNIGHT);
        let last = MIDNIGHT + 86_399;
        let state = counter.at(last);
        assert_eq!((state.used(), state.ends(), state.window()), (6, last + 1, "2026-11-24"));
        drop(state);
        let state = counter.at(last + 1);
        assert_eq!((state.used(), state.is_known()), (0, true));
        drop(state);
        // A clock that was wrong is no reason to refuse for years.
        counter.at(i64::MAX).count(MIDNIGHT);
        assert_eq!(counter.at(last + 1).used(), 0);
    }

    #[test]
    fn who_comes_late_from_the_window_before_counts_in_this_one() {
        let counter = counter();
        counter.at(MIDNIGHT).count(MIDNIGHT);
        // It began a second before midnight, and had to wait for something.
        counter.at(MIDNIGHT - 1).count(MIDNIGHT);
        assert_eq!(counter.at(MIDNIGHT).used(), 2);
        // What was kept before midnight is told after it, and changes nothing.
        let entry = Entry { window: "2026-11-23".into(), ends: MIDNIGHT, own: 9 };
        counter.lock().saved(&entry, 0);
        let state = counter.at(MIDNIGHT);
        assert_eq!((state.used(), state.window()), (2, "2026-11-24"));
    }

    #[test]
    fn what_was_kept_counts_once_whatever_came_before_it_was_known() {
        let counter = counter();
        counter.at(MIDNIGHT).count(MIDNIGHT);
        counter.at(MIDNIGHT).resume(5);
        counter.at(MIDNIGHT).resume(5);
        assert_eq!(counter.at(MIDNIGHT).used(), 6);
    }

    #[test]
    fn what_changed_while_it_was_written_is_written_again() {
        let counter = counter();
        counter.at(MIDNIGHT).resume(0);
        assert_eq!(counter.at(MIDNIGHT).unsaved(), None);
        counter.at(MIDNIGHT).count(MIDNIGHT);
        let entry = counter.at(MIDNIGHT).unsaved().expect("changed");
        counter.at(MIDNIGHT).count(MIDNIGHT);
        counter.at(MIDNIGHT).saved(&entry, 3);
        assert_eq!(counter.at(MIDNIGHT).used(), 5);
        let entry = counter.at(MIDNIGHT).unsaved().expect("changed again");
        assert_eq!(entry.own, 2);
        // What is told of a window that is over is not for the next one.
        counter.at(MIDNIGHT + 86_400).saved(&entry, 3);
        assert_eq!(counter.at(MIDNIGHT + 86_400).used(), 0);
    }
}
