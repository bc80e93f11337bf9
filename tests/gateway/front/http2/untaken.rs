//! Clients of HTTP/2 that take nothing of their answers, and what is held for them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::{House, comes_to, metric};
use super::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    fields, frame, status, string,
};
use crate::support::{Origin, PATIENCE, Reloading, eventually};

const FLOOD: &str = "portcullis_clients_refused_total{reason=\"http2_flood\"}";
pub(super) const SLOW: &str = "portcullis_clients_refused_total{reason=\"slow_reader\"}";

/// An origin whose answers are large, but for those to `/small`.
pub(super) async fn large() -> Origin {
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    Origin::with(move |seen| {
        let body = if seen.target == "/small" { Bytes::from_static(b"ok") } else { body.clone() };
        Response::new(Full::new(body))
    })
    .await
}

pub(super) async fn gateway(origin: SocketAddr, stall: &str, protocol: &str) -> Reloading {
    let yaml = format!(
        "listeners: {{ public: {{ address: \"127.0.0.1:0\", timeouts: {{ stall: {stall} }}, min_rate: 1MiB }} }}\n\
         upstreams: {{ a: {{ targets: [ \"{origin}\" ], protocol: {protocol} }} }}\n\
         routes:\n  all: {{ path: /, to: a, auth: none }}\n"
    );
    House::with(&[]).open(&yaml).await
}

/// The preface, and what each stream may be sent at first.
pub(super) fn begin(window: u32) -> Vec<u8> {
    let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
    [PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat()
}

fn block(path: &str) -> Vec<u8> {
    let authority = (":authority", "one.test");
    fields(&[(":method", "GET"), (":scheme", "http"), (":path", path), authority])
}

pub(super) fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(path))
}

/// More of a window: a stream's, or with 0 the connection's.
pub(super) fn more(stream: u32, bytes: usize) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &u32::try_from(bytes).unwrap().to_be_bytes())
}

/// The number of the stream in place `place`.
pub(super) fn stream(place: u32) -> u32 {
    place * 2 + 1
}

/// One end of a connection that is spoken byte by byte.
pub(super) struct Raw(pub TcpStream);

impl Raw {
    pub async fn open(gateway: &Reloading, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Self(stream)
    }

    /// The next frame: kind, flags, stream and payload; none at the end of the connection.
    pub async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.expect("there is more").ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// All frames of this kind until the end.
    async fn rest(&mut self, kind: u8) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some((this, _, _, payload)) = self.next().await {
            if this == kind {
                all.push(payload);
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_can_take_nothing_are_few() {
    let origin = large().await;
    let gateway = gateway(origin.address, "1h", "http1").await;
    // A hundred requests, of which none may be answered with more than a head.
    let all: Vec<u8> = (0..100).flat_map(|place| request(stream(place), "/large")).collect();
    Raw::open(&gateway, &[begin(0), all].concat()).await.rest(DATA).await;
    comes_to(gateway.admin(), FLOOD, 1).await;
    // The same with 60 KiB of headers each, which are as few bytes on the wire.
    let line = |name: &[u8], value: &[u8]| {
        let mut line = vec![0x40];
        string(&mut line, name);
        string(&mut line, value);
        line
    };
    let held = |place| {
        let first = if place == 0 { line(b"x", &[b'x'; 4000]) } else { Vec::new() };
        let block = [block("/large"), first, vec![0xbe; 14]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream(place), &block)
    };
    let all: Vec<u8> = (0..100).flat_map(held).collect();
    Raw::open(&gateway, &[begin(1), all].concat()).await.rest(DATA).await;
    comes_to(gateway.admin(), FLOOD, 2).await;
    // And when what streams may be sent is taken back.
    let all: Vec<u8> = (0..100).flat_map(|place| request(stream(place), "/large")).collect();
    let back = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    Raw::open(&gateway, &[begin(1024), all, back].concat()).await.rest(DATA).await;
    comes_to(gateway.admin(), FLOOD, 3).await;
    let busy = "portcullis_requests_in_flight{route=\"all\"}";
    comes_to(gateway.admin(), busy, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_of_them_reach_the_origin() {
    let origin = large().await;
    let gateway = gateway(origin.address, "1h", "http1").await;
    let mut raw = Raw::open(&gateway, &begin(0)).await;
    // One behind the other, each when the one before has got its head.
    for place in 0..4 {
        raw.0.write_all(&request(stream(place), "/large")).await.unwrap();
        while raw.next().await.expect("it is served").0 != HEADERS {}
    }
    raw.0.write_all(&request(stream(4), "/large")).await.unwrap();
    assert!(raw.rest(DATA).await.is_empty());
    comes_to(gateway.admin(), FLOOD, 1).await;
    assert_eq!(origin.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_windows_late_is_served() {
    let origin = large().await;
    let gateway = gateway(origin.address, "1h", "http1").await;
    let mut raw = Raw::open(&gateway, &[begin(0), more(0, 100 << 20)].concat()).await;
    // Each stream gets its window when its head has come, and the next request comes meanwhile.
    for place in 0..20 {
        raw.0.write_all(&request(stream(place), "/large")).await.unwrap();
        while raw.next().await.expect("it is served").0 != HEADERS {}
        raw.0.write_all(&more(stream(place), 1 << 20)).await.unwrap();
        let mut taken = 0;
        while taken < 1 << 20 {
            let (kind, _, _, payload) = raw.next().await.expect("it is served");
            taken += if kind == DATA { payload.len() } else { 0 };
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_streams_at_once_are_served_over_small_windows() {
    let origin = large().await;
    let gateway = gateway(origin.address, "1h", "http1").await;
    let all: Vec<u8> = (0..100).flat_map(|place| request(stream(place), "/large")).collect();
    let mut raw = Raw::open(&gateway, &[begin(65_535), all].concat()).await;
    // As clients do, it gives a window anew when half of it is used up.
    let (mut ended, mut taken, mut used) = (0, 0, std::collections::BTreeMap::new());
    while ended < 100 {
        let (kind, flags, stream, payload) = raw.next().await.expect("it is served");
        if kind == DATA {
            taken += payload.len();
            ended += u32::from(flags & END_STREAM != 0);
            for window in [0, stream] {
                let used = used.entry(window).or_insert(0);
                *used += payload.len();
                if *used > 32 << 10 {
                    raw.0.write_all(&more(window, std::mem::take(used))).await.unwrap();
                }
            }
        }
    }
    assert_eq!(taken, 100 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_that_are_stuck_end_their_connection() {
    let origin = large().await;
    let gateway = gateway(origin.address, "2s", "http1").await;
    let all: Vec<u8> = (0..20).flat_map(|place| request(stream(place), "/large")).collect();
    // Each may take something, and no more than that.
    let mut raw = Raw::open(&gateway, &[begin(65_535), all].concat()).await;
    let resets = raw.rest(RST_STREAM).await;
    assert!(resets.is_empty(), "the connection ends before each stream has had its time");
    comes_to(gateway.admin(), SLOW, 1).await;
    let busy = "portcullis_requests_in_flight{route=\"all\"}";
    comes_to(gateway.admin(), busy, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_stall_again_and_again_end_their_connection() {
    let origin = large().await;
    let gateway = gateway(origin.address, "500ms", "http1").await;
    let mut raw = Raw::open(&gateway, &begin(2000)).await;
    let (mut place, mut resets, mut codes) = (0, 0, Vec::new());
    let few =
        |place: u32| (0..4).flat_map(|more| request(stream(place + more), "/large")).collect();
    let mut bytes: Vec<u8> = few(place);
    loop {
        // Who is told to leave gets no more.
        let _ = raw.0.write_all(&bytes).await;
        bytes.clear();
        match raw.next().await {
            Some((RST_STREAM, ..)) => {
                resets += 1;
                if resets % 4 == 0 && codes.is_empty() {
                    place += 4;
                    bytes = few(place);
                }
            }
            Some((GOAWAY, _, _, payload)) => codes.push(payload[7]),
            Some(_) => {}
            None => break,
        }
        if !codes.is_empty() && resets == place + 4 {
            break;
        }
    }
    assert!(resets >= 8 && codes.first() == Some(&0), "{resets} resets, GOAWAY {codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_heads_on_one_connection_are_few() {
    let origin = large().await;
    let gateway = gateway(origin.address, "1h", "http1").await;
    // Requests whose bodies never come, with 40 KiB of headers that are sent as they are.
    let open = |place| {
        let lines = [
            (":method".to_owned(), b"POST".to_vec()),
            (":scheme".to_owned(), b"http".to_vec()),
            (":path".to_owned(), b"/".to_vec()),
            (":authority".to_owned(), b"one.test".to_vec()),
            ("x".to_owned(), vec![b'x'; 10 << 10]),
        ];
        let more = fields(&[("y", vec![b'y'; 15 << 10])]);
        let [first, second] = [frame(HEADERS, 0, stream(place), &fields(&lines)), more.clone()];
        [first, frame(9, 0, stream(place), &second), frame(9, END_HEADERS, stream(place), &more)]
            .concat()
    };
    let mut raw = Raw::open(&gateway, &begin(65_535)).await;
    for place in 0..16 {
        raw.0.write_all(&open(place)).await.unwrap();
    }
    // Those that find no room are refused; the others wait for their bodies. Each is sent once one is answered: of more
    // that are not answered yet, the blocks would end the connection.
    for refused in 0..84 {
        raw.0.write_all(&open(16 + refused)).await.unwrap();
        let payload = loop {
            let (kind, _, _, payload) = raw.next().await.expect("it is answered");
            if kind == HEADERS {
                break payload;
            }
        };
        // Another one is told by the table, where the first has put it.
        assert!(refused > 0 || status(&payload) == 431);
    }
    let refused = "portcullis_requests_total{route=\"all\",method=\"POST\",status=\"431\"}";
    let admin = gateway.admin();
    // One that was answered counts as under way until that is over.
    eventually("all others are refused", async || {
        let busy = metric(admin, "portcullis_requests_in_flight{route=\"all\"}").await;
        let count = metric(admin, refused).await;
        (1..=16).contains(&busy) && count >= 84 && count + busy == 100
    })
    .await;
}

/// Over HTTP/2 upstreams, streams of several clients share a connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_nothing_holds_up_nobody_else_at_the_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pulled = Arc::new(AtomicUsize::new(0));
    let counted = pulled.clone();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counted = counted.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let pieces = if request.uri().path() == "/small" { 1 } else { 4096 };
                let counted = counted.clone();
                let body = futures::stream::iter(0..pieces).map(move |_| {
                    counted.fetch_add(8192, Ordering::Relaxed);
                    Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 8192])))
                });
                async move { Ok::<_, Infallible>(Response::new(StreamBody::new(body))) }
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    let gateway = gateway(address, "1h", "h2").await;
    // The first stream gets no more than it may be sent at first, and the others what they need.
    let opening = [begin(1024), more(0, 1 << 20), request(1, "/large")].concat();
    let mut raw = Raw::open(&gateway, &opening).await;
    while raw.next().await.expect("it is served").0 != DATA {}
    eventually("it is held up", async || pulled.load(Ordering::Relaxed) > 128 << 10).await;
    for place in 1..50 {
        let number = stream(place);
        let small = [request(number, "/small"), more(number, 8192)].concat();
        raw.0.write_all(&small).await.unwrap();
        let mut taken = 0;
        while taken < 8192 {
            let (kind, _, of, payload) = raw.next().await.expect("it is served");
            taken += if kind == DATA && of == number { payload.len() } else { 0 };
        }
    }
    // What was read ahead of the client is little.
    assert!(pulled.load(Ordering::Relaxed) < 2 << 20);
    serving.abort();
}
