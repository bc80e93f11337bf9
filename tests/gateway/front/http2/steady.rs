//! Clients of HTTP/2 that take their answers slowly, and take them all: many of their streams are out of window whenever
//! one looks, and yet none for long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::super::metric;
use super::frames::{DATA, END_STREAM, HEADERS};
use super::untaken::{Raw, SLOW, begin, gateway, large, more, request, stream};

const LARGE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_each_of_many_streams_its_window_in_turn_is_served() {
    const STREAMS: u32 = 12;
    const STEP: usize = 128 << 10;
    let origin = large().await;
    // Many streams that are stuck have 1.5 seconds. Each waits for a quarter of that, behind eleven others.
    let gateway = gateway(origin.address, "6s", "http1").await;
    let all: Vec<u8> = (0..STREAMS).flat_map(|place| request(stream(place), "/large")).collect();
    let mut raw = Raw::open(&gateway, &[begin(65_535), more(0, 1 << 30), all].concat()).await;
    let mut taken = [0; STREAMS as usize];
    let mut ended = 0;
    for round in 0..=LARGE / STEP {
        for place in 0..STREAMS {
            let all = LARGE.min(65_535 + round * STEP);
            if round > 0 {
                raw.0.write_all(&more(stream(place), STEP)).await.unwrap();
            }
            while taken[place as usize] < all {
                let (kind, flags, of, payload) = raw.next().await.expect("it is served");
                if kind == DATA {
                    taken[of as usize / 2] += payload.len();
                    ended += u32::from(flags & END_STREAM != 0);
                }
            }
            sleep(Duration::from_millis(30)).await;
        }
    }
    while ended < STREAMS {
        let (kind, flags, ..) = raw.next().await.expect("it is served");
        ended += u32::from(kind == DATA && flags & END_STREAM != 0);
    }
    assert_eq!(taken, [LARGE; STREAMS as usize]);
    assert_eq!(metric(gateway.admin(), SLOW).await, 0);
}

/// A service that answers `/wait` with a head, and the body never, and all else at once.
async fn waiting() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                let waits = request.uri().path() == "/wait";
                let now = futures::stream::iter(
                    (!waits)
                        .then(|| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; LARGE])))),
                );
                let never = futures::stream::poll_fn(move |_| {
                    if waits { std::task::Poll::Pending } else { std::task::Poll::Ready(None) }
                });
                let body = StreamBody::new(now.chain(never));
                async move { Ok::<_, Infallible>(Response::new(body)) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_have_nothing_to_send_are_not_stuck() {
    let (origin, serving) = waiting().await;
    let gateway = gateway(origin, "6s", "http1").await;
    // Ten wait for news; the window of all is used up by a download, and is given anew late.
    let all: Vec<u8> = (0..10).flat_map(|place| request(stream(place), "/wait")).collect();
    let mut raw = Raw::open(&gateway, &[begin(1 << 24), all].concat()).await;
    for _ in 0..10 {
        while raw.next().await.expect("it is served").0 != HEADERS {}
    }
    // What it gives for what it had already begins the time in which others count.
    let download = [more(0, 1024), request(stream(10), "/large")].concat();
    raw.0.write_all(&download).await.unwrap();
    let mut taken = 0;
    while taken < LARGE {
        let (kind, _, of, payload) = raw.next().await.expect("it is served");
        if kind == DATA {
            assert_eq!(of, stream(10));
            taken += payload.len();
            if taken == 65_535 + 1024 {
                sleep(Duration::from_millis(2500)).await;
                raw.0.write_all(&more(0, LARGE)).await.unwrap();
            }
        }
    }
    assert_eq!(metric(gateway.admin(), SLOW).await, 0);
    serving.abort();
}
