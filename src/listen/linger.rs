//! Lingering: the end of a connection on which the client may still be sending.
//!
//! Closing a socket with unread bytes in it, or to which more bytes come, resets the connection, and the reset
//! can overtake the answer that the client has not read yet: an upload refused with 413 would look like a
//! broken network. So the write side is closed first, and what still arrives is read and thrown away.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long at most. It is bounded by time and not by bytes, since a client that first sends all of a
/// refused upload, however large, is to find the answer behind it.
const IN_ALL: Duration = Duration::from_secs(30);
/// The same after HTTP/2.
const IN_ALL_HTTP2: Duration = Duration::from_secs(1);
/// How long without a byte.
const PAUSE: Duration = Duration::from_secs(2);
/// The same while the process stops: a client that rests must not hold that up.
const PAUSE_AT_STOP: Duration = Duration::from_millis(100);

/// Reads and throws away until the client closes too, rests, or takes too long.
pub(super) struct Linger {
    end: Instant,
    pause: Duration,
    patience: Pin<Box<Sleep>>,
    /// Ready when the process stops; `None` once it does.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Linger {
    /// Begins now. Must be called within a runtime.
    pub(super) fn begin(shutdown: watch::Receiver<bool>) -> Self {
        Self::for_at_most(IN_ALL, shutdown)
    }

    /// The same after HTTP/2, where streams are refused one by one and a connection that ends was told so before:
    /// who goes on sending then is not waited for.
    pub(super) fn begin_http2(shutdown: watch::Receiver<bool>) -> Self {
        Self::for_at_most(IN_ALL_HTTP2, shutdown)
    }

    fn for_at_most(in_all: Duration, mut shutdown: watch::Receiver<bool>) -> Self {
        let now = Instant::now();
        let stop = async move {
            // Without its sender there is nobody left to wait for.
            while !*shutdown.borrow_and_update() && shutdown.changed().await.is_ok() {}
        };
        Self {
            end: now + in_all,
            pause: PAUSE,
            patience: Box::pin(sleep_until(now + PAUSE.min(in_all))),
            stop: Some(Box::pin(stop)),
        }
    }

    /// Ready when the connection can be dropped.
    pub(super) fn poll<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<()>
    where
        S: AsyncRead + Unpin,
    {
        let mut sink = [0u8; 8 << 10];
        let mut heard = false;
        loop {
            let mut buffer = ReadBuf::new(&mut sink);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => heard = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let stops = self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready());
        if stops {
            self.stop = None;
            self.pause = PAUSE_AT_STOP;
        }
        if heard || stops {
            self.patience.as_mut().reset(self.end.min(Instant::now() + self.pause));
        }
        self.patience.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::time::{Instant, advance, pause, sleep};

    use super::*;

    #[tokio::test]
    async fn it_ends_with_the_client_or_its_patience() {
        pause();
        let (_stop, serving) = watch::channel(false);
        // A client that sends on, with rests that are short enough, and then closes.
        let (mut client, mut ours) = tokio::io::duplex(64);
        let sending = tokio::spawn(async move {
            for _ in 0..5 {
                client.write_all(&[b'x'; 100]).await.unwrap();
                sleep(PAUSE / 2).await;
            }
        });
        let start = Instant::now();
        let mut linger = Linger::begin(serving.clone());
        poll_fn(|cx| linger.poll(cx, &mut ours)).await;
        sending.await.unwrap();
        assert!(start.elapsed() > PAUSE, "the pause is counted from the last byte");

        // One that neither sends nor closes.
        let (client, mut ours) = tokio::io::duplex(64);
        let start = Instant::now();
        let mut linger = Linger::begin(serving.clone());
        poll_fn(|cx| linger.poll(cx, &mut ours)).await;
        assert!(start.elapsed() >= PAUSE && start.elapsed() < PAUSE * 2);
        drop(client);

        // One that never stops.
        let (mut client, mut ours) = tokio::io::duplex(64);
        let sending = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(PAUSE / 4).await;
            }
        });
        let start = Instant::now();
        let mut linger = Linger::begin(serving.clone());
        poll_fn(|cx| linger.poll(cx, &mut ours)).await;
        assert!(start.elapsed() >= IN_ALL && start.elapsed() < IN_ALL + PAUSE);
        drop(ours);
        advance(PAUSE).await;
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn a_stop_leaves_no_time_to_those_who_rest() {
        pause();
        for before in [true, false] {
            let (stop, serving) = watch::channel(before);
            let (_client, mut ours) = tokio::io::duplex(64);
            let start = Instant::now();
            let mut linger = Linger::begin(serving);
            let stopping = async {
                sleep(PAUSE / 4).await;
                stop.send_replace(true);
            };
            tokio::join!(poll_fn(|cx| linger.poll(cx, &mut ours)), stopping);
            assert!(start.elapsed() < PAUSE / 2, "{before}");
        }
    }
}
