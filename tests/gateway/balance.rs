//! Who gets a request: the policies over live traffic, what probes say, and every kind of address.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::Full;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::support::stream::{Catch, Caught, serve, together};
use crate::support::{Client, Gateway, Origin, eventually, get, send};

async fn gateway(upstream: &str) -> Gateway {
    Gateway::start(&format!(
        r"
trusted_proxies: [ 127.0.0.1 ]
upstreams: {{ users: {{ {upstream} }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"
    ))
    .await
}

async fn four() -> [Origin; 4] {
    [
        Origin::start("a").await,
        Origin::start("b").await,
        Origin::start("c").await,
        Origin::start("d").await,
    ]
}

fn list(origins: &[Origin]) -> String {
    let targets: Vec<_> = origins.iter().map(|origin| format!("\"{}\"", origin.address)).collect();
    format!("targets: [ {} ]", targets.join(", "))
}

/// How many of so many requests each target got.
async fn spread(gateway: &Gateway, requests: usize) -> HashMap<String, usize> {
    let mut client = Client::connect(gateway.address()).await;
    let mut counts = HashMap::new();
    for _ in 0..requests {
        let answer = client.ask("GET", "/", &[]).await;
        assert_eq!(answer.status, 200);
        *counts.entry(answer.text().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_is_even_and_keeps_the_weights() {
    let origins = four().await;
    let even = gateway(&format!("{}, health: none", list(&origins))).await;
    let counts = spread(&even, 40).await;
    assert!(counts.len() == 4 && counts.values().all(|n| *n == 10), "{counts:?}");

    let weighted = gateway(&format!(
        "targets: [ {{ url: \"{}\", weight: 5 }}, \"{}\", {{ url: \"{}\", weight: 2 }} ], health: none",
        origins[0].address, origins[1].address, origins[2].address
    ))
    .await;
    let counts = spread(&weighted, 80).await;
    assert_eq!((counts["a"], counts["b"], counts["c"]), (50, 10, 20), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_reaches_everybody_about_equally() {
    let origins = four().await;
    let gateway = gateway(&format!("{}, balance: random, health: none", list(&origins))).await;
    let counts = spread(&gateway, 400).await;
    // 100 each, with a standard deviation of 9: 40 is beyond any luck.
    assert!(counts.len() == 4 && counts.values().all(|n| (60..=140).contains(n)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_sends_the_same_key_to_the_same_target() {
    let origins = four().await;
    for by in ["{ header: x-user }", "{ cookie: session }", "client_ip", "path"] {
        let upstream = format!("{}, balance: {{ hash: {by} }}, health: none", list(&origins));
        let gateway = gateway(&upstream).await;
        let mut reached = HashSet::new();
        for key in 0..40 {
            let (name, value, path) = match by {
                "{ header: x-user }" => ("x-user", format!("user-{key}"), "/".to_owned()),
                "{ cookie: session }" => {
                    ("cookie", format!("a=b; session=s{key}; c=d"), "/".into())
                }
                "client_ip" => ("x-forwarded-for", format!("192.0.2.{key}"), "/".to_owned()),
                _ => ("x-nothing", "1".to_owned(), format!("/files/{key}")),
            };
            let mut of_this_key = HashSet::new();
            for turn in 0..3 {
                // What is not the key changes nothing.
                let path = if by == "path" { format!("{path}?{turn}") } else { format!("/{turn}") };
                let answer = get(gateway.address(), &path, &[(name, &value)]).await;
                of_this_key.insert(answer.text().to_owned());
            }
            assert_eq!(of_this_key.len(), 1, "{by}: {value} {path}");
            reached.extend(of_this_key);
        }
        assert_eq!(reached.len(), 4, "{by}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_key_are_spread() {
    let origins = four().await;
    let upstream = format!("{}, balance: {{ hash: {{ header: x-user }} }}", list(&origins));
    assert_eq!(spread(&gateway(&upstream).await, 100).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_target_dies_only_its_keys_move() {
    let origins = four().await;
    let upstream =
        format!("{}, balance: {{ hash: {{ header: x-user }} }}, health: none", list(&origins));
    let gateway = gateway(&upstream).await;
    let all = async || {
        let mut places = Vec::new();
        for key in 0..60 {
            let answer = get(gateway.address(), "/", &[("x-user", &key.to_string())]).await;
            assert_eq!(answer.status, 200);
            places.push(answer.text().to_owned());
        }
        places
    };
    let before = all().await;
    let [a, _b, _c, _d] = origins;
    a.kill().await;
    let after = all().await;
    assert!(before.iter().any(|place| place == "a"));
    for (before, after) in before.iter().zip(&after) {
        assert!(if before == "a" { after != "a" } else { before == after }, "{before} {after}");
    }
}

/// An origin whose health is a status that a test sets.
async fn moody(name: &'static str) -> (Origin, Arc<AtomicU16>) {
    let health = Arc::new(AtomicU16::new(200));
    let status = health.clone();
    let origin = Origin::with(move |seen| {
        let status =
            if seen.target == "/healthz?full" { status.load(Ordering::Relaxed) } else { 200 };
        Response::builder()
            .status(status)
            .body(Full::new(Bytes::from_static(name.as_bytes())))
            .unwrap()
    })
    .await;
    (origin, health)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_takes_a_sick_target_out_and_back() {
    let ((one, health), (two, _)) = (moody("one").await, moody("two").await);
    let gateway = gateway(&format!(
        r#"
    targets: [ "{}", "{}" ],
    health: {{ path: "/healthz?full", every: 100ms, expect: [ 200-204, 404 ] }},
    gateway_secret: {{ value: "${{env:NONE:-s3cret-7q3z}}" }},
    host: users.internal
"#,
        one.address, two.address
    ))
    .await;
    let both = async || spread(&gateway, 4).await.len() == 2;
    assert!(both().await);
    for (sick, well) in [(503, 200), (302, 404), (205, 204), (401, 200)] {
        health.store(sick, Ordering::Relaxed);
        eventually(&format!("{sick} takes it out"), async || !both().await).await;
        assert_eq!(spread(&gateway, 4).await["two"], 4);
        health.store(well, Ordering::Relaxed);
        eventually(&format!("{well} brings it back"), both).await;
    }
    // A probe comes as traffic does.
    let probe = one.seen().into_iter().find(|seen| seen.target == "/healthz?full").unwrap();
    assert_eq!(probe.header("x-api-key"), "s3cret-7q3z");
    assert_eq!(probe.header("host"), "users.internal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_is_resolved() {
    let origin = Origin::start("named").await;
    let port = origin.address.port();
    let gateway = gateway(&format!("targets: [ \"localhost:{port}\" ], host: target")).await;
    for _ in 0..4 {
        assert_eq!(get(gateway.address(), "/", &[]).await.text(), "named");
    }
    assert_eq!(origin.last().header("host"), format!("localhost:{port}"));
    let log = gateway.log(4).await;
    assert_eq!(log[0]["target"], format!("localhost:{port}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_is_a_503() {
    let gateway = gateway("targets: [ \"no-such-host.invalid:80\" ]").await;
    let answer = get(gateway.address(), "/", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_healthy_target"));
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_address_is_a_target_like_any_other() {
    let any: SocketAddr = "[::1]:0".parse().unwrap();
    let origin = Origin::bind(any, |_| Response::new(Full::new(Bytes::from_static(b"six")))).await;
    let upstream =
        format!("targets: [ \"{}\" ], host: target, health: {{ every: 100ms }}", origin.address);
    let gateway = gateway(&upstream).await;
    for _ in 0..4 {
        assert_eq!(get(gateway.address(), "/", &[]).await.text(), "six");
    }
    assert_eq!(origin.last().header("host"), origin.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let caught = Catch::default();
    let mut tasks = JoinSet::new();
    let seen = caught.clone();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(stream, false, "unix", number, seen.clone()));
        }
    });
    let upstream = format!("targets: [ \"unix:{}\" ], health: {{ every: 100ms }}", path.display());
    let gateway = gateway(&upstream).await;
    for body in [&b""[..], b"a body"] {
        let answer = send(gateway.address(), "POST", "/path?q=1", &[], body).await;
        assert_eq!((answer.status, answer.text()), (200, "unix"));
        let last = caught.lock().unwrap().last().unwrap().clone();
        assert_eq!((last.host.as_str(), last.path.as_str()), ("gateway.test", "/path?q=1"));
        assert_eq!(last.body, body);
    }
    assert_eq!(gateway.log(2).await[0]["target"], format!("unix:{}", path.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_is_spoken_where_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let caught = Catch::default();
    let seen = caught.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(stream, true, "two", number, seen.clone()));
        }
    });
    let gateway = gateway(&format!("targets: [ \"{address}\" ], protocol: h2, health: none")).await;
    for (method, body) in [("GET", &b""[..]), ("POST", b"hello"), ("DELETE", b"")] {
        let answer =
            send(gateway.address(), method, "/a%20b?q=1", &[("te", "trailers")], body).await;
        assert_eq!((answer.status, answer.text()), (200, "two"), "{method}");
        let last = caught.lock().unwrap().last().unwrap().clone();
        assert_eq!((last.version, last.path.as_str()), (Version::HTTP_2, "/a%20b?q=1"));
        assert_eq!(last.host, "gateway.test");
        assert_eq!(last.body, body);
        for hop in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
            assert!(last.headers.get(hop).is_none(), "{hop}");
        }
    }
    // Side by side they share a connection, one for each of the two workers. Each comes when the one before it is
    // known to be on its way: of two that come at the same instant, the second may open a connection of its own.
    let all = 20;
    let mut clients = JoinSet::new();
    for number in 1..=all {
        let address = gateway.address();
        let target = format!("/together?{all}");
        clients.spawn(async move { get(address, &target, &[]).await.status });
        eventually("it is on its way", async || together(&caught) == number).await;
    }
    assert!(clients.join_all().await.iter().all(|status| *status == 200));
    let side_by_side = |c: &&Caught| c.path.starts_with("/together");
    let connections: HashSet<_> =
        caught.lock().unwrap().iter().filter(side_by_side).map(|c| c.connection).collect();
    assert!(connections.len() <= 2, "{connections:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_targets_see_is_chosen() {
    let origin = Origin::start("x").await;
    let own = origin.address.to_string();
    for (word, host) in [
        ("preserve", "api.example.com:81"),
        ("target", own.as_str()),
        ("users.internal", "users.internal"),
    ] {
        let upstream = format!("targets: [ \"{own}\" ], host: {word}, health: none");
        let gateway = gateway(&upstream).await;
        get(gateway.address(), "/", &[("Host", "api.example.com:81")]).await;
        let seen = origin.last();
        assert_eq!(seen.header("host"), host, "{word}");
        assert_eq!(seen.headers.get_all("host").iter().count(), 1);
        assert_eq!(seen.header("x-forwarded-host"), "api.example.com:81");
    }
}
