//! What it costs to choose a target, by policy and number of targets.
//!
//! `hot` asks with one key again and again, `random` with a new key each time. Only the hash policy
//! looks at keys; for the others, both must be the same.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis::diagnostic::{At, Diagnostics};
use portcullis::upstream::config::{Balance, HashBy, TargetSpec};
use portcullis::upstream::{Config, HashKey, Upstream};

fn upstream(targets: u32, balance: Balance) -> Arc<Upstream> {
    let target = |n: u32| TargetSpec {
        url: format!("10.0.{}.{}:8000", n / 250, 1 + n % 250),
        weight: 1 + n % 3,
    };
    let config = Config { balance, ..Config::to((0..targets).map(target).collect()) };
    let no_files = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let mut diagnostics = Diagnostics::new();
    let upstream = Upstream::compile("bench", &config, &At::root(), &no_files, &mut diagnostics);
    upstream.expect("the configuration is sound")
}

/// A new number for each call, well spread.
fn next(state: &mut u64) -> [u8; 8] {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_le_bytes()
}

fn balance(criterion: &mut Criterion) {
    for (name, policy) in [
        ("round_robin", Balance::RoundRobin),
        ("random", Balance::Random),
        ("hash", Balance::Hash(HashBy::ClientIp)),
    ] {
        let mut group = criterion.benchmark_group(format!("balance/{name}"));
        for targets in [2, 1_000] {
            let upstream = upstream(targets, policy.clone());
            let now = Instant::now();
            group.bench_function(BenchmarkId::new("hot", targets), |bencher| {
                bencher.iter(|| upstream.attempt(HashKey::of(black_box(b"10.9.8.7")), &[], now));
            });
            let mut state = 0x9e37_79b9_7f4a_7c15;
            group.bench_function(BenchmarkId::new("random", targets), |bencher| {
                bencher.iter(|| {
                    let key = next(&mut state);
                    upstream.attempt(HashKey::of(black_box(&key)), &[], now)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, balance);
criterion_main!(benches);
