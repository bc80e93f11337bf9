use std::collections::HashMap;

use http::Extensions;
use pingora::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::selection::UniqueIterator;

use super::*;

fn backend(number: usize, weight: usize) -> Backend {
    let addr = format!("10.0.{}.{}:80", number / 256, number % 256).parse().unwrap();
    Backend { addr: SocketAddr::Inet(addr), weight, ext: Extensions::new() }
}

fn selector(policy: Policy, backends: &[Backend]) -> Arc<Selector> {
    Arc::new(Selector::build_with_config(&backends.iter().cloned().collect(), &policy))
}

/// The first pick that is `usable`, as the load balancer finds it.
fn pick(
    selector: &Arc<Selector>,
    key: &[u8],
    usable: impl Fn(&Backend) -> bool,
) -> Option<Backend> {
    let mut picks = UniqueIterator::new(selector.iter(key), enough_picks(10_000));
    while let Some(backend) = picks.get_next() {
        if usable(&backend) {
            return Some(backend);
        }
    }
    None
}

fn shares(
    selector: &Arc<Selector>,
    requests: usize,
    usable: impl Fn(&Backend) -> bool,
) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in 0..requests {
        let chosen = pick(selector, &request.to_le_bytes(), &usable).expect("one is usable");
        *counts.entry(chosen.addr.to_string()).or_default() += 1;
    }
    counts
}

const ALL: [Policy; 3] = [Policy::RoundRobin, Policy::Random, Policy::Ketama];

#[test]
fn without_targets_nothing_is_picked() {
    for policy in ALL {
        assert_eq!(pick(&selector(policy, &[]), b"key", |_| true), None);
    }
}

#[test]
fn the_last_usable_target_is_found_among_many() {
    let backends: Vec<_> = (0..1000).map(|n| backend(n, 1 + n % 3)).collect();
    for policy in ALL {
        let selector = selector(policy, &backends);
        for last in [0, 500, 999] {
            let found = pick(&selector, b"key", |b| *b == backends[last]);
            assert_eq!(found.as_ref(), Some(&backends[last]), "{policy:?}");
        }
        assert_eq!(pick(&selector, b"key", |_| false), None);
    }
}

#[test]
fn round_robin_is_exact_and_by_weight() {
    let selector = selector(Policy::RoundRobin, &[backend(1, 5), backend(2, 1), backend(3, 1)]);
    let counts = shares(&selector, 700, |_| true);
    assert_eq!(counts["10.0.0.1:80"], 500);
    assert_eq!(counts["10.0.0.2:80"], 100);
    assert_eq!(counts["10.0.0.3:80"], 100);
}

#[test]
fn the_share_of_a_dead_target_spreads_evenly_over_the_others() {
    let backends: Vec<_> = (1..=4).map(|n| backend(n, 1)).collect();
    let selector = selector(Policy::RoundRobin, &backends);
    let counts = shares(&selector, 1200, |b| *b != backends[0]);
    assert_eq!(counts.len(), 3);
    for (target, count) in counts {
        assert!(count.abs_diff(400) <= 2, "{target} got {count} of 1200");
    }
}

#[test]
fn a_dead_rack_does_not_drown_its_neighbour() {
    let backends: Vec<_> = (0..100).map(|n| backend(n, 1)).collect();
    for policy in [Policy::RoundRobin, Policy::Random] {
        let selector = selector(policy, &backends);
        let counts = shares(&selector, 6_000, |b| backends.iter().position(|x| x == b) >= Some(40));
        let most = counts.values().max().copied().unwrap_or_default();
        assert_eq!(counts.len(), 60);
        assert!(most < 200, "{policy:?}: the fair share is 100, one got {most}");
    }
}

#[test]
fn random_follows_the_weights() {
    let selector = selector(Policy::Random, &[backend(1, 3), backend(2, 1)]);
    let counts = shares(&selector, 40_000, |_| true);
    assert!(counts["10.0.0.1:80"].abs_diff(30_000) < 1_000, "{counts:?}");
}

#[test]
fn ketama_keeps_a_key_and_follows_the_weights() {
    let backends = [backend(1, 1), backend(2, 1), backend(3, 2)];
    let ring = selector(Policy::Ketama, &backends);
    for key in 0..1000_u32 {
        let key = key.to_le_bytes();
        assert_eq!(pick(&ring, &key, |_| true), pick(&ring, &key, |_| true));
    }
    let counts = shares(&ring, 40_000, |_| true);
    for (target, expected) in
        [("10.0.0.1:80", 10_000_usize), ("10.0.0.2:80", 10_000), ("10.0.0.3:80", 20_000)]
    {
        assert!(counts[target].abs_diff(expected) < expected / 4, "{counts:?}");
    }
}

#[test]
fn ketama_moves_only_the_keys_of_a_target_that_leaves() {
    let mut backends: Vec<_> = (0..20).map(|n| backend(n, 1)).collect();
    let before = selector(Policy::Ketama, &backends);
    let gone = backends.remove(7);
    let after = selector(Policy::Ketama, &backends);
    let mut moved = 0;
    for key in 0..5_000_u32 {
        let key = key.to_le_bytes();
        let old = pick(&before, &key, |_| true).unwrap();
        let new = pick(&after, &key, |_| true).unwrap();
        if old == gone {
            moved += 1;
            // The same place that the key fails over to while the target is only down.
            assert_eq!(pick(&before, &key, |b| *b != gone), Some(new));
        } else {
            assert_eq!(old, new);
        }
    }
    assert!((100..=500).contains(&moved), "{moved} of 5000 keys were on one of 20 targets");
}

#[test]
fn ketama_knows_unix_sockets_and_ipv6_and_bounds_its_ring() {
    let unix = std::os::unix::net::SocketAddr::from_pathname("/run/a.sock").unwrap();
    let mut backends = vec![
        Backend { addr: SocketAddr::Unix(unix), weight: 1, ext: Extensions::new() },
        Backend {
            addr: SocketAddr::Inet("[2001:db8::1]:80".parse().unwrap()),
            weight: 1,
            ext: Extensions::new(),
        },
    ];
    let counts = shares(&selector(Policy::Ketama, &backends), 2_000, |_| true);
    assert!(counts.len() == 2 && counts.values().all(|count| *count > 600), "{counts:?}");
    backends.extend((0..1000).map(|n| backend(n, 1000)));
    let ring = Ketama::build(&backends.into_iter().collect());
    assert!(ring.size() <= (1 << 20) + 2, "{}", ring.size());
}

#[test]
fn a_walk_meets_everyone_once() {
    for count in [1, 2, 3, 10, 97, 1000] {
        for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let mut walk = Walk::new(count, seed);
            let mut met: Vec<usize> = std::iter::from_fn(|| walk.next()).collect();
            met.sort_unstable();
            assert_eq!(met, (0..count).collect::<Vec<_>>());
        }
    }
    assert!(Walk::new(0, 7).next().is_none());
}
