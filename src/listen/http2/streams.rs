//! The streams of one connection, as both ends speak of them: what their clients may still be sent, and what is held
//! for those who take nothing.
//!
//! Between an upstream and a stream whose client takes nothing lie some 400 KiB of its answer, since Pingora reads
//! ahead. One such stream is a client that rests; many are a client that wants memory to be held.

use super::frames::{CONTINUATION, DATA, END_STREAM, HEADERS, Head, RST_STREAM, Said};

/// The setting with which a client says what each of its streams may be sent at first.
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What that is for who says nothing, and what the connection begins with (RFC 9113, section 6.9.2).
const WINDOW: i64 = 65_535;
/// A stream that may be sent less than this in all can take no answer.
const LEAST: i64 = 1024;
/// So many of these may be open.
const STARVED: usize = 4;
/// So many streams may be open, most of which the library has refused by then.
const OPEN: usize = 1000;
/// The bytes of the header blocks of all streams that are open.
const HEADS: usize = 1 << 20;

/// The streams that are open, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Streams {
    open: Vec<Stream>,
    /// The last one that was opened, and how many were.
    last: u32,
    pub opened: u32,
    /// What a stream may be sent at first, and all of them together now.
    initial: i64,
    window: i64,
    /// The stream whose header block is read, and the bytes of all blocks.
    within: u32,
    heads: usize,
}

#[derive(Debug)]
struct Stream {
    number: u32,
    /// What it may be sent in all, and what it was.
    allowed: i64,
    sent: i64,
    /// The bytes of its header blocks.
    head: usize,
    /// Whether its answer has begun.
    begun: bool,
}

/// That a client asks for more than anybody who wants the answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Streams {
    pub fn new() -> Self {
        Self {
            open: Vec::new(),
            last: 0,
            opened: 0,
            initial: WINDOW,
            window: WINDOW,
            within: 0,
            heads: 0,
        }
    }

    /// Notes what the client said.
    pub fn heard(&mut self, said: Said) -> Result<(), TooMuch> {
        match said {
            Said::Frame(Head { kind: HEADERS, stream, length, .. }) => {
                if stream > self.last {
                    self.begin(stream)?;
                }
                self.within = stream;
                self.grow(length)
            }
            Said::Frame(Head { kind: CONTINUATION, length, .. }) => self.grow(length),
            Said::Frame(Head { kind: RST_STREAM, stream, .. }) => {
                self.end(stream);
                Ok(())
            }
            Said::Setting(INITIAL_WINDOW_SIZE, size) => {
                let more = i64::from(size) - self.initial;
                self.initial = i64::from(size);
                for stream in &mut self.open {
                    stream.allowed += more;
                }
                self.bound()
            }
            Said::Window(0, more) => {
                self.window += i64::from(more);
                Ok(())
            }
            Said::Window(number, more) => {
                if let Some(stream) = self.find(number) {
                    stream.allowed += i64::from(more);
                }
                Ok(())
            }
            Said::Frame(_) | Said::Setting(..) | Said::GoAway(_) => Ok(()),
        }
    }

    /// Notes what was said to the client.
    pub fn said(&mut self, said: Said) {
        let Said::Frame(Head { kind, flags, stream, length }) = said else { return };
        match kind {
            DATA => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                self.window -= length;
                if let Some(stream) = self.find(stream) {
                    stream.sent += length;
                }
            }
            HEADERS => {
                if let Some(stream) = self.find(stream) {
                    stream.begun = true;
                }
            }
            RST_STREAM => return self.end(stream),
            _ => return,
        }
        if flags & END_STREAM != 0 {
            self.end(stream);
        }
    }

    /// How many have had a part of their answer, and may not be sent the rest.
    pub fn stuck(&self) -> usize {
        let open = self.open.iter().filter(|stream| stream.begun);
        open.filter(|stream| self.window <= 0 || stream.allowed <= stream.sent).count()
    }

    fn begin(&mut self, number: u32) -> Result<(), TooMuch> {
        self.last = number;
        self.opened = self.opened.saturating_add(1);
        if self.open.len() >= OPEN {
            return Err(TooMuch);
        }
        self.open.push(Stream { number, allowed: self.initial, sent: 0, head: 0, begun: false });
        self.bound()
    }

    fn grow(&mut self, length: usize) -> Result<(), TooMuch> {
        if let Some(stream) = self.find(self.within) {
            stream.head += length;
            self.heads += length;
        }
        if self.heads > HEADS { Err(TooMuch) } else { Ok(()) }
    }

    /// Bounds the streams that can take no answer.
    fn bound(&self) -> Result<(), TooMuch> {
        // What it may be sent only grows beyond this.
        if self.initial >= LEAST {
            return Ok(());
        }
        let starved = self.open.iter().filter(|stream| stream.allowed < LEAST).count();
        if starved > STARVED { Err(TooMuch) } else { Ok(()) }
    }

    fn end(&mut self, number: u32) {
        if let Ok(place) = self.open.binary_search_by_key(&number, |stream| stream.number) {
            self.heads -= self.open.remove(place).head;
        }
        if self.open.is_empty() {
            // Connections rest far longer than they have streams.
            self.open = Vec::new();
        }
    }

    fn find(&mut self, number: u32) -> Option<&mut Stream> {
        let place = self.open.binary_search_by_key(&number, |stream| stream.number).ok()?;
        self.open.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: u8 = 4;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Said {
        Said::Frame(Head { kind, flags, stream, length })
    }

    fn open(stream: u32) -> Said {
        frame(HEADERS, END_STREAM, stream, 30)
    }

    const NOTHING: Said = Said::Setting(INITIAL_WINDOW_SIZE, 0);

    /// How many streams can be opened, one behind the other.
    fn most(streams: &mut Streams) -> usize {
        let from = streams.last / 2;
        (from..5000).take_while(|number| streams.heard(open(number * 2 + 1)).is_ok()).count()
    }

    #[test]
    fn few_streams_may_be_open_that_can_take_nothing() {
        let mut streams = Streams::new();
        streams.heard(NOTHING).unwrap();
        assert_eq!(most(&mut streams), STARVED);
        // Whatever the setting is, many that may be sent as good as nothing are too many.
        let mut streams = Streams::new();
        streams.heard(Said::Setting(INITIAL_WINDOW_SIZE, 1023)).unwrap();
        assert_eq!(most(&mut streams), STARVED);
        let mut streams = Streams::new();
        for number in 0..100 {
            streams.heard(open(number * 2 + 1)).unwrap();
        }
        assert_eq!(streams.heard(NOTHING), Err(TooMuch));
    }

    #[test]
    fn who_gives_each_stream_its_window_or_ends_it_may_go_on() {
        let mut streams = Streams::new();
        streams.heard(NOTHING).unwrap();
        for number in (1..1000).step_by(4) {
            streams.heard(open(number)).unwrap();
            streams.heard(Said::Window(number, 1024)).unwrap();
            streams.said(frame(HEADERS, RESPONSE, number, 30));
            streams.said(frame(DATA, END_STREAM, number, 1024));
            // Without a body, reset by us, and by the client.
            streams.heard(open(number + 2)).unwrap();
            match number % 3 {
                0 => streams.said(frame(HEADERS, RESPONSE | END_STREAM, number + 2, 30)),
                1 => streams.said(frame(RST_STREAM, 0, number + 2, 4)),
                _ => streams.heard(frame(RST_STREAM, 0, number + 2, 4)).unwrap(),
            }
        }
        assert_eq!((streams.open.len(), streams.heads, streams.opened), (0, 0, 500));
    }

    #[test]
    fn streams_are_counted_once_and_not_without_end() {
        let mut streams = Streams::new();
        for number in [1, 1, 3, 3] {
            streams.heard(open(number)).unwrap();
        }
        assert_eq!((streams.opened, streams.last, streams.open.len()), (2, 3, 2));
        assert_eq!(most(&mut Streams::new()), OPEN);
    }

    #[test]
    fn the_headers_of_all_streams_are_bounded_together() {
        let mut streams = Streams::new();
        let block = |stream| frame(HEADERS, 0, stream, HEADS / 4);
        let more = |length| frame(CONTINUATION, 4, 9, length);
        streams.heard(block(1)).unwrap();
        streams.heard(block(3)).unwrap();
        streams.heard(block(5)).unwrap();
        streams.heard(more(HEADS / 4)).unwrap();
        assert_eq!(streams.heard(more(1)), Err(TooMuch));
        streams.said(frame(RST_STREAM, 0, 3, 4));
        streams.heard(more(1)).unwrap();
    }

    #[test]
    fn a_stream_is_stuck_when_its_window_or_that_of_all_is_used_up() {
        let mut streams = Streams::new();
        for number in [1, 3, 5] {
            streams.heard(open(number)).unwrap();
        }
        assert_eq!(streams.stuck(), 0);
        for number in [1, 3] {
            streams.said(frame(HEADERS, RESPONSE, number, 30));
        }
        streams.said(frame(DATA, 0, 1, 65_535));
        // The third waits for its answer.
        assert_eq!(streams.stuck(), 2);
        streams.heard(Said::Window(0, 100)).unwrap();
        assert_eq!(streams.stuck(), 1);
        streams.heard(Said::Window(1, 1)).unwrap();
        assert_eq!(streams.stuck(), 0);
    }
}
