//! What a connection of HTTP/2 may do below the library that speaks it.
//!
//! The library bounds streams, header lists and resets by itself. It answers every PING and SETTINGS, though,
//! and reads empty frames, for as long as they come; and it waits for a client's first frame for ever. So the
//! frames are counted as they are read: those that ask for work and carry nothing draw on an allowance that
//! fills again with time, and with what is sent to the client, since who is sent much has much to acknowledge.
//! When it is used up, the connection is closed.

use std::future::Future as _;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::clients::Clients;
use super::http1::Flaw;
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
    /// Until the connection is told to end.
    age: Pin<Box<Sleep>>,
    /// The most requests on it.
    requests: u32,
    /// Tells whoever speaks HTTP/2 that no new stream is to be taken.
    leave: Arc<watch::Sender<bool>>,
    /// Once it is told to end: until a client is cut that is silent and stays.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Http2 {
    /// Begins now. Must be called within a runtime.
    pub(super) fn new(clients: &Clients) -> Self {
        Self {
            frames: Frames::new(Instant::now()),
            opening: Some(Box::pin(sleep(OPENING))),
            age: Box::pin(sleep(clients.pace.timeouts.age.get())),
            requests: clients.requests.map_or(u32::MAX, NonZeroU32::get),
            leave: Arc::new(watch::Sender::new(false)),
            patience: None,
        }
    }

    /// Told when the connection is to end.
    pub(super) fn leave(&self) -> Arc<watch::Sender<bool>> {
        Arc::clone(&self.leave)
    }

    /// Looks at what was read.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.read(bytes, Instant::now)?;
        if self.frames.begun {
            self.opening = None;
        }
        if let Some(patience) = &mut self.patience {
            patience.as_mut().reset(Instant::now() + HTTP2_IDLE);
        } else if self.frames.requests >= self.requests {
            self.end();
        }
        Ok(())
    }

    /// While nothing can be read: whether the first frame is overdue, or the client has been silent for long and was
    /// told to leave.
    pub(super) fn waits(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.patience.is_none() && self.age.as_mut().poll(cx).is_ready() {
            self.end();
        }
        overdue(&mut self.opening, cx, Flaw::Http2Opening)?;
        overdue(&mut self.patience, cx, Flaw::Idle)
    }

    /// Notes what was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.frames.sent(bytes);
        if let Some(patience) = self.patience.as_mut().filter(|_| bytes > 0) {
            patience.as_mut().reset(Instant::now() + HTTP2_IDLE);
        }
    }

    fn end(&mut self) {
        self.leave.send_replace(true);
        self.patience = Some(Box::pin(sleep(HTTP2_IDLE)));
    }
}

fn overdue(
    deadline: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
    flaw: Flaw,
) -> io::Result<()> {
    let over = deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
    if over { Err(io::Error::new(io::ErrorKind::TimedOut, flaw)) } else { Ok(()) }
}

/// A reader of frames' heads (RFC 9113, section 4.1), which passes over what is in them.
#[derive(Debug)]
struct Frames {
    place: Place,
    /// Whether a first frame has come.
    begun: bool,
    /// The last stream that was opened, and how many were.
    last: u32,
    requests: u32,
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
        Self { place, begun: false, last: 0, requests: 0, allowance: BURST, filled: now, sent: 0 }
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
                    let [a, b, c, kind, flags, stream @ ..] = *head;
                    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                    // RFC 9113, section 3.4. The library would take any.
                    if !self.begun && (kind, flags & ACK) != (SETTINGS, 0) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, Flaw::Http2Opening));
                    }
                    self.begun = true;
                    let stream = u32::from_be_bytes(stream) & !RESERVED;
                    if kind == HEADERS && stream > self.last {
                        self.last = stream;
                        self.requests = self.requests.saturating_add(1);
                    }
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
        self.allowance = self
            .allowance
            .checked_sub(1)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, Flaw::Http2Flood))?;
        Ok(())
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
/// The bit of a stream's number that means nothing.
const RESERVED: u32 = 1 << 31;

/// Whether a frame carries something: a request, a part of its body, or the end of either.
fn is_useful(kind: u8, flags: u8, length: usize) -> bool {
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

    const FIRST: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.read(PREFACE, || now).unwrap();
        frames.read(&FIRST, || now).unwrap();
        frames.allowance = BURST;
        frames
    }

    /// How many empty SETTINGS are allowed now.
    fn allowed(frames: &mut Frames, now: Instant) -> u32 {
        let all = (0..10 * BURST).take_while(|_| frames.read(&FIRST, || now).is_ok());
        all.count().try_into().unwrap()
    }

    #[tokio::test]
    async fn frames_are_told_apart_however_they_are_cut() {
        let now = Instant::now();
        let data = [&[0, 1, 0, 0, 0, 0, 0, 0, 1][..], &[6; 256]].concat();
        let empty = [0, 0, 0, 0, 0, 0, 0, 0, 1];
        let last = [0, 0, 0, 0, 1, 0, 0, 0, 1];
        let bytes = [&PREFACE[..], &FIRST, &data, &empty, &last, &PING].concat();
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
    async fn the_first_frame_is_settings_and_streams_are_counted() {
        let now = Instant::now();
        for first in [&PING[..9], &[0, 0, 0, 4, 1, 0, 0, 0, 0], &[0, 0, 0, 1, 5, 0, 0, 0, 1]] {
            let mut frames = Frames::new(now);
            frames.read(PREFACE, || now).unwrap();
            let error = frames.read(first, || now).unwrap_err();
            assert_eq!(Flaw::of(&error), Some(Flaw::Http2Opening));
        }
        let mut frames = begun(now);
        // With trailers, and with the bit that means nothing.
        for stream in [[0, 0, 0, 1], [0, 0, 0, 1], [0x80, 0, 0, 3], [0, 0, 0, 3]] {
            frames.read(&[&[0, 0, 0, 1, 5][..], &stream].concat(), || now).unwrap();
        }
        assert_eq!((frames.requests, frames.last), (2, 3));
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
