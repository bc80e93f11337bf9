//! The accept loop, and the count of what it let in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::traffic::{Open, Traffic};
use super::{Clients, Conn};
use crate::workers::Workers;

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

/// How long a connection that was waiting when the stop began may wait for its request.
const LATE: Duration = Duration::from_millis(250);

/// Serves `listener` until `shutdown`; each connection runs in a task of its own, on one of the workers, and is
/// counted in `traffic`.
pub async fn accept<A>(
    listener: TcpListener,
    workers: Arc<Workers<A>>,
    mut shutdown: Shutdown,
    guard: ConnectionGuard,
    (traffic, clients): (Arc<Traffic>, Arc<Clients>),
) where
    A: ServerApp + Send + Sync + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the sender is gone, which is a stop as well.
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Leaves this thread's event loop for the worker's.
                if let Ok(stream) = stream.into_std() {
                    let held = (guard.clone(), traffic.accept());
                    serve(stream, peer, &workers, &shutdown, held, (&clients, None));
                }
            }
            Err(error) => refused(&error).await,
        }
    }
    // Closing the socket would reset the connections that the system has taken in our name, with the requests
    // that came on them: they are served first.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            let held = (guard.clone(), traffic.accept());
            serve(stream, peer, &workers, &shutdown, held, (&clients, Some(LATE)));
        }
    }
}

/// Has a worker serve a connection. With `late`, that long is waited for the client to say something.
fn serve<A>(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    workers: &Workers<A>,
    shutdown: &Shutdown,
    held: (ConnectionGuard, Open),
    (clients, late): (&Arc<Clients>, Option<Duration>),
) where
    A: ServerApp + Send + Sync + 'static,
{
    let (shutdown, clients) = (shutdown.clone(), Arc::clone(clients));
    workers.spawn(move |app| async move {
        let begin = async {
            let stream = TcpStream::from_std(stream)?;
            if let Some(late) = late {
                // During a stop, what has not been heard yet counts as idle.
                let _ = tokio::time::timeout(late, stream.readable()).await;
            }
            Conn::new(stream.into(), peer, shutdown.clone(), held, clients)
        };
        let conn = match begin.await {
            Ok(conn) => conn,
            Err(error) => {
                log::debug!("a connection from {peer} was gone at once: {error}");
                return;
            }
        };
        let mut next: Option<pingora::protocols::Stream> = Some(Box::new(conn));
        while let Some(stream) = next {
            next = app.process_new(stream, &shutdown).await;
        }
    });
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Gives back the first bytes it hears.
    struct Echo;

    #[async_trait]
    impl ServerApp for Echo {
        async fn process_new(
            self: &Arc<Self>,
            mut stream: pingora::protocols::Stream,
            _shutdown: &pingora::server::ShutdownWatch,
        ) -> Option<pingora::protocols::Stream> {
            let mut heard = [0; 16];
            let length = stream.read(&mut heard).await.unwrap();
            stream.write_all(&heard[..length]).await.unwrap();
            stream.flush().await.unwrap();
            None
        }
    }

    #[tokio::test]
    async fn a_stop_serves_those_who_were_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..50 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            clients.push(client);
        }
        let (_stop, shutdown) = watch::channel(true);
        let connections = Connections::default();
        let workers = Arc::new(Workers::start(2, || Echo).unwrap());
        let guard = connections.guard();
        let told = (Arc::default(), Arc::new(Clients::untold()));
        accept(listener, workers.clone(), shutdown, guard, told).await;
        for mut client in clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "GET / HTTP/1.0\r\n");
        }
        connections.ended().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
