//! Counts under keys of which few of many possible ones are seen.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use super::Sharded;

/// How many keys fit into one piece of a shard, which then fills two cache lines.
const KEYS: usize = 10;

/// A count for each key seen. Room for the first ten keys is made at once, for more as they come; a key is
/// never forgotten, so the number of possible keys bounds the memory.
#[derive(Debug, Default)]
pub struct Sparse(Sharded<Piece>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Piece {
    /// 0 where no key has been put yet; keys are put in their order of appearance.
    keys: [AtomicU16; KEYS],
    counts: [AtomicU64; KEYS],
    next: OnceLock<Box<Piece>>,
}

impl Piece {
    fn count(&self, key: u16) -> &AtomicU64 {
        let mut piece = self;
        loop {
            if let Some(place) = piece.keys.iter().position(|slot| is_or_becomes(slot, key)) {
                return &piece.counts[place];
            }
            piece = piece.next.get_or_init(Box::default);
        }
    }
}

/// Whether a slot holds the key, or was free and holds it now.
fn is_or_becomes(slot: &AtomicU16, key: u16) -> bool {
    let held = match slot.load(Ordering::Relaxed) {
        0 => slot.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).err(),
        held => Some(held),
    };
    held.is_none_or(|held| held == key)
}

impl Sparse {
    /// Counts one under this key.
    pub fn add(&self, key: NonZeroU16) {
        self.0.own().count(key.get()).fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now, by key.
    #[must_use]
    pub fn read(&self) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        for first in self.0.iter() {
            let mut piece = Some(first);
            while let Some(here) = piece {
                for (key, count) in here.keys.iter().zip(&here.counts) {
                    // A count of 0 is a key that was put a moment ago.
                    let (key, count) = (key.load(Ordering::Relaxed), count.load(Ordering::Relaxed));
                    if key != 0 && count != 0 {
                        *all.entry(key).or_default() += count;
                    }
                }
                piece = here.next.get().map(Box::as_ref);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn every_key_is_counted_however_many_there_are() {
        let sparse = Sparse::default();
        assert!(sparse.read().is_empty());
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for number in (1..=300).chain((1..=300).rev()) {
                        sparse.add(key(number));
                    }
                });
            }
        });
        let read = sparse.read();
        assert_eq!(read.len(), 300);
        assert!(read.values().all(|count| *count == 80), "{read:?}");
    }

    #[test]
    fn a_piece_fills_two_cache_lines() {
        assert_eq!(size_of::<Piece>(), 128);
    }
}
