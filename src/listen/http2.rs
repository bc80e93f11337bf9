//! What a connection of HTTP/2 may do below the library that speaks it.
//!
//! The library bounds streams, header lists and resets by itself. It answers every PING and SETTINGS, though,
//! and reads empty frames, for as long as they come; it waits for a client's first frame for ever; and it opens
//! streams for a client that takes nothing of their answers. So the frames are read along, both ways.
//!
//! - Those that ask for work and carry nothing draw on an [`Allowance`].
//! - [`Streams`] that can take no answer are bounded, and so are the headers of all that are open.
//! - When many have had a part of their answer and can't be sent the rest for long, the client is not waited for.
//!
//! Whoever goes beyond is closed. What the library ends by itself is told by its GOAWAY.

mod allowance;
mod crowd;
mod frames;
mod streams;

use std::future::Future as _;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use tokio::time::{Instant, Sleep, sleep};

pub use crowd::{Crowd, Room};

use super::clients::Clients;
use super::http1::Flaw;
use super::pace::Alarm;
use super::preface::PREFACE;
use allowance::Allowance;
use frames::{ACK, DATA, Frames, HEADERS, Head, SETTINGS, Said};
use streams::Streams;

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
const SEND_BUFFER: usize = 32 << 10;
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
/// So many streams may be stuck no longer than a quarter of the time for which one may take nothing.
const MANY: usize = 8;
/// The code of a GOAWAY for a client that asks for too much (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u32 = 11;

/// One connection, and its deadlines.
#[derive(Debug)]
pub(super) struct Http2 {
    heard: Frames,
    said: Frames,
    allowance: Allowance,
    streams: Streams,
    /// Whether a first frame has come.
    begun: bool,
    /// Until it has.
    opening: Option<Pin<Box<Sleep>>>,
    /// Until the connection is told to end.
    age: Pin<Box<Sleep>>,
    /// The most requests on it.
    requests: u32,
    /// Tells whoever speaks HTTP/2 that no new stream is to be taken.
    crowd: Arc<Crowd>,
    /// Once it is told to end: until a client is cut that is silent and stays.
    patience: Option<Pin<Box<Sleep>>>,
    /// How long a client may leave many streams stuck, and when that is looked at next, if many may be.
    stall: Duration,
    look: Option<Instant>,
    alarm: Alarm,
}

impl Http2 {
    /// Begins now. Must be called within a runtime.
    pub(super) fn new(clients: &Clients) -> Self {
        let timeouts = clients.pace.timeouts;
        Self {
            heard: Frames::behind(PREFACE.len()),
            said: Frames::behind(0),
            allowance: Allowance::new(Instant::now()),
            streams: Streams::new(),
            begun: false,
            opening: Some(Box::pin(sleep(OPENING))),
            age: Box::pin(sleep(timeouts.age.get())),
            requests: clients.requests.map_or(u32::MAX, NonZeroU32::get),
            crowd: Arc::default(),
            patience: None,
            stall: timeouts.stall.get() / 4,
            look: None,
            alarm: Alarm::default(),
        }
    }

    /// What its streams have in common.
    pub(super) fn crowd(&self) -> Arc<Crowd> {
        Arc::clone(&self.crowd)
    }

    /// Looks at what was read.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { heard, allowance, streams, begun, .. } = self;
        heard.read(bytes, |said| {
            match said {
                // RFC 9113, section 3.4. The library would take any.
                Said::Frame(Head { kind, flags, .. }) if !*begun => {
                    if (kind, flags & ACK) != (SETTINGS, 0) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, Flaw::Http2Opening));
                    }
                    *begun = true;
                }
                _ => {}
            }
            let spared = match said {
                Said::Frame(head) => allowance.draw(head, Instant::now),
                _ => true,
            };
            if spared && streams.heard(said, Instant::now).is_ok() { Ok(()) } else { Err(flood()) }
        })?;
        if self.begun {
            self.opening = None;
        }
        if let Some(patience) = &mut self.patience {
            patience.as_mut().reset(Instant::now() + HTTP2_IDLE);
        } else if self.streams.opened >= self.requests {
            self.end();
        }
        Ok(())
    }

    /// While nothing can be read: whether the first frame is overdue, many streams are stuck for long, or the client has
    /// been silent for long and was told to leave.
    pub(super) fn waits(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.patience.is_none()
            && (self.crowd.is_dismissed() || self.age.as_mut().poll(cx).is_ready())
        {
            self.end();
        }
        overdue(&mut self.opening, cx, Flaw::Http2Opening)?;
        self.is_stuck(cx)?;
        overdue(&mut self.patience, cx, Flaw::Idle)
    }

    /// Notes what is sent. With it, what the library finds wrong with the client, if it ends the connection for it.
    pub(super) fn says<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) -> Option<Flaw> {
        let Self { said, allowance, streams, .. } = self;
        let (mut flaw, mut sent, mut answers) = (None, 0, 0);
        for part in parts {
            sent += part.len();
            // What is sent is never too much.
            let _ = said.read(part, |said| {
                match said {
                    Said::GoAway(code) => flaw = reason(code),
                    Said::Frame(Head { kind: DATA | HEADERS, .. }) => answers += 1,
                    _ => {}
                }
                streams.said(said, Instant::now);
                Ok(())
            });
        }
        allowance.sent(sent, answers);
        if let Some(patience) = self.patience.as_mut().filter(|_| sent > 0) {
            patience.as_mut().reset(Instant::now() + HTTP2_IDLE);
        }
        flaw
    }

    /// Bounds how long many streams are stuck. They are looked at once their time may be over, and not whenever
    /// something is read or written.
    pub(super) fn is_stuck(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.look.is_none() && self.streams.suspects() >= MANY {
            self.look = Some(Instant::now() + self.stall);
        }
        while let Some(due) = self.look {
            if self.alarm.poll(cx, due).is_pending() {
                break;
            }
            let since = self.streams.stuck_since(MANY);
            self.look = since.map(|since| since + self.stall);
            if self.look.is_some_and(|due| due <= Instant::now()) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, Flaw::SlowReader));
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.crowd.dismiss();
        self.patience = Some(Box::pin(sleep(HTTP2_IDLE)));
    }
}

fn flood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Flaw::Http2Flood)
}

/// What a GOAWAY of ours says against the client.
const fn reason(code: u32) -> Option<Flaw> {
    match code {
        0 => None,
        ENHANCE_YOUR_CALM => Some(Flaw::Http2Flood),
        _ => Some(Flaw::Http2Broken),
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

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_UPDATE: u8 = 8;
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// As clients do that measure their connection with each answer.
    #[tokio::test]
    async fn small_answers_may_be_acknowledged_one_by_one() {
        let mut http2 = Http2::new(&Clients::untold());
        http2.heard(PREFACE).unwrap();
        http2.heard(&frame(SETTINGS, 0, 0, &[])).unwrap();
        let answer = [
            frame(HEADERS, 4, 1, &[0x88]),
            frame(DATA, 0, 1, b"small"),
            frame(HEADERS, 5, 1, &[0xbe]),
        ]
        .concat();
        let acknowledged =
            [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 5]), frame(PING, 0, 0, &[7; 8])].concat();
        for call in 0..5000 {
            assert_eq!(http2.says([&answer[..]].into_iter()), None);
            assert!(http2.heard(&acknowledged).is_ok(), "call {call}");
        }
    }
}
