//! Clients that are slow, silent or half gone: each is cut when it is due, and told so where it may listen. Those that
//! only wait, for an upstream or for each other, are not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use super::metric;
use crate::support::gateway::TestSources;
use crate::support::{Client, Gateway, Origin, PATIENCE, RawOrigin};

/// Longer than any of the timeouts below.
const LONG: Duration = Duration::from_millis(1500);

/// A gateway whose clients have little time.
fn strict(origin: SocketAddr, listener: &str) -> Gateway {
    Gateway::start_file(
        &format!(
            "version: 1\nworkers: 2\n\
             listeners: {{ public: {{ address: \"127.0.0.1:0\", {listener} }} }}\n\
             logs: {{ access: ${{LOG}} }}\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
             upstreams: {{ origin: {{ targets: [ \"{origin}\" ], health: none }} }}\n\
             routes: {{ all: {{ path: /, to: origin, auth: none }} }}\n"
        ),
        &TestSources::default(),
    )
}

const SHORT: &str = "timeouts: { head: 500ms, idle: 500ms, stall: 500ms }";

async fn refused(gateway: &Gateway, reason: &str) -> u64 {
    metric(gateway, &format!("portcullis_clients_refused_total{{reason=\"{reason}\"}}")).await
}

/// Sends this again and again, until it can't be sent any more.
async fn drip(mut stream: tokio::net::tcp::OwnedWriteHalf, part: &'static [u8]) {
    let mut ticks = interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        if stream.write_all(part).await.is_err() {
            return;
        }
    }
}

/// What comes until the connection ends.
async fn to_the_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // The end may be a reset, where the client was still sending.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_cut_without_a_word() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, SHORT);
    for part in [&b""[..], b"\r\n"] {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(part).await.unwrap();
        assert_eq!(to_the_end(&mut stream).await, "");
    }
    assert_eq!(refused(&gateway, "silent").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_or_stalls_is_answered_408() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, SHORT);
    for (begin, part) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], Some(&b"y"[..])),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", Some(b"X: y\r\n")),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", None),
        (b"G", None),
    ] {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        write.write_all(begin).await.unwrap();
        // Without a part it is held, since dropping it would end the client's side.
        let (dripping, _held) = match part {
            Some(part) => (Some(tokio::spawn(drip(write, part))), None),
            None => (None, Some(write)),
        };
        let answer = to_the_end(&mut read).await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
        if let Some(dripping) = dripping {
            drop(read);
            dripping.await.unwrap();
        }
    }
    for line in gateway.log(4).await {
        assert_eq!(
            (&line["status"], &line["detail"]),
            (&408.into(), &"slow_head".into()),
            "{line}"
        );
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_is_closed_when_it_rests_too_long() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, SHORT);
    for behind in [&b""[..], b"\r\n"] {
        let mut client = Client::connect(gateway.address()).await;
        let answer = client.ask("GET", "/", &[]).await;
        assert_eq!(answer.header("connection"), "keep-alive");
        client.write(behind).await;
        assert!(client.is_closed().await);
    }
    assert_eq!(refused(&gateway, "idle").await, 2);
    assert_eq!(gateway.log(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_or_stalls_is_answered_408_and_its_upstream_is_let_go() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, SHORT);
    for (framing, begin, part) in [
        ("Content-Length: 100000", &b""[..], Some(&b"y"[..])),
        ("Content-Length: 10", b"abc", None),
        ("Transfer-Encoding: chunked", b"", Some(b"1\r\ny\r\n")),
        ("Transfer-Encoding: chunked", b"5\r\nab", None),
    ] {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        write.write_all(&[head.as_bytes(), begin].concat()).await.unwrap();
        // Without a part it is held, since dropping it would end the client's side.
        let (dripping, _held) = match part {
            Some(part) => (Some(tokio::spawn(drip(write, part))), None),
            None => (None, Some(write)),
        };
        let answer = to_the_end(&mut read).await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{framing}: {answer}");
        if let Some(dripping) = dripping {
            drop(read);
            dripping.await.unwrap();
        }
    }
    for line in gateway.log(4).await {
        assert_eq!(
            (&line["why"], &line["detail"]),
            (&"request_timeout".into(), &"slow_body".into())
        );
    }
    assert_eq!(refused(&gateway, "slow_body").await, 4);
    assert!(origin.seen().iter().all(|seen| seen.body.len() < 1000), "no body came to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_cut() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[b'x'; 1 << 13]).await.is_ok() {}
    })
    .await;
    let gateway = strict(origin.address, SHORT);
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["why"]), (&200.into(), &"client_closed".into()), "{line}");
    assert_eq!(line["detail"], "slow_reader", "{line}");
    assert_eq!(refused(&gateway, "slow_reader").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_and_reads_at_a_fair_rate_may_take_its_time() {
    let origin = Origin::with(|seen| {
        http::Response::new(http_body_util::Full::from(seen.body.len().to_string()))
    })
    .await;
    // Each piece gives back what waiting for it has used up.
    let gateway = strict(origin.address, "timeouts: { stall: 2s }, min_rate: 1KiB");
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n").await;
    let mut ticks = interval(Duration::from_millis(200));
    for _ in 0..16 {
        ticks.tick().await;
        client.write(&[b'x'; 4096]).await;
    }
    assert_eq!(client.read(false).await.text(), "65536");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_an_upstream_is_not_held_against_the_client() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        // It takes its time to read, and then to answer.
        tokio::time::sleep(LONG).await;
        // Some of the body may have come with the head.
        let mut rest = vec![0; 1 << 20];
        while let Ok(length @ 1..) = stream.read(&mut rest).await {
            if rest[length - 1] == b'.' {
                break;
            }
        }
        tokio::time::sleep(LONG).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let gateway = Gateway::start_file(
        &format!(
            "version: 1\nworkers: 2\n\
             listeners: {{ public: {{ address: \"127.0.0.1:0\", {SHORT} }} }}\n\
             logs: {{ access: ${{LOG}} }}\n\
             upstreams: {{ origin: {{ targets: [ \"{}\" ], health: none }} }}\n\
             routes: {{ all: {{ path: /, to: origin, auth: none, body_limit: 16MiB }} }}\n",
            origin.address
        ),
        &TestSources::default(),
    );
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n").await;
    client.write(&vec![b'x'; (16 << 20) - 1]).await;
    client.write(b".").await;
    assert_eq!(client.read(false).await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_may_rest_and_may_speak_before_it_is_answered() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..length].to_ascii_uppercase()).await.unwrap();
        }
    })
    .await;
    // A busy machine may take its time over the head; it is afterwards that the client rests.
    let patient = "timeouts: { head: 60s, idle: 500ms, stall: 500ms }";
    let gateway = strict(origin.address, patient);
    let mut client = Client::connect(gateway.address()).await;
    // What follows the request is no request, and would be refused as one.
    client
        .write(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\0early\n",
        )
        .await;
    assert_eq!(client.read(false).await.status, 101);
    client.see(b"\0EARLY\n").await;
    tokio::time::sleep(LONG).await;
    client.write(b"\x81\n\nlate").await;
    client.see(b"\x81\n\nLATE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_whose_sender_leaves_is_answered_if_it_listens() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, SHORT);
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = to_the_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["path"], &line["detail"]), (&"/".into(), &"cut_head".into()), "{line}");
    // Who leaves without having begun is no news.
    drop(TcpStream::connect(gateway.address()).await.unwrap());
    assert_eq!(Client::connect(gateway.address()).await.ask("GET", "/", &[]).await.status, 200);
    assert_eq!(gateway.log(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_in_order_after_its_share_of_requests_or_of_time() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, "max_requests: 3");
    let mut client = Client::connect(gateway.address()).await;
    for connection in ["keep-alive", "keep-alive", "close"] {
        assert_eq!(client.ask("GET", "/", &[]).await.header("connection"), connection);
    }
    assert!(client.is_closed().await);

    let gateway = strict(origin.address, "timeouts: { age: 300ms }");
    let mut client = Client::connect(gateway.address()).await;
    while client.ask("GET", "/", &[]).await.header("connection") == "keep-alive" {}
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_ones_leave_room_for_others_and_are_all_cut() {
    let origin = Origin::start("a").await;
    let gateway = strict(origin.address, "timeouts: { head: 2s, idle: 2s, stall: 2s }");
    let mut slow = Vec::new();
    for _ in 0..50 {
        for begin in [
            &b""[..],
            b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            stream.write_all(begin).await.unwrap();
            slow.push(stream);
        }
    }
    let mut client = Client::connect(gateway.address()).await;
    for _ in 0..50 {
        assert_eq!(client.ask("GET", "/", &[]).await.status, 200);
    }
    for mut stream in slow {
        to_the_end(&mut stream).await;
    }
    for reason in ["silent", "slow_head", "slow_body", "idle"] {
        assert!(refused(&gateway, reason).await >= 50, "{reason}");
    }
}
