//! Reading from a connection and writing to it: through the guard, and as long as the client keeps pace.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Conn, Refusal};
use crate::listen::clients::Refused;
use crate::listen::http1::{Flaw, Stop, Verdict};
use crate::listen::linger::Linger;

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
                origin: guard.origin(bytes),
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
            self.patience.gain(took, &self.clients.pace);
            return wrote;
        }
        ready!(self.alarm.poll(cx, self.patience.deadline()));
        self.tell(Flaw::SlowReader);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Flaw::SlowReader)))
    }

    /// What the client has taken with a write: not what waits in the buffer for more, which it takes with a flush.
    fn took(&self, before: usize, wrote: &Poll<io::Result<usize>>) -> usize {
        (before + length(wrote)).saturating_sub(self.stream.waiting().len())
    }

    /// Counts why the session fails, once.
    fn tell(&mut self, flaw: Flaw) {
        if !std::mem::replace(&mut self.told, true) {
            log::debug!("the connection of {} ends: {flaw}", self.peer);
            self.clients.refusals.note(flaw);
        }
    }

    /// Has it looked at, where HTTP/2 is spoken, what of these buffers was written.
    fn says(&mut self, bufs: &[io::IoSlice<'_>], wrote: &Poll<io::Result<usize>>) {
        let (Some(http2), Poll::Ready(Ok(wrote))) = (&mut self.http2, wrote) else { return };
        let mut left = *wrote;
        let parts = bufs.iter().map(|buf| {
            let part = &buf[..buf.len().min(left)];
            left -= part.len();
            part
        });
        if let Some(flaw) = http2.says(parts) {
            self.tell(flaw);
        }
    }
}

/// What was written of what there was.
const fn length(wrote: &Poll<io::Result<usize>>) -> usize {
    match wrote {
        Poll::Ready(Ok(length)) => *length,
        _ => 0,
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
        this.stream.rest();
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
            let took = length(&wrote);
            return self.bound(cx, wrote, took);
        }
        let before = self.stream.waiting().len();
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.says(&[io::IoSlice::new(buf)], &wrote);
        let took = self.took(before, &wrote);
        self.bound(cx, wrote, took)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = self.stream.waiting().len();
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unflushed &= !matches!(flushed, Poll::Ready(Ok(())));
        // What was written may have used up a window: the time in which the client gives another begins here.
        if let Some(http2) = &mut self.http2 {
            if let Err(error) = http2.is_stuck(cx) {
                self.tell(Flaw::SlowReader);
                return Poll::Ready(Err(error));
            }
            // Nothing is read behind it before something comes.
            self.stream.rest();
        }
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
        let before = self.stream.waiting().len();
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.says(bufs, &wrote);
        let took = self.took(before, &wrote);
        self.bound(cx, wrote, took)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
