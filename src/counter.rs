//! Counters that many threads write and hardly anybody reads.
//!
//! A number that every core increments for every request makes the cores wait for each other's cache lines.
//! So each thread counts in a *shard*, on cache lines that it shares with few or no others, and whoever reads
//! adds the shards up. A shard is made when a thread first counts in it; what is never counted costs a few
//! words. Nothing here ever takes a lock to count, but for the making of a shard.

mod histogram;
mod sparse;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

pub use histogram::{BOUNDS, Histogram, Reading};
pub use sparse::Sparse;

/// How many shards a counter can have. Up to as many threads never meet; more share.
pub const SHARDS: usize = 16;

/// One value for each shard, made when it is first needed.
#[derive(Debug)]
struct Sharded<T>([OnceLock<Box<T>>; SHARDS]);

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; SHARDS])
    }
}

impl<T: Default> Sharded<T> {
    /// The calling thread's.
    fn own(&self) -> &T {
        self.0[own_shard()].get_or_init(Box::default)
    }

    /// Those that are there.
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|shard| shard.get().map(Box::as_ref))
    }
}

/// `N` numbers that only grow, and that are counted together.
#[derive(Debug, Default)]
pub struct Counters<const N: usize>(Sharded<Line<N>>);

/// Alone on its cache lines.
#[derive(Debug)]
#[repr(align(64))]
struct Line<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counters<N> {
    /// Adds to the number at `index`, which must be below `N`.
    pub fn add(&self, index: usize, amount: u64) {
        self.0.own().0[index].fetch_add(amount, Ordering::Relaxed);
    }

    /// The numbers now.
    #[must_use]
    pub fn read(&self) -> [u64; N] {
        let mut sums = [0_u64; N];
        for line in self.0.iter() {
            for (sum, count) in sums.iter_mut().zip(&line.0) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        sums
    }
}

/// Counts that outlive what they are counted for: whatever replaces it can go on with the same ones.
#[derive(Debug)]
pub struct Lasting<T>(OnceLock<Arc<T>>);

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Default> Lasting<T> {
    /// The counts, made if there are none yet.
    pub fn get(&self) -> &T {
        self.shared()
    }

    fn shared(&self) -> &Arc<T> {
        self.0.get_or_init(Arc::default)
    }

    /// The counts, if anything was counted.
    #[must_use]
    pub fn seen(&self) -> Option<&T> {
        self.0.get().map(Arc::as_ref)
    }

    /// Goes on with the counts of `previous`, which both count in from now on. Does nothing if something
    /// was counted here already.
    pub fn carry_on(&self, previous: &Self) {
        // An error means that there are counts here already.
        let _ = self.0.set(previous.shared().clone());
    }
}

/// The calling thread's shard. Threads are numbered one after the other, so that a runtime's workers, which
/// are started together, get shards of their own.
fn own_shard() -> usize {
    const UNKNOWN: usize = usize::MAX;
    thread_local! { static OWN: Cell<usize> = const { Cell::new(UNKNOWN) }; }
    // A thread that is ending has no locals any more; any shard will do.
    OWN.try_with(|own| {
        if own.get() == UNKNOWN {
            let mut number = Number(0);
            thread::current().id().hash(&mut number);
            own.set(usize::try_from(number.0 % SHARDS as u64).unwrap_or(0));
        }
        own.get()
    })
    .unwrap_or(0)
}

/// Takes the number out of a thread's id, which shows it to hashers only.
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_adds_up() {
        let counters = Counters::<3>::default();
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counters.add(0, 1);
                        counters.add(2, 5);
                    }
                });
            }
        });
        assert_eq!(counters.read(), [40_000, 0, 200_000]);
    }

    #[test]
    fn threads_that_start_together_do_not_share() {
        let numbers: Vec<usize> = thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(own_shard)).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(numbers.iter().all(|number| *number < SHARDS));
        // Other tests start threads in between, so that not more than this is certain.
        assert!(numbers.iter().any(|number| *number != numbers[0]), "{numbers:?}");
    }

    #[test]
    fn a_successor_goes_on_counting_with_its_predecessor() {
        let (old, new) = (Lasting::<Counters<1>>::default(), Lasting::<Counters<1>>::default());
        assert!(old.seen().is_none());
        old.get().add(0, 1);
        new.carry_on(&old);
        new.get().add(0, 1);
        old.get().add(0, 1);
        assert_eq!((old.get().read(), new.get().read()), ([3], [3]));
        // Who has counts of its own keeps them.
        let other = Lasting::<Counters<1>>::default();
        other.get().add(0, 7);
        other.carry_on(&old);
        assert_eq!(other.get().read(), [7]);
    }
}
