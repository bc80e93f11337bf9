//! What several buckets say together of one request: all of them give, or none does.

use super::bucket::Bucket;

/// The most buckets that one request can be held to.
pub const MOST: usize = 16;

/// What a bucket is kept under. It is a digest, so that all take the same room, whatever they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u64; 2]);

/// One bucket that is asked for one request.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// What it is kept under.
    pub key: Key,
    /// What those share that have no room of their own.
    pub crowd: Key,
    /// The rate.
    pub bucket: Bucket,
    /// How much is taken.
    pub cost: u64,
    /// How long the request may be held up for it.
    pub patience: u64,
    /// Which of the request's rules it belongs to.
    pub rule: u8,
    /// Whether it only looks on: what it says refuses nothing.
    pub observe: bool,
}

/// What a bucket said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// How long it will take to fill, after what was taken.
    pub missing: u64,
    /// How long it makes the request wait, or would; above its patience, it refuses.
    pub wait: u64,
    /// Whether it was taken from.
    pub taken: bool,
}

/// Asks all buckets, full again at these moments, at `now`. What each says is in `levels`; where one was taken from,
/// its moment is moved. There are as many of each.
#[inline]
pub fn settle(draws: &[Draw], full_at: &mut [u64], now: u64, levels: &mut [Level]) {
    let (full_at, levels) = (&mut full_at[..draws.len()], &mut levels[..draws.len()]);
    let (mut refused, mut looked_away) = (false, 0_u32);
    for (index, draw) in draws.iter().enumerate() {
        let asked = draw.bucket.ask(full_at[index], now, draw.cost);
        let missing = full_at[index].saturating_sub(now);
        levels[index] = Level { missing, wait: asked.wait, taken: false };
        if asked.wait > draw.patience {
            if draw.observe {
                looked_away |= 1 << draw.rule;
            } else {
                refused = true;
            }
        }
    }
    if refused {
        return;
    }
    for (index, draw) in draws.iter().enumerate() {
        // A rule that looks on takes what it would take, so that it says what it would say.
        if looked_away & (1 << draw.rule) == 0 {
            let (full_at, level) = (&mut full_at[index], &mut levels[index]);
            *full_at = draw.bucket.ask(*full_at, now, draw.cost).full_at;
            (level.missing, level.taken) = (*full_at - now, true);
        }
    }
}
