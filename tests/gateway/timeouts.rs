//! Nothing is waited for without end, and who was slow is told by the answer's code.
//!
//! Timeouts here are short where they are to fire and long where they are not, so that a slow machine does
//! not change which one it is.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::{Client, Gateway, Origin, RawOrigin, eventually, get, send};

async fn gateway(targets: &[SocketAddr], more: &str) -> Gateway {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    Gateway::start(&format!(
        r"
upstreams: {{ slow: {{ targets: [ {} ], health: none, {more} }} }}
routes: {{ all: {{ path: /, to: slow, auth: none }} }}
",
        targets.join(", ")
    ))
    .await
}

/// Takes requests and never says a word.
async fn silent() -> RawOrigin {
    RawOrigin::with(async |stream: TcpStream| {
        sleep(Duration::from_secs(600)).await;
        drop(stream);
    })
    .await
}

/// An address that answers no connection attempt: its queue is full, and the kernel drops what comes.
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl BlackHole {
    fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let waiting = std::iter::repeat_with(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket
                .connect_timeout(&address.into(), Duration::from_millis(200))
                .is_ok()
                .then_some(socket)
        });
        let waiting = waiting.take(64).map_while(|socket| socket).collect::<Vec<_>>();
        assert!(waiting.len() < 64, "the queue does not fill up");
        Self { address, _listener: listener, _waiting: waiting }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_answer_costs_the_connect_timeout_and_no_more() {
    let hole = BlackHole::open();
    let gateway =
        gateway(&[hole.address], "timeouts: { connect: 200ms }, retries: { max: 0 }").await;
    let answer = get(gateway.address(), "/", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
    assert_eq!(gateway.log(1).await[0]["tries"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_connected_to_in_time_leaves_the_rotation() {
    let hole = BlackHole::open();
    let good = Origin::start("good").await;
    let gateway = gateway(&[hole.address, good.address], "timeouts: { connect: 200ms }").await;
    for _ in 0..6 {
        // Nothing was sent to the one that did not answer, so even a POST goes on to the other.
        let answer = send(gateway.address(), "POST", "/", &[], b"x").await;
        assert_eq!((answer.status, answer.text()), (200, "good"));
    }
    let tries: u64 = gateway.log(6).await.iter().map(|l| l["tries"].as_u64().unwrap()).sum();
    assert_eq!(tries, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_says_nothing_is_a_timeout() {
    let (one, two) = (silent().await, silent().await);
    let gateway = gateway(&[one.address, two.address], "timeouts: { read: 200ms }").await;
    for (method, tries) in [("POST", 1), ("GET", 2)] {
        let answer = send(gateway.address(), method, "/", &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"), "{method}");
        let log = gateway.log(tries).await;
        assert_eq!(log.last().unwrap()["tries"], tries, "{method}");
        assert_eq!(log.last().unwrap()["why"], "upstream_timeout");
    }
    // A target that was given up may read what it was sent only now.
    eventually("3 tries", async || one.heads().len() + two.heads().len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_is_cut() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let stalls = RawOrigin::with(move |mut stream: TcpStream| async move {
            stream.write_all(answer).await.unwrap();
            sleep(Duration::from_secs(600)).await;
        })
        .await;
        let gateway = gateway(&[stalls.address], "timeouts: { read: 1s }").await;
        let mut client = Client::connect(gateway.address()).await;
        let answer = client.ask("GET", "/", &[]).await;
        assert_eq!((answer.status, answer.complete, answer.text()), (200, false, "half"));
        assert!(client.is_closed().await);
        assert_eq!(gateway.log(1).await[0]["why"], "upstream_timeout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tries_together_have_one_deadline() {
    let (one, two) = (silent().await, silent().await);
    let more = "timeouts: { read: 200ms, total: 1400ms }, retries: { max: 10 }";
    let gateway = gateway(&[one.address, two.address], more).await;
    let answer = get(gateway.address(), "/", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "deadline_exceeded"));
    let log = gateway.log(1).await;
    let tries = log[0]["tries"].as_u64().unwrap();
    assert!((2..=10).contains(&tries), "{tries} tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_try_has_no_more_than_the_deadline() {
    let one = silent().await;
    let gateway = gateway(&[one.address], "timeouts: { total: 300ms }").await;
    let answer = get(gateway.address(), "/", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "deadline_exceeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_trickles_is_cut_at_the_deadline() {
    let trickles = RawOrigin::with(async |mut stream: TcpStream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b".").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let gateway = gateway(&[trickles.address], "timeouts: { total: 1s }").await;
    let answer = get(gateway.address(), "/", &[]).await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!(gateway.log(1).await[0]["why"], "deadline_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_nothing_is_a_timeout() {
    // Nobody accepts: the kernel takes the connection and as much of the body as its buffers hold.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(4096).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(16).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let gateway = gateway(&[address], "timeouts: { write: 300ms, read: 1s }").await;
    let mut client = Client::connect(gateway.address()).await;
    let length = 9 << 20;
    let head = format!("PUT / HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n");
    client.write(head.as_bytes()).await;
    client.try_write(&vec![b'x'; length]).await;
    // An answer could still come: a target may refuse a body before it has read it. It is waited for, once.
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
}

/// Reads whatever comes and answers once the client says `end`.
async fn patient() -> RawOrigin {
    RawOrigin::with(async |mut stream: TcpStream| {
        let mut sink = [0; 4096];
        let mut last = Vec::new();
        loop {
            match stream.read(&mut sink).await {
                Ok(n @ 1..) => last.extend_from_slice(&sink[..n]),
                _ => return,
            }
            if last.windows(5).any(|w| w == b"0\r\n\r\n") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await
}

const UPLOAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_is_no_slow_target() {
    let origin = patient().await;
    let gateway = gateway(&[origin.address], "timeouts: { read: 1s }").await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(UPLOAD).await;
    // Three times as long as the target may be silent, but never silent itself.
    for _ in 0..30 {
        client.write(b"1\r\n.\r\n").await;
        sleep(Duration::from_millis(100)).await;
    }
    client.write(b"0\r\n\r\n").await;
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_is_told_so_and_no_target_is_blamed() {
    let (one, two) = (patient().await, patient().await);
    let gateway = gateway(&[one.address, two.address], "timeouts: { read: 100ms }").await;
    for n in 1..=12 {
        let mut client = Client::connect(gateway.address()).await;
        client.write(UPLOAD).await;
        client.write(b"1\r\n.\r\n").await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
        assert!(client.is_closed().await);
        drop(client);
        let log = gateway.log(n).await;
        assert_eq!(
            (&log[n - 1]["why"], &log[n - 1]["tries"]),
            (&"request_timeout".into(), &1.into())
        );
    }
    // Twelve would have been enough to eject one of them. Each reads what it was sent when it gets to it.
    eventually("6 each", async || (one.heads().len(), two.heads().len()) == (6, 6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_trickles_ends_at_the_deadline() {
    let origin = patient().await;
    let gateway = gateway(&[origin.address], "timeouts: { total: 400ms }").await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(UPLOAD).await;
    // For ten times as long as the deadline.
    for _ in 0..200 {
        if !client.try_write(b"1\r\n.\r\n").await {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let log = gateway.log(1).await;
    assert_eq!(log[0]["why"], "deadline_exceeded");
    assert_eq!(log[0]["status"], 504);
    assert!(log[0]["bytes_in"].as_u64() < Some(200), "{}", log[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_a_client_takes_to_hang_up_is_not_the_requests() {
    let one = silent().await;
    let gateway = gateway(&[one.address], "timeouts: { total: 200ms }").await;
    let mut client = Client::connect(gateway.address()).await;
    assert_eq!(client.ask("GET", "/", &[]).await.status, 504);
    // The client keeps its end open, and the gateway listens for a while before it closes its own.
    let log = gateway.log(1).await;
    assert!(log[0]["duration_ms"].as_f64() < Some(1500.0), "{}", log[0]);
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_less_time_than_it_may_take_is_not_ejected_for_it() {
    let (one, two) = (silent().await, silent().await);
    let gateway = gateway(&[one.address, two.address], "timeouts: { total: 100ms }").await;
    // Six for each, and five bad answers in a row would eject.
    for _ in 0..12 {
        assert_eq!(get(gateway.address(), "/", &[]).await.code(), "deadline_exceeded");
    }
    // Which of them were asked, and not what they have read by now.
    let log = gateway.log(12).await;
    let asked = |origin: &RawOrigin| {
        let target = origin.address.to_string();
        log.iter().filter(|line| line["target"] == target.as_str()).count()
    };
    assert_eq!((asked(&one), asked(&two)), (6, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_failed_request_does_not_wait_for_the_client_to_hang_up() {
    let one = silent().await;
    let mut gateway = gateway(&[one.address], "timeouts: { total: 100ms }").await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n").await;
    assert_eq!(client.read(false).await.status, 504);
    // The client neither sends nor closes. It holds up neither the line nor a stop.
    let asked = std::time::Instant::now();
    assert_eq!(gateway.log(1).await[0]["status"], 504);
    gateway.ask_to_stop();
    assert!(gateway.stopped().await);
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    drop(client);
}
