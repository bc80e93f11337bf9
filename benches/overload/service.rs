//! A service that can do so much and no more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Failure;

/// A service with so many hands.
pub struct Service {
    pub address: SocketAddr,
    hands: Arc<Semaphore>,
    count: usize,
    work: Duration,
    _tasks: JoinSet<()>,
}

impl Service {
    /// One whose hands are busy with each request for so long.
    pub async fn start(count: usize, work: Duration) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let hands = Arc::new(Semaphore::new(count));
        let shared = Arc::clone(&hands);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let hands = Arc::clone(&shared);
                let answer = service_fn(move |_: Request<Incoming>| {
                    // It is done whether or not anybody still waits for it.
                    let done = tokio::spawn(busy(Arc::clone(&hands), work));
                    async move {
                        let _ = done.await;
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                    }
                });
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self { address, hands, count, work, _tasks: tasks })
    }

    /// How many requests a second its hands are through with, when they never rest.
    pub async fn capacity(&self, length: Duration) -> Result<f64, Failure> {
        let end = Instant::now() + length;
        let mut tasks = JoinSet::new();
        for _ in 0..self.count * 2 {
            let (hands, work) = (Arc::clone(&self.hands), self.work);
            tasks.spawn(async move {
                let mut done = 0_u32;
                while Instant::now() < end {
                    busy(Arc::clone(&hands), work).await;
                    done += 1;
                }
                done
            });
        }
        let began = Instant::now();
        let mut done = 0;
        while let Some(one) = tasks.join_next().await {
            done += one?;
        }
        Ok(f64::from(done) / began.elapsed().as_secs_f64())
    }
}

async fn busy(hands: Arc<Semaphore>, work: Duration) {
    if let Ok(_hand) = hands.acquire().await {
        tokio::time::sleep(work).await;
    }
}
