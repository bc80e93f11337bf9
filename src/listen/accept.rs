//! The accept loop, and the count of what it let in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::{Conn, Traffic};

/// Tells everybody that the process is about to stop: `true` once it is.
pub type Shutdown = watch::Receiver<bool>;

/// How long accepting rests when the system has no descriptor or memory left for a connection.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(200);

/// Knows when the last connection has ended.
///
/// Every connection holds a sender of a channel on which nothing is ever sent; the channel closes when
/// the last one is dropped. So there is no counter that could drift.
#[derive(Debug)]
pub struct Connections {
    open: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
}

/// Held by a connection as long as it lives.
#[derive(Debug, Clone)]
pub struct ConnectionGuard {
    _open: mpsc::Sender<()>,
}

impl Default for Connections {
    fn default() -> Self {
        let (open, closed) = mpsc::channel(1);
        Self { open, closed }
    }
}

impl Connections {
    /// A hold on one connection.
    #[must_use]
    pub fn guard(&self) -> ConnectionGuard {
        ConnectionGuard { _open: self.open.clone() }
    }

    /// Waits until every guard is dropped.
    pub async fn ended(self) {
        let Self { open, mut closed } = self;
        drop(open);
        let _ = closed.recv().await;
    }
}

/// Serves `listener` until `shutdown`; each connection runs in a task of its own and is counted in `traffic`.
pub async fn accept<A>(
    listener: TcpListener,
    app: Arc<A>,
    mut shutdown: Shutdown,
    guard: ConnectionGuard,
    traffic: Arc<Traffic>,
) where
    A: ServerApp + Send + Sync + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the sender is gone, which is a stop as well.
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => match Conn::new(stream, peer, guard.clone(), traffic.accept()) {
                Ok(conn) => {
                    let (app, shutdown) = (app.clone(), shutdown.clone());
                    tokio::spawn(async move {
                        let mut next: Option<pingora::protocols::Stream> = Some(Box::new(conn));
                        while let Some(stream) = next {
                            next = app.process_new(stream, &shutdown).await;
                        }
                    });
                }
                Err(error) => log::debug!("a connection from {peer} was gone at once: {error}"),
            },
            Err(error) => refused(&error).await,
        }
    }
}

/// An `accept` that failed: a client that left meanwhile is no news; a lack of resources is, and asks for a rest.
async fn refused(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted => {}
        _ => {
            log::error!("cannot accept connections: {error}");
            tokio::time::sleep(OUT_OF_RESOURCES).await;
        }
    }
}
