//! What carries a connection's bytes: TCP as it is, or TLS over it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What carries a connection's bytes.
#[derive(Debug)]
pub enum Transport {
    /// TCP as it is.
    Plain(Plain),
    /// TLS over TCP; boxed, since its state is large and most of it is not needed at every step.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A plain stream, and what was read of it before anybody knew what it was.
#[derive(Debug)]
pub struct Plain {
    stream: TcpStream,
    heard: Bytes,
}

impl Plain {
    /// A stream of which `heard` was read already, and is read first.
    #[must_use]
    pub fn new(stream: TcpStream, heard: Bytes) -> Self {
        Self { stream, heard }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(Plain::new(stream, Bytes::new()))
    }
}

impl Transport {
    /// The socket under it.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(plain) => &plain.stream,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsRawFd for Transport {
    fn as_raw_fd(&self) -> RawFd {
        self.socket().as_raw_fd()
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(Plain { stream, heard }) => {
                if heard.is_empty() {
                    return Pin::new(stream).poll_read(cx, buf);
                }
                let length = heard.len().min(buf.remaining());
                buf.put_slice(&heard[..length]);
                heard.advance(length);
                if heard.is_empty() {
                    // Gives its memory back.
                    *heard = Bytes::new();
                }
                Poll::Ready(Ok(()))
            }
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.stream.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
