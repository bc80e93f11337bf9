use proptest::prelude::*;

use super::*;
use crate::limit::bucket::Bucket;

const SECOND: u64 = 1_000_000_000;

fn draw(key: u64, rate: &str) -> Draw {
    Draw {
        // Spread over the tables as digests are.
        key: Key([key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key]),
        crowd: Key([7, 7]),
        bucket: Bucket::of(rate.parse().expect(rate)),
        cost: 1,
        patience: 0,
        rule: 0,
        observe: false,
    }
}

fn take(local: &Local, draws: &[Draw], now: u64) -> Vec<Level> {
    let mut levels = vec![Level::default(); draws.len()];
    local.take(draws, now, &mut levels);
    levels
}

fn passes(local: &Local, draws: &[Draw], now: u64) -> bool {
    take(local, draws, now).iter().all(|level| level.taken)
}

#[test]
fn what_one_bucket_refuses_takes_nothing_from_the_others() {
    let local = Local::default();
    let (small, large) = (draw(1, "1/s"), Draw { rule: 1, ..draw(2, "3/s") });
    assert!(passes(&local, &[small, large], SECOND));
    for _ in 0..5 {
        let levels = take(&local, &[small, large], SECOND);
        assert!(levels[0].wait == SECOND && levels[1].wait == 0 && !levels[1].taken);
    }
    assert_eq!((0..5).filter(|_| passes(&local, &[large], SECOND)).count(), 2);
}

#[test]
fn what_only_looks_on_refuses_nothing_and_says_what_it_would() {
    let local = Local::default();
    let watched = [
        Draw { observe: true, ..draw(1, "1/s") },
        Draw { observe: true, ..draw(2, "5/s") },
        Draw { rule: 1, ..draw(3, "3/s") },
    ];
    assert!(passes(&local, &watched, SECOND));
    let levels = take(&local, &watched, SECOND);
    // Neither rate of the rule is taken from once one of them would refuse.
    assert_eq!(levels.iter().map(|level| level.taken).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(levels[0].wait, SECOND);
    assert!(take(&local, &watched, SECOND)[2].taken);
    assert!(!take(&local, &watched, SECOND)[2].taken);
    assert_eq!(local.full_at(watched[1].key), SECOND + SECOND / 5);
}

#[test]
fn who_is_held_up_stands_in_line() {
    let local = Local::default();
    let patient = Draw { patience: 2 * SECOND, ..draw(1, "1/s") };
    let waits: Vec<_> = (0..4).map(|_| take(&local, &[patient], SECOND)[0]).collect();
    assert_eq!(waits.iter().map(|level| level.wait / SECOND).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let taken: Vec<_> = waits.iter().map(|level| level.taken).collect();
    assert_eq!(taken, [true, true, true, false]);
}

#[test]
fn buckets_that_are_full_again_make_room() {
    let local = Local::default();
    for key in 0..100_000 {
        assert!(passes(&local, &[draw(key, "1/s")], SECOND));
    }
    assert_eq!(local.keys(), 100_000);
    for turn in 0..SHARDS {
        local.sweep(turn, 2 * SECOND);
    }
    assert_eq!(local.keys(), 0);
    let room: usize = (0..SHARDS).map(|lane| local.lock(lane).cells.num_buckets()).sum();
    assert!(room < SHARDS * SMALL, "{room}");
    // Without anybody who sweeps, tables make room before they grow.
    let local = Local::default();
    for round in 0..100 {
        for key in 0..1000 {
            assert!(passes(&local, &[draw(round * 1000 + key, "1/s")], (2 * round + 4) * SECOND));
        }
    }
    assert!(local.keys() < 5000, "{}", local.keys());
}

#[test]
fn without_room_callers_share_a_bucket_and_nobody_is_unlimited() {
    let local = Local::with_room_for(4);
    let all: Vec<Draw> = (0..1000).map(|key| draw(key * SHARDS as u64, "2/s")).collect();
    let passed = all.iter().filter(|draw| passes(&local, &[**draw], SECOND)).count();
    // Four have one of their own, and all others together another one.
    assert_eq!((local.keys(), passed), (4, 4 + 2));
    // Those that have one keep it.
    assert!(passes(&local, &[all[0]], SECOND) && !passes(&local, &[all[0]], SECOND));
    // In a while there is room for others.
    let now = 3 * SECOND;
    assert!(all.iter().skip(500).take(4).all(|draw| passes(&local, &[*draw], now)));
}

#[test]
fn a_table_that_grows_under_a_request_loses_nothing_that_it_takes() {
    let local = Local::default();
    let kept = Draw { rule: 1, ..draw(1000 * SHARDS as u64, "1000/s") };
    assert!(passes(&local, &[kept], SECOND));
    for count in 1..900 {
        // In the same table, and put there before the other is taken from.
        let new = draw(count * SHARDS as u64, "1/s");
        assert!(passes(&local, &[new, kept], SECOND));
        assert_eq!(local.full_at(kept.key), SECOND + (count + 1) * SECOND / 1000);
        assert_eq!(local.full_at(new.key), 2 * SECOND);
    }
    // Full again, it is left out to make room for the other, and put back.
    let local = Local::with_room_for(4);
    let all: Vec<Draw> = (0..4).map(|key| draw(key * SHARDS as u64, "1/s")).collect();
    assert!(all.iter().all(|draw| passes(&local, &[*draw], SECOND)));
    let new = Draw { rule: 1, ..draw(9 * SHARDS as u64, "1/s") };
    assert!(passes(&local, &[all[0], new], 3 * SECOND));
    let full_at = [all[0].key, new.key].map(|key| local.full_at(key));
    assert_eq!((full_at, local.keys()), ([4 * SECOND; 2], 2));
}

#[test]
fn the_bound_on_memory_is_as_stated() {
    assert_eq!(MOST_KEYS, 1_835_008);
    assert_eq!(size_of::<Cell>(), 24);
    let mut table: HashTable<Cell> = HashTable::new();
    for key in 0..MOST_IN_A_SHARD as u64 {
        let cell = Cell { key: Key([key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key]), full_at: 1 };
        table.insert_unique(cell.key.0[0], cell, |cell| cell.key.0[0]);
    }
    assert_eq!(table.capacity(), MOST_IN_A_SHARD);
    assert!(table.allocation_size() <= 32_768 * 25 + 64, "{}", table.allocation_size());
}

#[test]
fn many_threads_take_no_more_than_there_is() {
    let local = Local::default();
    // By turns in another order, so that a lock taken out of order would meet its opposite.
    let shared: Vec<Draw> =
        (0..4_u8).map(|key| Draw { rule: key, ..draw(key.into(), "500/s") }).collect();
    let passed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (local, mut draws) = (&local, shared.clone());
                draws.rotate_left(thread % 4);
                scope.spawn(move || (0..200).filter(|_| passes(local, &draws, SECOND)).count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 500);
}

proptest! {
    /// Whatever comes, the tables say what a map would.
    #[test]
    fn it_decides_as_a_plain_map_does(
        asked in prop::collection::vec(
            (prop::collection::btree_set(0_u64..6, 1..4), 0_u64..400_000_000), 1..80
        ),
    ) {
        let local = Local::default();
        let mut plain = std::collections::HashMap::new();
        let mut now = SECOND;
        for (keys, gap) in asked {
            now += gap;
            let draws: Vec<Draw> =
                (0..).zip(&keys).map(|(rule, key)| Draw { rule, ..draw(*key, "2/s") }).collect();
            let levels = take(&local, &draws, now);
            let missing =
                |key: &u64| plain.get(key).map_or(0, |full_at: &u64| full_at.saturating_sub(now));
            let fits = keys.iter().all(|key| missing(key) + SECOND / 2 <= SECOND);
            prop_assert_eq!(levels.iter().all(|level| level.taken), fits);
            if fits {
                for key in &keys {
                    let full_at = plain.entry(*key).or_insert(0);
                    *full_at = now.max(*full_at) + SECOND / 2;
                }
            }
        }
    }
}
