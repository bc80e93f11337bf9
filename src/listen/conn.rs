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
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::sync::watch;

use super::accept::ConnectionGuard;
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
    /// Whether something was written since the last flush: TLS too keeps bytes back.
    unflushed: bool,
    linger: Option<Linger>,
    shutdown: watch::Receiver<bool>,
    _guard: ConnectionGuard,
    _open: Open,
}

impl Conn {
    /// Takes over a fresh connection. `shutdown` tells it of a stop, during which it does not linger.
    pub fn new(
        transport: Transport,
        peer: SocketAddr,
        shutdown: watch::Receiver<bool>,
        guard: ConnectionGuard,
        open: Open,
    ) -> io::Result<Self> {
        transport.socket().set_nodelay(true)?;
        let local = transport.socket().local_addr()?;
        let digest = SocketDigest::from_raw_fd(transport.as_raw_fd());
        // A fresh cell is empty, so that setting it cannot fail.
        let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(peer)));
        let _ = digest.local_addr.set(Some(PingoraAddr::Inet(local)));
        Ok(Self {
            stream: BufWriter::with_capacity(WRITE_BUFFER, transport),
            digest: Arc::new(digest),
            peer,
            local,
            accepted: SystemTime::now(),
            unflushed: false,
            linger: None,
            shutdown,
            _guard: guard,
            _open: open,
        })
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
        Pin::new(self.stream.get_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unflushed &= !matches!(flushed, Poll::Ready(Ok(())));
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Pingora closes a connection through here (and not through its own `Shutdown`), and drops it then.
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        let Self { linger, stream, shutdown, .. } = &mut *self;
        linger
            .get_or_insert_with(|| Linger::begin(shutdown.clone()))
            .poll(cx, stream.get_mut())
            .map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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

impl Ssl for Conn {}

#[async_trait]
impl Peek for Conn {}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}
