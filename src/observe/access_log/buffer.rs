//! The records that wait to be written, in shards, so that requests on several threads do not meet.
//!
//! Each thread has a shard of its own choice and takes another when that one is locked or full. A lock is
//! held for as long as it takes to move one record in, or to swap the whole list out, so that a thread
//! waits only if every shard is locked in that very moment.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Record;

/// Alone on its cache lines, so that a lock taken on one core does not slow its neighbour on another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Vec<Record>>);

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits to be written.
    Kept,
    /// It waits, and made its shard half full: time to write.
    HalfFull,
    /// There was no room; it is gone, and counted.
    Dropped,
}

/// A bounded buffer of records.
#[derive(Debug)]
pub(super) struct Buffer {
    shards: Box<[Shard]>,
    room: usize,
    dropped: AtomicU64,
}

impl Buffer {
    /// A buffer for about `capacity` records, with some more shards than there are cores to use them.
    pub(super) fn new(capacity: usize) -> Self {
        let cores = thread::available_parallelism().map_or(4, usize::from);
        let shards = (2 * cores).next_power_of_two().clamp(4, 64);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            room: (capacity / shards).max(2),
            dropped: AtomicU64::new(0),
        }
    }

    /// How many records it can hold.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.shards.len() * self.room
    }

    pub(super) fn push(&self, record: Record) -> Pushed {
        let own = self.own_shard();
        for step in 0..self.shards.len() {
            let shard = &self.shards[(own + step) % self.shards.len()];
            if let Ok(mut records) = shard.0.try_lock()
                && records.len() < self.room
            {
                return self.add(&mut records, record);
            }
        }
        // Every shard was full or locked. If it was only a lock, there is room behind it.
        let mut records = self.shards[own].lock();
        if records.len() < self.room {
            return self.add(&mut records, record);
        }
        self.count_dropped(1);
        Pushed::Dropped
    }

    fn add(&self, records: &mut Vec<Record>, record: Record) -> Pushed {
        records.push(record);
        if records.len() == self.room / 2 { Pushed::HalfFull } else { Pushed::Kept }
    }

    /// The shard of the calling thread: its thread-local storage has an address that no other's has.
    fn own_shard(&self) -> usize {
        thread_local! { static HERE: Cell<u8> = const { Cell::new(0) }; }
        let address = HERE.try_with(|here| std::ptr::from_ref(here).addr()).unwrap_or(0);
        let mixed = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        usize::try_from(mixed).unwrap_or(0) % self.shards.len()
    }

    /// How many shards there are to [take](Self::take) from.
    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Swaps a shard's records for an empty list.
    pub(super) fn take(&self, shard: usize, empty: &mut Vec<Record>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut *self.shards[shard].lock(), empty);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().is_empty())
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
