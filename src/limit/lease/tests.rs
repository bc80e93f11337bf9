use proptest::prelude::*;

use super::*;
use crate::limit::bucket::Bucket;
use crate::limit::decide::settle;
use crate::limit::local::BETWEEN_SWEEPS;

const SECOND: u64 = 1_000_000_000;
const LEASE: u64 = SECOND / 10;
const DEADLINE: u64 = 5_000_000;

fn draw(rate: &str) -> Draw {
    Draw {
        key: Key([7, 7]),
        crowd: Key([0, 0]),
        bucket: Bucket::of(rate.parse().expect(rate)),
        cost: 1,
        patience: 0,
        rule: 0,
        observe: false,
    }
}

/// A store with one bucket, which does what the script does.
#[derive(Default)]
struct Store {
    full_at: [u64; 1],
    asked: usize,
}

impl Store {
    fn ask(&mut self, draw: &Draw, ahead: u64, now: u64) -> (Level, u64) {
        self.asked += 1;
        let mut level = [Level::default()];
        settle(&[*draw], &mut self.full_at, now, &mut level);
        let mut given = 0;
        if level[0].taken {
            let there = (now + draw.bucket.depth - self.full_at[0]) / draw.bucket.unit;
            given = ahead.min(there);
            self.full_at[0] += given * draw.bucket.unit;
        }
        (level[0], given)
    }
}

/// One request at a gateway, for which the store is asked so much later. Whether it passes.
fn request(leases: &Leases, store: &mut Store, draw: &Draw, now: u64, later: u64) -> bool {
    let (draws, mut levels) = ([*draw], [Level::default()]);
    match leases.take(&draws, now, &mut levels) {
        Word::Taken => true,
        Word::Refused => false,
        Word::Unknown => {
            let ahead = leases.ahead(&draws, now, DEADLINE);
            let (level, given) = store.ask(draw, ahead[0], now + later);
            let mut all = [0; MOST];
            all[0] = given;
            leases.learn(&draws, &[level], &ahead, &all, now);
            level.taken
        }
    }
}

proptest! {
    /// What the documentation promises, of as many gateways as there are.
    #[test]
    fn no_window_holds_more_than_one_lease_more(
        gateways in 1_usize..6,
        requests in prop::collection::vec((0_usize..6, 0_u64..4_000_000, 0_u64..2_000_000), 1..600),
    ) {
        let draw = draw("500/s burst 40");
        let all: Vec<_> = (0..gateways).map(|_| Leases::new(Duration::from_nanos(LEASE))).collect();
        let (mut store, mut now, mut passed) = (Store::default(), SECOND, Vec::new());
        for (which, gap, later) in requests {
            now += gap;
            if request(&all[which % gateways], &mut store, &draw, now, later) {
                passed.push(now);
            }
        }
        for (index, first) in passed.iter().enumerate() {
            for (count, last) in passed[index..].iter().enumerate() {
                // The last may have been given a little later than it was asked for.
                let bound = 40 + (last - first + LEASE + 2_000_000) * 500 / SECOND;
                prop_assert!(count as u64 <= bound, "{} in {}", count + 1, last - first);
            }
        }
    }
}

#[test]
fn a_busy_caller_seldom_asks_and_gets_what_there_is() {
    // Below the rate, above it, and far above it.
    for (gap, least, often) in [
        (2_000_000, 4_900, 1_500),
        // Of what comes back, each unit is asked for by itself, since there is never more.
        (900_000, 4_900, 9_100),
        (100_000, 950, 1_200),
    ] {
        let draw = draw("1000/s burst 100");
        let leases = Leases::new(Duration::from_nanos(LEASE));
        let mut store = Store::default();
        let times = (0..10_000_u64).map(|turn| SECOND + turn * gap);
        let passed = times.filter(|now| request(&leases, &mut store, &draw, *now, 0)).count();
        let there = 100 + usize::try_from(10_000 * gap / 1_000_000).unwrap();
        let asked = store.asked;
        assert!(passed <= there && passed >= least.min(there), "{gap}: {passed} of {there}");
        assert!(asked < often, "{gap}: {asked} times");
    }
}

#[test]
fn who_seldom_calls_takes_nothing_ahead() {
    let draw = draw("100/s burst 50");
    let leases = Leases::new(Duration::from_nanos(LEASE));
    let mut store = Store::default();
    for turn in 0..100 {
        assert!(request(&leases, &mut store, &draw, SECOND + turn * SECOND / 5, 0));
        assert_eq!(store.full_at[0], SECOND + turn * SECOND / 5 + SECOND / 100);
    }
    assert_eq!(store.asked, 100);
}

#[test]
fn memory_is_bounded_as_stated() {
    assert_eq!(size_of::<Lease>(), 64);
    let mut table: HashTable<Lease> = HashTable::with_capacity(MOST_IN_A_SHARD);
    assert!(table.capacity() >= MOST_IN_A_SHARD && table.num_buckets() == 4096);
    table.clear();
    assert!(SHARDS * table.allocation_size() < 17 << 20, "{}", table.allocation_size());
}

#[test]
fn a_full_table_is_looked_through_now_and_then_and_not_by_every_request() {
    let leases = Leases::new(Duration::from_nanos(LEASE));
    let known = |number: u64, now: u64| {
        let draw = Draw { key: Key([number, 7]), ..draw("100/s") };
        leases.ahead(&[draw], now, DEADLINE);
        let found = leases.ahead(&[draw], now + 1, DEADLINE);
        found[0] > 0
    };
    for number in 0..MOST_IN_A_SHARD as u64 {
        leases.ahead(&[Draw { key: Key([number, 7]), ..draw("100/s") }], 0, DEADLINE);
    }
    // All are in use when one more comes.
    let looked = 2 * LEASE - 1;
    leases.ahead(&[Draw { key: Key([9_999, 7]), ..draw("100/s") }], looked, DEADLINE);
    // Soon after, none is; but it was looked through just now.
    assert!(!known(10_000, looked + 1));
    assert!(known(10_001, looked + BETWEEN_SWEEPS));
}
