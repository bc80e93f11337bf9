//! What it costs to hold a request to a document: the operation, its parameters, and a body of about 1 KiB.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use portcullis::diagnostic::{At, Diagnostics};
use portcullis::validate::{Config, Documents, Head, Unknown};

const DOCUMENT: &str = include_str!("../conf/examples/orders-openapi.json");

/// An order of so many items.
fn order(items: usize, qty: i64) -> Vec<u8> {
    let item = serde_json::json!({ "sku": "AB-1234", "qty": qty });
    let order = serde_json::json!({ "items": vec![item; items], "note": "x".repeat(100) });
    order.to_string().into_bytes()
}

fn validate(c: &mut Criterion) {
    let read = |_: &Path| Ok(DOCUMENT.as_bytes().to_vec());
    let config = Config { openapi: "orders.json".into(), unknown: Unknown::Refuse, observe: false };
    let mut diagnostics = Diagnostics::new();
    let compiled = Documents::new(&read).compile(&config, &At::root(), &mut diagnostics);
    let validation = compiled.expect("a sound document");
    let mut headers = HeaderMap::new();
    let get = Head {
        method: &Method::GET,
        path: "/",
        query: Some("limit=10&state=open"),
        has_body: None,
    };
    c.bench_function("validate/parameters", |b| {
        b.iter(|| {
            let matched = validation.find(black_box(&get)).expect("known").expect("one");
            matched.judge(&get, &headers, &headers).is_ok()
        });
    });
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let post = Head { method: &Method::POST, path: "/", query: None, has_body: Some(true) };
    for (name, body) in
        [("1KiB", order(30, 1)), ("1KiB_refused", order(30, 0)), ("64KiB_refused", order(2300, 0))]
    {
        c.bench_function(&format!("validate/body_{name}_{}_bytes", body.len()), |b| {
            b.iter(|| {
                let matched = validation.find(black_box(&post)).expect("known").expect("one");
                let check = matched.judge(&post, &headers, &headers).expect("fits").expect("one");
                check.judge(black_box(&body)).is_ok()
            });
        });
    }
}

criterion_group!(benches, validate);
criterion_main!(benches);
