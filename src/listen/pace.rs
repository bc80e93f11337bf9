//! How long a client may take: the limits of a listener, and one clock for each connection.
//!
//! Timers that are set and cleared with every request cost more than the rest of reading it. So a connection has one
//! timer at most, which is set once and looked at again only when it runs out: if what it stands for has moved on
//! meanwhile, it is set anew.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::diagnostic::{At, Diagnostics};
use crate::units::{Period, Size};

/// How long clients of a listener may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { head: 10s, idle: 75s }", default, deny_unknown_fields)]
#[schemars(rename = "ClientTimeouts")]
pub struct Timeouts {
    /// From the first byte of a request's head to its last, and from the connection to that first byte; at most
    /// 60s. Default: 10s.
    pub head: Period,
    /// Between two requests. Default: 75s.
    pub idle: Period,
    /// How long a client may send nothing of a body, or take nothing of an answer. Default: 30s.
    pub stall: Period,
    /// How long a connection may serve requests; the next answer then is its last. Default: 1h.
    pub age: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Period::secs(10),
            idle: Period::secs(75),
            stall: Period::secs(30),
            age: Period::secs(3600),
        }
    }
}

/// What a timeout may be.
const BOUNDS: (Period, Period) = (Period::millis(1), Period::secs(86_400));
/// The longest `head`: how long Pingora waits for a first request by itself.
const LONGEST_HEAD: Period = Period::secs(60);

impl Timeouts {
    /// Reports what cannot be kept, at `at`.
    pub(super) fn check(&self, at: &At, diagnostics: &mut Diagnostics) {
        for (key, period, longest) in [
            ("head", self.head, LONGEST_HEAD),
            ("idle", self.idle, BOUNDS.1),
            ("stall", self.stall, BOUNDS.1),
            ("age", self.age, BOUNDS.1),
        ] {
            if period < BOUNDS.0 || period > longest {
                diagnostics.error(
                    at.key(key),
                    format!("the timeout {period} is not between {} and {longest}", BOUNDS.0),
                    "there is no way to turn a timeout off: give the longest time that makes sense",
                );
            }
        }
    }
}

/// What a listener asks of its clients' pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The lowest rate of bodies and answers, in bytes a second.
    pub min_rate: Size,
}

impl Default for Pace {
    fn default() -> Self {
        Self { timeouts: Timeouts::default(), min_rate: MIN_RATE }
    }
}

/// The most of an answer that Pingora hands to a stream of HTTP/2 at once.
const PIECE: u64 = 64 << 10;

impl Pace {
    /// How long a stream of HTTP/2 may take for one piece of an answer: only whole pieces are heard of, so that who keeps
    /// to the lowest rate must have the time for one.
    #[must_use]
    pub fn of_stream(&self) -> Duration {
        let whole = PIECE.saturating_mul(1000).div_ceil(self.min_rate.bytes().max(1));
        self.timeouts.stall.get().max(Duration::from_millis(whole))
    }
}

/// The lowest rate by default.
pub const MIN_RATE: Size = Size(1 << 10);

/// The one timer of a connection.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when `deadline` is over; the task is woken then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            // It stood for something that is over.
            sleep.as_mut().reset(deadline);
        }
    }
}

/// How long a client may still be waited for while it sends or takes a body. Waiting uses it up, and every byte gives
/// a little back; so a client that is slower than the lowest rate falls behind, however often it sends. Only the time
/// in which we wait for the client counts, and not that of the upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    left: Duration,
    since: Option<Instant>,
}

impl Patience {
    /// All of it.
    pub(super) const fn new(pace: &Pace) -> Self {
        Self { left: pace.timeouts.stall.get(), since: None }
    }

    /// Until when the client is waited for, if it does nothing.
    pub(super) fn deadline(&mut self) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        since + self.left
    }

    /// The client did something.
    pub(super) fn gain(&mut self, bytes: usize, pace: &Pace) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let whole = pace.timeouts.stall.get();
        if self.left < whole {
            let nanos = (bytes as u64).saturating_mul(1_000_000_000) / pace.min_rate.bytes().max(1);
            self.left = whole.min(self.left + Duration::from_nanos(nanos));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, pause};

    use super::*;

    #[test]
    fn a_stream_has_the_time_for_a_piece_at_the_lowest_rate() {
        for (stall, rate, lasts) in [
            (Period::secs(30), MIN_RATE, 64_000),
            (Period::secs(100), MIN_RATE, 100_000),
            (Period::millis(500), Size(1 << 30), 500),
            (Period::millis(500), Size(3), 21_845_334),
        ] {
            let timeouts = Timeouts { stall, ..Timeouts::default() };
            let of_stream = Pace { timeouts, min_rate: rate }.of_stream();
            assert_eq!(of_stream, Duration::from_millis(lasts));
        }
    }

    #[tokio::test]
    async fn an_alarm_follows_its_deadline_both_ways() {
        pause();
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let at = |secs| start + Duration::from_secs(secs);
        for (first, then) in [(10, 20), (60, 30), (31, 31)] {
            let mut polled = std::future::poll_fn(|cx| Poll::Ready(alarm.poll(cx, at(first))));
            let _ = (&mut polled).await;
            poll_fn(|cx| alarm.poll(cx, at(then))).await;
            let late = Instant::now() - at(then);
            assert!(late < Duration::from_secs(1), "{first} {then}: {late:?}");
        }
    }

    #[tokio::test]
    async fn a_drip_uses_patience_up_and_a_fair_rate_does_not() {
        pause();
        let pace = Pace::default();
        for (bytes, lasts) in [(1, false), (512, false), (1024, true), (4096, true)] {
            let mut patience = Patience::new(&pace);
            let mut alive = true;
            for _ in 0..100 {
                alive &= patience.deadline() > Instant::now() + Duration::from_secs(1);
                advance(Duration::from_secs(1)).await;
                patience.gain(bytes, &pace);
            }
            assert_eq!(alive, lasts, "{bytes} bytes a second");
        }
    }

    #[tokio::test]
    async fn a_burst_buys_no_more_than_the_whole() {
        pause();
        let pace = Pace::default();
        let mut patience = Patience::new(&pace);
        patience.gain(100 << 20, &pace);
        let stall = pace.timeouts.stall.get();
        assert!(patience.deadline() <= Instant::now() + stall);
    }
}
