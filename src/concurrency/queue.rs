//! Who waits at a gate: the most important first, and of those the first who came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::gate::{Said, Seat, State};
use super::rank::{Priority, Rank};

/// Somebody in the queue.
#[derive(Debug)]
struct Entry {
    number: u64,
    rank: Rank,
    turn: oneshot::Sender<Seat>,
}

/// Those who wait, a line for each priority.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: [VecDeque<Entry>; 3],
    next: u64,
}

/// What became of somebody who wanted to wait.
pub(super) enum Joined {
    /// There is room.
    Free(Ticket),
    /// There is, since somebody of this priority had to leave.
    Displaced(Priority, Ticket),
    /// There is none.
    Full,
}

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    priority: Priority,
    turn: oneshot::Receiver<Seat>,
}

impl Queue {
    /// Puts somebody at the end of a line, where `most` may wait in all. The last who came of the least important
    /// makes room for somebody who is more important.
    pub(super) fn join(&mut self, rank: Rank, most: u32) -> Joined {
        let len: usize = self.lines.iter().map(VecDeque::len).sum();
        let mut displaced = None;
        if len >= most as usize {
            let below = &mut self.lines[..rank.priority as usize];
            let least = below.iter_mut().zip(Priority::ALL).find(|(line, _)| !line.is_empty());
            let Some((line, priority)) = least else { return Joined::Full };
            line.pop_back();
            displaced = Some(priority);
        }
        self.next += 1;
        let (sender, turn) = oneshot::channel();
        let entry = Entry { number: self.next, rank, turn: sender };
        self.lines[rank.priority as usize].push_back(entry);
        let ticket = Ticket { number: self.next, priority: rank.priority, turn };
        match displaced {
            Some(priority) => Joined::Displaced(priority, ticket),
            None => Joined::Free(ticket),
        }
    }

    /// The rank of the first of each line, the most important line first.
    pub(super) fn firsts(&self) -> [Option<Rank>; 3] {
        let [low, normal, high] = &self.lines;
        [high, normal, low].map(|line| line.front().map(|entry| entry.rank))
    }

    /// Gives the first of a line its seat. Gives it back if nobody is there to take it.
    pub(super) fn call(&mut self, priority: Priority, seat: Seat) -> Result<(), Seat> {
        match self.lines[priority as usize].pop_front() {
            Some(entry) => entry.turn.send(seat),
            None => Err(seat),
        }
    }

    /// Takes somebody out. Returns whether they were there still.
    fn leave(&mut self, priority: Priority, number: u64) -> bool {
        let line = &mut self.lines[priority as usize];
        let place = line.iter().position(|entry| entry.number == number);
        place.and_then(|place| line.remove(place)).is_some()
    }
}

/// A request that waits for a seat. Dropped, it waits no more, and a seat that it was just given is free again.
#[derive(Debug)]
pub struct Waiter {
    pub(super) state: Arc<State>,
    pub(super) ticket: Ticket,
    pub(super) rank: Rank,
    pub(super) longest: Duration,
}

impl Waiter {
    /// How important it is.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// Waits for a seat. None if it has waited long enough, or had to make room.
    pub async fn turn(mut self) -> Option<Seat> {
        let turn = &mut self.ticket.turn;
        match tokio::time::timeout(self.longest, turn).await {
            Ok(Ok(seat)) => {
                self.state.note(self.rank.priority, Said::Waited);
                Some(seat)
            }
            // It made room, as was counted then.
            Ok(Err(_)) => None,
            Err(_) => {
                self.state.note(self.rank.priority, Said::Shed);
                None
            }
        }
    }

    /// Waits no longer than this, however long it may.
    pub fn within(&mut self, longest: Duration) {
        self.longest = self.longest.min(longest);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Ticket { number, priority, .. } = self.ticket;
        let mut queue = self.state.queue();
        if queue.leave(priority, number) {
            self.state.left(priority);
        }
    }
}
