//! Against a real server, which each test starts for itself.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::{Builder, Handle, Runtime};

use super::*;
use crate::diagnostic::{At, Diagnostics};
use crate::limit::bucket::Bucket;
use crate::limit::decide::Key;

/// A server that keeps nothing on the disk, on a socket in a folder of its own.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/redis/redis-server");
        let program = if program.exists() { program } else { "redis-server".into() };
        let child = Command::new(program)
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("socket"))
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which scripts/install-deps test installs");
        Self { child, folder }
    }

    fn shared(&self, more: &str) -> Shared {
        let socket = self.folder.path().join("socket");
        let text = format!("redis: redis+unix://{}\ndeadline: 10s\n{more}", socket.display());
        let config = serde_yaml::from_str(&text).unwrap();
        let (mut diagnostics, read) = (Diagnostics::new(), |path: &Path| std::fs::read(path));
        let store = Store::compile(&config, None, &At::root(), &read, &mut diagnostics);
        Shared::new(store.expect("a store"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(shared: &Shared) {
    shared.store.start(&[Handle::current()]);
    assert!(shared.store.ready().await, "{:?}", shared.store.status());
}

fn draw(rate: &str, rule: u8) -> Draw {
    Draw {
        key: Key([rule.into(), 1]),
        crowd: Key([0, 0]),
        bucket: Bucket::of(rate.parse().expect(rate)),
        cost: 1,
        patience: 0,
        rule,
        observe: false,
    }
}

fn names(names: &[u8]) -> Names {
    names.iter().map(|name| [b'a' + name; 22]).collect()
}

/// One request: for each of its rules whose bucket it asks and how, and for each bucket its rate.
#[derive(Debug, Clone)]
struct Asking {
    rules: Vec<(u8, Vec<&'static str>, u64, u64, bool)>,
    pause: u64,
}

fn asking() -> impl Strategy<Value = Asking> {
    let rate = prop::sample::select(vec![
        "5/min",
        "3/s",
        "7/s burst 1",
        "100/s burst 50",
        "700000/s burst 3",
        "999983/s burst 40",
        "1/day burst 300",
        "7/hour burst 100",
    ]);
    let patience = prop::sample::select(vec![0, 1, 999_999, 1_500_000_000, 30_000_000_000]);
    let rule = (0_u8..3, prop::collection::vec(rate, 1..4), 1_u64..4, patience, any::<bool>());
    (prop::collection::vec(rule, 1..5), 0_u64..3).prop_map(|(rules, pause)| Asking { rules, pause })
}

/// Whatever is asked, the store keeps to the nanosecond what the rule of one process says.
#[test]
fn the_script_decides_as_one_process_does() {
    let (server, runtime) = (Server::start(), runtime());
    let shared = server.shared("");
    runtime.block_on(connect(&shared));
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let round = std::cell::Cell::new(0_u32);
    let run = |all: Vec<Asking>| {
        round.set(round.get() + 1);
        let mut model: HashMap<Vec<u8>, u64> = HashMap::new();
        for one in all {
            runtime.block_on(step(&shared, &one, round.get(), &mut model))?;
        }
        Ok(())
    };
    runner.run(&prop::collection::vec(asking(), 1..40), run).unwrap();
}

async fn step(
    shared: &Shared,
    asking: &Asking,
    round: u32,
    model: &mut HashMap<Vec<u8>, u64>,
) -> Result<(), TestCaseError> {
    tokio::time::sleep(Duration::from_millis(asking.pause)).await;
    let (mut draws, mut keys, mut called) = (Vec::new(), Vec::new(), Names::new());
    for (number, (who, rates, cost, patience, observe)) in (0_u8..).zip(&asking.rules) {
        // Another set of rates is another rule.
        let text = format!("{round:08}-{who}-{:011}", rates.iter().map(|r| r.len()).sum::<usize>());
        let name: Name = text.as_bytes().try_into().unwrap();
        if called.contains(&name) {
            continue;
        }
        let number = u8::try_from(called.len()).unwrap().min(number);
        called.push(name);
        for (place, rate) in rates.iter().enumerate() {
            let (cost, patience, observe) = (*cost, *patience, *observe);
            draws.push(Draw { cost, patience, observe, ..draw(rate, number) });
            keys.push(format!("{text}:{place}").into_bytes());
        }
    }
    let mut calls = Pipeline::new();
    shared.call(&mut calls, &draws, 0..draws.len(), &called, &[0; MOST]);
    let answers = shared
        .store
        .ask(0, &shared.script, &calls, shared.store.end(Instant::now()))
        .await
        .expect("an answer");
    let Value::Array(numbers) = &answers[0] else { panic!("{answers:?}") };
    let number = |index: usize| match &numbers[index] {
        Value::Int(number) => u64::try_from(*number).unwrap(),
        other => panic!("{other:?}"),
    };
    let now = number(0) * SECOND + number(1) * 1000;
    let mut moments = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let told = number(2 + index * 3) * SECOND + number(3 + index * 3);
        let known = model.get(key).copied().unwrap_or(0);
        // What is full again may be forgotten.
        prop_assert!(told == known || (told == 0 && known <= now), "{told} {known} {now}");
        moments.push(told);
    }
    let mut levels = vec![Level::default(); draws.len()];
    settle(&draws, &mut moments, now, &mut levels);
    for ((key, moment), level) in keys.into_iter().zip(moments).zip(levels) {
        if level.taken {
            model.insert(key, moment);
        }
    }
    Ok(())
}

#[test]
fn what_is_full_again_is_forgotten_and_not_before() {
    let (server, runtime) = (Server::start(), runtime());
    let shared = server.shared("");
    runtime.block_on(async {
        connect(&shared).await;
        let slow = draw("50/s burst 2", 0);
        let mut level = [Level::default()];
        let mut passed = 0;
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(300) {
            shared.take(0, &[slow], &names(&[0]), 0, &mut level).await.unwrap();
            passed += u32::from(level[0].taken);
        }
        let bound = 2 + u32::try_from(began.elapsed().as_millis() / 20).unwrap();
        assert!(passed <= bound, "{passed} of {bound}");
        let mut size = Pipeline::new();
        size.cmd("DBSIZE");
        let gone = async || {
            let answer = shared
                .store
                .ask(0, &shared.script, &size, shared.store.end(Instant::now()))
                .await
                .unwrap();
            answer == [Value::Int(0)]
        };
        while !gone().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn what_is_taken_ahead_is_given_once_and_runs_out() {
    let (server, runtime) = (Server::start(), runtime());
    let shared = server.shared("lease: 10s\n");
    let other = server.shared("lease: 10s\n");
    runtime.block_on(async {
        connect(&shared).await;
        connect(&other).await;
        // Nothing comes back while this runs.
        let bucket = [draw("1/s burst 300", 0)];
        let mut passed = 0;
        for turn in 0..1000_u64 {
            let by = if turn % 3 == 0 { &other } else { &shared };
            let mut level = [Level::default()];
            // A millisecond between two requests.
            let now = 1_000_000_000 + turn * 1_000_000;
            let word = match by.known(&bucket, now, &mut level) {
                Word::Unknown => {
                    by.take(0, &bucket, &names(&[0]), now, &mut level).await.unwrap();
                    level[0].taken
                }
                word => word == Word::Taken,
            };
            passed += u32::from(word);
        }
        assert!((295..=312).contains(&passed), "{passed}");
        let asked = shared.store.status().asked[0] + other.store.status().asked[0];
        assert!(asked < 100, "it was asked {asked} times");
    });
}

#[test]
fn a_bucket_is_called_by_a_digest_that_only_the_secret_gives() {
    let server = Server::start();
    let rule = |rate: &str| {
        let setting: crate::limit::Setting = serde_yaml::from_str(rate).unwrap();
        let mut builder = crate::limit::Builder::new(None);
        builder.rules(&setting, &At::root(), &mut Diagnostics::new()).unwrap()
    };
    let (a, b) = (rule("[ { rate: 5/s, per: ip } ]"), rule("[ { rate: 6/s, per: ip } ]"));
    let headers = http::HeaderMap::new();
    let subject = |last: u8| Subject {
        consumer: None,
        claims: None,
        address: std::net::IpAddr::from([192, 0, 2, last]),
        headers: &headers,
        method: &http::Method::GET,
        route: "r",
    };
    let secret = "secret: 0123456789abcdef\n";
    let mut all = Vec::new();
    for text in ["", secret] {
        let shared = server.shared(text);
        for rules in [&a, &b] {
            for last in [1, 2] {
                let rules = || rules.iter().map(|rule| &**rule);
                let names = shared.names(rules(), &subject(last));
                assert_eq!(names, server.shared(text).names(rules(), &subject(last)));
                all.push(names[0]);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8);
}

#[test]
fn what_is_asked_is_over_when_it_was_to_be_however_long_the_deadline() {
    let (server, runtime) = (Server::start(), runtime());
    let shared = server.shared("");
    runtime.block_on(async {
        connect(&shared).await;
        let mut calls = Pipeline::with_capacity(1);
        calls.cmd("BLPOP").arg("none").arg("0.3");
        let answer = shared.store.ask(0, &shared.script, &calls, Instant::now()).await;
        assert_eq!(answer.err(), Some(Trouble::Late));
        let end = shared.store.end(Instant::now());
        assert!(shared.store.ask(0, &shared.script, &calls, end).await.is_ok());
    });
}
