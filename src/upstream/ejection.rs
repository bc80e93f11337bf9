//! Passive ejection: a target that plainly fails real traffic is left alone for a while.
//!
//! Probes see a target every few seconds; requests see it all the time. So a target that refuses a
//! connection is left out at once, and one that only answers with server errors after
//! [`STREAK`] in a row. It stays out for [`FIRST`], each further time twice as long, up to
//! [`LONGEST`]. After that, one request may try it (the trial): if it is served well the target is
//! back, if not it is out again. The record of past ejections is forgotten after [`CALM`] without one.
//!
//! The machine is a handful of atomics, since every answer passes through it; a good answer from a
//! good target reads two and writes none. Time is passed in, as milliseconds of the pool's clock.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Bad answers in a row before a target is ejected.
pub const STREAK: u32 = 5;
/// How long the first ejection lasts, in milliseconds.
pub const FIRST: u64 = 5_000;
/// The longest ejection, in milliseconds.
pub const LONGEST: u64 = 300_000;
/// After so long without an ejection, in milliseconds, the next one counts as the first.
pub const CALM: u64 = 60_000;
/// How long a trial may take, in milliseconds, before another request may try.
pub const TRIAL: u64 = 5_000;

/// What a request may do with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The target is in rotation.
    In,
    /// The target was ejected, and this request is the one that tries it.
    Trial,
    /// The target is ejected.
    Out,
}

/// In what role a request was sent to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// As usual.
    Normal,
    /// To see whether an ejected target is well again.
    Trial,
    /// Because no target was usable.
    Forced,
}

/// How a target failed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It could not be connected to.
    Connect,
    /// It was never seen to work, and a probe failed.
    Unproven,
    /// It answered with a server error, or broke off.
    Answer,
}

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Bear,
    /// Eject it, if the share of ejected targets allows.
    Eject,
    /// Its trial failed: eject it again, whatever the share.
    Again,
}

/// A target's record with real traffic.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    /// When the ejection ends; 0 while in rotation.
    until: AtomicU64,
    /// Bad answers in a row.
    streak: AtomicU32,
    /// Ejections without a calm between them.
    times: AtomicU32,
    /// When it last came back into rotation.
    back_since: AtomicU64,
    /// Whether it is out because it could not be connected to.
    unreachable: AtomicBool,
}

impl Ejection {
    /// Whether a request may go there. It takes the trial if there is one to take.
    pub fn admit(&self, now: u64) -> Admission {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return Admission::In;
        }
        if now < until {
            return Admission::Out;
        }
        // Whoever moves the end tries; the others see a target that is still out.
        match self.until.compare_exchange(until, now + TRIAL, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Admission::Trial,
            Err(_) => Admission::Out,
        }
    }

    /// Whether nobody may go there now.
    pub fn is_out(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    /// When the ejection ends, if there is one.
    pub fn until(&self) -> Option<u64> {
        Some(self.until.load(Ordering::Acquire)).filter(|until| *until != 0)
    }

    /// A request was answered well. Returns whether that brought the target back.
    pub fn succeeded(&self, role: Role, now: u64) -> bool {
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
        // An answer to a request from before the ejection says nothing about now.
        role != Role::Normal && self.readmit(now)
    }

    /// A probe was answered well. Returns whether that brought the target back, which it does if
    /// the target had been unreachable: that a probe can connect is no news about bad answers.
    pub fn probed(&self, now: u64) -> bool {
        self.unreachable.load(Ordering::Relaxed) && self.readmit(now)
    }

    /// A request failed.
    pub fn failed(&self, fault: Fault, role: Role) -> Verdict {
        if self.until().is_some() {
            // Of many requests that fail together, one ejects.
            return if role == Role::Trial { Verdict::Again } else { Verdict::Bear };
        }
        let streak = || self.streak.fetch_add(1, Ordering::Relaxed) + 1;
        if fault != Fault::Answer || streak() >= STREAK { Verdict::Eject } else { Verdict::Bear }
    }

    /// Takes the target out of rotation and returns for how long, in milliseconds.
    pub fn eject(&self, fault: Fault, now: u64) -> u64 {
        let back_since = self.back_since.load(Ordering::Relaxed);
        let calm = self.until().is_none() && now.saturating_sub(back_since) >= CALM;
        let times = if calm { 0 } else { self.times.load(Ordering::Relaxed) };
        let length =
            FIRST.checked_shl(times).map_or(LONGEST, |length| length.clamp(FIRST, LONGEST));
        // Beyond 16 the length is the longest anyway, and a larger shift would wrap.
        self.times.store((times + 1).min(16), Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
        self.unreachable.store(fault != Fault::Answer, Ordering::Relaxed);
        self.until.store(now + length, Ordering::Release);
        length
    }

    /// Takes over another record; `clock` translates its times.
    pub fn follow(&self, other: &Self, clock: impl Fn(u64) -> u64) {
        let time = |time: &AtomicU64| Some(time.load(Ordering::Acquire)).filter(|time| *time != 0);
        self.streak.store(other.streak.load(Ordering::Relaxed), Ordering::Relaxed);
        self.times.store(other.times.load(Ordering::Relaxed), Ordering::Relaxed);
        self.back_since.store(time(&other.back_since).map_or(0, &clock), Ordering::Relaxed);
        self.unreachable.store(other.unreachable.load(Ordering::Relaxed), Ordering::Relaxed);
        self.until.store(time(&other.until).map_or(0, &clock), Ordering::Release);
    }

    fn readmit(&self, now: u64) -> bool {
        let was_out = self.until.swap(0, Ordering::AcqRel) != 0;
        if was_out {
            self.back_since.store(now, Ordering::Relaxed);
            self.streak.store(0, Ordering::Relaxed);
        }
        was_out
    }
}

/// Whether one more of `targets` may be ejected when `ejected` are: half of them, rounded down, so
/// that one of two may go and a single one never.
pub(super) fn room_for_one_more(ejected: usize, targets: usize) -> bool {
    ejected < targets / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(ejection: &Ejection, now: u64) -> bool {
        ejection.admit(now) == Admission::Out
    }

    #[test]
    fn a_refused_connection_ejects_at_once_and_a_bad_answer_does_not() {
        let target = Ejection::default();
        assert_eq!(target.failed(Fault::Answer, Role::Normal), Verdict::Bear);
        assert_eq!(target.failed(Fault::Connect, Role::Normal), Verdict::Eject);
        assert_eq!(target.eject(Fault::Connect, 100), FIRST);
        assert!(out(&target, 101) && out(&target, 100 + FIRST - 1));
    }

    #[test]
    fn only_a_streak_of_bad_answers_ejects() {
        let target = Ejection::default();
        for _ in 1..STREAK {
            assert_eq!(target.failed(Fault::Answer, Role::Normal), Verdict::Bear);
        }
        assert!(!target.succeeded(Role::Normal, 1));
        for _ in 1..STREAK {
            assert_eq!(target.failed(Fault::Answer, Role::Normal), Verdict::Bear);
        }
        assert_eq!(target.failed(Fault::Answer, Role::Normal), Verdict::Eject);
        // The cap was reached, so nobody ejected it: the next bad answer asks again.
        assert_eq!(target.failed(Fault::Answer, Role::Normal), Verdict::Eject);
    }

    #[test]
    fn one_request_tries_an_ejected_target_and_brings_it_back() {
        let target = Ejection::default();
        target.eject(Fault::Answer, 0);
        assert_eq!(target.admit(FIRST), Admission::Trial);
        assert!(out(&target, FIRST), "a second request must not try at the same time");
        assert!(!target.succeeded(Role::Normal, FIRST), "an old answer must not bring it back");
        assert!(out(&target, FIRST));
        assert!(target.succeeded(Role::Trial, FIRST + 1));
        assert_eq!(target.admit(FIRST + 1), Admission::In);
    }

    #[test]
    fn a_trial_that_never_ends_makes_room_for_another() {
        let target = Ejection::default();
        target.eject(Fault::Connect, 0);
        assert_eq!(target.admit(FIRST), Admission::Trial);
        assert!(out(&target, FIRST + TRIAL - 1));
        assert_eq!(target.admit(FIRST + TRIAL), Admission::Trial);
    }

    #[test]
    fn each_ejection_lasts_twice_as_long_until_the_longest() {
        let target = Ejection::default();
        let mut now = 0;
        let mut lengths = Vec::new();
        for _ in 0..30 {
            let length = target.eject(Fault::Connect, now);
            lengths.push(length);
            now += length;
            assert_eq!(target.admit(now), Admission::Trial);
            assert_eq!(target.failed(Fault::Connect, Role::Trial), Verdict::Again);
        }
        assert_eq!(lengths[..4], [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]);
        assert_eq!(lengths.iter().max(), Some(&LONGEST));
        assert_eq!(lengths.last(), Some(&LONGEST));
    }

    #[test]
    fn failures_of_requests_already_under_way_do_not_lengthen_an_ejection() {
        let target = Ejection::default();
        target.eject(Fault::Connect, 0);
        for role in [Role::Normal, Role::Forced] {
            assert_eq!(target.failed(Fault::Connect, role), Verdict::Bear);
        }
    }

    #[test]
    fn calm_makes_the_next_ejection_the_first_again() {
        let target = Ejection::default();
        target.eject(Fault::Connect, 0);
        assert!(target.succeeded(Role::Forced, 1_000));
        assert_eq!(target.eject(Fault::Connect, 2_000), 2 * FIRST);
        assert!(target.probed(3_000));
        assert_eq!(target.eject(Fault::Connect, 3_000 + CALM), FIRST);
    }

    #[test]
    fn a_probe_brings_back_what_was_unreachable_and_nothing_else() {
        let target = Ejection::default();
        assert!(!target.probed(0));
        target.eject(Fault::Connect, 0);
        assert!(target.probed(1));
        assert_eq!(target.admit(1), Admission::In);
        target.eject(Fault::Answer, 2);
        assert!(!target.probed(3));
        assert!(out(&target, 3));
    }

    #[test]
    fn a_record_goes_on_under_another_clock() {
        let (old, new) = (Ejection::default(), Ejection::default());
        old.eject(Fault::Connect, 1_000);
        new.follow(&old, |time| time - 500);
        assert!(out(&new, 500 + FIRST - 1));
        assert!(new.probed(500), "it is still known to have been unreachable");
        assert_eq!(new.eject(Fault::Connect, 600), 2 * FIRST);
    }

    #[test]
    fn at_most_half_are_ejected_and_a_single_one_never() {
        let most = |targets| (0..=targets).find(|n| !room_for_one_more(*n, targets)).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 10].map(most), [0, 0, 1, 1, 2, 2, 5]);
    }
}
