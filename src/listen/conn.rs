//! One client connection, as Pingora sees it.

mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use pingora::protocols::SocketDigest;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use tokio::sync::watch;

use super::accept::ConnectionGuard;
use super::buffered::Buffered;
use super::caps::Place;
use super::clients::Clients;
use super::facts::Facts;
use super::http1::Inbound;
use super::http2::{Crowd, Http2};
use super::linger::Linger;
use super::pace::{Alarm, Patience};
use super::traffic::Open;
use super::transport::Transport;

/// An answer that the session knows nothing of, and how much of it is sent.
struct Refusal {
    answer: Vec<u8>,
    sent: usize,
}

/// A connection from a client.
///
/// Reads are not buffered here: the HTTP/1 session reads into a buffer of its own, so a second one would
/// cost memory for every idle client and a copy for every request. They are checked in that buffer.
pub struct Conn {
    stream: Buffered<Transport>,
    digest: Arc<SocketDigest>,
    peer: SocketAddr,
    local: SocketAddr,
    accepted: SystemTime,
    facts: Option<Arc<ProxyDigest>>,
    /// Set if the client speaks HTTP/2.
    http2: Option<Box<Http2>>,
    born: Instant,
    clients: Arc<Clients>,
    /// What is read, on its way through the guard; none where something else than HTTP/1 is spoken.
    inbound: Option<Inbound>,
    /// Whether what is spoken is another protocol by now.
    switched: AtomicBool,
    alarm: Alarm,
    /// With a client that takes an answer.
    patience: Patience,
    /// The answer to a request that did not reach the session.
    refusal: Option<Refusal>,
    /// Whether it is told already why the session can't read on.
    told: bool,
    /// Whether something was written since the last flush: TLS too keeps bytes back.
    unflushed: bool,
    linger: Option<Linger>,
    /// Whether the session has heard that a next request has begun, and reads no more before this one's end.
    next_has_begun: bool,
    shutdown: watch::Receiver<bool>,
    _held: Held,
}

/// A connection that has come so far that requests can be read from it.
#[derive(Debug)]
pub struct Arrived {
    /// What carries its bytes.
    pub transport: Transport,
    /// The client's end.
    pub peer: SocketAddr,
    /// Our end, as the client sees it.
    pub local: SocketAddr,
    /// Whether the client speaks HTTP/2.
    pub http2: bool,
    /// What else is known of it.
    pub facts: Facts,
    /// What is asked of clients.
    pub clients: Arc<Clients>,
}

/// What a connection holds as long as it lives.
#[derive(Debug)]
pub struct Held {
    /// Keeps a stop waiting.
    pub guard: ConnectionGuard,
    /// Counts it as open.
    pub open: Open,
    /// Its place among as many as there may be.
    pub place: Place,
}

impl Conn {
    /// Takes over a connection. `shutdown` tells it of a stop, during which it does not linger.
    #[must_use]
    pub fn new(arrived: Arrived, shutdown: watch::Receiver<bool>, held: Held) -> Self {
        let Arrived { transport, peer, local, http2, facts, clients } = arrived;
        let http2 = http2.then(|| Box::new(Http2::new(&clients)));
        let digest = SocketDigest::from_raw_fd(transport.as_raw_fd());
        // A fresh cell is empty, so that setting it cannot fail.
        let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(peer)));
        let _ = digest.local_addr.set(Some(PingoraAddr::Inet(local)));
        Self {
            stream: Buffered::new(transport),
            digest: Arc::new(digest),
            peer,
            local,
            accepted: SystemTime::now(),
            facts: facts.pack(http2.as_deref().map(Http2::crowd)),
            inbound: http2.is_none().then(|| Inbound::new(&clients.pace)),
            http2,
            born: Instant::now(),
            switched: AtomicBool::new(false),
            alarm: Alarm::default(),
            patience: Patience::new(&clients.pace),
            clients,
            refusal: None,
            told: false,
            unflushed: false,
            linger: None,
            next_has_begun: false,
            shutdown,
            _held: held,
        }
    }

    /// Notes that another protocol is spoken from now on, once the request that asked for it has passed.
    pub fn switch(&self) {
        self.switched.store(true, Ordering::Release);
    }

    /// Whether its next answer shall be its last: it is old, or has had its share of requests.
    #[must_use]
    pub fn is_spent(&self, now: Instant) -> bool {
        let requests = self.inbound.as_ref().map_or(0, Inbound::requests);
        let most = self.clients.requests;
        now.saturating_duration_since(self.born) >= self.clients.pace.timeouts.age.get()
            || most.is_some_and(|most| requests >= most.get())
    }

    /// What its streams have in common, where HTTP/2 is spoken.
    pub(super) fn crowd(&self) -> Option<Arc<Crowd>> {
        self.http2.as_deref().map(Http2::crowd)
    }

    /// The client's end of the connection.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our end of the connection.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("peer", &self.peer).finish_non_exhaustive()
    }
}
