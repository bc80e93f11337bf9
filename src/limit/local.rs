//! The buckets of this process.
//!
//! A bucket is a key of 16 bytes and a moment of 8, in one of 64 tables with a lock of its own; a request locks the
//! tables of its buckets, always in the same order, and no other. What is full again is free: it is left out when
//! its table would have to grow, and by [`Local::sweep`].
//!
//! Memory is bounded: no table grows over 32,768 places of 25 bytes, which hold 28,672 buckets. So there are at most
//! 1,835,008 at once, in 50 MiB. Where a table is full of buckets that are all in use, a key without one is not let
//! through unlimited: all such keys of one rule (and table) share one bucket until there is room.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arrayvec::ArrayVec;
use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;

use super::decide::{Draw, Key, Level, MOST, settle};

/// How many tables there are.
const SHARDS: usize = 64;
/// How many buckets a table holds: seven eighths of 2^15, beyond which it would double.
const MOST_IN_A_SHARD: usize = 28_672;
/// How many buckets there can be.
pub const MOST_KEYS: usize = SHARDS * MOST_IN_A_SHARD;
/// A table that is full is looked through for what is free so often at most, in nanoseconds: with all its buckets in
/// use every request would pay for it otherwise.
pub(super) const BETWEEN_SWEEPS: u64 = 100_000_000;
/// A table with fewer places than this is not made smaller.
const SMALL: usize = 512;

/// A bucket in use.
#[derive(Debug, Clone, Copy)]
struct Cell {
    key: Key,
    full_at: u64,
}

#[derive(Debug, Default)]
struct Shard {
    cells: HashTable<Cell>,
    /// What those share that find no room, by rule. As many as there are rules.
    crowd: HashTable<Cell>,
    /// Until when it is not looked through again.
    swept: u64,
}

/// Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(Mutex<Shard>);

/// Where a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The number of its place in the table, as long as nothing is added there.
    Own(usize),
    Free,
    Crowd,
}

/// The buckets of this process.
#[derive(Debug)]
pub struct Local {
    lanes: Box<[Lane]>,
    epoch: Instant,
    most: usize,
    /// What digests are made with. It is known to nobody, so that nobody can choose what falls together.
    secret: SipHasher13,
}

impl Default for Local {
    fn default() -> Self {
        Self::with_room_for(MOST_IN_A_SHARD)
    }
}

impl Local {
    fn with_room_for(most: usize) -> Self {
        let lanes = (0..SHARDS).map(|_| Lane::default()).collect();
        let random = RandomState::new();
        let secret = SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1));
        Self { lanes, epoch: Instant::now(), most, secret }
    }

    /// Begins a digest that only this process can make.
    #[must_use]
    pub fn hasher(&self) -> SipHasher13 {
        self.secret
    }

    /// A moment as buckets count it.
    #[must_use]
    pub fn moment(&self, now: Instant) -> u64 {
        // From 1, so that no bucket is full again at 0. It lasts for 584 years.
        let since = now.saturating_duration_since(self.epoch);
        let whole = since.as_secs().saturating_mul(1_000_000_000);
        whole.saturating_add(u64::from(since.subsec_nanos()) + 1)
    }

    /// Asks these buckets together, at a moment; at most as many as a request can need, no two of which are the same.
    pub fn take(&self, draws: &[Draw], now: u64, levels: &mut [Level]) {
        if let [draw] = draws {
            let mut shard = self.lock(lane_of(draw.key));
            let (place, full_at) = shard.find(draw, now, self.most);
            let mut moved = [full_at];
            settle(draws, &mut moved, now, levels);
            shard.put(draw, place, moved[0], self.most);
            return;
        }
        let draws = &draws[..draws.len().min(MOST)];
        let mut lanes: ArrayVec<usize, MOST> = draws.iter().map(|draw| lane_of(draw.key)).collect();
        lanes.sort_unstable();
        let mut locked: ArrayVec<(usize, MutexGuard<'_, Shard>), MOST> = ArrayVec::new();
        for lane in lanes {
            if locked.last().is_none_or(|(last, _)| *last != lane) {
                locked.push((lane, self.lock(lane)));
            }
        }
        // Where among them the table of each draw is.
        let at: ArrayVec<usize, MOST> = draws
            .iter()
            .filter_map(|draw| locked.iter().position(|(lane, _)| *lane == lane_of(draw.key)))
            .collect();
        let (mut places, mut moments) = ([Place::Free; MOST], [0; MOST]);
        for (index, (draw, at)) in draws.iter().zip(&at).enumerate() {
            (places[index], moments[index]) = locked[*at].1.find(draw, now, self.most);
        }
        settle(draws, &mut moments[..draws.len()], now, levels);
        for (index, (draw, at)) in draws.iter().zip(&at).enumerate() {
            locked[*at].1.put(draw, places[index], moments[index], self.most);
        }
    }

    /// When the bucket under this key is full again.
    #[must_use]
    pub fn full_at(&self, key: Key) -> u64 {
        self.lock(lane_of(key))
            .cells
            .find(key.0[0], |cell| cell.key == key)
            .map_or(0, |c| c.full_at)
    }

    /// How many buckets are kept.
    #[must_use]
    pub fn keys(&self) -> usize {
        (0..self.lanes.len()).map(|lane| self.lock(lane).cells.len()).sum()
    }

    /// Leaves out what is full again at this moment from one of the tables, the `turn`th.
    pub fn sweep(&self, turn: usize, now: u64) {
        self.lock(turn % self.lanes.len()).sweep(now);
    }

    fn lock(&self, lane: usize) -> MutexGuard<'_, Shard> {
        self.lanes[lane].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table of a key, by other bits than those that find it there.
fn lane_of(key: Key) -> usize {
    usize::try_from(key.0[1] % SHARDS as u64).unwrap_or(0)
}

impl Shard {
    /// Where the bucket is, and when it is full again.
    fn find(&mut self, draw: &Draw, now: u64, most: usize) -> (Place, u64) {
        let key = draw.key;
        let index = self.cells.find_bucket_index(key.0[0], |cell| cell.key == key);
        if let Some((index, cell)) =
            index.and_then(|index| Some((index, self.cells.get_bucket(index)?)))
        {
            return (Place::Own(index), cell.full_at);
        }
        if self.has_room(now, most) {
            return (Place::Free, 0);
        }
        let crowd = self.crowd.find(draw.crowd.0[0], |cell| cell.key == draw.crowd);
        (Place::Crowd, crowd.map_or(0, |cell| cell.full_at))
    }

    fn has_room(&mut self, now: u64, most: usize) -> bool {
        let capacity = self.cells.capacity().min(most);
        if self.cells.len() < capacity {
            return true;
        }
        if now >= self.swept {
            self.swept = now + BETWEEN_SWEEPS;
            self.cells.retain(|cell| cell.full_at > now);
            self.crowd.retain(|cell| cell.full_at > now);
        }
        // Growing doubles it, which is done at most once for as many new keys as it holds.
        self.cells.len() < most
    }

    fn put(&mut self, draw: &Draw, place: Place, full_at: u64, most: usize) {
        if full_at == 0 {
            return;
        }
        // Found again without a search, unless what was put before it has moved it.
        if let Place::Own(index) = place
            && let Some(cell) = self.cells.get_bucket_mut(index).filter(|cell| cell.key == draw.key)
        {
            cell.full_at = cell.full_at.max(full_at);
            return;
        }
        let hash = |cell: &Cell| cell.key.0[0];
        let (mut table, mut key) = (&mut self.cells, draw.key);
        // Of two that were promised the last place one has to share.
        if place == Place::Crowd || (place == Place::Free && table.len() >= most) {
            (table, key) = (&mut self.crowd, draw.crowd);
        }
        match table.find_mut(key.0[0], |cell| cell.key == key) {
            Some(cell) => cell.full_at = cell.full_at.max(full_at),
            None => {
                table.insert_unique(key.0[0], Cell { key, full_at }, hash);
            }
        }
    }

    fn sweep(&mut self, now: u64) {
        self.cells.retain(|cell| cell.full_at > now);
        self.crowd.retain(|cell| cell.full_at > now);
        let (used, room) = (self.cells.len(), self.cells.num_buckets());
        if room > SMALL && used < room / 8 {
            self.cells.shrink_to(used * 2, |cell| cell.key.0[0]);
        }
    }
}

#[cfg(test)]
mod tests;
