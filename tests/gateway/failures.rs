//! What clients see of instances that die, and what they never see.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::process::Backend;
use crate::support::{Answer, Client, Gateway, Origin, RawOrigin, eventually, get, send};

/// Clients that ask without a pause.
const CLIENTS: usize = 8;

/// What the clients of a load saw.
#[derive(Default)]
struct Tally {
    gets: AtomicUsize,
    posts: AtomicUsize,
    /// POSTs whose answer was not 200: allowed, as the instance may have died over them.
    lost_posts: AtomicUsize,
    /// GETs that failed.
    failures: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Tally {
    fn gets(&self) -> usize {
        self.gets.load(Ordering::Relaxed)
    }
}

/// One client: keep-alive, three GETs to one POST, answers that take up to 12 ms, so that a kill always
/// meets requests under way.
async fn client(number: usize, address: std::net::SocketAddr, tally: Arc<Tally>) {
    let mut client = Client::connect(address).await;
    for turn in 0.. {
        if tally.stop.load(Ordering::Relaxed) {
            return;
        }
        let target = format!("/work?ms={}", (number + turn) % 13);
        let is_post = turn % 4 == 3;
        let body = if is_post { format!("{number}-{turn}") } else { String::new() };
        let method = if is_post { "POST" } else { "GET" };
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n");
        let sent = client.try_write(format!("{head}\r\n{body}").as_bytes()).await;
        let answer = if sent { client.read_any(false).await } else { None };
        let good = answer.as_ref().is_some_and(|a| a.status == 200 && a.complete);
        match (is_post, good) {
            (true, true) => tally.posts.fetch_add(1, Ordering::Relaxed),
            (true, false) => tally.lost_posts.fetch_add(1, Ordering::Relaxed),
            (false, true) => tally.gets.fetch_add(1, Ordering::Relaxed),
            (false, false) => {
                let told = answer.as_ref().map(|a| (a.status, String::from_utf8_lossy(&a.body)));
                tally.failures.lock().unwrap().push(format!("GET {target}: {told:?}"));
                0
            }
        };
        if !good || answer.is_some_and(|a| a.header("connection") == "close") {
            client = Client::connect(address).await;
        }
    }
}

/// Waits until this many more GETs were answered.
async fn go_on(tally: &Tally, gets: usize) {
    let goal = tally.gets() + gets;
    eventually("the load goes on", async || tally.gets() >= goal).await;
}

fn two_targets(first: &Backend, second: &Backend) -> String {
    format!(
        r#"
upstreams:
  users:
    targets: [ "{}", "{}" ]
    health: {{ every: 100ms, timeout: 1s }}
    timeouts: {{ connect: 2s }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
        first.address, second.address
    )
}

async fn both_answer(gateway: &Gateway) {
    let mut names = HashSet::new();
    eventually("both instances answer", async || {
        let answer = get(gateway.address(), "/", &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        names.insert(answer.text().to_owned());
        names.len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_one_of_two_instances_fails_no_get_and_doubles_no_post() {
    let mut backends = [Backend::start("one").await, Backend::start("two").await];
    let gateway = Gateway::start(&two_targets(&backends[0], &backends[1])).await;
    let tally = Arc::new(Tally::default());
    let mut load = JoinSet::new();
    for number in 0..CLIENTS {
        load.spawn(client(number, gateway.address(), tally.clone()));
    }
    let rounds = 6;
    for round in 0..rounds {
        go_on(&tally, 150).await;
        let (victim, other) = if round % 2 == 0 { ("one", "two") } else { ("two", "one") };
        backends[round % 2].kill();
        go_on(&tally, 150).await;
        // It has left the rotation: nobody is sent there any more, and still everybody is answered.
        for _ in 0..10 {
            let answer = get(gateway.address(), "/", &[]).await;
            assert_eq!((answer.status, answer.text()), (200, other), "{victim} is dead");
        }
        backends[round % 2].restart().await;
        both_answer(&gateway).await;
    }
    tally.stop.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        client.unwrap();
    }

    let failures = tally.failures.lock().unwrap().clone();
    let (gets, posts) = (tally.gets(), tally.posts.load(Ordering::Relaxed));
    let lost = tally.lost_posts.load(Ordering::Relaxed);
    println!("{rounds} kills: {gets} GETs, {} failed; {posts} POSTs, {lost} lost", failures.len());
    assert_eq!(failures, [] as [String; 0]);
    // A POST under way on each connection may die with its instance, and no other.
    assert!(lost <= rounds * CLIENTS, "{lost} POSTs were lost");

    let seen: Vec<_> = backends.iter().flat_map(Backend::posts).collect();
    let once: HashSet<_> = seen.iter().collect();
    assert_eq!(seen.len(), once.len(), "a POST was sent twice");
    assert!(seen.len() >= posts);

    // Only what met the dead instance was tried again: it left the rotation at once.
    let log = gateway.log(gets + posts).await;
    let again = log.iter().filter(|line| line["tries"].as_u64() > Some(1)).count();
    println!("{again} of {} requests were tried again", log.len());
    assert!(again <= rounds * 3 * CLIENTS, "{again} requests were tried again");
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_instances_dead_there_is_a_503_and_their_return_is_noticed() {
    let mut backends = [Backend::start("one").await, Backend::start("two").await];
    let gateway = Gateway::start(&two_targets(&backends[0], &backends[1])).await;
    both_answer(&gateway).await;
    let mut codes = HashSet::new();
    for _ in 0..3 {
        for backend in &mut backends {
            backend.kill();
        }
        let begun = std::time::Instant::now();
        for method in ["GET", "POST", "GET", "PUT"] {
            let answer = send(gateway.address(), method, "/", &[], b"x").await;
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=30).contains(&seconds));
            codes.insert(answer.code());
        }
        // Each of the four had the connect timeout; all of them together kept within it.
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
        eventually("the probes notice", async || {
            let code = get(gateway.address(), "/", &[]).await.code();
            codes.insert(code.clone());
            code == "no_healthy_target"
        })
        .await;
        for backend in &mut backends {
            backend.restart().await;
        }
        eventually("there is an answer again", async || {
            get(gateway.address(), "/", &[]).await.status == 200
        })
        .await;
        both_answer(&gateway).await;
    }
    let known = ["upstream_unreachable".to_owned(), "no_healthy_target".to_owned()];
    assert!(codes.iter().all(|code| known.contains(code)), "{codes:?}");
}

/// An origin that reads a request whole, counts it, and hangs up.
async fn hangs_up() -> (RawOrigin, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let noted = count.clone();
    let origin = RawOrigin::with(move |stream: TcpStream| {
        noted.fetch_add(1, Ordering::Relaxed);
        async move { drop(stream) }
    })
    .await;
    (origin, count)
}

fn quiet(first: std::net::SocketAddr, second: std::net::SocketAddr, more: &str) -> String {
    format!(
        r#"
upstreams: {{ users: {{ targets: [ "{first}", "{second}" ], health: none, {more} }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_done_again_only_if_that_changes_nothing() {
    for (method, again) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
    ] {
        let (broken, count) = hangs_up().await;
        let good = Origin::start("good").await;
        let gateway = Gateway::start(&quiet(broken.address, good.address, "")).await;
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let answer = send(gateway.address(), method, "/", &[], b"0123456789").await;
            if answer.status == 502 && method != "HEAD" {
                assert_eq!(answer.code(), "upstream_broken");
            }
            statuses.push(answer.status);
        }
        statuses.sort_unstable();
        let expected = if again { [200, 200] } else { [200, 502] };
        assert_eq!(statuses, expected, "{method}");
        let broken = count.load(Ordering::Relaxed);
        assert!(if again { broken >= 1 } else { broken == 1 }, "{method}: {broken}");
        // The second try had the whole body.
        assert!(good.seen().iter().all(|seen| seen.body == "0123456789"), "{method}");
        assert_eq!(good.seen().len(), if again { 2 } else { 1 }, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_no_reason_to_lose_a_post() {
    let good = Origin::start("good").await;
    let dead = Origin::start("dead").await.kill().await;
    let gateway = Gateway::start(&quiet(dead, good.address, "")).await;
    for n in 0..4 {
        let answer = send(gateway.address(), "POST", "/", &[], b"once").await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
    }
    let bodies: Vec<_> = good.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["once"; 4]);
    let tries: Vec<_> = gateway.log(4).await.iter().map(|l| l["tries"].as_u64().unwrap()).collect();
    assert_eq!(tries.iter().sum::<u64>(), 5, "only the first met the dead one: {tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_retries_means_one_try() {
    let (broken, count) = hangs_up().await;
    let good = Origin::start("good").await;
    let gateway = Gateway::start(&quiet(broken.address, good.address, "retries: { max: 0 }")).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(gateway.address(), "/", &[]).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert_eq!(count.load(Ordering::Relaxed), 2);
    assert!(gateway.log(4).await.iter().all(|line| line["tries"] == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_sent_whole_again_is_never_sent_again() {
    // Larger than what is kept for another try; read in full before the connection is dropped.
    let body = vec![b'x'; 200 << 10];
    let reads = Arc::new(AtomicUsize::new(0));
    let read = reads.clone();
    let breaks = move |mut stream: TcpStream| {
        let read = read.clone();
        async move {
            let mut sink = vec![0; 64 << 10];
            let mut got = 0;
            while got < 150 << 10 {
                match stream.read(&mut sink).await {
                    Ok(n @ 1..) => got += n,
                    _ => return,
                }
            }
            read.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (one, two) = (RawOrigin::with(breaks.clone()).await, RawOrigin::with(breaks).await);
    let gateway = Gateway::start(&quiet(one.address, two.address, "retries: { max: 3 }")).await;
    for (method, n) in [("PUT", 1), ("POST", 2), ("DELETE", 3)] {
        let answer = send(gateway.address(), method, "/", &[], &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"), "{method}");
        assert_eq!(reads.load(Ordering::Relaxed), n, "{method}");
    }
    assert_eq!(one.heads().len() + two.heads().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_connection_that_the_origin_closed_fails_nobody() {
    const KEPT: usize = 6;
    // It answers one request on a connection and hangs up on the second: the worst moment to close an idle one.
    // Its first answers come together, so that as many connections are kept, more than there are tries.
    let served = Arc::new(AtomicUsize::new(0));
    let together = Arc::new(Barrier::new(KEPT));
    let count = served.clone();
    let fickle = RawOrigin::with(move |mut stream: TcpStream| {
        let (count, together) = (count.clone(), together.clone());
        async move {
            if count.fetch_add(1, Ordering::Relaxed) < KEPT {
                together.wait().await;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    })
    .await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ], health: none }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
        fickle.address
    ))
    .await;
    let mut first = JoinSet::new();
    for _ in 0..KEPT {
        let address = gateway.address();
        first.spawn(async move { get(address, "/", &[]).await.status });
    }
    assert_eq!(first.join_all().await, [200; KEPT]);
    for n in 0..20 {
        let answer = get(gateway.address(), "/", &[]).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{n}");
    }
    assert_eq!(served.load(Ordering::Relaxed), KEPT + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_passed_on_as_broken() {
    for cut in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let one = RawOrigin::saying(cut).await;
        let two = RawOrigin::saying(cut).await;
        let gateway = Gateway::start(&quiet(one.address, two.address, "")).await;
        let mut client = Client::connect(gateway.address()).await;
        let answer = client.ask("GET", "/", &[]).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.complete, "a cut answer looks whole: {answer:?}");
        assert!(client.is_closed().await);
        // What has begun cannot be tried again.
        assert_eq!(one.heads().len() + two.heads().len(), 1);
        let log = gateway.log(1).await;
        assert_eq!(log[0]["why"], "upstream_broken");
    }
}

/// An origin that answers with this status and its name.
async fn answering(status: u16, name: &'static str) -> Origin {
    Origin::with(move |_| {
        Response::builder()
            .status(status)
            .body(Full::new(Bytes::from_static(name.as_bytes())))
            .unwrap()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_server_errors_in_a_row_eject_but_never_more_than_half() {
    let good = answering(200, "good").await;
    let sick = [answering(500, "a").await, answering(503, "b").await, answering(502, "c").await];
    let gateway = Gateway::start(&format!(
        r#"
upstreams:
  users: {{ targets: [ "{}", "{}", "{}", "{}" ], health: none }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
        good.address, sick[0].address, sick[1].address, sick[2].address
    ))
    .await;
    // In turn, each sick one has had its five after 20; what an origin answers is passed on, not tried again.
    let mut bad = 0;
    for _ in 0..20 {
        bad += usize::from(get(gateway.address(), "/", &[]).await.status >= 500);
    }
    assert_eq!(bad, 15);
    let before: Vec<_> = sick.iter().map(|origin| origin.seen().len()).collect();
    assert_eq!(before, [5, 5, 5]);
    for _ in 0..20 {
        get(gateway.address(), "/", &[]).await;
    }
    let after: Vec<_> = sick.iter().map(|origin| origin.seen().len()).collect();
    let ejected = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    assert_eq!(ejected, 2, "two of four are out, the third is borne: {after:?}");
    assert_eq!(good.seen().len(), 5 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_errors_and_a_single_target_are_never_ejected() {
    for (status, turns) in [(404, 30), (501, 30), (500, 30)] {
        let only = answering(status, "only").await;
        let gateway = Gateway::start(&format!(
            r#"
upstreams: {{ users: {{ targets: [ "{}" ], health: none }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
            only.address
        ))
        .await;
        for _ in 0..turns {
            let answer: Answer = get(gateway.address(), "/", &[]).await;
            assert_eq!((answer.status, answer.text()), (status, "only"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_down_one_is_tried_anyway_if_asked_for() {
    for (word, code) in [("unavailable", 503), ("try_anyway", 200)] {
        // The health check fails, the traffic would be served.
        let sick = Origin::with(|seen| {
            let status = if seen.target == "/health" { 500 } else { 200 };
            Response::builder().status(status).body(Full::new(Bytes::from_static(b"sick"))).unwrap()
        })
        .await;
        let gateway = Gateway::start(&format!(
            r#"
upstreams:
  users:
    targets: [ "{}" ]
    health: {{ path: /health, every: 100ms, unhealthy_after: 1 }}
    when_all_down: {word}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
            sick.address
        ))
        .await;
        eventually("the probe has failed", async || {
            sick.seen().iter().filter(|seen| seen.target == "/health").count() >= 2
        })
        .await;
        let answer = get(gateway.address(), "/", &[]).await;
        assert_eq!(answer.status, code, "{word}");
        if code == 503 {
            assert_eq!(answer.code(), "no_healthy_target");
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_used_again_once_it_listens() {
    let good = Origin::start("good").await;
    let address = Origin::start("gone").await.kill().await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams:
  users: {{ targets: [ "{address}", "{}" ], health: {{ every: 100ms }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
        good.address
    ))
    .await;
    for _ in 0..10 {
        assert_eq!(get(gateway.address(), "/", &[]).await.text(), "good");
    }
    let back =
        Origin::bind(address, |_| Response::new(Full::new(Bytes::from_static(b"back")))).await;
    eventually("it is back in rotation", async || {
        get(gateway.address(), "/", &[]).await.text() == "back"
    })
    .await;
    assert!(!back.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_target_that_could_not_be_connected_to() {
    let dead = Origin::start("dead").await.kill().await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{dead}" ], health: none, retries: {{ max: 0 }} }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#
    ))
    .await;
    assert_eq!(get(gateway.address(), "/", &[]).await.code(), "upstream_unreachable");
    let line = &gateway.log(1).await[0];
    assert_eq!(line["target"], dead.to_string(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_finds_the_one_that_listens() {
    let good = Origin::start("good").await;
    let mut targets = Vec::new();
    for _ in 0..4 {
        targets.push(format!("\"{}\"", Origin::start("dead").await.kill().await));
    }
    targets.push(format!("\"{}\"", good.address));
    let gateway = Gateway::start(&format!(
        r"
upstreams: {{ users: {{ targets: [ {} ], health: none, retries: {{ max: 1 }} }} }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
",
        targets.join(", ")
    ))
    .await;
    for n in 0..10 {
        let answer = send(gateway.address(), "POST", "/", &[], b"once").await;
        assert_eq!((answer.status, answer.text()), (200, "good"), "{n}");
    }
    assert_eq!(good.seen().len(), 10);
}
