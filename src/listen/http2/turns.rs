//! Whose turn it is among the streams of one connection: how many may have more of an answer on hand than their client
//! takes.
//!
//! Pingora reads an upstream's answer ahead, some 600 KiB of it, whether or not the client takes the beginning. There
//! is no place from which it could be held up there; but what it does for a request it does when that request's future
//! is polled. So that is put off for a stream whose upstream has something to say, while [`SEATS`] others of its
//! connection wait for their client: what is not read stays with the upstream.
//!
//! A stream has a seat while it is polled, and keeps it as long as it has a [`PIECE`] to write that the client does not
//! take. Who takes answers gives seats back all the time. Every now and then one more is let in, the newest: it may have
//! little to say, and nobody shall wait for long behind those who are stuck.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Crowd, MANY, SEND_BUFFER};

/// So many streams may have more on hand than is written.
const SEATS: usize = 12;
/// What the library that speaks HTTP/2 takes at once. Whoever hands over no more has nothing left to write, unless the
/// windows are shut.
const PIECE: usize = SEND_BUFFER;
/// When one more is let in: at first, and at the latest. Each that proves to have much on hand doubles it.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(4);

/// The seats of one connection.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Whether the connection itself is polled, and not one of its streams: who is woken then is by the client.
    driven: AtomicBool,
    /// What the stream that is polled has handed over for the client.
    handed: AtomicUsize,
    seats: Mutex<Seats>,
    /// The connection's own task.
    connection: AtomicWaker,
}

#[derive(Debug)]
struct Seats {
    taken: usize,
    /// How many streams have more on hand than their client takes, and since when those are many.
    stuck: usize,
    many_since: Option<Instant>,
    waiting: VecDeque<Arc<Signals>>,
    /// When one more is let in, and how long after that the next one.
    extra: Option<Instant>,
    pause: Duration,
    /// Whether the connection has ended.
    over: bool,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            taken: 0,
            stuck: 0,
            many_since: None,
            waiting: VecDeque::new(),
            extra: None,
            pause: SOON,
            over: false,
        }
    }
}

/// Why a stream may be polled, or when to ask again.
enum Answer {
    Seat,
    Extra,
    Wait(Instant),
}

impl Turns {
    /// Polls the connection itself.
    pub fn drive<T>(&self, task: &Waker, poll: impl FnOnce() -> T) -> T {
        self.connection.register(task);
        self.driven.store(true, Ordering::Relaxed);
        let polled = poll();
        self.driven.store(false, Ordering::Relaxed);
        polled
    }

    /// Notes that the stream that is polled hands over so many bytes of its answer.
    pub fn hand(&self, bytes: usize) {
        self.handed.fetch_add(bytes.max(1), Ordering::Relaxed);
    }

    /// Lets everybody go on: the connection has ended.
    pub fn end(&self) {
        let mut seats = self.seats();
        seats.over = true;
        for waiter in std::mem::take(&mut seats.waiting) {
            waiter.task.wake();
        }
    }

    /// Since when so many streams have had more on hand than their client takes.
    pub fn many_since(&self) -> Option<Instant> {
        self.seats().many_since
    }

    /// Notes that one stream more, or one less, is stuck.
    fn count(&self, seats: &mut Seats, more: bool) {
        seats.stuck = if more { seats.stuck + 1 } else { seats.stuck.saturating_sub(1) };
        if seats.stuck < MANY {
            seats.many_since = None;
        } else if seats.many_since.is_none() {
            seats.many_since = Some(Instant::now());
            // It looks how long that goes on.
            self.connection.wake();
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// A seat, if there is one, or if it is time for one more.
    fn ask(&mut self, signals: &Arc<Signals>) -> Answer {
        if self.taken < SEATS || self.over {
            self.leave(signals);
            self.taken += 1;
            self.call_next();
            return Answer::Seat;
        }
        if !self.waiting.iter().any(|waiter| Arc::ptr_eq(waiter, signals)) {
            self.waiting.push_back(Arc::clone(signals));
        }
        let now = Instant::now();
        let extra = *self.extra.get_or_insert(now + self.pause);
        if extra > now {
            return Answer::Wait(extra);
        }
        if let Some(newest) = self.waiting.back().filter(|newest| !Arc::ptr_eq(newest, signals)) {
            newest.task.wake();
            return Answer::Wait(now + self.pause);
        }
        self.leave(signals);
        self.taken += 1;
        self.extra = Some(now + self.pause);
        Answer::Extra
    }

    fn leave(&mut self, signals: &Arc<Signals>) {
        self.waiting.retain(|waiter| !Arc::ptr_eq(waiter, signals));
    }

    /// Wakes who has waited the longest, if there is a seat.
    fn call_next(&self) {
        if let Some(waiter) = self.waiting.front().filter(|_| self.taken < SEATS) {
            waiter.task.wake();
        }
    }

    fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
        if self.taken < SEATS {
            self.extra = None;
        }
        self.call_next();
    }

    /// Notes whether one who was let in beyond the seats has much on hand.
    fn learn(&mut self, is_stuck: bool) {
        self.pause = if is_stuck { (self.pause * 2).min(LATE) } else { SOON };
        self.extra = self.extra.map(|_| Instant::now() + self.pause);
        if let Some(newest) = self.waiting.back() {
            newest.task.wake();
        }
    }
}

/// What has happened to a stream since it was polled.
#[derive(Debug)]
struct Signals {
    task: AtomicWaker,
    /// Whether it is being polled.
    within: AtomicBool,
    /// Whether it was woken by itself, by its client's connection, and by anything else.
    again: AtomicBool,
    given: AtomicBool,
    outside: AtomicBool,
    crowd: Arc<Crowd>,
}

impl Wake for Signals {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let signal = if self.within.load(Ordering::Relaxed) {
            &self.again
        } else if self.crowd.turns.driven.load(Ordering::Relaxed) {
            &self.given
        } else {
            &self.outside
        };
        signal.store(true, Ordering::Relaxed);
        self.task.wake();
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It was never polled: that sends it on, and reads nothing.
    Fresh,
    Asked,
    /// A part of its answer was handed over.
    Answered,
}

/// A request of one stream, which is polled when it is its turn.
pub(super) struct InTurn<F> {
    request: F,
    signals: Arc<Signals>,
    waker: Waker,
    stage: Stage,
    seated: bool,
    /// What it may have left to write, and whether it counts as stuck for that.
    on_hand: usize,
    is_stuck: bool,
    /// Until it asks for a seat again.
    wait: Option<Pin<Box<Sleep>>>,
}

impl<F> InTurn<F> {
    /// A request on a stream of this connection.
    pub fn new(crowd: &Arc<Crowd>, request: F) -> Self {
        let signals = Arc::new(Signals {
            task: AtomicWaker::new(),
            within: AtomicBool::new(false),
            again: AtomicBool::new(false),
            given: AtomicBool::new(false),
            outside: AtomicBool::new(false),
            crowd: Arc::clone(crowd),
        });
        Self {
            request,
            waker: Waker::from(Arc::clone(&signals)),
            signals,
            stage: Stage::Fresh,
            seated: false,
            on_hand: 0,
            is_stuck: false,
            wait: None,
        }
    }

    fn turns(&self) -> &Turns {
        &self.signals.crowd.turns
    }

    /// Whether it may be polled now; where not, the task is woken when it may be.
    fn may(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        loop {
            let answer = self.turns().seats().ask(&self.signals);
            let until = match answer {
                Answer::Seat => return Some(false),
                Answer::Extra => return Some(true),
                Answer::Wait(until) => until,
            };
            let wait = self.wait.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if wait.deadline() != until {
                wait.as_mut().reset(until);
            }
            if wait.as_mut().poll(cx).is_pending() {
                return None;
            }
        }
    }

    /// Keeps the seat or gives it back, by what there is on hand after a turn.
    fn settle(&mut self, keeps: bool, is_extra: bool) {
        let is_stuck = self.on_hand > PIECE;
        let signals = Arc::clone(&self.signals);
        let turns = &signals.crowd.turns;
        let mut seats = turns.seats();
        if is_stuck != self.is_stuck {
            self.is_stuck = is_stuck;
            turns.count(&mut seats, is_stuck);
        }
        if is_extra {
            seats.learn(is_stuck);
        }
        let keeps = keeps || is_stuck;
        if self.seated && !keeps {
            seats.give_back();
        } else if keeps && !self.seated {
            seats.taken += 1;
        }
        self.seated = keeps;
    }
}

impl<F: Future + Unpin> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let signals = Arc::clone(&this.signals);
        signals.task.register(cx.waker());
        let given = signals.given.swap(false, Ordering::Relaxed);
        if given {
            this.on_hand = this.on_hand.saturating_sub(PIECE);
        }
        // Who may be in the midst of writing must take what it is given: it can be a part of what others wait for too.
        let writes = given && this.stage == Stage::Answered;
        let is_free = this.seated || writes || this.stage == Stage::Fresh;
        let mut is_extra = false;
        if !is_free {
            let Some(extra) = this.may(cx) else { return Poll::Pending };
            (is_extra, this.seated) = (extra, true);
        }
        if this.stage == Stage::Fresh {
            this.stage = Stage::Asked;
        }
        this.wait = None;
        let outside = signals.outside.swap(false, Ordering::Relaxed);
        let turns = &signals.crowd.turns;
        turns.handed.store(0, Ordering::Relaxed);
        signals.within.store(true, Ordering::Relaxed);
        let polled = Pin::new(&mut this.request).poll(&mut Context::from_waker(&this.waker));
        signals.within.store(false, Ordering::Relaxed);
        let again = signals.again.swap(false, Ordering::Relaxed);
        let handed = turns.handed.swap(0, Ordering::Relaxed);
        if handed > 0 {
            // What was handed over before is written, or this would not be asked for.
            (this.stage, this.on_hand) = (Stage::Answered, handed);
        } else if outside && this.on_hand > 0 {
            // Its upstream said something, and nobody took it.
            this.on_hand = this.on_hand.max(PIECE + 1);
        }
        if polled.is_ready() {
            this.on_hand = 0;
        }
        this.settle(again && polled.is_pending(), is_extra);
        polled
    }
}

impl<F> Drop for InTurn<F> {
    fn drop(&mut self) {
        let turns = self.turns();
        let mut seats = turns.seats();
        seats.leave(&self.signals);
        if self.is_stuck {
            turns.count(&mut seats, false);
        }
        if self.seated {
            seats.give_back();
        }
    }
}
