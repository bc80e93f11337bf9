//! Random numbers for spreading load: fast, one generator for each thread, of no use for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// 64 random bits (`SplitMix64`, seeded by the standard library's random hasher keys).
pub fn chance() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        scatter(next)
    })
}

/// Spreads every bit of `x` over all 64 (the finalizer of `SplitMix64`).
pub(super) const fn scatter(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
