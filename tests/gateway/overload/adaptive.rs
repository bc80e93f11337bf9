use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{ADMIN, admin, series};
use crate::support::{Gateway, RawOrigin, eventually, get};

/// A service with so many hands, each busy with a request for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_falls_with_the_hands_of_a_service_and_comes_back_with_them() {
    const HANDS: u32 = 24;
    let hands = Arc::new(Semaphore::new(HANDS as usize));
    let shared = hands.clone();
    let service = RawOrigin::with(move |mut stream: TcpStream| {
        let hands = shared.clone();
        async move {
            let hand = hands.acquire().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(hand);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let gateway = Gateway::start(&format!(
        "{ADMIN}\nupstreams: {{ u: {{ targets: [ \"{}\" ], health: none, \
         concurrency: {{ adaptive: true, min: 2, max: 60, queue: 100 }} }} }}\n\
         routes: {{ all: {{ path: /, to: u, auth: none }} }}\n",
        service.address
    ))
    .await;
    let (address, going) = (gateway.address(), Arc::new(AtomicBool::new(true)));
    let mut load = JoinSet::new();
    for _ in 0..80 {
        let going = going.clone();
        load.spawn(async move {
            while going.load(Ordering::Relaxed) {
                let status = get(address, "/", &[]).await.status;
                assert!(status == 204 || status == 503, "{status}");
            }
        });
    }
    let limit = async || {
        series(admin(&gateway), "portcullis_concurrency_limit{cap=\"upstreams.u.concurrency\"}")
            .await
    };
    eventually("as many as have hands", async || limit().await >= 20).await;
    let lost = hands.acquire_many(HANDS - 4).await.unwrap();
    eventually("fewer, as most hands are gone", async || limit().await <= 12).await;
    drop(lost);
    eventually("as many again", async || limit().await >= 20).await;
    going.store(false, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
}
