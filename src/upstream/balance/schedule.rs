//! A [`Schedule`] is the order in which targets take turns, worked out once for a set of weights.
//!
//! The order is that of smooth weighted round robin: at each turn every target earns its weight, the
//! richest is picked and pays the sum of all. With weights 5, 1, 1 that is A A B A C A A, never five A
//! in a row. It repeats after as many turns as the sum of the weights, so it is written down once and
//! a request needs one counter instead of a lock around everyone's earnings.

use std::collections::BTreeMap;

/// The longest schedule; weights with a larger sum are scaled down to it.
const LONGEST: usize = 1 << 16;
/// Up to so many targets the smooth order is worked out over the targets themselves, beyond over
/// groups of equal weight: the work is their number times the schedule's length.
const FEW: usize = 64;

/// Indexes of targets, each as often as its weight says, spread evenly.
pub(super) struct Schedule(Box<[u32]>);

impl Schedule {
    /// The schedule for these weights, each at least 1.
    pub fn new(weights: &[usize]) -> Self {
        let weights = scaled(weights);
        let turns = if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            (0..weights.len()).collect()
        } else if weights.len() <= FEW {
            smooth(&weights)
        } else {
            smooth_by_group(&weights)
        };
        Self(turns.into_iter().map(|index| u32::try_from(index).unwrap_or(u32::MAX)).collect())
    }

    /// How many turns there are before it repeats; 0 without targets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whose turn it is. `turn` wraps around; there is none without targets.
    pub fn at(&self, turn: usize) -> Option<usize> {
        let turn = turn.checked_rem(self.0.len())?;
        self.0.get(turn).map(|index| *index as usize)
    }
}

/// The same proportions in the smallest numbers, with a sum of about [`LONGEST`] at most.
fn scaled(weights: &[usize]) -> Vec<usize> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight)).max(1);
    let sum = weights.iter().sum::<usize>() / divisor;
    let limit = LONGEST.max(weights.len());
    weights
        .iter()
        .map(|weight| {
            let weight = weight / divisor;
            if sum <= limit { weight.max(1) } else { (weight * limit / sum).max(1) }
        })
        .collect()
}

/// Smooth weighted round robin over one full period.
fn smooth(weights: &[usize]) -> Vec<usize> {
    let sum: usize = weights.iter().sum();
    let total = i64::try_from(sum).unwrap_or(i64::MAX);
    let weights: Vec<i64> =
        weights.iter().map(|weight| i64::try_from(*weight).unwrap_or(i64::MAX)).collect();
    let mut purses = vec![0_i64; weights.len()];
    (0..sum)
        .map(|_| {
            let mut richest = 0;
            for index in 0..purses.len() {
                purses[index] += weights[index];
                if purses[index] > purses[richest] {
                    richest = index;
                }
            }
            purses[richest] -= total;
            richest
        })
        .collect()
}

/// Smooth weighted round robin over groups of equal weight, plain round robin within each.
fn smooth_by_group(weights: &[usize]) -> Vec<usize> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, weight) in weights.iter().enumerate() {
        groups.entry(*weight).or_default().push(index);
    }
    let sums: Vec<usize> = groups.iter().map(|(weight, members)| weight * members.len()).collect();
    let mut members: Vec<_> = groups.values().map(|members| members.iter().cycle()).collect();
    smooth(&sums).into_iter().filter_map(|group| members[group].next().copied()).collect()
}

/// The greatest common divisor; that of 0 and n is n.
pub(super) const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(weights: &[usize]) -> String {
        let schedule = Schedule::new(weights);
        (0..schedule.len())
            .filter_map(|turn| schedule.at(turn))
            .map(|index| char::from(b'A' + u8::try_from(index).unwrap()))
            .collect()
    }

    #[test]
    fn the_order_is_smooth() {
        assert_eq!(letters(&[5, 1, 1]), "AABACAA");
        assert_eq!(letters(&[1, 1, 1]), "ABC");
        assert_eq!(letters(&[50, 10, 10]), "AABACAA");
        assert_eq!(letters(&[1000, 1000]), "AB");
        assert_eq!(letters(&[3, 1]), "AABA");
        assert_eq!(letters(&[7]), "A");
        assert_eq!(letters(&[]), "");
        assert_eq!(Schedule::new(&[]).at(3), None);
    }

    #[test]
    fn shares_are_exact_up_to_the_longest_schedule_and_close_beyond() {
        for targets in [2_usize, 10, 100, 1000] {
            let weights: Vec<usize> = (0..targets).map(|i| 1 + (i * 389) % 1000).collect();
            let schedule = Schedule::new(&weights);
            assert!(schedule.len() <= LONGEST, "{targets}: {}", schedule.len());
            let mut counts = vec![0_usize; targets];
            for turn in 0..schedule.len() {
                counts[schedule.at(turn).unwrap()] += 1;
            }
            let sum: usize = weights.iter().sum();
            for (weight, count) in weights.iter().zip(counts) {
                let exact = weight * schedule.len() / sum;
                assert!(count.abs_diff(exact) <= 1, "{targets}: {weight} got {count}, not {exact}");
            }
        }
    }

    #[test]
    fn groups_of_equal_weight_are_spread_too() {
        let weights: Vec<usize> = (0..100).map(|i| if i == 0 { 100 } else { 1 }).collect();
        let schedule = Schedule::new(&weights);
        let heavy: Vec<usize> =
            (0..schedule.len()).filter(|turn| schedule.at(*turn) == Some(0)).collect();
        assert_eq!(heavy.len(), 100);
        assert!(heavy.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{heavy:?}");
    }
}
