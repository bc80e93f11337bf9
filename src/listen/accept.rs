//! The accept loop, and the count of what it let in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::arrive::{NotArrived, arrive};
use super::caps::Caps;
use super::conn::{Conn, Held};
use super::door::{House, Visit};
use super::http2::Crowd;
use super::traffic::Traffic;
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

/// Serves `listener` until `shutdown`; each connection runs in a task of its own, on one of the workers.
pub async fn accept<A, H>(listener: TcpListener, workers: Arc<Workers<A>>, porter: Porter<H>)
where
    A: ServerApp + Send + Sync + 'static,
    H: House,
{
    let mut shutdown = porter.shutdown.clone();
    let porter = Arc::new(porter);
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
                    porter.take(stream, peer, &workers);
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
            porter.take(stream, peer, &workers);
        }
    }
}

/// Takes in the connections of one listener.
#[derive(Debug)]
pub struct Porter<H> {
    /// What the configuration in force says.
    pub house: H,
    /// Told of a stop.
    pub shutdown: Shutdown,
    /// Keeps a stop waiting for the connections.
    pub guard: ConnectionGuard,
    /// Where they are counted.
    pub traffic: Arc<Traffic>,
    /// How many there may be, on all listeners together.
    pub caps: Arc<Caps>,
}

impl<H: House> Porter<H> {
    /// Has a worker serve a connection, unless there are too many.
    fn take<A>(
        self: &Arc<Self>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        workers: &Workers<A>,
    ) where
        A: ServerApp + Send + Sync + 'static,
    {
        let Some(visit) = self.house.visit(peer.ip()) else { return };
        let place = match self.caps.enter(&visit.limits) {
            Ok(place) => place,
            Err(refusal) => return self.traffic.refuse(&visit.door.name, peer, refusal, ""),
        };
        let held = Held { guard: self.guard.clone(), open: self.traffic.accept(), place };
        let porter = Arc::clone(self);
        workers.spawn(move |app| porter.serve(app, stream, peer, visit, held));
    }

    async fn serve<A>(
        self: Arc<Self>,
        app: Arc<A>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        visit: Visit,
        mut held: Held,
    ) where
        A: ServerApp + Send + Sync + 'static,
    {
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let door = Arc::clone(&visit.door);
        // Boxed, so that what only the arrival needs is given back when it is over.
        let arriving = Box::pin(arrive(stream, peer, visit, &self.house, &mut held.place));
        let arrived = tokio::select! {
            biased;
            arrived = arriving => arrived,
            () = self.late() => return,
        };
        let arrived = match arrived {
            Ok(arrived) => arrived,
            Err(NotArrived::Gone(error)) => {
                log::debug!("a connection from {peer} was gone at once: {error}");
                return;
            }
            Err(NotArrived::Silent) => return,
            Err(NotArrived::Refused(refusal, detail)) => {
                self.traffic.refuse(&door.name, peer, refusal, &detail);
                return;
            }
        };
        if let Some(resumed) = arrived.resumed {
            self.traffic.shake_hands(resumed);
        }
        let conn = Conn::new(arrived.conn, self.shutdown.clone(), held);
        if let Some(crowd) = conn.crowd() {
            return self.serve_http2(app, conn, &crowd).await;
        }
        let mut next: Option<pingora::protocols::Stream> = Some(Box::new(conn));
        while let Some(stream) = next {
            next = app.process_new(stream, &self.shutdown).await;
        }
    }

    /// HTTP/2 ends a connection when it hears of a stop. Each has a word of its own for it, which also comes when it
    /// has had its time or its share of requests.
    async fn serve_http2<A>(&self, app: Arc<A>, conn: Conn, crowd: &Crowd)
    where
        A: ServerApp + Send + Sync + 'static,
    {
        let told = crowd.farewell();
        let served = app.process_new(Box::new(conn), &told);
        tokio::pin!(served);
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            _ = &mut served => return,
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
        crowd.dismiss();
        served.await;
    }

    /// Ready when a stop has begun and who has not arrived by then counts as idle.
    async fn late(&self) {
        let mut shutdown = self.shutdown.clone();
        let _ = shutdown.wait_for(|stop| *stop).await;
        tokio::time::sleep(LATE).await;
    }
}

/// How long a connection may take to arrive once a stop has begun.
const LATE: Duration = Duration::from_millis(250);

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

    use std::net::IpAddr;

    use super::*;
    use crate::diagnostic::{At, Diagnostics};
    use crate::listen::{Clients, ConnectionsConfig, Door};

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

    /// Lets everybody in.
    struct Open;

    impl House for Open {
        fn visit(&self, _: IpAddr) -> Option<Visit> {
            let limits = ConnectionsConfig::default().compile(&At::root(), &mut Diagnostics::new());
            let clients = Arc::new(Clients::untold());
            Some(Visit { door: Arc::new(Door::plain()), limits, trusted: false, clients })
        }

        fn trusts(&self, _: IpAddr) -> bool {
            false
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
        let porter = Porter {
            house: Open,
            shutdown,
            guard: connections.guard(),
            traffic: Arc::default(),
            caps: Arc::default(),
        };
        let workers = Arc::new(Workers::start(2, |_| Echo).unwrap());
        accept(listener, workers.clone(), porter).await;
        for mut client in clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "GET / HTTP/1.0\r\n");
        }
        connections.ended().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
