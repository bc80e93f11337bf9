//! What a connection of HTTP/2 may do below the library that speaks it.
//!
//! The library bounds streams, header lists and resets by itself. It answers every PING and SETTINGS, though,
//! and reads empty frames, for as long as they come; and it waits for a client's first frame for ever. So the
//! frames are counted as they are read: those that ask for work and carry nothing draw on an allowance that
//! fills again with time, and with what is sent to the client, since who is sent much has much to acknowledge.
//! When it is used up, the connection is closed.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use tokio::time::{Instant, Sleep, sleep};

use super::preface::PREFACE;

/// How long a connection is kept on which no request is under way.
pub const HTTP2_IDLE: Duration = Duration::from_secs(75);
/// Requests at once on one connection.
const STREAMS: u32 = 100;
/// The largest list of headers, as RFC 9113 counts it.
const HEADER_LIST: u32 = 64 << 10;
/// What a client may send of one request's body before we have read it, and of all of a connection's.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is kept of an answer that the client does not take yet.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that a client has reset and that nobody has looked at yet.
const PENDING_RESETS: usize = 20;
/// Streams that a client's own mistakes have had reset, in the life of a connection.
const OWN_ERRORS: usize = 100;

/// What the library that speaks HTTP/2 allows a client.
#[must_use]
pub fn http2_options() -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(OWN_ERRORS));
    options
}

/// How long the client's preface and first frame may take.
const OPENING: Duration = Duration::from_secs(10);
/// As many frames without a use may come at once.
const BURST: u32 = 2000;
/// And so many more each second.
const PER_SECOND: u32 = 200;
/// So many bytes sent to the client allow for one more.
const BYTES_PER_FRAME: usize = 1024;

/// The frames of one connection, and its deadlines.
#[derive(Debug)]
pub(super) struct Http2 {
    frames: Frames,
    /// Until the first frame has come.
    opening: Option<Pin<Box<Sleep>>>,
}

impl Http2 {
    /// Begins now. Must be called within a runtime.
    pub(super) fn new() -> Self {
        Self { frames: Frames::new(Instant::now()), opening: Some(Box::pin(sleep(OPENING))) }
    }

    /// Looks at what was read.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.read(bytes, Instant::now)?;
        if self.frames.begun {
            self.opening = None;
        }
        Ok(())
    }

    /// While nothing can be read: whether the first frame is overdue.
    pub(super) fn waits(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        overdue(&mut self.opening, cx, "no first frame of HTTP/2 in time")
    }

    /// Notes what was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.frames.sent(bytes);
    }
}

fn overdue(
    deadline: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
    what: &'static str,
) -> io::Result<()> {
    let over = deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
    if over { Err(io::Error::new(io::ErrorKind::TimedOut, what)) } else { Ok(()) }
}

/// A reader of frames' heads (RFC 9113, section 4.1), which passes over what is in them.
#[derive(Debug)]
struct Frames {
    place: Place,
    /// Whether a first frame has come.
    begun: bool,
    allowance: u32,
    filled: Instant,
    sent: usize,
}

#[derive(Debug)]
enum Place {
    /// So many bytes of the preface are still to come.
    Preface(usize),
    /// Within a head, of which so many bytes are there.
    Head([u8; 9], usize),
    /// So many bytes of a frame are still to come.
    Payload(usize),
}

impl Frames {
    fn new(now: Instant) -> Self {
        let place = Place::Preface(PREFACE.len());
        Self { place, begun: false, allowance: BURST, filled: now, sent: 0 }
    }

    /// Notes what was sent.
    fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
    }

    fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Preface(left) | Place::Payload(left) => {
                    let skipped = bytes.len().min(*left);
                    *left -= skipped;
                    bytes = &bytes[skipped..];
                    if *left == 0 {
                        self.place = Place::Head([0; 9], 0);
                    }
                }
                Place::Head(head, have) => {
                    let taken = bytes.len().min(head.len() - *have);
                    head[*have..*have + taken].copy_from_slice(&bytes[..taken]);
                    *have += taken;
                    bytes = &bytes[taken..];
                    if *have < head.len() {
                        break;
                    }
                    let [a, b, c, kind, flags, ..] = *head;
                    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                    self.begun = true;
                    self.place = match length {
                        0 => Place::Head([0; 9], 0),
                        _ => Place::Payload(length),
                    };
                    if !is_useful(kind, flags, length) {
                        self.draw(&now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes one from the allowance.
    fn draw(&mut self, now: &impl Fn() -> Instant) -> io::Result<()> {
        if self.allowance == 0 {
            let now = now();
            let since = now.saturating_duration_since(self.filled).as_millis();
            let by_time =
                u32::try_from(since).unwrap_or(u32::MAX).saturating_mul(PER_SECOND) / 1000;
            let by_bytes = u32::try_from(self.sent / BYTES_PER_FRAME).unwrap_or(u32::MAX);
            self.allowance = by_time.saturating_add(by_bytes).min(BURST);
            (self.filled, self.sent) = (now, 0);
        }
        self.allowance = self.allowance.checked_sub(1).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "a flood of HTTP/2 control frames")
        })?;
        Ok(())
    }
}

/// Whether a frame carries something: a request, a part of its body, or the end of either.
fn is_useful(kind: u8, flags: u8, length: usize) -> bool {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const END_STREAM: u8 = 1;
    match kind {
        DATA => length > 0 || flags & END_STREAM != 0,
        HEADERS => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.read(PREFACE, || now).unwrap();
        frames
    }

    /// How many empty SETTINGS are allowed now.
    fn allowed(frames: &mut Frames, now: Instant) -> u32 {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let all = (0..10 * BURST).take_while(|_| frames.read(&settings, || now).is_ok());
        all.count().try_into().unwrap()
    }

    #[tokio::test]
    async fn frames_are_told_apart_however_they_are_cut() {
        let now = Instant::now();
        let data = [&[0, 1, 0, 0, 0, 0, 0, 0, 1][..], &[6; 256]].concat();
        let empty = [0, 0, 0, 0, 0, 0, 0, 0, 1];
        let last = [0, 0, 0, 0, 1, 0, 0, 0, 1];
        let bytes = [&PREFACE[..], &PING, &data, &empty, &last, &PING].concat();
        for size in [1, 3, 9, 10, 1000] {
            let mut frames = Frames::new(now);
            for piece in bytes.chunks(size) {
                frames.read(piece, || now).unwrap();
            }
            assert_eq!(frames.allowance, BURST - 3, "{size}");
            assert!(frames.begun && matches!(frames.place, Place::Head(_, 0)));
        }
    }

    #[tokio::test]
    async fn an_allowance_fills_with_time_and_with_what_is_sent() {
        let start = Instant::now();
        let mut frames = begun(start);
        assert_eq!(allowed(&mut frames, start), BURST);
        assert_eq!(allowed(&mut frames, start + Duration::from_secs(2)), 2 * PER_SECOND);
        frames.sent(100 * BYTES_PER_FRAME);
        assert_eq!(allowed(&mut frames, start + Duration::from_secs(2)), 100);
        assert_eq!(allowed(&mut frames, start + Duration::from_secs(3600)), BURST);
        // A quiet client draws on what it saved, and the time before is not lost.
        let mut frames = begun(start);
        let at = |n: u64| start + Duration::from_millis(n * 6);
        assert!((0..20_000).all(|n| frames.read(&PING, || at(n)).is_ok()));
    }
}
