//! [`Inbound`]: the guard between a socket and the session that reads from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::flaw::Flaw;
use super::guard::Guard;
use crate::listen::pace::{Alarm, Pace, Patience};

/// How long a connection that has switched (a `WebSocket`) may rest; pings at the endpoints' own interval keep it
/// open.
const SWITCHED_REST: Duration = Duration::from_secs(3600);

/// A session that reads into less room than this asks for no request: it looks whether the client is still there
/// while it works on the last one.
const PROBE: usize = 16;

/// Why nothing more is read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A request that does not begin as it should: it is to be refused here, where there is somebody to tell.
    Refused(Flaw),
    /// A body that does not go on as it should, or a socket that failed: the session ends the request.
    Failed(io::Error),
}

/// What was read and has not passed.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// Where it begins.
    start: usize,
    /// How many bytes from there on may pass.
    cleared: usize,
    /// Whether there is something that the guard has not seen.
    unseen: bool,
}

impl Held {
    fn window(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    fn keep(&mut self, more: &[u8], unseen: bool) {
        self.bytes.extend_from_slice(more);
        self.unseen = unseen;
    }

    fn pass(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.cleared.min(buf.remaining());
        buf.put_slice(&self.bytes[self.start..self.start + length]);
        self.start += length;
        self.cleared -= length;
        if self.is_empty() {
            // Connections rest far longer than they read, and this is the rare way.
            *self = Self::default();
        }
    }
}

/// What a client sends, on its way through the guard.
#[derive(Debug)]
pub(crate) struct Inbound {
    guard: Guard,
    held: Held,
    patience: Patience,
    /// Since when the client is waited for, outside of bodies.
    since: Option<Instant>,
    /// When the head began that has not come whole.
    head_since: Option<Instant>,
    /// How many requests have passed.
    requests: u32,
}

impl Inbound {
    pub(crate) fn new(pace: &Pace) -> Self {
        Self {
            guard: Guard::default(),
            held: Held::default(),
            patience: Patience::new(pace),
            since: None,
            head_since: None,
            requests: 0,
        }
    }

    /// How many requests have passed.
    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    /// Lets everything pass, once the last request has: the connection has switched to another protocol.
    pub(crate) fn open(&mut self) {
        if self.held.cleared == 0 {
            self.guard.open();
        }
    }

    /// The guard of a head that is not whole, the bytes that it speaks of, and when they began to come.
    pub(crate) fn evidence(&self) -> (&Guard, &[u8], Option<Instant>) {
        (&self.guard, self.held.window(), self.head_since)
    }

    /// Reads what may pass into `buf`; nothing at the end of the stream.
    pub(crate) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        buf: &mut ReadBuf<'_>,
        (pace, alarm): (&Pace, &mut Alarm),
    ) -> Poll<Result<(), Stop>> {
        if self.held.cleared > 0 || buf.remaining() == 0 {
            self.held.pass(buf);
            return Poll::Ready(Ok(()));
        }
        if self.guard.is_complete() {
            if buf.remaining() < PROBE {
                return self.poll_probe(cx, stream, buf);
            }
            self.guard.next();
        }
        loop {
            if self.held.unseen {
                self.look(pace)?;
                if self.held.cleared > 0 {
                    self.held.pass(buf);
                    return Poll::Ready(Ok(()));
                }
            }
            let start = buf.filled().len();
            match Pin::new(&mut *stream).poll_read(cx, buf) {
                Poll::Ready(read) => read.map_err(Stop::Failed)?,
                Poll::Pending => return self.poll_wait(cx, pace, alarm).map(Err),
            }
            self.since = None;
            if buf.filled().len() == start {
                return Poll::Ready(self.end());
            }
            if self.take(buf, start, pace)? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether the client is still there, while its last request is worked on. What it sends meanwhile waits.
    fn poll_probe<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Stop>> {
        if !self.held.is_empty() {
            // Nobody is woken: the next request is asked for by another read.
            return Poll::Pending;
        }
        let start = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf)).map_err(Stop::Failed)?;
        if buf.filled().len() == start {
            return Poll::Ready(Ok(()));
        }
        self.held.keep(&buf.filled()[start..], true);
        buf.set_filled(start);
        Poll::Pending
    }

    /// Lets the guard look at what was read into `buf` behind `start`. Whether some of it has passed.
    fn take(&mut self, buf: &mut ReadBuf<'_>, start: usize, pace: &Pace) -> Result<bool, Stop> {
        let new = &buf.filled()[start..];
        let length = new.len();
        if !self.held.is_empty() {
            self.held.keep(new, true);
            buf.set_filled(start);
            return Ok(false);
        }
        let in_head = self.guard.is_in_head();
        let looked = self.guard.feed(new);
        let passed = *looked.as_ref().unwrap_or(&0);
        if passed < length {
            // Behind the end of a request it is the next one's, at which the guard looks when its time comes.
            self.held.keep(&new[passed..], passed > 0);
            buf.set_filled(start + passed);
        }
        looked.map_err(|flaw| stop(flaw, in_head))?;
        self.note(in_head, passed, pace);
        Ok(passed > 0)
    }

    /// Lets the guard look at what is held.
    fn look(&mut self, pace: &Pace) -> Result<(), Stop> {
        let in_head = self.guard.is_in_head();
        let looked = self.guard.feed(self.held.window());
        let passed = looked.map_err(|flaw| stop(flaw, in_head))?;
        self.held.cleared = passed;
        self.held.unseen = passed > 0 && passed < self.held.window().len();
        self.note(in_head, passed, pace);
        Ok(())
    }

    /// Keeps the time of what the guard has looked at.
    fn note(&mut self, in_head: bool, passed: usize, pace: &Pace) {
        if !in_head {
            self.patience.gain(passed, pace);
        } else if passed > 0 {
            self.requests = self.requests.saturating_add(1);
            self.head_since = None;
            self.patience = Patience::new(pace);
        } else if self.head_since.is_none() && Guard::has_begun(self.held.window()) {
            self.head_since = Some(Instant::now());
        }
    }

    /// The end of the stream.
    fn end(&self) -> Result<(), Stop> {
        if self.guard.is_in_head() && Guard::has_begun(self.held.window()) {
            return Err(Stop::Refused(Flaw::CutHead));
        }
        Ok(())
    }

    /// Ready when the client has been waited for long enough.
    fn poll_wait(&mut self, cx: &mut Context<'_>, pace: &Pace, alarm: &mut Alarm) -> Poll<Stop> {
        let (deadline, flaw) = self.deadline(pace);
        ready!(alarm.poll(cx, deadline));
        Poll::Ready(if self.guard.is_in_head() {
            Stop::Refused(flaw)
        } else {
            Stop::Failed(io::Error::new(io::ErrorKind::TimedOut, flaw))
        })
    }

    /// Until when the client is waited for, and what it is refused for then.
    fn deadline(&mut self, pace: &Pace) -> (Instant, Flaw) {
        if self.guard.is_in_body() {
            return (self.patience.deadline(), Flaw::SlowBody);
        }
        let timeouts = &pace.timeouts;
        if let Some(since) = self.head_since {
            return (since + timeouts.head.get(), Flaw::SlowHead);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        match (self.guard.is_in_head(), self.requests) {
            (false, _) => (since + SWITCHED_REST, Flaw::Idle),
            (true, 0) => (since + timeouts.head.get(), Flaw::Silent),
            (true, _) => (since + timeouts.idle.get(), Flaw::Idle),
        }
    }
}

fn stop(flaw: Flaw, in_head: bool) -> Stop {
    if in_head {
        Stop::Refused(flaw)
    } else {
        Stop::Failed(io::Error::new(io::ErrorKind::InvalidData, flaw))
    }
}
