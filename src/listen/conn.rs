//! One client connection, as Pingora sees it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::sync::watch;

use super::accept::ConnectionGuard;
use super::caps::Place;
use super::clients::{Clients, Refused};
use super::facts::Facts;
use super::http1::{Flaw, Inbound, Stop, Verdict};
use super::http2::Http2;
use super::linger::Linger;
use super::pace::{Alarm, Patience};
use super::traffic::Open;
use super::transport::Transport;

/// An answer that the session knows nothing of, and how much of it is sent.
struct Refusal {
    answer: Vec<u8>,
    sent: usize,
}

/// Head and small body of an answer leave in one write; a larger body is written through.
const WRITE_BUFFER: usize = 4096;

/// A connection from a client.
///
/// Reads are not buffered here: the HTTP/1 session reads into a buffer of its own, so a second one would
/// cost memory for every idle client and a copy for every request. They are checked in that buffer.
pub struct Conn {
    stream: BufWriter<Transport>,
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
        let digest = SocketDigest::from_raw_fd(transport.as_raw_fd());
        // A fresh cell is empty, so that setting it cannot fail.
        let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(peer)));
        let _ = digest.local_addr.set(Some(PingoraAddr::Inet(local)));
        Self {
            stream: BufWriter::with_capacity(WRITE_BUFFER, transport),
            digest: Arc::new(digest),
            peer,
            local,
            accepted: SystemTime::now(),
            facts: facts.pack(http2),
            http2: http2.then(|| Box::new(Http2::new(&clients))),
            born: Instant::now(),
            inbound: (!http2).then(|| Inbound::new(&clients.pace)),
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

    /// Where HTTP/2 is spoken: tells whoever speaks it that the connection is to end.
    pub(super) fn leave(&self) -> Option<Arc<watch::Sender<bool>>> {
        self.http2.as_deref().map(Http2::leave)
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

impl Conn {
    /// Begins to refuse a request that the session does not see.
    fn refuse(&mut self, flaw: Flaw) {
        let answer = if flaw.verdict() == Verdict::Close {
            self.clients.refusals.note(flaw);
            Vec::new()
        } else {
            let (guard, bytes, since) = match &self.inbound {
                Some(inbound) => inbound.evidence(),
                None => return,
            };
            let request = guard.request();
            let part = |range: &std::ops::Range<usize>| bytes.get(range.clone());
            let refused = Refused {
                flaw,
                peer: self.peer,
                method: request.and_then(|line| part(&line.method)),
                target: request.and_then(|line| part(&line.target)),
                is_http10: request.map(|line| line.is_http10),
                took: since.map(|since| since.elapsed()).unwrap_or_default(),
            };
            self.clients.refusals.refuse(&refused)
        };
        self.inbound = None;
        self.refusal = Some(Refusal { answer, sent: 0 });
    }

    /// Sends the answer of a refusal and closes the connection in order. To the session it has ended.
    fn poll_refusal(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut refusal) = self.refusal.take() else { return Poll::Ready(Ok(())) };
        if refusal.answer.is_empty() {
            // Nobody is waiting for an answer.
            self.refusal = Some(refusal);
            return Poll::Ready(Ok(()));
        }
        while let Some(rest @ [_, ..]) = refusal.answer.get(refusal.sent..) {
            match self.as_mut().poll_write(cx, rest) {
                Poll::Ready(Ok(sent)) if sent > 0 => refusal.sent += sent,
                Poll::Ready(_) => refusal.sent = refusal.answer.len(),
                Poll::Pending => {
                    self.refusal = Some(refusal);
                    return Poll::Pending;
                }
            }
        }
        let closed = self.as_mut().poll_shutdown(cx);
        if closed.is_ready() {
            refusal.answer = Vec::new();
        }
        self.refusal = Some(refusal);
        // The client may be gone already; then there is nobody left to tell.
        closed.map(|_| Ok(()))
    }

    /// Bounds what waits for the client to take more of an answer; `took` is what it has taken if it did.
    fn bound<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        took: usize,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            if let Some(http2) = &mut self.http2 {
                http2.sent(took);
            }
            self.patience.gain(took, &self.clients.pace);
            return wrote;
        }
        ready!(self.alarm.poll(cx, self.patience.deadline()));
        self.tell(Flaw::SlowReader);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Flaw::SlowReader)))
    }

    /// Counts why the session fails, once.
    fn tell(&mut self, flaw: Flaw) {
        if !std::mem::replace(&mut self.told, true) {
            self.clients.refusals.note(flaw);
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.refusal.is_some() {
            return self.poll_refusal(cx);
        }
        let this = &mut *self;
        // Who waits for the client has nothing more to write for now, so what was written must be on its way:
        // the head of an answer whose body takes its time, or the first bytes of that body.
        if this.unflushed {
            let flushed = Pin::new(&mut this.stream).poll_flush(cx);
            this.unflushed = flushed.is_pending();
            if let Poll::Ready(Err(error)) = flushed {
                return Poll::Ready(Err(error));
            }
        }
        let stream = this.stream.get_mut();
        let Some(inbound) = &mut this.inbound else {
            let before = buf.filled().len();
            let read = Pin::new(stream).poll_read(cx, buf);
            let kept = match (&mut this.http2, &read) {
                (Some(http2), Poll::Ready(Ok(()))) => http2.heard(&buf.filled()[before..]),
                (Some(http2), Poll::Pending) => http2.waits(cx),
                _ => Ok(()),
            };
            if let Err(error) = kept {
                if let Some(flaw) = Flaw::of(&error) {
                    this.tell(flaw);
                }
                return Poll::Ready(Err(error));
            }
            return read;
        };
        if this.switched.load(Ordering::Relaxed) {
            inbound.open();
        }
        let pace = (&this.clients.pace, &mut this.alarm);
        // Only who looks out for a next request reads a single byte.
        let (is_probe, before) = (buf.remaining() == 1, buf.filled().len());
        this.next_has_begun = false;
        match ready!(inbound.poll_read(cx, stream, buf, pace)) {
            Ok(()) => {
                this.next_has_begun = is_probe && buf.filled().len() > before;
                Poll::Ready(Ok(()))
            }
            Err(Stop::Failed(error)) => {
                if let Some(flaw) = Flaw::of(&error) {
                    this.tell(flaw);
                }
                Poll::Ready(Err(error))
            }
            Err(Stop::Refused(flaw)) => {
                this.refuse(flaw);
                self.poll_refusal(cx)
            }
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        if self.next_has_begun {
            // No read will come that sends what waits in the buffer.
            let flushed = Pin::new(&mut self.stream).poll_flush(cx);
            ready!(self.bound(cx, flushed, 0))?;
            let wrote = Pin::new(self.stream.get_mut()).poll_write(cx, buf);
            return self.bound(cx, wrote, buf.len());
        }
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bound(cx, wrote, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = self.stream.buffer().len();
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unflushed &= !matches!(flushed, Poll::Ready(Ok(())));
        self.bound(cx, flushed, waiting)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Pingora closes a connection through here (and not through its own `Shutdown`), and drops it then.
        if self.linger.is_none() {
            let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.bound(cx, shut, 0))?;
        }
        let Self { linger, stream, shutdown, http2, .. } = &mut *self;
        let begin = if http2.is_some() { Linger::begin_http2 } else { Linger::begin };
        linger.get_or_insert_with(|| begin(shutdown.clone())).poll(cx, stream.get_mut()).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.next_has_begun {
            // One after the other, as above: this is seldom enough.
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        self.unflushed = true;
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bound(cx, wrote, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // The client may be gone already; then there is nobody left to tell.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        self.stream.get_ref().as_raw_fd()
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        None
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        // Pingora asks for this only to know which of the two to speak.
        self.http2.is_some().then_some(ALPN::H2)
    }
}

#[async_trait]
impl Peek for Conn {}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.facts.clone()
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::super::accept::Connections;
    use super::super::caps::{Caps, ConnectionsConfig};
    use super::super::door::Door;
    use super::*;
    use crate::diagnostic::{At, Diagnostics};

    /// The session reads on beside an answer only until the first byte of a next request has come.
    #[tokio::test]
    async fn a_request_behind_the_first_holds_no_part_of_its_answer_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let (_stop, shutdown) = watch::channel(false);
        let connections = Connections::default();
        let open = Arc::new(super::super::Traffic::default()).accept();
        let clients = Arc::new(Clients::untold());
        let limits = ConnectionsConfig::default().compile(&At::root(), &mut Diagnostics::new());
        let place = Arc::new(Caps::default()).enter(&limits).unwrap();
        let held = Held { guard: connections.guard(), open, place };
        let arrived = Arrived {
            local: stream.local_addr().unwrap(),
            transport: stream.into(),
            peer,
            http2: false,
            facts: Facts { door: Arc::new(Door::plain()), tls: None },
            clients,
        };
        let mut conn = Conn::new(arrived, shutdown, held);

        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut probe = [0; 1];
        conn.read_exact(&mut probe).await.unwrap();
        conn.write_all(b"event").await.unwrap();
        let mut heard = [0; 5];
        let reading = client.read_exact(&mut heard);
        timeout(Duration::from_secs(5), reading).await.expect("it is on its way").unwrap();
        assert_eq!(&heard, b"event");

        // With the next request, head and body of an answer leave together again.
        let mut rest = [0; 64];
        assert!(conn.read(&mut rest).await.unwrap() > 1);
        conn.write_all(b"head").await.unwrap();
        assert_eq!(conn.stream.buffer(), b"head");
    }
}
