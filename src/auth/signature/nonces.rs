//! What a key has signed once already: the nonces of its signatures, for as long as these would still be good.
//!
//! Each takes 16 bytes, and a key has so many at most that their table has 9 MiB. Where it is full, nothing more by that
//! key is let in before some are over: what cannot be remembered could be sent again.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::super::keyring::Reason;

/// So many of one key are known at most.
pub(super) const MOST: usize = 256 * 1024;
/// Below so many, none is looked for that is over.
const FEW: usize = 1024;

/// The nonces of one key.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Until when each is remembered, in seconds since 1970, that one included.
    known: HashMap<u64, i64, RandomState>,
    /// At so many, those that are over are looked for.
    sweep_at: usize,
    /// When that was done last.
    swept: i64,
}

/// A nonce that nobody has looked up yet.
pub(in crate::auth) struct Once {
    nonces: Arc<Nonces>,
    hash: u64,
    until: i64,
    second: i64,
}

impl Nonces {
    /// A nonce of a signature that is good until this second.
    pub(super) fn once(self: &Arc<Self>, nonce: &str, until: i64, second: i64) -> Once {
        // Keyed, so that nobody can look for two that are alike in this.
        let hash = self.hasher.hash_one(nonce);
        Once { nonces: Arc::clone(self), hash, until, second }
    }
}

impl Once {
    /// Uses it.
    ///
    /// # Errors
    /// It was used before, or it cannot be remembered.
    pub(in crate::auth) fn take(self) -> Result<(), Reason> {
        let Self { nonces, hash, until, second } = self;
        let mut table = nonces.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { known, sweep_at, swept } = &mut *table;
        if known.get(&hash).is_some_and(|until| *until >= second) {
            return Err(Reason::Used);
        }
        // Not twice in a second, or a full table would be looked through for every request.
        if known.len() >= (*sweep_at).max(FEW) && *swept != second {
            known.retain(|_, until| *until >= second);
            (*sweep_at, *swept) = ((2 * known.len()).min(MOST), second);
        }
        if known.len() >= MOST && !known.contains_key(&hash) {
            return Err(Reason::Busy);
        }
        known.insert(hash, until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(nonces: &Arc<Nonces>, nonce: &str, until: i64, second: i64) -> Result<(), Reason> {
        nonces.once(nonce, until, second).take()
    }

    #[test]
    fn each_is_good_once_while_its_signature_is() {
        let nonces = Arc::default();
        assert_eq!(take(&nonces, "a", 300, 0), Ok(()));
        for second in [0, 1, 300] {
            assert_eq!(take(&nonces, "a", 300, second), Err(Reason::Used), "{second}");
        }
        assert_eq!(take(&nonces, "b", 300, 300), Ok(()));
        assert_eq!(take(&nonces, "a", 601, 301), Ok(()), "its signature is too old by itself");
        assert_eq!(take(&nonces, "a", 601, 301), Err(Reason::Used));
    }

    #[test]
    fn what_cannot_be_remembered_is_not_let_in() {
        let nonces = Arc::default();
        for number in 0..MOST {
            assert_eq!(take(&nonces, &number.to_string(), 300, 0), Ok(()));
        }
        assert_eq!(take(&nonces, "one more", 300, 0), Err(Reason::Busy));
        assert_eq!(take(&nonces, "7", 300, 300), Err(Reason::Used));
        assert_eq!(take(&nonces, "one more", 600, 300), Err(Reason::Busy));
        assert_eq!(take(&nonces, "one more", 601, 301), Ok(()));
        assert_eq!(nonces.table.lock().expect("whole").known.len(), 1);
    }

    /// However few come at a time, no more are kept than twice those that are still good.
    #[test]
    fn what_is_over_is_forgotten() {
        let nonces = Arc::default();
        for second in 0..100_000 {
            assert_eq!(take(&nonces, &second.to_string(), second + 100, second), Ok(()));
            assert!(nonces.table.lock().expect("whole").known.len() <= FEW);
        }
    }
}
