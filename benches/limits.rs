//! What it costs to ask a route's limits: one rate, and two rates of two rules, with 10 and with 1,000,000 live keys.
//!
//! `hot` asks for the same caller again and again; `random` draws one of all each time, so that the tables' memory is cold.
//! Then what it costs to tell the caller what is left, and what a good credential costs beside being looked up: a digest
//! of it, by which it is remembered, where nobody's fails and while somebody's do.

use std::hint::black_box;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portcullis::diagnostic::{At, Diagnostics};
use portcullis::limit::{Builder, Limits, Setting, Subject};

fn limits(yaml: &str) -> Arc<Limits> {
    let setting: Setting = serde_yaml::from_str(yaml).expect("sound limits");
    let mut builder = Builder::new(None);
    let at = At::root().key("limits");
    let rules = builder.rules(&setting, &at, &mut Diagnostics::new()).expect("sound limits");
    builder.limits(rules, true).expect("some limits")
}

fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    let headers = HeaderMap::new();
    for (name, yaml) in [
        // A bucket that takes long to fill stays in use, so that all keys are live.
        ("one", "[ { rate: 1000000/day, per: ip } ]"),
        ("two", "[ { rate: 1000000/day, per: ip }, { rate: 1000000/s, per: route } ]"),
    ] {
        for count in [10_u32, 1_000_000] {
            let limits = limits(yaml);
            let ask = |number: u32, now: Instant| {
                let subject = Subject {
                    consumer: None,
                    claims: None,
                    address: IpAddr::V4(Ipv4Addr::from_bits(number)),
                    headers: &headers,
                    method: &Method::GET,
                    route: "orders",
                };
                limits.take(&subject, now, None)
            };
            let mut now = Instant::now();
            (0..count).for_each(|number| drop(ask(number, now)));
            for random in [false, true] {
                let draw = if random { "random" } else { "hot" };
                let mut state = 0x9e37_79b9_7f4a_7c15_u64;
                group.bench_function(format!("{name}/{draw}/{count}"), |bencher| {
                    bencher.iter(|| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let number = u32::try_from(state % u64::from(count)).unwrap_or(0);
                        now += Duration::from_nanos(200);
                        black_box(ask(if random { number } else { count / 2 }, now))
                    });
                });
            }
        }
    }
    group.finish();
}

fn told(criterion: &mut Criterion) {
    let limits = limits("[ { rate: 1000000/day, per: ip } ]");
    let subject = Subject {
        consumer: None,
        claims: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        headers: &HeaderMap::new(),
        method: &Method::GET,
        route: "orders",
    };
    let decision = limits.take(&subject, Instant::now(), None);
    let standing = decision.standing.expect("a limit");
    criterion.bench_function("limits/told", |bencher| {
        bencher.iter(|| black_box(limits.fields(black_box(&standing))));
    });
}

fn credential(criterion: &mut Criterion) {
    let limiter = Builder::new(None).finish(Some("5/min".parse().expect("a rate")));
    let failures = &limiter.failures;
    let (address, other) = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::BROADCAST.into());
    let shown = |value: &'static [u8], address| {
        failures.credential(address, iter::once(black_box(value)), None).expect("something")
    };
    let now = Instant::now();
    for state in ["calm", "some-fail"] {
        if state == "some-fail" {
            failures.failed(other, shown(b"wrong", other), now);
        }
        criterion.bench_function(&format!("limits/credential/{state}"), |bencher| {
            bencher.iter(|| {
                let credential = shown(b"bench_4f9d2c6a81e7b35094c8d1f2a6e3b7c0", address);
                let wait = failures.wait(address, credential, now);
                failures.passed(credential);
                wait
            });
        });
    }
}

criterion_group!(benches, take, told, credential);
criterion_main!(benches);
