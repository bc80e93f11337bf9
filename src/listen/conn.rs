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
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::accept::ConnectionGuard;
use super::linger::Linger;
use super::traffic::Open;

/// Head and small body of an answer leave in one write; a larger body is written through.
const WRITE_BUFFER: usize = 4096;

/// A plain TCP connection from a client.
///
/// Reads are not buffered here: the HTTP/1 session reads into a buffer of its own, so a second one would
/// cost memory for every idle client and a copy for every request.
pub struct Conn {
    stream: BufWriter<TcpStream>,
    digest: Arc<SocketDigest>,
    peer: SocketAddr,
    local: SocketAddr,
    accepted: SystemTime,
    linger: Option<Linger>,
    /// Whether the session has heard that a next request has begun, and reads no more before this one's end.
    next_has_begun: bool,
    shutdown: watch::Receiver<bool>,
    _guard: ConnectionGuard,
    _open: Open,
}

impl Conn {
    /// Takes over a fresh connection. `shutdown` tells it of a stop, during which it does not linger.
    pub fn new(
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: watch::Receiver<bool>,
        guard: ConnectionGuard,
        open: Open,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // A fresh cell is empty, so that setting it cannot fail.
        let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(peer)));
        let _ = digest.local_addr.set(Some(PingoraAddr::Inet(local)));
        Ok(Self {
            stream: BufWriter::with_capacity(WRITE_BUFFER, stream),
            digest: Arc::new(digest),
            peer,
            local,
            accepted: SystemTime::now(),
            linger: None,
            next_has_begun: false,
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
        if !self.stream.buffer().is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        // Only who looks out for a next request reads a single byte.
        let (is_probe, before) = (buf.remaining() == 1, buf.filled().len());
        let outcome = Pin::new(self.stream.get_mut()).poll_read(cx, buf);
        self.next_has_begun = is_probe && buf.filled().len() > before;
        outcome
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.next_has_begun {
            // No read will come that sends what waits in the buffer.
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            return Pin::new(self.stream.get_mut()).poll_write(cx, buf);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
        if self.next_has_begun {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            return Pin::new(self.stream.get_mut()).poll_write_vectored(cx, bufs);
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::super::accept::Connections;
    use super::*;

    /// The session reads on beside an answer only until the first byte of a next request has come.
    #[tokio::test]
    async fn a_request_behind_the_first_holds_no_part_of_its_answer_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let (_stop, shutdown) = watch::channel(false);
        let connections = Connections::default();
        let open = Arc::new(super::super::Traffic::default()).accept();
        let mut conn = Conn::new(stream, peer, shutdown, connections.guard(), open).unwrap();

        client.write_all(b"GET").await.unwrap();
        let mut probe = [0; 1];
        conn.read_exact(&mut probe).await.unwrap();
        conn.write_all(b"event").await.unwrap();
        let mut heard = [0; 5];
        let reads = client.read_exact(&mut heard);
        timeout(Duration::from_secs(5), reads).await.expect("it is on its way").unwrap();
        assert_eq!(&heard, b"event");

        // With the next request, head and body of an answer leave together again.
        let mut rest = [0; 2];
        assert_eq!(conn.read(&mut rest).await.unwrap(), 2);
        conn.write_all(b"head").await.unwrap();
        assert_eq!(conn.stream.buffer(), b"head");
    }
}
