//! A service whose document is down, slow or wrong holds up neither a start, nor a reload, nor a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::specs::one;
use crate::support::origin::listen;
use crate::support::{Reloading, eventually, get};

/// How a service tells of itself.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// It takes the question, and says nothing.
    Silent,
    /// It sends a head, and then a byte now and then, for ever.
    Dripping,
    /// It hangs up.
    Gone,
    /// It answers what is no document.
    Wrong,
}

/// A service that answers all else at once; and how often it was asked of itself.
struct Service {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Service {
    fn start(manner: Manner) -> Self {
        let listener = listen("127.0.0.1:0".parse().unwrap());
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, mut tasks) = (Arc::clone(&asked), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = Arc::clone(&count);
                connections.spawn(async move {
                    // Whoever leaves early has seen enough.
                    let _ = speak(stream, manner, &count).await;
                });
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn speak(stream: TcpStream, manner: Manner, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if !line.starts_with("GET /openapi.json ") {
        return stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            .await;
    }
    asked.fetch_add(1, Ordering::SeqCst);
    match manner {
        Manner::Gone => {}
        Manner::Wrong => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
                .await?;
        }
        Manner::Silent => {
            stream.read_to_end(&mut Vec::new()).await?;
        }
        Manner::Dripping => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_start_nor_reload_nor_request_waits_for_a_document() {
    for (manner, told) in [
        (Manner::Silent, "has not been read yet"),
        (Manner::Dripping, "has not been read yet"),
        (Manner::Gone, "cannot be read now"),
        (Manner::Wrong, "cannot be read now"),
    ] {
        let service = Service::start(manner);
        let gateway = Reloading::start(&one(service.address)).await;
        let document = async || get(gateway.address(), "/docs/openapi.json", &[]).await;
        eventually("it is asked", async || service.asked() > 0).await;
        eventually("it is told", async || document().await.text().contains(told)).await;
        let (before, asked) = (document().await, service.asked());
        // Whoever waited for the answer would find another state afterwards, or never come back.
        let more = one(service.address)
            + "  more: { path: /more, auth: none, respond: { status: 204 } }\n";
        gateway.change_to(&more).await;
        for (path, status) in [("/one", 200), ("/docs/", 200), ("/more", 204)] {
            assert_eq!(get(gateway.address(), path, &[]).await.status, status, "{manner:?} {path}");
        }
        assert_eq!(document().await.text(), before.text(), "{manner:?}");
        if matches!(manner, Manner::Silent | Manner::Dripping) {
            assert_eq!(service.asked(), asked, "{manner:?}: the question is still open");
        }
        assert!(gateway.stop().await);
    }
}
