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

/// A request of one stream, which is polled when it is its turn.
pub(super) struct InTurn<F> {
    request: F,
    signals: Arc<Signals>,
    waker: Waker,
    /// Whether it has been polled at all: that sends the request on, and reads nothing.
    begun: bool,
    seated: bool,
    /// Whether it has handed over any of its answer.
    answers: bool,
    /// What it may have left to write, and whether it was seen to take nothing more to write for it.
    on_hand: usize,
    holds: bool,
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
            begun: false,
            seated: false,
            answers: false,
            on_hand: 0,
            holds: false,
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
        let is_stuck = self.holds || self.on_hand > PIECE;
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
            this.holds = false;
        }
        // Who may be in the midst of writing must take what it is given: it can be a part of what others wait for too.
        let writes = given && this.answers;
        let is_free = this.seated || writes || !std::mem::replace(&mut this.begun, true);
        let mut is_extra = false;
        if !is_free {
            let Some(extra) = this.may(cx) else { return Poll::Pending };
            (is_extra, this.seated) = (extra, true);
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
            (this.answers, this.on_hand, this.holds) = (true, handed, false);
        } else if outside && this.on_hand > 0 {
            // Its upstream said something, and nobody took it.
            this.holds = true;
        }
        if polled.is_ready() {
            (this.on_hand, this.holds) = (0, false);
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

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    /// What a stream hands over when its upstream says something.
    const MUCH: usize = 3 * PIECE;

    /// A stream as a test sees it.
    struct Stream {
        request: Pin<Box<dyn Future<Output = ()>>>,
        seen: Arc<Seen>,
    }

    /// How often it was polled, what it hands over next, and how to wake it.
    #[derive(Default)]
    struct Seen {
        polls: AtomicUsize,
        hands: AtomicUsize,
        waker: Mutex<Option<Waker>>,
        ends: AtomicBool,
    }

    fn stream(crowd: &Arc<Crowd>) -> Stream {
        let seen = Arc::new(Seen::default());
        let (its, of) = (Arc::clone(&seen), Arc::clone(crowd));
        let request = std::future::poll_fn(move |cx| {
            its.polls.fetch_add(1, Ordering::Relaxed);
            let hands = its.hands.swap(0, Ordering::Relaxed);
            if hands > 0 {
                of.turns.hand(hands);
            }
            *its.waker.lock().unwrap() = Some(cx.waker().clone());
            if its.ends.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut stream = Stream { request: Box::pin(InTurn::new(crowd, request)), seen };
        stream.poll();
        assert_eq!(stream.polls(), 1, "it begins at once");
        stream
    }

    impl Stream {
        fn poll(&mut self) -> bool {
            self.request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }

        fn polls(&self) -> usize {
            self.seen.polls.load(Ordering::Relaxed)
        }

        fn wake(&self) {
            self.seen.waker.lock().unwrap().clone().unwrap().wake();
        }

        /// Its upstream has said so much. Whether it was its turn.
        fn hears(&mut self, bytes: usize) -> bool {
            self.seen.hands.store(bytes, Ordering::Relaxed);
            self.wake();
            let before = self.polls();
            self.poll();
            self.polls() > before
        }

        /// Its client has given it a window.
        fn is_given(&mut self, crowd: &Crowd) {
            crowd.turns.drive(Waker::noop(), || self.wake());
            let before = self.polls();
            self.poll();
            assert_eq!(self.polls(), before + 1, "it is always its turn");
        }

        fn asks(&mut self) -> bool {
            let before = self.polls();
            self.poll();
            self.polls() > before
        }
    }

    #[tokio::test]
    async fn some_have_more_than_is_taken_and_the_others_wait_for_them() {
        pause();
        let crowd = Arc::new(Crowd::default());
        let mut streams: Vec<_> = (0..SEATS + 3).map(|_| stream(&crowd)).collect();
        let turns: Vec<_> = streams.iter_mut().map(|stream| stream.hears(MUCH)).collect();
        assert_eq!(turns, [vec![true; SEATS], vec![false; 3]].concat());
        // Who has a seat goes on, whatever wakes it.
        assert!(streams[0].hears(0) && streams[1].hears(MUCH));
        // Who has been given enough gives its seat to who has waited the longest, and nobody else.
        streams[2].is_given(&crowd);
        assert!(!streams[SEATS].asks());
        streams[2].is_given(&crowd);
        assert!(streams[SEATS].asks() && !streams[SEATS + 1].asks());
        // And so does who ends, or is dropped.
        streams[3].seen.ends.store(true, Ordering::Relaxed);
        streams[3].wake();
        assert!(streams[3].poll());
        drop(streams.remove(0));
        assert!(streams[SEATS].asks() && streams[SEATS + 1].asks());
        // However little each was given, who is given more can write it.
        for _ in 0..10 {
            streams[0].is_given(&crowd);
        }
        drop(streams);
        let seats = crowd.turns.seats();
        assert_eq!((seats.taken, seats.stuck, seats.waiting.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn who_has_little_to_say_needs_no_seat_for_long() {
        pause();
        let crowd = Arc::new(Crowd::default());
        let mut streams: Vec<_> = (0..100).map(|_| stream(&crowd)).collect();
        for _ in 0..3 {
            assert!(streams.iter_mut().all(|stream| stream.hears(PIECE)));
        }
        assert_eq!(crowd.turns.seats().taken, 0);
        // Of those who can't write even that, some go on.
        let turns = streams.iter_mut().map(|stream| usize::from(stream.hears(0)));
        assert_eq!(turns.sum::<usize>(), SEATS);
    }

    #[tokio::test]
    async fn one_more_is_let_in_every_now_and_then_and_the_newest_first() {
        pause();
        let crowd = Arc::new(Crowd::default());
        let mut streams: Vec<_> = (0..SEATS + 4).map(|_| stream(&crowd)).collect();
        streams.iter_mut().for_each(|stream| {
            stream.hears(MUCH);
        });
        let newest = SEATS + 3;
        advance(SOON).await;
        assert!(!streams[SEATS].asks() && streams[newest].asks() && !streams[newest - 1].asks());
        // It had much to say, so that the next one waits longer.
        advance(SOON).await;
        assert!(!streams[newest - 1].asks());
        streams[newest - 1].seen.hands.store(10, Ordering::Relaxed);
        advance(SOON).await;
        assert!(streams[newest - 1].asks() && !streams[newest - 2].asks());
        // That one had little.
        advance(SOON).await;
        assert!(streams[newest - 2].asks());
        assert_eq!(crowd.turns.seats().taken, SEATS + 2);
    }

    #[tokio::test]
    async fn they_are_many_from_when_they_are_until_some_have_been_given_more() {
        pause();
        let crowd = Arc::new(Crowd::default());
        let start = Instant::now();
        let mut streams: Vec<_> = (0..MANY).map(|_| stream(&crowd)).collect();
        for stream in &mut streams {
            assert_eq!(crowd.many_since(), None);
            stream.hears(MUCH);
            advance(Duration::from_secs(1)).await;
        }
        let since = Duration::from_secs(MANY as u64 - 1);
        assert_eq!(crowd.many_since(), Some(start + since));
        streams[0].is_given(&crowd);
        assert_eq!(crowd.many_since(), Some(start + since));
        streams[0].is_given(&crowd);
        assert_eq!(crowd.many_since(), None);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_connection_that_has_ended() {
        pause();
        let crowd = Arc::new(Crowd::default());
        let mut streams: Vec<_> = (0..SEATS + 3).map(|_| stream(&crowd)).collect();
        streams.iter_mut().for_each(|stream| {
            stream.hears(MUCH);
        });
        assert!(!streams[SEATS].asks());
        crowd.drive(async {}).await;
        assert!(streams.iter_mut().skip(SEATS).all(Stream::asks));
    }
}
