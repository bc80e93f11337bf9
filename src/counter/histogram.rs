//! How long something took, as counts of buckets.

use std::time::Duration;

use super::Counters;

/// The upper bounds of the buckets, in seconds; above the last one there is one without a bound. They
/// reach from an answer out of memory to what a proxy's clients give up on.
pub const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// The same in microseconds.
const MICROS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 15_000_000, 60_000_000,
];
/// The place of the sum: behind the buckets.
const SUM: usize = BOUNDS.len() + 1;

/// Durations, counted by buckets. With the sum they fill two cache lines a shard.
#[derive(Debug, Default)]
pub struct Histogram(Counters<{ SUM + 1 }>);

/// What a [`Histogram`] holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// How many took no longer than each of the [`BOUNDS`]; the last one is all of them.
    pub cumulative: [u64; BOUNDS.len() + 1],
    /// How long all took together, in seconds.
    pub sum: f64,
}

impl Reading {
    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.cumulative[BOUNDS.len()]
    }
}

impl Histogram {
    /// Counts one that took so long. The sum keeps whole microseconds, rounded, and so does not overflow in
    /// any process's life.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Rounded up, since a bound belongs to its bucket and what is just above it does not.
        let above = nanos.div_ceil(1000);
        let bucket = MICROS.iter().position(|bound| above <= *bound).unwrap_or(MICROS.len());
        self.0.add(bucket, 1);
        self.0.add(SUM, nanos.saturating_add(500) / 1000);
    }

    /// What was counted so far. The count is that of the buckets, so that the two never contradict.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum of durations need not be exact beyond 2^53 µs"
    )]
    pub fn read(&self) -> Reading {
        let counts = self.0.read();
        let mut cumulative = [0; BOUNDS.len() + 1];
        let mut sum = 0;
        for (place, count) in cumulative.iter_mut().zip(&counts) {
            sum += count;
            *place = sum;
        }
        Reading { cumulative, sum: counts[SUM] as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_the_same_in_both_units() {
        for (seconds, micros) in BOUNDS.iter().zip(MICROS) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_micros(micros));
        }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        let none = histogram.read();
        assert_eq!((none.count(), none.sum), (0, 0.0));
        for nanos in [0, 500_000, 500_001, 60_000_000_000, 60_000_000_001] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let reading = histogram.read();
        assert_eq!(reading.cumulative[..3], [2, 3, 3]);
        assert_eq!(reading.cumulative[12..], [3, 4, 5]);
        assert_eq!(reading.count(), 5);
        assert!((reading.sum - 120.001).abs() < 1e-9, "{}", reading.sum);
    }

    #[test]
    fn the_longest_duration_is_counted_too() {
        let histogram = Histogram::default();
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.read().count(), 1);
    }
}
