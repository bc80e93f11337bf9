//! One client connection, as Pingora sees it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

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
use super::facts::Facts;
use super::http2::Http2;
use super::linger::Linger;
use super::traffic::Open;
use super::transport::Transport;

/// Head and small body of an answer leave in one write; a larger body is written through.
const WRITE_BUFFER: usize = 4096;

/// A connection from a client.
///
/// Reads are not buffered here: the HTTP/1 session reads into a buffer of its own, so a second one would
/// cost memory for every idle client and a copy for every request.
pub struct Conn {
    stream: BufWriter<Transport>,
    digest: Arc<SocketDigest>,
    peer: SocketAddr,
    local: SocketAddr,
    accepted: SystemTime,
    facts: Option<Arc<ProxyDigest>>,
    /// Set if the client speaks HTTP/2.
    http2: Option<Box<Http2>>,
    /// Whether something was written since the last flush: TLS too keeps bytes back.
    unflushed: bool,
    linger: Option<Linger>,
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
        let Arrived { transport, peer, local, http2, facts } = arrived;
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
            facts: facts.pack(),
            http2: http2.then(|| Box::new(Http2::new())),
            unflushed: false,
            linger: None,
            shutdown,
            _held: held,
        }
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

    /// Lets the watch over HTTP/2 know what a write came to.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &mut self.http2 {
            Some(http2) => http2.written(cx, written, bytes),
            None => written,
        }
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Who waits for the client has nothing more to write for now, so what was written must be on its way:
        // the head of an answer whose body takes its time, or the first bytes of that body.
        if self.unflushed
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        let Self { stream, http2, .. } = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(stream.get_mut()).poll_read(cx, buf);
        match (http2, &read) {
            (Some(http2), Poll::Ready(Ok(()))) => http2.heard(&buf.filled()[before..])?,
            (Some(http2), Poll::Pending) => http2.waits(cx)?,
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch_write(cx, written, |bytes| *bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unflushed &= !matches!(flushed, Poll::Ready(Ok(())));
        self.watch_write(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Pingora closes a connection through here (and not through its own `Shutdown`), and drops it then.
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
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
        self.unflushed = true;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written, |bytes| *bytes)
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
