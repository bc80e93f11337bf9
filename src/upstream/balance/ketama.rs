//! Ketama: the same key goes to the same target, and when a target comes or goes, only its own keys
//! move.
//!
//! Every target owns many points on a ring of 32-bit numbers; a key belongs to the first point at or
//! after its own number. The ring is our own, not Pingora's, for three reasons: theirs leaves out Unix
//! sockets; its size is weight times 160 without a bound, which a few weights of 1000 turn into
//! gigabytes; and it finds a key by binary search, which slows down with the number of targets, where
//! ours looks into a table by the key's upper bits.
//!
//! The numbers depend on addresses and weights alone, so all replicas of a gateway agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::chance::scatter;
use super::{POLICY_PICKS, Walk};

/// Points of a target with weight 1, as in other ketama rings.
const POINTS: usize = 160;
/// The ring's size is halved until it is at most this. Halving, rather than scaling to fit, keeps
/// everyone's number of points when a target comes or goes.
const MOST_POINTS: usize = 1 << 20;

struct Point {
    number: u32,
    owner: u32,
}

/// The ring.
pub(in crate::upstream) struct Ketama {
    backends: Box<[Backend]>,
    /// Sorted by number.
    points: Box<[Point]>,
    /// For each value of a number's upper bits, the first point at or after it.
    index: Box<[u32]>,
    /// How far a number is shifted to get its upper bits.
    shift: u32,
}

impl BackendSelection for Ketama {
    type Iter = Picks;
    type Config = ();

    fn build(backends: &BTreeSet<Backend>) -> Self {
        let backends: Box<[Backend]> = backends.iter().cloned().collect();
        let points = points(&backends);
        // About one point for each entry of the index.
        let bits = points.len().next_power_of_two().trailing_zeros().clamp(1, 20);
        let shift = 32 - bits;
        let mut index = Vec::with_capacity(1 << bits);
        let mut next = 0;
        for upper in 0..1_u32 << bits {
            while points.get(next).is_some_and(|p: &Point| p.number < upper << shift) {
                next += 1;
            }
            index.push(u32::try_from(next).unwrap_or(u32::MAX));
        }
        Self { backends, points, index: index.into(), shift }
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Picks {
        let hash = hash(key);
        Picks {
            at: self.find(upper_half(hash)),
            hash,
            ring: Arc::clone(self),
            picked: 0,
            walk: None,
        }
    }
}

impl Ketama {
    /// How many points there are.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.points.len()
    }

    /// The first point at or after `number`, around the ring.
    fn find(&self, number: u32) -> usize {
        let mut at = self.index[(number >> self.shift) as usize] as usize;
        while self.points.get(at).is_some_and(|point| point.number < number) {
            at += 1;
        }
        if at == self.points.len() { 0 } else { at }
    }
}

fn points(backends: &[Backend]) -> Box<[Point]> {
    let wanted: usize = backends.iter().map(|backend| backend.weight * POINTS).sum();
    let mut halvings = 0;
    while wanted >> halvings > MOST_POINTS {
        halvings += 1;
    }
    let mut points = Vec::with_capacity(wanted >> halvings);
    for (owner, backend) in backends.iter().enumerate() {
        let seed = hash(backend.addr.to_string().as_bytes());
        let own = ((backend.weight * POINTS) >> halvings).max(1);
        for turn in 1..=own as u64 {
            // The n-th point of a target does not depend on how many it has.
            let number = upper_half(scatter(seed ^ scatter(turn)));
            points.push(Point { number, owner: u32::try_from(owner).unwrap_or(u32::MAX) });
        }
    }
    points.sort_by_key(|point| point.number);
    points.dedup_by_key(|point| point.number);
    points.into()
}

/// FNV-1a with scattered bits: the same on every machine and in every run.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    scatter(fnv)
}

#[allow(clippy::cast_possible_truncation, reason = "a shift by 32 leaves 32 bits")]
const fn upper_half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// One request's picks: along the ring, then everyone in an order that depends on the key alone.
pub(in crate::upstream) struct Picks {
    ring: Arc<Ketama>,
    at: usize,
    hash: u64,
    picked: usize,
    walk: Option<Walk>,
}

impl BackendIter for Picks {
    fn next(&mut self) -> Option<&Backend> {
        let ring = &*self.ring;
        let owner = if self.picked < POLICY_PICKS {
            self.picked += 1;
            let owner = ring.points.get(self.at)?.owner as usize;
            self.at = (self.at + 1) % ring.points.len();
            owner
        } else {
            let count = ring.backends.len();
            self.walk.get_or_insert_with(|| Walk::new(count, self.hash)).next()?
        };
        ring.backends.get(owner)
    }
}
