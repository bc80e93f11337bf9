//! What it costs to admit a request by its API key, with 10 and with 1,000,000 keys.
//!
//! `hot` sends the same key again and again; `random` draws one of all keys each time, so that the
//! keyring's memory is cold. Both make the header anew for each request, as a parser would.
//! `load` reads the file of 1,000,000 keys into a keyring.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis::auth::{
    self, ApiKeyConfig, Auth, ConsumersConfig, Guard, MethodConfig, MethodsConfig, Presented,
    digest,
};
use portcullis::diagnostic::{At, Diagnostics};

const HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// Keys of the length that `portcullis key new` makes.
fn key(number: u32, out: &mut [u8; 46]) {
    *out = *b"pk_abcdefghijklmnopqrstuvwxyzABCDEFGH000000000";
    // The slice has room for the nine digits.
    let _ = write!(&mut out[37..], "{number:09}");
}

fn file(count: u32) -> String {
    let mut text = String::with_capacity(count as usize * 90);
    let mut name = [0; 46];
    for number in 0..count {
        key(number, &mut name);
        text.push_str(&digest(std::str::from_utf8(&name).expect("ASCII")));
        let _ = writeln!(text, " consumer-{}", number % 1000);
    }
    text
}

fn load(text: &str) -> Auth {
    let config = ApiKeyConfig { keys_file: Some(PathBuf::from("keys")), ..Default::default() };
    let methods =
        [("key".to_owned(), MethodConfig { api_key: Some(config), ..MethodConfig::default() })];
    let read = |_: &Path| Ok(text.to_owned());
    let mut diagnostics = Diagnostics::new();
    auth::compile(
        &MethodsConfig(methods.into()),
        &ConsumersConfig::default(),
        None,
        &read,
        &mut diagnostics,
    )
    .expect("sound keys")
}

fn guard(auth: &Auth) -> Arc<Guard> {
    auth.guard(None, None, &At::root(), &mut Diagnostics::new()).expect("a guard")
}

fn admit(criterion: &mut Criterion) {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut group = criterion.benchmark_group("keys");
    for count in [10_u32, 1_000_000] {
        let guard = guard(&load(&file(count)));
        for random in [false, true] {
            let draw = if random { "random" } else { "hot" };
            let mut headers = HeaderMap::with_capacity(8);
            let mut name = [0; 46];
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            group.bench_function(format!("{draw}/{count}"), |bencher| {
                bencher.iter(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let number = u32::try_from(state % u64::from(count)).unwrap_or(0);
                    key(if random { number } else { count / 2 }, &mut name);
                    let value = HeaderValue::from_bytes(&name).expect("ASCII");
                    headers.insert(HEADER, value);
                    black_box(
                        guard
                            .admit(
                                &Presented {
                                    headers: &headers,
                                    certificate: None,
                                    request: None,
                                    settled: &[],
                                },
                                now,
                            )
                            .is_ok(),
                    )
                });
            });
            let admitted = guard
                .admit(
                    &Presented {
                        headers: &headers,
                        certificate: None,
                        request: None,
                        settled: &[],
                    },
                    now,
                )
                .expect("every key drawn is known");
            assert!(admitted.consumer().is_some());
        }
    }
    group.finish();
}

fn load_a_million(criterion: &mut Criterion) {
    let text = file(1_000_000);
    let mut group = criterion.benchmark_group("keys");
    group.sample_size(10);
    group.bench_function("load/1000000", |bencher| bencher.iter(|| black_box(load(&text))));
    group.finish();
}

criterion_group!(benches, admit, load_a_million);
criterion_main!(benches);
