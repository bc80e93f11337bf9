//! The [`State`] of a gate: who is in, who waits, and how many may be in.
//!
//! All that is needed to let somebody in is one word: how many are in, and how many wait in each line. Whoever joins
//! the queue or is called from it changes the same word under the queue's lock, so that a seat that becomes free
//! between the look and the wait is not missed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::queue::{Joined, Queue, Waiter};
use super::super::rank::{Priority, Rank};
use super::{Answer, Said};
use crate::counter::Counters;

/// Bits of the word that count who is in.
const IN_BITS: u32 = 24;
/// Bits of the word that count who waits in one line.
const LINE_BITS: u32 = 12;

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
pub(in crate::concurrency) struct State {
    /// Who is in, then the lines by priority.
    word: AtomicU64,
    limit: AtomicU32,
    queue: Mutex<Queue>,
    bounds: Mutex<Bounds>,
    pub(super) said: Counters<9>,
}

/// What the limit is the lesser of.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) wanted: u32,
    pub(super) places: u32,
    /// Which of the gates that had this state is in force.
    pub(super) generation: u64,
    /// The first of those that found the number out together with it.
    pub(super) finder: u64,
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
    pub(super) fn new(limit: u32) -> Self {
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

    pub(in crate::concurrency) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn in_flight(&self) -> u32 {
        are_in(self.word.load(Ordering::Relaxed))
    }

    pub(super) fn waiting(&self) -> u32 {
        let lines = self.word.load(Ordering::Relaxed) >> IN_BITS;
        let line = |number: u32| (lines >> (number * LINE_BITS)) & ((1 << LINE_BITS) - 1);
        u32::try_from(line(0) + line(1) + line(2)).unwrap_or(u32::MAX)
    }

    pub(in crate::concurrency) fn note(&self, priority: Priority, said: Said) {
        self.said.add(priority as usize * 3 + said as usize, 1);
    }

    /// A seat for somebody who need not wait.
    pub(super) fn try_enter(self: &Arc<Self>, rank: Rank) -> Option<Seat> {
        let share = rank.share(self.limit());
        let step = |word| {
            let free = are_in(word) < share && !is_behind(word, rank);
            free.then_some(word + 1)
        };
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).ok()?;
        Some(Seat(Arc::clone(self)))
    }

    /// A seat beyond all bounds.
    pub(super) fn force(self: &Arc<Self>) -> Seat {
        self.word.fetch_add(1, Ordering::AcqRel);
        Seat(Arc::clone(self))
    }

    pub(super) fn wait(self: &Arc<Self>, rank: Rank, most: u32, longest: Duration) -> Answer {
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
    pub(in crate::concurrency) fn left(&self, priority: Priority) {
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
    pub(super) fn succeed(self: &Arc<Self>, wanted: u32, finder: Option<u64>) -> (u64, u64) {
        self.set(|bounds| {
            bounds.generation += 1;
            bounds.finder = finder.unwrap_or(bounds.generation);
            bounds.wanted = wanted;
            (bounds.generation, bounds.finder)
        })
    }

    pub(super) fn set<T>(self: &Arc<Self>, change: impl FnOnce(&mut Bounds) -> T) -> T {
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
