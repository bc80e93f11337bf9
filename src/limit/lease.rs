//! What this gateway has taken ahead of buckets in the store, so that most requests need not ask there.
//!
//! A [`Leases`] holds units that the store has given already. Each is used within the time of the lease after it was
//! given, or not at all; so what all gateways together let pass in a window is never more than what the store gave in
//! that window and the time of one lease before it. How many are taken ahead follows from how many were needed of late,
//! half of them: what is taken and not needed is lost to others.
//!
//! For that time a gateway also remembers that a bucket is empty. It can only be emptier by then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use hashbrown::HashTable;

use super::decide::{Draw, Key, Level, MOST};
use super::local::BETWEEN_SWEEPS;

/// How many tables there are.
const SHARDS: usize = 64;
/// How many buckets a table knows: of more, nothing is taken ahead. All together take 17 MiB at most.
const MOST_IN_A_SHARD: usize = 3_584;

/// What is known of one bucket.
#[derive(Debug, Clone, Copy)]
struct Lease {
    key: Key,
    /// When it is full again at the earliest.
    full_at: u64,
    /// Units that are there for this gateway.
    units: u64,
    /// Until when the two above count.
    until: u64,
    /// Units that requests have asked for since the moment below.
    wanted: u64,
    since: u64,
    /// Until when somebody is taking some ahead.
    taking_ahead: u64,
}

/// Some of them.
#[derive(Debug, Default)]
struct Table {
    leases: HashTable<Lease>,
    /// Until when it is not looked through again.
    swept: u64,
}

/// What can be said without asking the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It was taken of what was taken ahead.
    Taken,
    /// There is nothing left in one of the buckets.
    Refused,
    /// The store has to be asked.
    Unknown,
}

/// How many units are taken ahead of each bucket.
pub(super) type Ahead = [u64; MOST];

/// What this gateway has taken ahead.
#[derive(Debug)]
pub(super) struct Leases {
    tables: Box<[Mutex<Table>]>,
    /// How long it may be used, in nanoseconds.
    time: u64,
}

impl Leases {
    pub(super) fn new(time: Duration) -> Self {
        Self {
            tables: (0..SHARDS).map(|_| Mutex::default()).collect(),
            time: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// Takes all of it from what was taken ahead, or nothing.
    pub(super) fn take(&self, draws: &[Draw], now: u64, levels: &mut [Level]) -> Word {
        // A rule that holds requests up, or only looks on, needs to know how the bucket is.
        if draws.iter().any(|draw| draw.patience > 0 || draw.observe) {
            return Word::Unknown;
        }
        let mut word = Word::Taken;
        let mut taken: ArrayVec<(&Draw, u64), MOST> = ArrayVec::new();
        for (draw, level) in draws.iter().zip(levels.iter_mut()) {
            let mut table = self.lock(draw.key);
            let lease = table.leases.find_mut(draw.key.0[0], |lease| lease.key == draw.key);
            let Some(lease) = lease.filter(|lease| now < lease.until) else {
                word = Word::Unknown;
                break;
            };
            if lease.units < draw.cost {
                let wait = draw.bucket.ask(lease.full_at, now, draw.cost).wait;
                let missing = lease.full_at.saturating_sub(now);
                *level = Level { missing, wait, taken: false };
                word = if wait > 0 { Word::Refused } else { Word::Unknown };
                if wait > 0 {
                    lease.wanted += draw.cost;
                } else {
                    // Who asks is taken to get it: for what comes back one asks, and not all who wait for it.
                    lease.full_at = draw.bucket.ask(lease.full_at, now, draw.cost).full_at;
                }
                break;
            }
            lease.units -= draw.cost;
            lease.wanted += draw.cost;
            taken.push((draw, lease.until));
            let ahead = lease.units.saturating_mul(draw.bucket.unit);
            let missing = lease.full_at.saturating_sub(now).saturating_sub(ahead);
            *level = Level { missing, wait: 0, taken: true };
        }
        if word != Word::Taken {
            for (draw, until) in taken {
                let mut table = self.lock(draw.key);
                // Another lease has another end.
                let is_same = |lease: &Lease| lease.key == draw.key && lease.until == until;
                if let Some(lease) = table.leases.find_mut(draw.key.0[0], is_same) {
                    lease.units += draw.cost;
                    lease.wanted = lease.wanted.saturating_sub(draw.cost);
                }
            }
        }
        word
    }

    /// How many units to take ahead of each bucket, if the store is asked now and answers within `deadline`.
    pub(super) fn ahead(&self, draws: &[Draw], now: u64, deadline: u64) -> Ahead {
        let mut ahead = [0; MOST];
        if draws.iter().any(|draw| draw.patience > 0 || draw.observe) {
            return ahead;
        }
        for (draw, ahead) in draws.iter().zip(&mut ahead) {
            let most = self.time / draw.bucket.unit;
            if most > 0 {
                *ahead = self.wanted(draw, most, now, deadline);
            }
        }
        ahead
    }

    fn wanted(&self, draw: &Draw, most: u64, now: u64, deadline: u64) -> u64 {
        let (time, key) = (self.time, draw.key);
        let mut table = self.lock(key);
        if let Some(lease) = table.leases.find_mut(key.0[0], |lease| lease.key == key) {
            let elapsed = now.saturating_sub(lease.since);
            if elapsed > 2 * time {
                (lease.wanted, lease.since) = (0, now);
            }
            lease.wanted += draw.cost;
            if now < lease.taking_ahead || elapsed > 2 * time {
                return 0;
            }
            let ahead = lease.wanted.saturating_mul(time) / elapsed.max(time / 8).max(1) / 2;
            if ahead > 0 {
                (lease.wanted, lease.since) = (0, now);
                lease.taking_ahead = now.saturating_add(deadline);
            }
            return ahead.min(most);
        }
        if table.leases.len() >= MOST_IN_A_SHARD && now >= table.swept {
            table.swept = now.saturating_add(BETWEEN_SWEEPS);
            table.leases.retain(|lease| now < lease.until || now < lease.since + 2 * time);
        }
        if table.leases.len() < MOST_IN_A_SHARD {
            let (full_at, units, until, since, taking_ahead) = (0, 0, 0, now, 0);
            let wanted = draw.cost;
            let lease = Lease { key, full_at, units, until, wanted, since, taking_ahead };
            table.leases.insert_unique(key.0[0], lease, |lease| lease.key.0[0]);
        }
        0
    }

    /// Notes what the store said when it was asked at `now` for so much ahead, and gave that.
    pub(super) fn learn(
        &self,
        draws: &[Draw],
        levels: &[Level],
        asked: &Ahead,
        given: &Ahead,
        now: u64,
    ) {
        for (index, (draw, level)) in draws.iter().zip(levels).enumerate() {
            if self.time < draw.bucket.unit {
                continue;
            }
            let mut table = self.lock(draw.key);
            let lease = table.leases.find_mut(draw.key.0[0], |lease| lease.key == draw.key);
            let Some(lease) = lease else { continue };
            // The store was asked after `now`, so it is not full before this.
            let ahead = given[index].saturating_mul(draw.bucket.unit);
            let full_at = now.saturating_add(level.missing).saturating_add(ahead);
            // What was known is still true, and what others of this gateway are asking for is in it.
            let known = if now < lease.until { lease.full_at } else { 0 };
            lease.full_at = known.max(full_at);
            if asked[index] > 0 {
                lease.taking_ahead = 0;
            }
            // What is left of another lease has an end of its own, and goes.
            if given[index] > 0 || lease.units == 0 || now >= lease.until {
                (lease.units, lease.until) = (given[index], now + self.time);
            }
        }
    }

    fn lock(&self, key: Key) -> MutexGuard<'_, Table> {
        let table = usize::try_from(key.0[1] % SHARDS as u64).unwrap_or(0);
        self.tables[table].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
