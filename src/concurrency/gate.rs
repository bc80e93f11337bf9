//! A [`Gate`] lets so many in, has some wait, and turns the others away.
//!
//! All that is needed to let somebody in is one word: how many are in, and how many wait in each line. Whoever joins
//! the queue or is called from it changes the same word under the queue's lock, so that a seat that becomes free
//! between the look and the wait is not missed.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::adaptive::Adaptive;
use super::queue::{Joined, Queue, Waiter};
use super::rank::{Priority, Rank};
use crate::counter::Counters;

/// Bits of the word that count who is in.
const IN_BITS: u32 = 24;
/// Bits of the word that count who waits in one line.
const LINE_BITS: u32 = 12;
/// The most that can be in.
pub(super) const MOST_IN: u32 = 1_000_000;
/// The most that can wait.
pub(super) const MOST_WAITING: u32 = 4_000;

/// What a gate said, beside letting a request in at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It had to wait, and got a seat.
    Waited,
    /// It was turned away.
    Shed,
    /// It would have had to wait or been turned away, did the gate not only look on.
    Observed,
}

impl Said {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Waited, Self::Shed, Self::Observed];

    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Shed => "shed",
            Self::Observed => "observed",
        }
    }
}

/// What is written of a gate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// How many may be in; the most, where that is found out.
    pub max: u32,
    /// How many may wait; as many as may be in if that is not said.
    pub queue: Option<u32>,
    /// How long they may.
    pub wait: Duration,
    /// Whether it only looks on.
    pub observe: bool,
}

/// What a gate says to a request.
#[derive(Debug)]
pub enum Answer {
    /// It may come in.
    In(Seat),
    /// It may come in, though it is one too many, since the gate only looks on.
    Over(Seat),
    /// It may wait.
    Wait(Waiter),
    /// It is turned away.
    Shed,
}

/// A gate as one configuration has it.
pub struct Gate {
    place: Arc<str>,
    rule: Rule,
    adaptive: Option<Adaptive>,
    held: OnceLock<Held>,
}

/// What a gate has of its state, and which of the gates that had it this one is.
struct Held {
    state: Arc<State>,
    /// As the last of them it says how many places there are behind it.
    generation: u64,
    /// As one of those that found the number out together it says how many are wanted.
    finder: u64,
}

impl Gate {
    pub(super) fn new(place: String, rule: Rule, adaptive: Option<Adaptive>) -> Self {
        Self { place: place.into(), rule, adaptive, held: OnceLock::new() }
    }

    /// Its place in the configuration.
    #[must_use]
    pub const fn place(&self) -> &Arc<str> {
        &self.place
    }

    fn held(&self) -> &Held {
        self.held.get_or_init(|| Held {
            state: Arc::new(State::new(self.wanted())),
            generation: 0,
            finder: 0,
        })
    }

    fn state(&self) -> &Arc<State> {
        &self.held().state
    }

    /// How many it would let in, were there targets for so many.
    fn wanted(&self) -> u32 {
        self.adaptive.as_ref().map_or(self.rule.max, Adaptive::limit)
    }

    /// Goes on as the gate that this one replaces: who is in there is in here, and whoever waits is let in by what
    /// holds here, whatever requests that came before still find out there. To be called before the first request, when
    /// this one is put in force.
    pub fn carry_on(&self, previous: &Self) {
        let known = self.adaptive.as_ref().zip(previous.adaptive.as_ref());
        if let Some((own, known)) = known {
            own.carry_on(known);
        }
        let wanted = self.wanted();
        self.held.get_or_init(|| {
            let before = previous.held();
            let finder = known.map(|_| before.finder);
            let (generation, finder) = before.state.succeed(wanted, finder);
            Held { state: Arc::clone(&before.state), generation, finder }
        });
        self.want(wanted);
    }

    fn want(&self, wanted: u32) {
        let Held { state, finder, .. } = self.held();
        state.set(|bounds| {
            if bounds.finder == *finder {
                bounds.wanted = wanted;
            }
        });
    }

    /// Asks for a seat.
    #[must_use]
    pub fn enter(&self, rank: Rank) -> Answer {
        let state = self.state();
        if let Some(seat) = state.try_enter(rank) {
            return Answer::In(seat);
        }
        if self.rule.observe {
            state.note(rank.priority, Said::Observed);
            return Answer::Over(state.force());
        }
        let most = self.rule.queue.unwrap_or_else(|| state.limit().min(MOST_WAITING));
        state.wait(rank, most, self.rule.wait)
    }

    /// Counts what was said to a request of this priority.
    pub fn note(&self, priority: Priority, said: Said) {
        self.state().note(priority, said);
    }

    /// Lets no more in than there are places behind it, whatever else holds.
    pub fn bound(&self, places: u32) {
        let Held { state, generation, .. } = self.held();
        state.set(|bounds| {
            if bounds.generation == *generation {
                bounds.places = places;
            }
        });
    }

    /// Is told of an answer, and how long it took, where that is watched.
    pub fn answered(&self, started: Instant, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            let state = self.state();
            let new = adaptive.answered(started, now, state.in_flight(), state.limit());
            if let Some(limit) = new {
                self.want(limit);
            }
        }
    }

    /// Is told of a request that was given up after this time without an answer.
    pub fn gave_up(&self, started: Instant, now: Instant) {
        if self.adaptive.as_ref().is_some_and(|adaptive| adaptive.is_long(started, now)) {
            self.answered(started, now);
        }
    }

    /// How many are in.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.state().in_flight()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.state().waiting()
    }

    /// How many may be in now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.state().limit()
    }

    /// How often it said what to whom: by priority and word, in the order of their numbers.
    #[must_use]
    pub fn said(&self) -> [[u64; 3]; 3] {
        let all = self.state().said.read();
        [0, 3, 6].map(|first| [all[first], all[first + 1], all[first + 2]])
    }

    /// In a sentence, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Rule { max, queue, wait, observe } = &self.rule;
        let most = match &self.adaptive {
            Some(_) => format!("as many at once as answer without delay, up to {max}"),
            None => format!("{max} at once"),
        };
        let more = match queue {
            Some(0) => String::new(),
            Some(queue) => format!(", and {queue} wait for up to {wait:?}"),
            None => format!(", and as many wait for up to {wait:?}"),
        };
        let observe = if *observe { ", which only looks on" } else { "" };
        format!("{most}{more}{observe}")
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.place).finish()
    }
}

/// Somebody's place behind a gate. Dropped, it is free.
#[derive(Debug)]
pub struct Seat(Arc<State>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Who is in, and who waits: what outlives a change of the configuration.
#[derive(Debug)]
pub(super) struct State {
    /// Who is in, then the lines by priority.
    word: AtomicU64,
    limit: AtomicU32,
    queue: Mutex<Queue>,
    bounds: Mutex<Bounds>,
    said: Counters<9>,
}

/// What the limit is the lesser of.
#[derive(Debug)]
struct Bounds {
    wanted: u32,
    places: u32,
    /// Which of the gates that had this state is in force.
    generation: u64,
    /// The first of those that found the number out together with it.
    finder: u64,
}

const fn are_in(word: u64) -> u32 {
    (word & ((1 << IN_BITS) - 1)) as u32
}

const fn one_in_line(priority: Priority) -> u64 {
    1 << (IN_BITS + LINE_BITS * priority as u32)
}

/// Whether somebody waits who is at least as important.
const fn is_behind(word: u64, rank: Rank) -> bool {
    word >> (IN_BITS + LINE_BITS * rank.priority as u32) != 0
}

impl State {
    fn new(limit: u32) -> Self {
        Self {
            word: AtomicU64::new(0),
            limit: AtomicU32::new(limit),
            queue: Mutex::default(),
            bounds: Mutex::new(Bounds {
                wanted: limit,
                places: u32::MAX,
                generation: 0,
                finder: 0,
            }),
            said: Counters::default(),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    fn in_flight(&self) -> u32 {
        are_in(self.word.load(Ordering::Relaxed))
    }

    fn waiting(&self) -> u32 {
        let lines = self.word.load(Ordering::Relaxed) >> IN_BITS;
        let line = |number: u32| (lines >> (number * LINE_BITS)) & ((1 << LINE_BITS) - 1);
        u32::try_from(line(0) + line(1) + line(2)).unwrap_or(u32::MAX)
    }

    pub(super) fn note(&self, priority: Priority, said: Said) {
        self.said.add(priority as usize * 3 + said as usize, 1);
    }

    /// A seat for somebody who need not wait.
    fn try_enter(self: &Arc<Self>, rank: Rank) -> Option<Seat> {
        let share = rank.share(self.limit());
        let step = |word| {
            let free = are_in(word) < share && !is_behind(word, rank);
            free.then_some(word + 1)
        };
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).ok()?;
        Some(Seat(Arc::clone(self)))
    }

    /// A seat beyond all bounds.
    fn force(self: &Arc<Self>) -> Seat {
        self.word.fetch_add(1, Ordering::AcqRel);
        Seat(Arc::clone(self))
    }

    fn wait(self: &Arc<Self>, rank: Rank, most: u32, longest: Duration) -> Answer {
        if most == 0 {
            self.note(rank.priority, Said::Shed);
            return Answer::Shed;
        }
        let mut queue = self.queue();
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            // Somebody may have left since the last look. Whoever leaves from now on sees that somebody waits.
            let free = are_in(word) < rank.share(self.limit()) && !is_behind(word, rank);
            let next = if free { word + 1 } else { word + one_in_line(rank.priority) };
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if free => return Answer::In(Seat(Arc::clone(self))),
                Ok(_) => break,
                Err(seen) => word = seen,
            }
        }
        let ticket = match queue.join(rank, most) {
            Joined::Free(ticket) => ticket,
            Joined::Displaced(other, ticket) => {
                self.left(other);
                self.note(other, Said::Shed);
                ticket
            }
            Joined::Full => {
                self.left(rank.priority);
                self.note(rank.priority, Said::Shed);
                return Answer::Shed;
            }
        };
        drop(queue);
        Answer::Wait(Waiter { state: Arc::clone(self), ticket, rank, longest })
    }

    /// Somebody has left the queue, whose lock is held.
    pub(super) fn left(&self, priority: Priority) {
        self.word.fetch_sub(one_in_line(priority), Ordering::AcqRel);
    }

    /// Somebody has left.
    fn leave(self: &Arc<Self>) {
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        if before >> IN_BITS != 0 {
            self.call();
        }
    }

    /// Lets in who waits, as far as there are seats.
    fn call(self: &Arc<Self>) {
        // Seats that nobody took are free again when the queue is not locked any more.
        let mut untaken = Vec::new();
        let mut queue = self.queue();
        'seats: loop {
            let limit = self.limit();
            for rank in queue.firsts().into_iter().flatten() {
                let step = |word| {
                    let is_free = are_in(word) < rank.share(limit);
                    is_free.then(|| word + 1 - one_in_line(rank.priority))
                };
                if self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok() {
                    untaken.extend(queue.call(rank.priority, Seat(Arc::clone(self))).err());
                    continue 'seats;
                }
            }
            break;
        }
        drop(queue);
    }

    /// Another gate takes over: from now on nothing changes by what those before it find. Its number, and that of whoever
    /// finds out how many are wanted: the same as before where that goes on.
    fn succeed(self: &Arc<Self>, wanted: u32, finder: Option<u64>) -> (u64, u64) {
        self.set(|bounds| {
            bounds.generation += 1;
            bounds.finder = finder.unwrap_or(bounds.generation);
            bounds.wanted = wanted;
            (bounds.generation, bounds.finder)
        })
    }

    fn set<T>(self: &Arc<Self>, change: impl FnOnce(&mut Bounds) -> T) -> T {
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut bounds);
        let limit = bounds.wanted.min(bounds.places);
        let before = self.limit.swap(limit, Ordering::AcqRel);
        drop(bounds);
        if limit > before {
            // Without a look at who waits: somebody may be about to, and have seen the limit before.
            self.call();
        }
        changed
    }
}
