//! Reloads under load: none of the requests fails, and each is served wholly by one configuration.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis::reload::Trigger;
use tokio::task::JoinSet;

use crate::support::{Answer, Client, Reloading, origin};

const CLIENTS: usize = 16;
const REQUESTS: usize = 200_000;
const RELOADS: usize = 200;
const UPLOAD: usize = 24 << 10;

/// A service that tells its name, the header and the path that it got, and how long the body was.
async fn service(name: &'static str, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = origin::listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(name, request));
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

async fn answer(
    name: &'static str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
    if head.uri.path().ends_with("/slow") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let config = head.headers.get("x-config").map_or("", |value| value.to_str().unwrap());
    let text = format!("{name} {config} {} {length}", head.uri.path());
    Ok(Response::new(Full::new(Bytes::from(text))))
}

/// The configuration of this turn. Its name is in the upstream, the path and the headers both ways; and each
/// second turn, one of the upstreams is another one.
fn configuration(a: SocketAddr, b: SocketAddr, turn: usize) -> String {
    let name = if turn.is_multiple_of(2) { "a" } else { "b" };
    let read = 20 + turn / 2 % 2;
    format!(
        "upstreams:\n  a: {{ targets: [ \"{a}\" ], timeouts: {{ read: {read}s }} }}\n  \
         b: {{ targets: [ \"{b}\" ] }}\n  spare: {{ targets: [ \"{b}\" ] }}\n\
         routes:\n  flip:\n    path: /flip\n    to: {name}\n    auth: none\n    rewrite: /{name}\n    \
         request_headers: {{ set: {{ X-Config: {name} }} }}\n    \
         response_headers: {{ set: {{ X-Config: {name} }} }}\n  \
         spare: {{ path: /spare, to: spare, auth: none }}\n  other{turn}: {{ path: /other, respond: {{ status: 204 }}, auth: none }}\n"
    )
}

/// Holds that an answer is wholly of one configuration.
fn check(answer: &Answer, rest: &str, length: usize) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.complete);
    let name = answer.header("x-config");
    assert!(name == "a" || name == "b", "{answer:?}");
    assert_eq!(answer.text(), format!("{name} {name} /{name}{rest} {length}"));
}

/// One client with one connection.
async fn client(address: SocketAddr, done: Arc<AtomicUsize>) {
    let mut client = Client::connect(address).await;
    let upload = vec![b'x'; UPLOAD];
    let head = format!("POST /flip/up HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n");
    for n in 0..REQUESTS / CLIENTS {
        match n % 100 {
            0 => check(&client.ask("GET", "/flip/slow", &[]).await, "/slow", 0),
            1..=5 => {
                client.write(head.as_bytes()).await;
                // In two pieces, so that a reload can come between.
                client.write(&upload[..UPLOAD / 2]).await;
                tokio::task::yield_now().await;
                client.write(&upload[UPLOAD / 2..]).await;
                check(&client.read(false).await, "/up", UPLOAD);
            }
            _ => check(&client.ask("GET", "/flip/x", &[]).await, "/x", 0),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_reloads_under_load_cost_no_request() {
    let began = Instant::now();
    let mut services = JoinSet::new();
    let (a, b) = (service("a", &mut services).await, service("b", &mut services).await);
    let gateway = Reloading::start(&configuration(a, b, 0)).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(gateway.address(), done.clone()));
    }
    let mut slowest = Duration::ZERO;
    for turn in 1..=RELOADS {
        // Spread over the run: each has its share of the requests.
        while done.load(Ordering::Relaxed) < (turn - 1) * (REQUESTS / RELOADS) {
            if let Some(ended) = clients.try_join_next() {
                ended.expect("a client must get through");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        gateway.write(&configuration(a, b, turn));
        let outcome = gateway.reloader.reload(Trigger::Admin).await.unwrap();
        assert!(outcome.accepted, "{}", outcome.report);
        slowest = slowest.max(outcome.took);
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client must get through");
    }
    let (requests, took) = (done.load(Ordering::Relaxed), began.elapsed());
    assert_eq!(requests, REQUESTS);
    // The file is watched too: a change that was seen before it was asked for is taken over twice.
    let status = gateway.reloader.status();
    let all = RELOADS as u64..=2 * RELOADS as u64;
    assert!(status.refused == 0 && all.contains(&status.accepted), "{}", status.accepted);
    println!("{requests} requests, {RELOADS} reloads (slowest {slowest:?}) in {took:?}");
    assert!(gateway.stop().await);
}
