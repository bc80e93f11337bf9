use std::collections::BTreeMap;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{ADMIN, Held, admin, asks, digest, said, sent, shows};
use crate::support::{Client, Gateway, RawOrigin, eventually, get};

/// 64 clients at once find so many places, so many may wait, and the others are turned away.
#[tokio::test(flavor = "multi_thread")]
async fn places_and_queue_are_exact_for_routes_upstreams_and_targets() {
    for (route, upstream, cap) in [
        ("concurrency: { max: 8, queue: 16, wait: 10s }", "", "routes.all.concurrency"),
        ("", "concurrency: { max: 8, queue: 16, wait: 10s }", "upstreams.u.concurrency"),
        ("", "concurrency: { per_target: 8, queue: 16, wait: 10s }", "upstreams.u.concurrency"),
    ] {
        let held = Held::start().await;
        let gateway = Gateway::start(&format!(
            "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{}\" ], health: none, {upstream} }} }}\n\
             routes: {{ all: {{ path: /, to: u, auth: none, {route} }} }}\n",
            held.address()
        ))
        .await;
        let all: Vec<_> = (0..64).map(|_| asks(gateway.address(), "/", None)).collect();
        shows(admin(&gateway), "waiting", cap, 16).await;
        shows(admin(&gateway), "in_flight", cap, 8).await;
        shows(admin(&gateway), "limit", cap, 8).await;
        held.has(8).await;
        eventually("the others are told", async || {
            all.iter().filter(|one| one.is_finished()).count() == 40
        })
        .await;
        assert_eq!(said(admin(&gateway), cap, "normal", "shed").await, 40);
        held.answer(24);
        let mut answers = BTreeMap::new();
        for one in all {
            let answer = one.await.unwrap();
            *answers.entry(answer.status).or_insert(0) += 1;
            if answer.status == 503 {
                assert_eq!(answer.code(), "overloaded");
                assert_eq!(answer.header("retry-after"), "2");
            }
        }
        assert_eq!(answers, BTreeMap::from([(200, 24), (503, 40)]), "{cap}");
        assert_eq!(held.most(), 8, "{cap}");
        assert_eq!(said(admin(&gateway), cap, "normal", "waited").await, 16);
        shows(admin(&gateway), "in_flight", cap, 0).await;
        let lines = gateway.log(64).await;
        let shed = lines.iter().filter(|line| line["why"] == "overloaded" && line["limit"] == cap);
        assert_eq!(shed.count(), 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_ends_and_whoever_leaves_gives_up_the_place_in_the_queue() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        r#"
{ADMIN}
upstreams: {{ u: {{ targets: [ "{}" ], health: none }} }}
routes:
  short: {{ path: /short, to: u, auth: none, concurrency: {{ max: 1, queue: 1, wait: 1ms }} }}
  long: {{ path: /long, to: u, auth: none, concurrency: {{ max: 1, queue: 1, wait: 10s }} }}
"#,
        held.address()
    ))
    .await;
    let address = gateway.address();
    let (short, long) = ("routes.short.concurrency", "routes.long.concurrency");
    let first = asks(address, "/short", None);
    held.has(1).await;
    let late = get(address, "/short", &[]).await;
    assert_eq!((late.status, late.code().as_str()), (503, "overloaded"));
    let grpc = get(address, "/short", &[("Content-Type", "application/grpc")]).await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, "14"));
    assert_eq!(said(admin(&gateway), short, "normal", "shed").await, 2);

    let second = asks(address, "/long", None);
    held.has(2).await;
    let waiting = sent(address, "/long").await;
    shows(admin(&gateway), "waiting", long, 1).await;
    assert_eq!(get(address, "/long", &[]).await.status, 503, "the queue is full");
    drop(waiting);
    shows(admin(&gateway), "waiting", long, 0).await;
    let next = asks(address, "/long", None);
    shows(admin(&gateway), "waiting", long, 1).await;
    held.answer(3);
    for one in [first, second, next] {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(held.paths().len(), 3, "whoever left never came so far");
    let lines = gateway.log(7).await;
    let left = lines.iter().find(|line| line["why"] == "client_closed").expect("it is told");
    assert_eq!((&left["status"], &left["limit"]), (&499.into(), &long.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_its_place_frees_it() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{}\" ], health: none, concurrency: {{ max: 1, queue: 0 }} }} }}\n\
         routes: {{ all: {{ path: /, to: u, auth: none }} }}\n",
        held.address()
    ))
    .await;
    let cap = "upstreams.u.concurrency";
    let client = sent(gateway.address(), "/").await;
    held.has(1).await;
    assert_eq!(get(gateway.address(), "/", &[]).await.status, 503);
    drop(client);
    shows(admin(&gateway), "in_flight", cap, 0).await;
    let next = asks(gateway.address(), "/", None);
    held.has(2).await;
    held.answer(2);
    assert_eq!(next.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_websockets_have_their_places_until_they_end() {
    const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let begins = RawOrigin::with(async |mut stream: TcpStream| {
        let mut rest = [0; 16];
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf-";
        stream.write_all(head).await.unwrap();
        // Until somebody says that it shall go on, or leaves.
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await;
    })
    .await;
    let talks = RawOrigin::with(async |mut stream: TcpStream| {
        stream.write_all(SWITCH).await.unwrap();
        let mut rest = [0; 16];
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await;
        let _ = stream.shutdown().await;
    })
    .await;
    let gateway = Gateway::start(&format!(
        r#"
{ADMIN}
upstreams:
  streams: {{ targets: [ "{}" ], health: none, concurrency: {{ max: 1, queue: 0 }} }}
  talks: {{ targets: [ "{}" ], health: none, concurrency: {{ max: 1, queue: 0 }} }}
routes:
  streams: {{ path: /streams, to: streams, auth: none }}
  talks: {{ path: /talks, to: talks, auth: none }}
"#,
        begins.address, talks.address
    ))
    .await;
    let address = gateway.address();
    let mut stream = sent(address, "/streams").await;
    assert_eq!(stream.read_head().await.status, 200);
    assert_eq!(get(address, "/streams", &[]).await.status, 503);
    drop(stream);
    shows(admin(&gateway), "in_flight", "upstreams.streams.concurrency", 0).await;

    let mut talk = Client::connect(address).await;
    talk.write(
        b"GET /talks HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    assert_eq!(talk.read_head().await.status, 101);
    assert_eq!(get(address, "/talks", &[]).await.status, 503);
    talk.write(b"bye").await;
    assert!(talk.is_closed().await);
    shows(admin(&gateway), "in_flight", "upstreams.talks.concurrency", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_has_so_many_and_another_is_taken_while_one_is_full() {
    for balance in ["round_robin", "random", "{ hash: path }"] {
        let (one, two) = (Held::start().await, Held::start().await);
        let gateway = Gateway::start(&format!(
            "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{}\", \"{}\" ], health: none, balance: {balance}, \
             concurrency: {{ per_target: 2, wait: 10s }} }} }}\n\
             routes: {{ all: {{ path: /, to: u, auth: none }} }}\n",
            one.address(),
            two.address()
        ))
        .await;
        let cap = "upstreams.u.concurrency";
        let first: Vec<_> = (0..4).map(|_| asks(gateway.address(), "/", None)).collect();
        one.has(2).await;
        two.has(2).await;
        let second: Vec<_> = (0..3).map(|_| asks(gateway.address(), "/", None)).collect();
        shows(admin(&gateway), "waiting", cap, 3).await;
        // All places that become free are at one of the two.
        one.answer(2);
        shows(admin(&gateway), "waiting", cap, 1).await;
        one.has(2).await;
        one.answer(8);
        two.answer(8);
        for asked in first.into_iter().chain(second) {
            assert_eq!(asked.await.unwrap().status, 200, "{balance}");
        }
        assert_eq!((one.most(), two.most()), (2, 2), "{balance}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_elsewhere_takes_no_second_place() {
    let held = Held::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&format!(
        "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{closed}\", \"{}\" ], health: none, \
         concurrency: {{ max: 1, per_target: 1, queue: 0 }} }} }}\n\
         routes: {{ all: {{ path: /, to: u, auth: none, concurrency: {{ max: 1, queue: 0 }} }} }}\n",
        held.address()
    ))
    .await;
    for _ in 0..4 {
        let asked = asks(gateway.address(), "/", None);
        held.has(1).await;
        shows(admin(&gateway), "in_flight", "upstreams.u.concurrency", 1).await;
        held.answer(1);
        assert_eq!(asked.await.unwrap().status, 200);
        shows(admin(&gateway), "in_flight", "upstreams.u.concurrency", 0).await;
        shows(admin(&gateway), "in_flight", "routes.all.concurrency", 0).await;
    }
    let lines = gateway.log(4).await;
    assert!(lines.iter().any(|line| line["tries"] == 2), "one of them met the closed one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_has_as_many_as_its_plan_gives_it_on_all_routes_together() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        r#"
{ADMIN}
upstreams: {{ u: {{ targets: [ "{}" ], health: none }} }}
plans: {{ small: {{ concurrency: 2 }}, large: {{}} }}
consumers:
  a: {{ api_keys: "{}", plan: small }}
  b: {{ api_keys: "{}", plan: small }}
  c: {{ api_keys: "{}", plan: large }}
routes:
  one: {{ path: /one, to: u }}
  two: {{ path: /two, to: u }}
"#,
        held.address(),
        digest("a"),
        digest("b"),
        digest("c"),
    ))
    .await;
    let ask = |path: &str, name: &str| asks(gateway.address(), path, Some(name));
    let mut passed = vec![ask("/one", "a"), ask("/two", "a")];
    held.has(2).await;
    let refused = ask("/one", "a").await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_at_once"));
    assert_eq!(refused.header("retry-after"), "1");
    passed.extend([ask("/one", "b"), ask("/two", "b"), ask("/one", "c"), ask("/one", "c")]);
    passed.push(ask("/one", "c"));
    held.has(7).await;
    held.answer(7);
    for one in passed {
        assert_eq!(one.await.unwrap().status, 200);
    }
    held.answer(1);
    eventually("a has places again", async || ask("/one", "a").await.unwrap().status == 200).await;
    let cap = "plans.small.concurrency";
    assert!(said(admin(&gateway), cap, "normal", "shed").await >= 1);
    let lines = gateway.log(9).await;
    assert!(lines.iter().any(|line| line["why"] == "too_many_at_once" && line["limit"] == cap));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_important_are_let_in_first_and_the_least_important_make_room() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        r#"
{ADMIN}
upstreams:
  u: {{ targets: [ "{}" ], health: none, concurrency: {{ max: 1, queue: 4, wait: 10s }} }}
plans: {{ gold: {{ priority: high }}, free: {{ priority: low }} }}
consumers:
  gold: {{ api_keys: "{}", plan: gold }}
  none: {{ api_keys: "{}" }}
  free: {{ api_keys: "{}", plan: free }}
routes: {{ all: {{ path: /, to: u }} }}
"#,
        held.address(),
        digest("gold"),
        digest("none"),
        digest("free"),
    ))
    .await;
    let cap = "upstreams.u.concurrency";
    let mut passed = vec![asks(gateway.address(), "/first", Some("none"))];
    held.has(1).await;
    let mut queued = Vec::new();
    for (path, name) in
        [("/free-1", "free"), ("/free-2", "free"), ("/none", "none"), ("/gold-1", "gold")]
    {
        queued.push(asks(gateway.address(), path, Some(name)));
        shows(admin(&gateway), "waiting", cap, queued.len() as u64).await;
    }
    let displaced = queued.remove(1);
    passed.extend(queued);
    passed.push(asks(gateway.address(), "/gold-2", Some("gold")));
    let displaced = displaced.await.unwrap();
    assert_eq!((displaced.status, displaced.header("retry-after")), (503, "4"));
    shows(admin(&gateway), "waiting", cap, 4).await;
    let late = asks(gateway.address(), "/free-3", Some("free")).await.unwrap();
    assert_eq!((late.status, late.header("retry-after")), (503, "4"));
    held.answer(5);
    for one in passed {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(held.paths(), ["/first", "/gold-1", "/gold-2", "/none", "/free-1"]);
    assert_eq!(said(admin(&gateway), cap, "low", "shed").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_only_looks_on_lets_all_pass_and_tells_which() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{}\" ], health: none }} }}\n\
         routes: {{ all: {{ path: /, to: u, auth: none, concurrency: {{ max: 1, observe: true }} }} }}\n",
        held.address()
    ))
    .await;
    let all: Vec<_> = (0..3).map(|_| asks(gateway.address(), "/", None)).collect();
    held.has(3).await;
    held.answer(3);
    for one in all {
        assert_eq!(one.await.unwrap().status, 200);
    }
    let cap = "routes.all.concurrency";
    assert_eq!(said(admin(&gateway), cap, "normal", "observed").await, 2);
    let lines = gateway.log(3).await;
    let observed =
        |line: &&serde_json::Value| line["observed"] == "overloaded" && line["limit"] == cap;
    assert_eq!(lines.iter().filter(observed).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_at_targets_that_are_only_looked_at_keep_nobody_out() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{}\" ], health: none, \
         concurrency: {{ per_target: 1, observe: true }} }} }}\n\
         routes: {{ all: {{ path: /, to: u, auth: none }} }}\n",
        held.address()
    ))
    .await;
    let all: Vec<_> = (0..3).map(|_| asks(gateway.address(), "/", None)).collect();
    held.has(3).await;
    held.answer(3);
    for one in all {
        assert_eq!(one.await.unwrap().status, 200);
    }
    let cap = "upstreams.u.concurrency";
    assert_eq!(said(admin(&gateway), cap, "normal", "observed").await, 2);
    assert_eq!(said(admin(&gateway), cap, "normal", "shed").await, 0);
}

/// One that stands in `defaults` or in a policy is one for all routes that have it from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_defaults_or_of_a_policy_is_shared_by_its_routes() {
    let held = Held::start().await;
    let gateway = Gateway::start(&format!(
        r#"
{ADMIN}
upstreams: {{ u: {{ targets: [ "{}" ], health: none }} }}
policies: {{ dear: {{ concurrency: {{ max: 1, queue: 0 }} }} }}
defaults: {{ auth: none, concurrency: {{ max: 2, queue: 0 }} }}
routes:
  a: {{ path: /a, to: u }}
  b: {{ path: /b, to: u }}
  said: {{ path: /said, respond: {{ status: 200 }} }}
  c: {{ path: /c, to: u, use: dear }}
  d: {{ path: /d, to: u, use: dear }}
  own: {{ path: /own, to: u, use: dear, concurrency: {{ max: 1, queue: 0 }} }}
  free: {{ path: /free, to: u, concurrency: none }}
  health: {{ path: /health, health: true }}
"#,
        held.address()
    ))
    .await;
    let mut passed = Vec::new();
    let ask = |path: &'static str| asks(gateway.address(), path, None);
    for (count, path) in (1..).zip(["/a", "/b", "/c", "/own", "/free", "/free"]) {
        passed.push(ask(path));
        held.has(count).await;
    }
    let (all, dear) = ("defaults.concurrency", "policies.dear.concurrency");
    let refused = [("/a", all), ("/said", all), ("/b", all), ("/c", dear), ("/d", dear)];
    for (path, _) in refused {
        assert_eq!(ask(path).await.unwrap().status, 503, "{path}");
    }
    assert_eq!(ask("/own").await.unwrap().status, 503);
    assert_eq!(ask("/health").await.unwrap().status, 200);
    for (cap, limit, count) in [(all, 2, 3), (dear, 1, 2), ("routes.own.concurrency", 1, 1)] {
        shows(admin(&gateway), "in_flight", cap, limit).await;
        assert_eq!(said(admin(&gateway), cap, "normal", "shed").await, count, "{cap}");
    }
    // Each cap is shown once.
    let page = get(admin(&gateway), "/metrics", &[("Host", "localhost")]).await;
    let page = page.text();
    assert_eq!(page.matches("portcullis_concurrency_limit{").count(), 3, "{page}");
    held.answer(6);
    for one in passed {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(ask("/said").await.unwrap().status, 200);
    let log = gateway.log(14).await;
    for (path, cap) in refused {
        let is = |line: &&serde_json::Value| {
            line["path"] == path && line["why"] == "overloaded" && line["limit"] == cap
        };
        assert!(log.iter().any(|line| is(&line)), "{path} {cap} {log:?}");
    }
}
