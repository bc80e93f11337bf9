//! A stop takes nothing new, finishes what was begun, and ends as soon as nothing is under way.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::support::{Client, Gateway, RawOrigin, eventually, get};

/// An origin that answers when it is let.
async fn held() -> (RawOrigin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let opened = opened.clone();
        async move {
            opened.acquire().await.unwrap().forget();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        }
    })
    .await;
    (origin, gate)
}

async fn gateway(origin: &RawOrigin, more: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ slow: {{ targets: [ "{}" ], health: none }} }}
routes:
  slow: {{ path: /slow, to: slow, auth: none }}
  ready: {{ path: /ready, health: true, auth: none }}
{more}
"#,
        origin.address
    ))
    .await
}

const REQUEST: &[u8] = b"GET /slow HTTP/1.1\r\nHost: g\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_and_nothing_else_is_waited_for() {
    let (origin, gate) = held().await;
    let mut gateway = gateway(&origin, "").await;
    let mut idle = Client::connect(gateway.address()).await;
    assert_eq!(idle.ask("GET", "/ready", &[]).await.status, 200);
    let mut silent = Client::connect(gateway.address()).await;
    let mut busy = Client::connect(gateway.address()).await;
    busy.write(REQUEST).await;
    eventually("the request is under way", async || origin.heads().len() == 1).await;

    gateway.ask_to_stop();
    assert!(idle.is_closed().await, "an idle connection has nothing to wait for");
    assert!(silent.is_closed().await, "nor has one that never asked anything");
    eventually("new connections are refused", async || {
        TcpStream::connect(gateway.address()).await.is_err()
    })
    .await;

    gate.add_permits(1);
    let answer = busy.read(false).await;
    assert_eq!((answer.status, answer.text()), (200, "done"));
    assert_eq!(answer.header("connection"), "close");
    assert!(busy.is_closed().await);
    assert!(gateway.stopped().await, "everything was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_under_way_it_ends_at_once() {
    let (origin, _gate) = held().await;
    // The bound is an hour: if it were waited for, the test would not end.
    let gateway = gateway(&origin, "drain: 1h").await;
    let mut idle = Client::connect(gateway.address()).await;
    idle.ask("GET", "/ready", &[]).await;
    let _silent = Client::connect(gateway.address()).await;
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_the_bound_is_left_behind() {
    let (origin, _gate) = held().await;
    let mut gateway = gateway(&origin, "drain: 200ms").await;
    let mut busy = Client::connect(gateway.address()).await;
    busy.write(REQUEST).await;
    eventually("the request is under way", async || origin.heads().len() == 1).await;
    gateway.ask_to_stop();
    assert!(!gateway.stopped().await, "a request was cut, and that is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_when_the_stop_begins() {
    let (origin, gate) = held().await;
    let mut gateway = gateway(&origin, "").await;
    let admin = gateway.addresses["admin"];
    assert_eq!(get(admin, "/readyz", &[]).await.status, 200);
    assert_eq!(get(admin, "/livez", &[]).await.status, 200);
    assert_eq!(get(gateway.address(), "/ready", &[]).await.status, 200);

    let mut busy = Client::connect(gateway.address()).await;
    busy.write(REQUEST).await;
    // This one has sent a part of its head when the stop begins.
    let mut halfway = Client::connect(gateway.address()).await;
    halfway.write(b"GET /ready HTTP/1.1\r\nHo").await;
    eventually("the request is under way", async || origin.heads().len() == 1).await;
    gateway.ask_to_stop();
    eventually("new connections are refused", async || {
        TcpStream::connect(gateway.address()).await.is_err()
    })
    .await;

    let answer = get(admin, "/readyz", &[]).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("stopping")));
    assert_eq!(get(admin, "/livez", &[]).await.status, 200);

    // Half a request has not been seen by anybody, so that it can be made again elsewhere.
    assert!(halfway.is_closed().await);

    gate.add_permits(1);
    assert_eq!(busy.read(false).await.status, 200);
    assert!(gateway.stopped().await);
}
