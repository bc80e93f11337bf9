//! The connection of a request that asks to switch to `WebSocket`.
//!
//! A WebSocket may rest for an hour, but the answer that begins it may not: until the target has switched,
//! the request is bounded like any other. Pingora fixes the read timeout when the connection is made, before
//! anybody knows which of the two it will be. So such a request gets a connection of its own, whose socket
//! keeps the time itself until it is told of the [`Switch`].
//!
//! The socket does one thing more. Pingora takes the end of the request's (empty) body for the end of the
//! WebSocket if it reads the 101 before it has seen that end, which a target next door can bring about. So
//! the first read after a write waits for one turn of the task, in which the end of the body is seen.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep_until};

/// Whether the target has switched; shared by the request and its connection.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// Notes that the connection has switched: from now on it may rest.
    pub fn done(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has switched.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Makes connections that keep the time until the switch.
#[derive(Debug)]
pub(super) struct Patient {
    pub switch: Switch,
    /// The longest rest before the switch.
    pub read: Duration,
    /// When the target must have switched.
    pub deadline: Option<Instant>,
}

#[async_trait]
impl L4Connect for Patient {
    // How long this may take is bounded by Pingora (`total_connection_timeout`).
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let socket = self.open(address).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    ErrorType::ConnectNoRoute
                }
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting for a WebSocket", error)
        })?;
        Ok(VirtualSocketStream::new(socket).into())
    }
}

impl Patient {
    async fn open(&self, address: &SocketAddr) -> io::Result<Box<dyn VirtualSocket>> {
        match address {
            SocketAddr::Inet(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(self.bound(stream)))
            }
            SocketAddr::Unix(address) => {
                let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
                Ok(Box::new(self.bound(UnixStream::connect(path).await?)))
            }
        }
    }

    fn bound<S>(&self, stream: S) -> Bounded<S> {
        Bounded {
            stream,
            switch: self.switch.clone(),
            read: self.read,
            deadline: self.deadline,
            timer: None,
            wrote: false,
        }
    }
}

/// A socket that may not rest for long before the switch.
struct Bounded<S> {
    stream: S,
    switch: Switch,
    read: Duration,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    wrote: bool,
}

impl<S> fmt::Debug for Bounded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("switch", &self.switch).finish_non_exhaustive()
    }
}

impl<S> Bounded<S> {
    /// Ready when the time before the switch is over.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.switch.is_done() {
            self.timer = None;
            return Poll::Pending;
        }
        let (read, deadline) = (self.read, self.deadline);
        let timer = self.timer.get_or_insert_with(|| {
            let rest = Instant::now() + read;
            Box::pin(sleep_until(deadline.map_or(rest, |end| end.min(rest))))
        });
        ready!(timer.as_mut().poll(cx));
        // It may have switched since the timer was set.
        if self.switch.is_done() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            self.timer = None;
            return Poll::Ready(read);
        }
        ready!(self.poll_patience(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // After the switch both ways run at once, and neither waits for the other.
        self.wrote = !self.switch.is_done();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> VirtualSocket for Bounded<S> {
    // What is wanted of the socket was set when it was made.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::pause;

    use super::*;

    const READ: Duration = Duration::from_secs(30);

    fn patient(deadline: Option<Duration>) -> Patient {
        let deadline = deadline.map(|left| Instant::now() + left);
        Patient { switch: Switch::default(), read: READ, deadline }
    }

    #[tokio::test]
    async fn before_the_switch_a_rest_ends_with_the_read_timeout_or_the_deadline() {
        pause();
        for (deadline, bound) in [(None, READ), (Some(READ * 2), READ), (Some(READ / 3), READ / 3)]
        {
            let (_far, near) = tokio::io::duplex(64);
            let mut socket = patient(deadline).bound(near);
            let start = Instant::now();
            let error = socket.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let took = start.elapsed();
            assert!(took >= bound && took < bound + READ / 10, "{deadline:?}: {took:?}");
        }
    }

    #[tokio::test]
    async fn each_byte_begins_the_rest_anew_and_after_the_switch_none_is_too_long() {
        pause();
        let patient = patient(None);
        let (mut far, near) = tokio::io::duplex(64);
        let mut socket = patient.bound(near);
        let writing = tokio::spawn(async move {
            for rest in [READ * 2 / 3, READ * 2 / 3, READ * 100] {
                tokio::time::sleep(rest).await;
                far.write_u8(b'x').await.unwrap();
            }
            far
        });
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
        // The read is under way when the switch is noted, as it is in Pingora.
        let switch = patient.switch.clone();
        let switching = tokio::spawn(async move {
            tokio::time::sleep(READ / 2).await;
            switch.done();
        });
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
        switching.await.unwrap();
        drop(writing.await.unwrap());
    }

    #[tokio::test]
    async fn the_first_read_after_a_write_lets_the_rest_of_the_task_run() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut socket = patient(None).bound(near);
        socket.write_all(b"request").await.unwrap();
        far.write_all(b"answer").await.unwrap();
        let mut turn = poll_once(&mut socket);
        assert!(turn.is_pending(), "the answer is there, and is not read yet");
        turn = poll_once(&mut socket);
        assert!(turn.is_ready());
    }

    fn poll_once(socket: &mut (impl AsyncRead + Unpin)) -> Poll<io::Result<()>> {
        let mut bytes = [0; 16];
        let mut buffer = ReadBuf::new(&mut bytes);
        Pin::new(socket).poll_read(&mut Context::from_waker(std::task::Waker::noop()), &mut buffer)
    }
}
