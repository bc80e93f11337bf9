use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use pingora::upstreams::peer::Peer;

use super::config::{Balance, Check, Health, TargetSpec};
use super::ejection::{FIRST, STREAK};
use super::*;
use crate::units::Period;

mod network;

fn no_files(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn config(targets: &[&str]) -> Config {
    let spec = |url: &&str| TargetSpec { url: (*url).to_owned(), weight: 1 };
    Config::to(targets.iter().map(spec).collect())
}

fn upstream(config: &Config) -> Arc<Upstream> {
    let mut diagnostics = Diagnostics::new();
    Upstream::compile("users", config, &At::root(), &no_files, &mut diagnostics)
        .unwrap_or_else(|| panic!("{}", diagnostics.render("f")))
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("10.0.{}.{}:80", n / 250, 1 + n % 250)).collect()
}

fn many(count: usize) -> Arc<Upstream> {
    let targets = numbered(count);
    upstream(&config(&targets.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn go(upstream: &Arc<Upstream>, now: Instant) -> Attempt {
    upstream.attempt(HashKey::NONE, &[], now).expect("a target is usable")
}

fn label(attempt: &Attempt) -> String {
    attempt.target().label().to_string()
}

/// The labels of this many requests that are answered well.
fn labels(upstream: &Arc<Upstream>, requests: usize, now: Instant) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..requests {
        let attempt = go(upstream, now);
        attempt.answered(200, now);
        *counts.entry(label(&attempt)).or_default() += 1;
    }
    counts
}

#[test]
fn requests_under_way_are_counted_until_the_attempt_ends() {
    let upstream = many(1);
    let now = Instant::now();
    let (one, two) = (go(&upstream, now), go(&upstream, now));
    assert_eq!(upstream.targets()[0].in_flight, 2);
    drop(one);
    assert_eq!(two.target().in_flight(), 1);
    drop(two);
    assert_eq!(upstream.targets()[0].in_flight, 0);
}

#[test]
fn a_target_that_refuses_leaves_at_once_and_a_retry_goes_elsewhere() {
    let upstream = many(2);
    let now = Instant::now();
    let first = go(&upstream, now);
    first.connect_failed(now);
    let second = upstream.attempt(HashKey::NONE, &[Arc::clone(first.target())], now).unwrap();
    assert!(!Arc::ptr_eq(first.target(), second.target()));
    assert_eq!(labels(&upstream, 50, now), HashMap::from([(label(&second), 50)]));
    let status = upstream.targets();
    let ejected = status.iter().find(|t| *t.label == *label(&first)).unwrap().ejected_until;
    let length = ejected.expect("it is ejected").duration_since(now).as_millis();
    assert!(length.abs_diff(u128::from(FIRST)) <= 1, "{length}");
}

#[test]
fn an_ejected_target_is_tried_by_one_request_and_comes_back() {
    let upstream = many(2);
    let now = Instant::now();
    let first = go(&upstream, now);
    first.connect_failed(now);
    let later = now + Duration::from_millis(FIRST + 1);
    let attempts: Vec<_> = (0..10).map(|_| go(&upstream, later)).collect();
    let trials: Vec<_> = attempts.iter().filter(|a| label(a) == label(&first)).collect();
    assert_eq!(trials.len(), 1, "one request may try");
    trials[0].answered(200, later);
    assert_eq!(labels(&upstream, 10, later).len(), 2, "it is back");
}

#[test]
fn half_of_the_targets_stay_whatever_happens() {
    for (targets, ejected) in [(1, 0), (2, 1), (3, 1), (4, 2), (9, 4)] {
        let upstream = many(targets);
        let now = Instant::now();
        for _ in 0..targets * 20 {
            go(&upstream, now).connect_failed(now);
        }
        let out = upstream.targets().iter().filter(|t| t.ejected_until.is_some()).count();
        assert_eq!(out, ejected, "of {targets}");
        go(&upstream, now);
    }
}

#[test]
fn the_last_target_that_the_probes_leave_is_not_ejected() {
    let upstream = many(4);
    for target in &upstream.known_targets()[1..] {
        target.healthy.store(false, Ordering::Relaxed);
    }
    let now = Instant::now();
    for index in [0, 1] {
        let target = Arc::clone(&upstream.known_targets()[index]);
        Attempt::new(Arc::clone(&upstream), target, Role::Normal, now).connect_failed(now);
    }
    let ejected: Vec<_> = upstream.targets().iter().map(|t| t.ejected_until.is_some()).collect();
    assert_eq!(ejected, [false, true, false, false]);
}

#[test]
fn a_streak_of_server_errors_ejects_and_other_answers_do_not() {
    let now = Instant::now();
    let ejected_by = |statuses: &[u16]| {
        let upstream = many(2);
        let attempt = go(&upstream, now);
        for status in statuses {
            attempt.answered(*status, now);
        }
        upstream.targets().iter().any(|t| t.ejected_until.is_some())
    };
    assert!(ejected_by(&[500, 502, 503, 504, 500]));
    assert!(!ejected_by(&[500, 502, 503, 504]));
    assert!(!ejected_by(&[500, 500, 500, 500, 404, 500, 500, 500, 500]));
    assert!(!ejected_by(&[501; 20]) && !ejected_by(&[429; 20]));
    let upstream = many(2);
    let attempt = go(&upstream, now);
    (0..STREAK).for_each(|_| attempt.broke(now));
    assert!(upstream.targets().iter().any(|t| t.ejected_until.is_some()));
}

#[test]
fn the_share_of_an_ejected_target_spreads_evenly() {
    let upstream = many(5);
    let now = Instant::now();
    go(&upstream, now).connect_failed(now);
    let counts = labels(&upstream, 1000, now);
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| count.abs_diff(250) <= 3), "{counts:?}");
}

/// Marks a target as its probes would.
fn probes_say(upstream: &Upstream, index: usize, healthy: bool) {
    let target = &upstream.known_targets()[index];
    let backends = upstream.balancer.backends();
    let all = backends.get_backend();
    let backend = all.iter().find(|b| b.addr == *target.address()).unwrap();
    backends.set_enable(backend, healthy);
}

#[test]
fn when_all_are_down_the_client_is_told_when_to_come_again() {
    let upstream = many(2);
    let now = Instant::now();
    go(&upstream, now).connect_failed(now);
    let ejected = upstream.targets().iter().position(|t| t.ejected_until.is_some()).unwrap();
    probes_say(&upstream, 1 - ejected, false);
    let refusal = upstream.attempt(HashKey::NONE, &[], now).map(|_| ()).unwrap_err();
    assert!((4_900..=5_100).contains(&refusal.retry_after.as_millis()), "{refusal:?}");
    upstream.pool.look_again_at(now + Duration::from_secs(2));
    let refusal = upstream.attempt(HashKey::NONE, &[], now).map(|_| ()).unwrap_err();
    assert!((1_999..=2_001).contains(&refusal.retry_after.as_millis()), "{refusal:?}");
    // The ejection ends while the probes still say no: one request tries, and brings it back.
    let later = now + Duration::from_millis(FIRST + 1);
    go(&upstream, later).answered(200, later);
    assert_eq!(labels(&upstream, 10, later).len(), 1);
}

#[test]
fn when_all_are_down_a_target_can_be_tried_anyway() {
    let now = Instant::now();
    let mut config = config(&["10.0.0.1:80", "10.0.0.2:80"]);
    config.when_all_down = WhenAllDown::TryAnyway;
    let upstream = upstream(&config);
    for index in 0..2 {
        probes_say(&upstream, index, false);
    }
    let first = go(&upstream, now);
    let second = upstream.attempt(HashKey::NONE, &[Arc::clone(first.target())], now).unwrap();
    assert!(!Arc::ptr_eq(first.target(), second.target()), "an untried one is preferred");
}

#[test]
fn a_single_target_can_be_tried_again() {
    let upstream = many(1);
    let now = Instant::now();
    let first = go(&upstream, now);
    first.connect_failed(now);
    let again = upstream.attempt(HashKey::NONE, &[Arc::clone(first.target())], now);
    assert!(again.is_ok_and(|again| Arc::ptr_eq(again.target(), first.target())));
}

#[test]
fn a_hash_key_sticks_and_requests_without_one_spread() {
    let mut config = config(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    config.balance = Balance::Hash(config::HashBy::Cookie("sid".to_owned()));
    let upstream = upstream(&config);
    assert_eq!(upstream.hash_key_source(), Some(&HashSource::Cookie("sid".to_owned())));
    let now = Instant::now();
    let to = |key| label(&upstream.attempt(key, &[], now).unwrap());
    let first = to(HashKey::of(b"abc"));
    assert!((0..20).all(|_| to(HashKey::of(b"abc")) == first));
    assert_eq!(labels(&upstream, 300, now).len(), 3);
    assert_eq!(many(1).hash_key_source(), None);
}

#[test]
fn the_peer_has_the_timeouts_but_no_more_than_what_is_left() {
    let mut config = config(&["https://10.0.0.1"]);
    config.protocol = config::Protocol::H2;
    let upstream = upstream(&config);
    let attempt = go(&upstream, Instant::now());
    let peer = attempt.peer(PeerWish::default());
    assert_eq!(peer.options.connection_timeout, Some(Duration::from_secs(2)));
    assert_eq!(peer.options.read_timeout, Some(Duration::from_secs(30)));
    assert_eq!(peer.options.idle_timeout, Some(Duration::from_secs(4)));
    assert_eq!((peer.options.alpn.get_min_http_version(), peer.options.max_h2_streams), (2, 100));
    let left = Some(Duration::from_millis(1500));
    let peer = attempt.peer(PeerWish { remaining: left, ..PeerWish::default() });
    let options = &peer.options;
    for timeout in [
        options.connection_timeout,
        options.total_connection_timeout,
        options.read_timeout,
        options.write_timeout,
    ] {
        assert_eq!(timeout, left);
    }
    let peer = attempt.peer(PeerWish { remaining: Some(Duration::ZERO), ..PeerWish::default() });
    assert_eq!(peer.options.read_timeout, Some(Duration::from_millis(1)));
}

#[test]
fn a_websocket_has_a_connection_of_its_own_that_may_rest() {
    let upstream = upstream(&config(&["10.0.0.1:80"]));
    let attempt = go(&upstream, Instant::now());
    let (switch, remaining) = (Some(Switch::default()), Some(Duration::ZERO));
    let wish = PeerWish { switch, remaining, ..PeerWish::default() };
    let (one, other) = (attempt.peer(wish.clone()), attempt.peer(wish));
    let timeouts = &one.options;
    assert!(timeouts.read_timeout > Some(Duration::from_secs(60)) && timeouts.custom_l4.is_some());
    assert_eq!(timeouts.write_timeout, Some(Duration::from_secs(30)));
    assert_eq!(timeouts.total_connection_timeout, Some(Duration::from_millis(1)));
    assert_ne!(one.reuse_hash(), other.reuse_hash());
    assert_ne!(one.reuse_hash(), attempt.peer(PeerWish::default()).reuse_hash());
}

#[test]
fn a_fresh_connection_is_neither_taken_from_the_pool_nor_kept() {
    let upstream = upstream(&config(&["10.0.0.1:80"]));
    let attempt = go(&upstream, Instant::now());
    let hash = |fresh| attempt.peer(PeerWish { fresh, ..PeerWish::default() }).reuse_hash();
    assert_eq!(hash(false), hash(false));
    let hashes = [hash(false), hash(true), hash(true)];
    assert_eq!(hashes.into_iter().collect::<std::collections::HashSet<_>>().len(), 3);
    let peer = attempt.peer(PeerWish { fresh: true, ..PeerWish::default() });
    assert_eq!(peer.options.idle_timeout, Some(Duration::ZERO));
}

/// A resolver whose answers the test sets.
type Answers = Arc<Mutex<Result<Vec<&'static str>, &'static str>>>;

fn resolved_by(config: &Config, answers: &Answers) -> Arc<Upstream> {
    let answers = Arc::clone(answers);
    let resolve: discovery::Resolve = Arc::new(move |host, port| {
        assert_eq!((host.as_str(), port), ("users.internal", 80));
        let answer = answers.lock().unwrap().clone();
        Box::pin(async move {
            let found = answer.map_err(io::Error::other)?;
            Ok(found
                .into_iter()
                .map(|ip| (ip.parse::<std::net::IpAddr>().unwrap(), port).into())
                .collect())
        })
    });
    let mut diagnostics = Diagnostics::new();
    let upstream =
        compile::compile("users", config, &At::root(), &no_files, resolve, &mut diagnostics);
    let upstream = upstream.expect("sound");
    upstream.online.store(true, Ordering::Release);
    upstream
}

async fn refresh(upstream: &Upstream) -> Vec<String> {
    upstream.balancer.update().await.expect("our discovery does not fail");
    upstream.pool.settle();
    upstream.targets().iter().map(|t| t.address.to_string()).collect()
}

#[tokio::test]
async fn names_become_all_their_addresses_and_the_last_good_ones_stay() {
    let answers: Answers = Arc::new(Mutex::new(Err("no such host")));
    let upstream = resolved_by(&config(&["http://users.internal", "10.0.0.9:80"]), &answers);
    assert_eq!(refresh(&upstream).await, ["10.0.0.9:80"], "a name that never resolved has none");

    *answers.lock().unwrap() = Ok(vec!["10.0.0.2", "10.0.0.1", "10.0.0.1", "2001:db8::1"]);
    let all = ["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80", "10.0.0.9:80"];
    assert_eq!(refresh(&upstream).await, all);
    assert_eq!(&*upstream.targets()[1].label, "http://users.internal");
    assert_eq!(upstream.known_targets()[0].authority(), "users.internal");

    for failure in [Err("timed out"), Ok(vec![])] {
        *answers.lock().unwrap() = failure;
        assert_eq!(refresh(&upstream).await, all, "a failure changes nothing");
    }
}

#[tokio::test]
async fn what_is_known_of_an_address_survives_a_new_resolution() {
    let answers: Answers = Arc::new(Mutex::new(Ok(vec!["10.0.0.1", "10.0.0.2"])));
    let upstream = resolved_by(&config(&["http://users.internal"]), &answers);
    refresh(&upstream).await;
    let now = Instant::now();
    let attempt = go(&upstream, now);
    attempt.connect_failed(now);
    let bad = attempt.target().address().to_string();
    *answers.lock().unwrap() = Ok(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(refresh(&upstream).await.len(), 3);
    let target = upstream.targets().into_iter().find(|t| t.address.to_string() == bad).unwrap();
    assert!(target.ejected_until.is_some());
    assert_eq!(target.in_flight, 1);
    *answers.lock().unwrap() = Ok(vec!["10.0.0.3"]);
    assert_eq!(refresh(&upstream).await, ["10.0.0.3:80"]);
    assert_eq!(label(&go(&upstream, now)), "http://users.internal");
}

#[tokio::test]
async fn two_names_of_one_address_are_one_target_with_the_weight_of_both() {
    let answers: Answers = Arc::new(Mutex::new(Ok(vec!["10.0.0.9"])));
    let upstream = resolved_by(&config(&["10.0.0.9:80", "http://users.internal"]), &answers);
    assert_eq!(refresh(&upstream).await, ["10.0.0.9:80"]);
    assert_eq!(upstream.targets()[0].weight, 2);
    assert_eq!(&*upstream.targets()[0].label, "10.0.0.9:80");
    go(&upstream, Instant::now());
}

#[test]
fn what_was_tried_or_drained_is_not_left_to_try() {
    let upstream = upstream(&config(&["10.0.0.1:80", "10.0.0.2:80"]));
    let targets = upstream.known_targets();
    assert!(upstream.has_untried(&[]) && upstream.has_untried(&targets[..1]));
    assert!(!upstream.has_untried(&targets));
    assert!(upstream.drain("10.0.0.2:80", true));
    assert!(!upstream.has_untried(&targets[..1]));
}
