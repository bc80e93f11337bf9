//! A writer whose buffer is there only while something waits in it.
//!
//! Head and small body of an answer leave in one write. A connection that rests has nothing to write, and most rest
//! most of the time; so the buffer is made when it is needed and given back when the client is waited for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// What is at least so large is written through.
const CAPACITY: usize = 4096;
/// What the buffer begins with: enough for most answers that it is for, and of a size that the allocator has at hand.
const FIRST: usize = 1024;

/// A transport, and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Buffered<W> {
    inner: W,
    waiting: Vec<u8>,
    /// How much of it is written.
    written: usize,
}

impl<W> Buffered<W> {
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, waiting: Vec::new(), written: 0 }
    }

    pub(super) const fn get_ref(&self) -> &W {
        &self.inner
    }

    pub(super) const fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// What waits to be written.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.waiting[self.written..]
    }

    /// Gives the buffer back, if nothing waits in it.
    pub(super) fn rest(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = Vec::new();
        }
    }
}

impl<W: AsyncWrite + Unpin> Buffered<W> {
    /// Writes what waits.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.waiting.len() {
            let rest = &self.waiting[self.written..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                wrote => self.written += wrote,
            }
        }
        self.waiting.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether so many bytes are to be kept; makes room for them.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + bytes > CAPACITY {
            ready!(self.poll_empty(cx))?;
        }
        let keeps = bytes < CAPACITY;
        if keeps && self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(bytes.max(FIRST));
        }
        Poll::Ready(Ok(keeps))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Buffered<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(cx, buf.len()))? {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        self.waiting.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if !ready!(self.poll_room(cx, all))? {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        }
        for buf in bufs {
            self.waiting.extend_from_slice(buf);
        }
        Poll::Ready(Ok(all))
    }

    // Several small pieces are put together here, whatever is below.
    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn small_pieces_leave_together_and_large_ones_by_themselves() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut writer = Buffered::new(near);
        assert_eq!(writer.waiting.capacity(), 0);
        writer.write_all(b"head ").await.unwrap();
        writer.write_all(b"body").await.unwrap();
        assert_eq!(writer.waiting(), b"head body");
        let large = vec![b'x'; CAPACITY];
        writer.write_all(&large).await.unwrap();
        assert!(writer.waiting().is_empty());
        let bufs = [io::IoSlice::new(b"one "), io::IoSlice::new(b"two")];
        assert_eq!(writer.write_vectored(&bufs).await.unwrap(), 7);
        assert_eq!(writer.waiting(), b"one two");
        // What waits is not given back.
        writer.rest();
        let bufs = [io::IoSlice::new(&large), io::IoSlice::new(b"!")];
        let wrote = writer.write_vectored(&bufs).await.unwrap();
        assert!(wrote > 0 && writer.waiting().is_empty());
        writer.write_all(b"last").await.unwrap();
        writer.shutdown().await.unwrap();
        writer.rest();
        assert_eq!(writer.waiting.capacity(), 0);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        let both = [&large[..], b"!"].concat();
        let whole = [b"head body", &large[..], b"one two", &both[..wrote], b"last"].concat();
        assert!(all == whole, "{} bytes instead of {}", all.len(), whole.len());
    }

    #[tokio::test]
    async fn a_slow_reader_gets_each_byte_once() {
        let (near, mut far) = tokio::io::duplex(7);
        let mut writer = Buffered::new(near);
        let sent: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let whole = sent.clone();
        let writing = tokio::spawn(async move {
            for piece in sent.chunks(999) {
                writer.write_all(piece).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        writing.await.unwrap();
        assert!(all == whole);
    }
}
