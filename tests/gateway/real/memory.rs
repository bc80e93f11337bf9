//! A body of 100 MB passes each way through memory that stays what it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::process::Process;
use super::{KEY, Service, in_front_of, python_client};
use crate::support::{Client, RawOrigin, get};

const LARGE: usize = 100_000_000;
/// How much the gateway may grow while such bodies pass: buffers, and what an allocator keeps.
const GROWTH: u64 = 32 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn httpx_sends_and_gets_100_mb() {
    large("httpx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sends_and_gets_100_mb() {
    large("requests").await;
}

async fn large(client: &str) {
    let service = Service::start().await;
    let gateway = Process::start(&in_front_of(service.address)).await;
    get(gateway.address, "/api/v1/health", &[("x-api-key", KEY)]).await;
    let before = gateway.memory();
    python_client(client, "large", gateway.address).await;
    assert_flat(client, before, &gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_and_gets_100_mb() {
    let service = Service::start().await;
    let gateway = Process::start(&in_front_of(service.address)).await;
    get(gateway.address, "/api/v1/health", &[("x-api-key", KEY)]).await;
    let before = gateway.memory();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    let content: Vec<u8> = (0..=255u8).cycle().take(LARGE).collect();
    std::fs::write(&file, &content).unwrap();
    let upload = file.to_str().unwrap();
    let base = format!("http://{}/api/v1", gateway.address);
    for framing in ["X-Own: with a length", "Transfer-Encoding: chunked"] {
        let sink = format!("{base}/sink");
        let answer = super::curl::curl(&["-H", framing, "-T", upload, &sink]).await;
        assert_eq!(answer.status, 200, "{framing}: {answer:?}");
        assert_eq!(answer.json()["size"], LARGE, "{framing}");
    }
    for how in ["?length=true", ""] {
        let got = folder.path().join("got");
        let there = format!("{base}/download/{LARGE}{how}");
        let answer = super::curl::curl(&["-o", got.to_str().unwrap(), &there]).await;
        assert_eq!(answer.status, 200, "{how}: {answer:?}");
        assert!(std::fs::read(&got).unwrap() == content, "{how}: other bytes than were sent");
    }
    assert_flat("curl", before, &gateway);
}

/// A client that does not read holds the upstream up, and not a copy of the answer in the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_the_upstream_up() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let count = count.clone();
        async move {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let block = vec![b'x'; 100_000];
            for _ in 0..LARGE / block.len() {
                if stream.write_all(&block).await.is_err() {
                    return;
                }
                count.fetch_add(block.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    let gateway = Process::start(&format!(
        "upstreams: {{ raw: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ raw: {{ path: /, to: raw, auth: none }} }}\n",
        origin.address
    ))
    .await;
    let before = gateway.memory();
    let mut client = Client::connect(gateway.address).await;
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Until nothing moves any more.
    let mut last = 0;
    crate::support::eventually("the upstream rests", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = sent.load(Ordering::Relaxed);
        now > 0 && now == std::mem::replace(&mut last, now)
    })
    .await;
    assert!(last < LARGE, "the upstream was not held up");
    let answer = client.read(false).await;
    assert!(answer.complete && answer.body.len() == LARGE);
    assert_flat("a client that rests", before, &gateway);
}

fn assert_flat(who: &str, before: super::process::Memory, gateway: &Process) {
    let after = gateway.memory();
    let growth = after.peak.saturating_sub(before.resident);
    assert!(growth < GROWTH, "{who}: grown by {growth} KiB: {before:?} {after:?}");
}
