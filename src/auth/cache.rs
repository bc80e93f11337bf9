//! Credentials that were verified, by their SHA-256 digest, so that each pays for its signature or password once.
//!
//! In shards, so that workers rarely meet at one lock. Bounded: at most [`MOST`] of them. What is over is dropped when
//! room is needed, and if there is none left then, something else.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;

use super::key::Digest;

const SHARDS: usize = 32;
/// So many are kept at most.
pub(super) const MOST: usize = 32 * 1024;
const MOST_OF_A_SHARD: usize = MOST / SHARDS;

/// Something known of credentials until a second, in one version of what it was found out by.
#[derive(Debug)]
pub(super) struct Cache<V>(Box<[Shard<V>]>);

/// Padded, so that two locks don't share a line of a core's cache.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<V>(Mutex<HashMap<Digest, Entry<V>>>);

#[derive(Debug, Clone)]
struct Entry<V> {
    value: V,
    until: u64,
    version: u64,
}

/// A moment in whole seconds since 1970, in which is told how long something holds.
pub(super) fn second(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl<V: Clone> Cache<V> {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Shard(Mutex::default())).collect())
    }

    /// What is known at this second.
    pub(super) fn get(&self, digest: &Digest, second: u64, version: u64) -> Option<V> {
        let shard = self.shard(digest).0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(digest)?;
        (second < entry.until && entry.version == version).then(|| entry.value.clone())
    }

    pub(super) fn put(&self, digest: Digest, value: V, until: u64, second: u64, version: u64) {
        let mut shard = self.shard(&digest).0.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MOST_OF_A_SHARD && !shard.contains_key(&digest) {
            shard.retain(|_, entry| second < entry.until && entry.version == version);
            if shard.len() >= MOST_OF_A_SHARD {
                // Digests are spread evenly, so any order of theirs is as good as chance.
                let some: Vec<Digest> = shard.keys().take(MOST_OF_A_SHARD / 8).copied().collect();
                for one in some {
                    shard.remove(&one);
                }
            }
        }
        shard.insert(digest, Entry { value, until, version });
    }

    fn shard(&self, digest: &Digest) -> &Shard<V> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let index = digest.head() as usize % SHARDS;
        &self.0[index]
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.0.lock().map_or(0, |shard| shard.len())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_holds_until_its_second_and_in_its_version() {
        let cache = Cache::new();
        let digest = Digest::of(b"a");
        cache.put(digest, 1, 10, 0, 7);
        assert_eq!(cache.get(&digest, 9, 7), Some(1));
        assert_eq!(cache.get(&digest, 10, 7), None);
        assert_eq!(cache.get(&digest, 9, 8), None);
        assert_eq!(cache.get(&Digest::of(b"b"), 0, 7), None);
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let cache = Cache::new();
        for index in 0..MOST * 2 {
            cache.put(Digest::of(&index.to_be_bytes()), index, 10, 0, 0);
        }
        assert!(cache.len() <= MOST, "{}", cache.len());
        // What is over makes room first.
        for index in 0..MOST {
            cache.put(Digest::of(&index.to_be_bytes()), index, 30, 20, 0);
        }
        assert!(cache.len() <= MOST);
    }
}
