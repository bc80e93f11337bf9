//! What it costs to check a request below the session: an ordinary head at once, in pieces, and bodies.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis::listen::Guard;

/// About 600 bytes, as a browser sends them.
const HEAD: &[u8] = b"GET /api/v1/users/4711/orders?page=2&sort=date HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-GB,en;q=0.8,de;q=0.5,fr;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/account/orders\r\n\
    X-Api-Key: secret002oUdaRJA\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=5f0c9f8e7d6c5b4a39281706f5e4d3c2; theme=dark; consent=essential\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-origin\r\n\r\n";

fn request(guard: &mut Guard, bytes: &[u8]) -> usize {
    guard.next();
    match guard.feed(black_box(bytes)) {
        Ok(passed) => passed,
        Err(flaw) => panic!("{flaw}"),
    }
}

fn guard(c: &mut Criterion) {
    let mut group = c.benchmark_group("guard");
    group.throughput(Throughput::Bytes(HEAD.len() as u64));
    group.bench_function("ordinary head", |b| {
        let mut guard = Guard::default();
        b.iter(|| request(&mut guard, HEAD));
    });
    let short = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    group.throughput(Throughput::Bytes(short.len() as u64));
    group.bench_function("short head", |b| {
        let mut guard = Guard::default();
        b.iter(|| request(&mut guard, short));
    });
    group.throughput(Throughput::Bytes(HEAD.len() as u64));
    group.bench_function("ordinary head in pieces of 100", |b| {
        let mut guard = Guard::default();
        b.iter(|| {
            guard.next();
            (100..HEAD.len() + 100)
                .step_by(100)
                .map(|end| guard.feed(black_box(&HEAD[..end.min(HEAD.len())])).unwrap_or(0))
                .sum::<usize>()
        });
    });
    let mut chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..16 {
        chunks.extend_from_slice(b"1000\r\n");
        chunks.extend_from_slice(&[b'x'; 4096]);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    group.throughput(Throughput::Bytes(chunks.len() as u64));
    group.bench_function("64 KiB in chunks of 4", |b| {
        let mut guard = Guard::default();
        b.iter(|| request(&mut guard, &chunks));
    });
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
