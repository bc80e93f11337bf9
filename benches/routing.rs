//! Route match with 10, 1,000 and 100,000 routes: one hot entry, and random draws.
//!
//! Random draws come from a list of the same length for each size, made beforehand, so that reading the
//! list costs the same each time and only the table differs.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portcullis::diagnostic::{At, Diagnostics};
use portcullis::hygiene::CleanTarget;
use portcullis::route::{Conditions, Found, Request, Rule, Table};

const SIZES: [u64; 3] = [10, 1_000, 100_000];
const DRAWS: usize = 1 << 14;

fn rule(path: &str, methods: &[String]) -> Rule {
    let (hosts, none) = (&[][..], &BTreeMap::new());
    let conditions = Conditions { hosts, path, exact: false, methods, headers: none, query: none };
    let mut diagnostics = Diagnostics::new();
    let rule = conditions.compile(&At::root(), &mut diagnostics);
    rule.unwrap_or_else(|| panic!("{}", diagnostics.render("bench")))
}

/// Services with a resource each, as `/service-7/items/{id}`.
fn table(size: u64) -> Table<u64> {
    let get = ["GET".to_owned()];
    let routes = (0..size).map(|n| {
        let path = format!("/service-{n}/items/{{id}}");
        (Arc::from(format!("service-{n}")), rule(&path, &get), n)
    });
    Table::build(routes.collect()).unwrap_or_else(|clashes| panic!("{clashes:?}"))
}

fn path(n: u64) -> String {
    format!("/service-{n}/items/4711/parts?page=2")
}

fn find(table: &Table<u64>, target: &CleanTarget<'_>, headers: &HeaderMap) -> u64 {
    let request = Request { host: "api.example.com", method: &Method::GET, target, headers };
    match table.find(&request) {
        Found::Route(matched) => *matched.value,
        other => panic!("{other:?}"),
    }
}

fn routing(c: &mut Criterion) {
    let headers = HeaderMap::new();
    let mut group = c.benchmark_group("routing");
    for size in SIZES {
        let table = table(size);
        let hot = path(size / 2);
        let hot = CleanTarget::parse(hot.as_bytes()).expect("a clean path");
        group.bench_with_input(BenchmarkId::new("hot", size), &table, |b, table| {
            b.iter(|| find(table, black_box(&hot), &headers));
        });

        // A fixed sequence (splitmix64), so that each run draws the same.
        let mut state = 7_u64;
        let draws: Vec<String> = (0..DRAWS)
            .map(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                path((mixed ^ (mixed >> 27)) % size)
            })
            .collect();
        let draws: Vec<_> = draws
            .iter()
            .map(|path| CleanTarget::parse(path.as_bytes()).expect("a clean path"))
            .collect();
        let mut next = draws.iter().cycle();
        group.bench_with_input(BenchmarkId::new("random", size), &table, |b, table| {
            b.iter(|| next.next().map(|target| find(table, target, &headers)));
        });
    }
    group.finish();

    let plain = path(7);
    c.bench_function("hygiene/plain", |b| {
        b.iter(|| CleanTarget::parse(black_box(plain.as_bytes())).is_ok());
    });
}

criterion_group!(benches, routing);
criterion_main!(benches);
