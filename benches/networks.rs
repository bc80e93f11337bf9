//! Finding an address among 100,000 networks.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::diagnostic::{At, Diagnostics};
use portcullis::networks::Networks;

const COUNT: u32 = 100_000;

fn networks(c: &mut Criterion) {
    // Every second /24 from 1.0.0.0 on, so that none touch.
    let base = |index: u32| Ipv4Addr::from((1 << 24) + index * 512);
    let written: Vec<String> = (0..COUNT).map(|index| format!("{}/24", base(index))).collect();
    let set = Networks::compile(&written, &At::root(), &mut Diagnostics::new()).expect("networks");
    let hit = IpAddr::V4(Ipv4Addr::from(u32::from(base(70_003)) + 7));
    let miss = IpAddr::V4(Ipv4Addr::from(u32::from(base(70_003)) + 300));
    assert!(set.contains(hit) && !set.contains(miss));
    let mut group = c.benchmark_group("networks/100000");
    group.bench_function("hit", |b| b.iter(|| set.contains(black_box(hit))));
    group.bench_function("miss", |b| b.iter(|| set.contains(black_box(miss))));
    let mut state = 1_u32;
    group.bench_function("random", |b| {
        b.iter(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            set.contains(IpAddr::V4(Ipv4Addr::from(black_box((1 << 24) + state % (COUNT * 512)))))
        });
    });
    group.finish();
}

criterion_group!(benches, networks);
criterion_main!(benches);
