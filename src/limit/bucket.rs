//! A [`Bucket`] is a rate as arithmetic: the generic cell rate algorithm, in whole nanoseconds.
//!
//! Of a bucket one number is kept: when it will be full again. A request that takes `cost` units moves that moment
//! by `cost` times the time that one unit takes to come back; what would move it further ahead than the whole bucket
//! takes to fill has to wait for exactly the difference. So nothing is ever refilled by a timer, no window begins or
//! ends at which twice as much passes, and a bucket whose moment has passed is full and need not be kept.
//!
//! The time of a unit is rounded up to a nanosecond, so that what is let through is never above the rate.

use crate::units::Rate;

/// A rate, ready to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// How long one unit takes to come back.
    pub unit: u64,
    /// How long all of it takes.
    pub depth: u64,
}

/// What asking a bucket comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// When it would be full again after it.
    pub full_at: u64,
    /// How long until it holds as much; zero: it does.
    pub wait: u64,
}

impl Bucket {
    /// The bucket of a rate.
    #[must_use]
    pub fn of(rate: Rate) -> Self {
        // At most a year in nanoseconds, which the units hold to.
        let period = u64::try_from(rate.period().as_nanos()).unwrap_or(u64::MAX);
        let unit = period.div_ceil(u64::from(rate.amount()));
        Self { unit, depth: unit.saturating_mul(rate.burst().into()) }
    }

    /// What taking `cost` units at `now` would come to, of a bucket that is full again at `full_at`.
    #[must_use]
    #[inline]
    pub fn ask(&self, full_at: u64, now: u64, cost: u64) -> Asked {
        let full_at = full_at.max(now).saturating_add(self.unit.saturating_mul(cost));
        Asked { full_at, wait: (full_at - now).saturating_sub(self.depth) }
    }

    /// How many units it holds now, if it will be full after `missing`.
    #[must_use]
    #[inline]
    pub fn left(&self, missing: u64) -> u64 {
        self.depth.saturating_sub(missing) / self.unit
    }

    /// How long until it holds one unit more, if it will be full after `missing`; zero if it is full.
    #[must_use]
    #[inline]
    pub fn next(&self, missing: u64) -> u64 {
        let then = (self.left(missing) + 1).saturating_mul(self.unit);
        missing.saturating_sub(self.depth.saturating_sub(then))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(rate: &str) -> Bucket {
        Bucket::of(rate.parse().expect(rate))
    }

    /// Takes one unit if it is there.
    fn take(bucket: &Bucket, full_at: &mut u64, now: u64) -> u64 {
        let asked = bucket.ask(*full_at, now, 1);
        if asked.wait == 0 {
            *full_at = asked.full_at;
        }
        asked.wait
    }

    #[test]
    fn five_a_minute_are_five_at_once_and_then_one_each_12_seconds() {
        let bucket = bucket("5/min");
        let (mut full_at, now) = (0, 100 * SECOND);
        assert_eq!((0..5).map(|_| take(&bucket, &mut full_at, now)).sum::<u64>(), 0);
        assert_eq!(take(&bucket, &mut full_at, now), 12 * SECOND);
        // The wait is exact: a nanosecond before it is refused, and then it is not.
        assert_eq!(take(&bucket, &mut full_at, now + 12 * SECOND - 1), 1);
        assert_eq!(take(&bucket, &mut full_at, now + 12 * SECOND), 0);
        assert_eq!(take(&bucket, &mut full_at, now + 12 * SECOND), 12 * SECOND);
        assert_eq!(bucket.left(full_at - now - 12 * SECOND), 0);
        assert_eq!(bucket.next(full_at - now - 12 * SECOND), 12 * SECOND);
    }

    #[test]
    fn a_burst_is_the_size_of_the_bucket_and_not_its_rate() {
        let bucket = bucket("100/s burst 50");
        let mut full_at = 0;
        let admitted = |from: u64, to: u64, full_at: &mut u64| {
            (from..to).step_by(1_000_000).filter(|now| take(&bucket, full_at, *now) == 0).count()
        };
        // In the first second 50 at once, and 100 more as they come back.
        assert_eq!(admitted(SECOND, 2 * SECOND, &mut full_at), 149);
        assert_eq!(admitted(2 * SECOND, 3 * SECOND, &mut full_at), 100);
    }

    proptest! {
        /// What the documentation promises: in any window at most the bucket and what comes back meanwhile.
        #[test]
        fn no_window_holds_more_than_bucket_and_rate(
            amount in 1_u32..500,
            burst in 1_u32..100,
            gaps in prop::collection::vec(0_u64..50_000_000, 1..200),
        ) {
            let bucket = bucket(&format!("{amount}/s burst {burst}"));
            let (mut now, mut full_at, mut passed) = (SECOND, 0, Vec::new());
            for gap in gaps {
                now += gap;
                if take(&bucket, &mut full_at, now) == 0 {
                    passed.push(now);
                }
            }
            for (index, first) in passed.iter().enumerate() {
                for (count, last) in passed[index..].iter().enumerate() {
                    let bound = u64::from(burst) + (last - first) * u64::from(amount) / SECOND;
                    prop_assert!((count as u64) < bound);
                }
            }
        }

        #[test]
        fn a_wait_that_was_told_is_enough_and_no_more(missing in 0_u64..4_000_000_000, cost in 1_u64..6) {
            let bucket = bucket("5/min");
            let now = 1000 * SECOND;
            let full_at = now + missing;
            let wait = bucket.ask(full_at, now, cost).wait;
            prop_assert_eq!(bucket.ask(full_at, now + wait, cost).wait, 0);
            if wait > 0 {
                prop_assert_eq!(bucket.ask(full_at, now + wait - 1, cost).wait, 1);
            }
            let next = bucket.next(missing);
            if missing > 0 && missing <= bucket.depth {
                prop_assert_eq!(bucket.left(missing.saturating_sub(next)), bucket.left(missing) + 1);
            }
        }
    }
}
