//! What it costs to ask a route's limits: one rate, and two rates of two rules, with 10 and with 1,000,000 live keys.
//!
//! `hot` asks for the same caller again and again; `random` draws one of all each time, so that the tables' memory is cold.

use std::hint::black_box;
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

criterion_group!(benches, take);
criterion_main!(benches);
