//! The streams of one connection, as both ends speak of them: what their clients may still be sent, and what is held
//! for those who take nothing.
//!
//! Between an upstream and a stream whose client takes nothing lie some 400 KiB of its answer, since Pingora reads
//! ahead. One such stream is a client that rests; many are a client that wants memory to be held.

use tokio::time::Instant;

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
    /// What a stream may be sent at first, and all of them together.
    initial: i64,
    window: Window,
    /// How much the latter has grown in this round, which ends when that is enough; and how many streams that are open
    /// were sent a part of their answers in it, be it a head.
    grown: i64,
    round: u32,
    fed: usize,
    /// How many have a window of their own that is used up.
    out: usize,
    /// The stream whose header block is read, and the bytes of all blocks.
    within: u32,
    heads: usize,
}

#[derive(Debug)]
struct Stream {
    number: u32,
    window: Window,
    /// The bytes of its header blocks.
    head: usize,
    /// In which round it was last sent a part of its answer.
    round: u32,
}

/// What may be sent in all, and what was.
#[derive(Debug)]
struct Window {
    allowed: i64,
    sent: i64,
    /// When it was used up, and what must be allowed for it to be more than that again. Windows can be taken back, so
    /// that the time goes on until as much was sent.
    since: Option<Instant>,
    needs: i64,
}

impl Window {
    const fn new(allowed: i64) -> Self {
        Self { allowed, sent: 0, since: None, needs: i64::MIN }
    }

    /// Whether next to nothing was given since it was used up.
    const fn is_out(&self) -> bool {
        self.allowed < self.needs
    }

    /// Notes when it is used up.
    fn note(&mut self, now: impl Fn() -> Instant) {
        if self.allowed <= self.sent && self.sent >= self.needs {
            self.since = Some(now());
            self.needs = self.sent + LEAST;
        }
    }

    fn out_since(&self) -> Option<Instant> {
        self.since.filter(|_| self.is_out())
    }
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
            window: Window::new(WINDOW),
            grown: 0,
            round: 1,
            fed: 0,
            out: 0,
            within: 0,
            heads: 0,
        }
    }

    /// Notes what the client said.
    pub fn heard(&mut self, said: Said, now: impl Fn() -> Instant) -> Result<(), TooMuch> {
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
                for Stream { window, .. } in &mut self.open {
                    window.allowed += more;
                    if window.sent > 0 {
                        window.note(&now);
                    }
                }
                self.out = self.open.iter().filter(|stream| stream.window.is_out()).count();
                self.bound()
            }
            Said::Window(0, more) => {
                self.window.allowed += i64::from(more);
                self.grown += i64::from(more);
                if self.grown >= LEAST {
                    self.grown = 0;
                    self.round = self.round.wrapping_add(1);
                    self.fed = 0;
                }
                Ok(())
            }
            Said::Window(number, more) => {
                if let Some(Stream { window, .. }) = self.find(number) {
                    let before = window.is_out();
                    window.allowed += i64::from(more);
                    let ends = before && !window.is_out();
                    self.out -= usize::from(ends);
                }
                Ok(())
            }
            Said::Frame(_) | Said::Setting(..) | Said::GoAway(_) => Ok(()),
        }
    }

    /// Notes what was said to the client.
    pub fn said(&mut self, said: Said, now: impl Fn() -> Instant) {
        let Said::Frame(Head { kind, flags, stream, length }) = said else { return };
        match kind {
            DATA => self.feed(stream, i64::try_from(length).unwrap_or(i64::MAX), now),
            HEADERS => self.feed(stream, 0, now),
            RST_STREAM => return self.end(stream),
            _ => return,
        }
        if flags & END_STREAM != 0 {
            self.end(stream);
        }
    }

    /// How many may be stuck: never less than are.
    pub const fn suspects(&self) -> usize {
        self.out + if self.window.is_out() { self.fed } else { 0 }
    }

    /// Since when so many are stuck, each of them all the time: they had a part of their answers, and may not be sent the
    /// rest. If the window of all is used up, only those count that were sent something since it last grew: the others may
    /// have nothing to send.
    pub fn stuck_since(&self, many: usize) -> Option<Instant> {
        let all = self.window.out_since();
        let mut times: Vec<_> = self
            .open
            .iter()
            .filter_map(|stream| {
                let all = all.filter(|_| stream.round == self.round);
                let own = stream.window.out_since();
                own.into_iter().chain(all).min()
            })
            .collect();
        let place = many.checked_sub(1).filter(|place| *place < times.len())?;
        Some(*times.select_nth_unstable(place).1)
    }

    /// Notes a part of an answer: its head, or so many bytes of its body.
    fn feed(&mut self, number: u32, length: i64, now: impl Fn() -> Instant) {
        self.window.sent += length;
        self.window.note(&now);
        let round = self.round;
        let Some(stream) = self.find(number) else { return };
        let is_fed = std::mem::replace(&mut stream.round, round) == round;
        let before = stream.window.is_out();
        stream.window.sent += length;
        stream.window.note(&now);
        let begins = !before && stream.window.is_out();
        self.fed += usize::from(!is_fed);
        self.out += usize::from(begins);
    }

    fn begin(&mut self, number: u32) -> Result<(), TooMuch> {
        self.last = number;
        self.opened = self.opened.saturating_add(1);
        if self.open.len() >= OPEN {
            return Err(TooMuch);
        }
        let round = self.round.wrapping_sub(1);
        self.open.push(Stream { number, window: Window::new(self.initial), head: 0, round });
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
        let starved = self.open.iter().filter(|stream| stream.window.allowed < LEAST).count();
        if starved > STARVED { Err(TooMuch) } else { Ok(()) }
    }

    fn end(&mut self, number: u32) {
        if let Ok(place) = self.open.binary_search_by_key(&number, |stream| stream.number) {
            let stream = self.open.remove(place);
            self.heads -= stream.head;
            self.out -= usize::from(stream.window.is_out());
            self.fed -= usize::from(stream.round == self.round);
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
    use std::time::Duration;

    use super::*;

    const RESPONSE: u8 = 4;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Said {
        Said::Frame(Head { kind, flags, stream, length })
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn open(stream: u32) -> Said {
        frame(HEADERS, END_STREAM, stream, 30)
    }

    const NOTHING: Said = Said::Setting(INITIAL_WINDOW_SIZE, 0);

    /// How many streams can be opened, one behind the other.
    fn most(streams: &mut Streams) -> usize {
        let from = streams.last / 2;
        (from..5000).take_while(|number| streams.heard(open(number * 2 + 1), now).is_ok()).count()
    }

    #[test]
    fn few_streams_may_be_open_that_can_take_nothing() {
        let mut streams = Streams::new();
        streams.heard(NOTHING, now).unwrap();
        assert_eq!(most(&mut streams), STARVED);
        // Whatever the setting is, many that may be sent as good as nothing are too many.
        let mut streams = Streams::new();
        streams.heard(Said::Setting(INITIAL_WINDOW_SIZE, 1023), now).unwrap();
        assert_eq!(most(&mut streams), STARVED);
        let mut streams = Streams::new();
        for number in 0..100 {
            streams.heard(open(number * 2 + 1), now).unwrap();
        }
        assert_eq!(streams.heard(NOTHING, now), Err(TooMuch));
    }

    #[test]
    fn who_gives_each_stream_its_window_or_ends_it_may_go_on() {
        let mut streams = Streams::new();
        streams.heard(NOTHING, now).unwrap();
        for number in (1..1000).step_by(4) {
            streams.heard(open(number), now).unwrap();
            streams.heard(Said::Window(number, 1024), now).unwrap();
            streams.said(frame(HEADERS, RESPONSE, number, 30), now);
            streams.said(frame(DATA, END_STREAM, number, 1024), now);
            // Without a body, reset by us, and by the client.
            streams.heard(open(number + 2), now).unwrap();
            match number % 3 {
                0 => streams.said(frame(HEADERS, RESPONSE | END_STREAM, number + 2, 30), now),
                1 => streams.said(frame(RST_STREAM, 0, number + 2, 4), now),
                _ => streams.heard(frame(RST_STREAM, 0, number + 2, 4), now).unwrap(),
            }
        }
        assert_eq!((streams.open.len(), streams.heads, streams.opened), (0, 0, 500));
    }

    #[test]
    fn streams_are_counted_once_and_not_without_end() {
        let mut streams = Streams::new();
        for number in [1, 1, 3, 3] {
            streams.heard(open(number), now).unwrap();
        }
        assert_eq!((streams.opened, streams.last, streams.open.len()), (2, 3, 2));
        assert_eq!(most(&mut Streams::new()), OPEN);
    }

    #[test]
    fn the_headers_of_all_streams_are_bounded_together() {
        let mut streams = Streams::new();
        let block = |stream| frame(HEADERS, 0, stream, HEADS / 4);
        let more = |length| frame(CONTINUATION, 4, 9, length);
        streams.heard(block(1), now).unwrap();
        streams.heard(block(3), now).unwrap();
        streams.heard(block(5), now).unwrap();
        streams.heard(more(HEADS / 4), now).unwrap();
        assert_eq!(streams.heard(more(1), now), Err(TooMuch));
        streams.said(frame(RST_STREAM, 0, 3, 4), now);
        streams.heard(more(1), now).unwrap();
    }

    /// Streams that are open, each with its head, and what is said to them and by them at a time in seconds.
    struct Clock(Streams, Instant);

    impl Clock {
        fn with(open: u32, window: u32) -> Self {
            let mut streams = Streams::new();
            streams.heard(Said::Setting(INITIAL_WINDOW_SIZE, window), now).unwrap();
            for place in 0..open {
                streams.heard(self::open(place * 2 + 1), now).unwrap();
                streams.said(frame(HEADERS, RESPONSE, place * 2 + 1, 30), now);
            }
            Self(streams, now())
        }

        fn data(&mut self, at: u64, stream: u32, bytes: usize) {
            let now = self.1 + Duration::from_secs(at);
            self.0.said(frame(DATA, 0, stream, bytes), || now);
        }

        fn hear(&mut self, at: u64, said: Said) {
            let now = self.1 + Duration::from_secs(at);
            self.0.heard(said, || now).unwrap();
        }

        /// Since when so many are stuck.
        fn since(&self, many: usize) -> Option<u64> {
            assert!(self.0.suspects() >= many || self.0.stuck_since(many).is_none());
            Some((self.0.stuck_since(many)? - self.1).as_secs())
        }
    }

    #[test]
    fn a_stream_is_stuck_from_when_its_window_is_used_up_until_it_has_grown() {
        let mut clock = Clock::with(3, 10_000);
        clock.hear(0, Said::Window(0, 1 << 20));
        assert_eq!((clock.since(1), clock.0.suspects()), (None, 0));
        for (before, (at, stream)) in [(1, 5), (2, 1), (3, 3)].into_iter().enumerate() {
            clock.data(at, stream, 9_999);
            assert_eq!(clock.0.suspects(), before);
            clock.data(at, stream, 1);
        }
        assert_eq!([1, 2, 3, 4].map(|many| clock.since(many)), [Some(1), Some(2), Some(3), None]);
        // A little is as good as nothing, until it is enough in sum.
        for (at, grows) in [(4, 600), (5, 400)] {
            clock.hear(at, Said::Window(5, grows));
            clock.data(at, 5, grows as usize);
            assert_eq!(clock.since(3), Some(3));
        }
        clock.hear(6, Said::Window(5, 24));
        assert_eq!((clock.since(2), clock.since(3), clock.0.suspects()), (Some(3), None, 2));
        clock.data(7, 5, 24);
        assert_eq!((clock.since(1), clock.since(3)), (Some(2), Some(7)));
        // What ends is not stuck.
        clock.0.said(frame(RST_STREAM, 0, 1, 4), now);
        clock.hear(8, frame(RST_STREAM, 0, 3, 4));
        assert_eq!((clock.since(1), clock.since(2), clock.0.suspects()), (Some(7), None, 1));
        clock.0.said(frame(HEADERS, RESPONSE | END_STREAM, 5, 30), now);
        assert_eq!((clock.since(1), clock.0.suspects()), (None, 0));
    }

    #[test]
    fn windows_that_are_taken_back_buy_no_time() {
        let mut clock = Clock::with(3, 10_000);
        clock.hear(0, Said::Window(0, 1 << 20));
        clock.data(1, 1, 10_000);
        clock.data(1, 3, 6_000);
        for at in 2..9 {
            clock.hear(at, Said::Setting(INITIAL_WINDOW_SIZE, 20_000));
            assert_eq!(clock.since(1), None);
            clock.hear(at, Said::Setting(INITIAL_WINDOW_SIZE, 5_000));
            // The third was sent nothing yet.
            assert_eq!((clock.since(1), clock.since(2), clock.since(3)), (Some(1), Some(2), None));
        }
    }

    #[test]
    fn with_the_window_of_all_those_are_stuck_that_were_sent_something_of_late() {
        let mut clock = Clock::with(5, 1 << 20);
        clock.data(1, 1, 1000);
        clock.hear(2, Said::Window(0, 1000));
        clock.data(2, 3, 1000);
        clock.hear(3, Said::Window(0, 24));
        assert_eq!((clock.since(1), clock.0.suspects()), (None, 0));
        clock.data(4, 5, 1000);
        clock.data(5, 7, 65_535 - 2000 - 24);
        assert_eq!((clock.since(1), clock.since(2)), (None, None));
        clock.data(6, 7, 48);
        // The others, of which one was sent no more than its head, may have nothing to send.
        assert_eq!((clock.since(2), clock.since(3), clock.0.suspects()), (Some(6), None, 2));
        clock.hear(7, Said::Window(0, 1000));
        assert_eq!(clock.since(2), Some(6));
        clock.hear(8, Said::Window(0, 24));
        assert_eq!((clock.since(1), clock.0.suspects()), (None, 0));
        // Those whose answers begin with it count again.
        clock.0.said(frame(HEADERS, RESPONSE, 9, 30), now);
        clock.data(9, 1, 1024);
        assert_eq!((clock.since(2), clock.since(3)), (Some(9), None));
        clock.0.said(frame(RST_STREAM, 0, 9, 4), now);
        assert_eq!((clock.since(1), clock.since(2)), (Some(9), None));
    }
}
