//! The [`Guard`]: what a client may send, one request after the other.

use super::chunked::Chunked;
use super::flaw::Flaw;
use super::framing::Framing;
use super::head::{Head, RequestLine};

/// Where the stream of requests stands.
#[derive(Debug)]
enum Phase {
    /// In a head, from its beginning on.
    Head(Head),
    /// In a body of which so many bytes are still to come.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// At the end of a request; nothing passes until the next one is asked for.
    Complete,
    /// The connection has switched to another protocol.
    Open,
    /// Nothing passes any more; where that is for a head, it is here.
    Broken(Flaw, Option<Head>),
}

/// Reads the requests of one connection as strictly as RFC 9112 writes them, and says of each byte whether it may
/// pass. It knows no socket and no clock, and keeps no byte.
#[derive(Debug)]
pub struct Guard {
    phase: Phase,
}

impl Default for Guard {
    fn default() -> Self {
        Self { phase: Phase::Head(Head::default()) }
    }
}

impl Guard {
    /// Looks at what has come and has not passed yet, from its first byte on. Returns how many of these bytes may
    /// pass now; the rest is to be shown again, with more behind it. None passes of a head that is not whole.
    ///
    /// # Errors
    /// What is wrong with the next byte that would pass. From then on nothing passes.
    pub fn feed(&mut self, window: &[u8]) -> Result<usize, Flaw> {
        let mut passed = 0;
        loop {
            let rest = &window[passed..];
            match &mut self.phase {
                Phase::Head(head) => match head.advance(rest) {
                    Ok(Some((end, framing))) => {
                        passed += end;
                        self.phase = match framing {
                            Framing::Length(0) => Phase::Complete,
                            Framing::Length(length) => Phase::Length(length),
                            Framing::Chunked => Phase::Chunked(Chunked::default()),
                        };
                    }
                    Ok(None) => return Ok(passed),
                    Err(flaw) => return self.break_off(flaw, passed),
                },
                Phase::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    if *left == 0 {
                        self.phase = Phase::Complete;
                    }
                    return Ok(passed + here);
                }
                Phase::Chunked(chunked) => {
                    let (here, flaw) = chunked.feed(rest);
                    passed += here;
                    if chunked.is_done() {
                        self.phase = Phase::Complete;
                    }
                    return match flaw {
                        Some(flaw) => self.break_off(flaw, passed),
                        None => Ok(passed),
                    };
                }
                Phase::Complete => return Ok(passed),
                Phase::Open => return Ok(window.len()),
                Phase::Broken(flaw, _) => return Err(*flaw),
            }
        }
    }

    /// What was clean before the flaw still passes; the flaw is told with the next look.
    fn break_off(&mut self, flaw: Flaw, passed: usize) -> Result<usize, Flaw> {
        let head = match std::mem::replace(&mut self.phase, Phase::Broken(flaw, None)) {
            Phase::Head(head) => Some(head),
            _ => None,
        };
        self.phase = Phase::Broken(flaw, head);
        if passed > 0 { Ok(passed) } else { Err(flaw) }
    }

    /// Whether the request that was read last has passed to its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete)
    }

    /// Whether a head is being read.
    #[must_use]
    pub fn is_in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// Whether a body is being read.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Length(_) | Phase::Chunked(_))
    }

    /// Whether these bytes, the first of a request that is not whole, are the beginning of one: an empty line is not.
    #[must_use]
    pub fn has_begun(window: &[u8]) -> bool {
        Head::has_begun(window)
    }

    /// Lets the next request in, if the last one is complete.
    pub fn next(&mut self) {
        if self.is_complete() {
            self.phase = Phase::Head(Head::default());
        }
    }

    /// Lets everything pass from now on: the connection has switched to another protocol.
    pub fn open(&mut self) {
        if self.is_complete() {
            self.phase = Phase::Open;
        }
    }

    /// The request line, where the head that is being read, or was refused, has a clean one; by its places in what
    /// was shown last.
    #[must_use]
    pub fn request(&self) -> Option<&RequestLine> {
        self.head()?.request()
    }

    /// The `Origin` of that head, in what was shown last, if it stands there once before whatever is wrong with it.
    #[must_use]
    pub fn origin<'w>(&self, window: &'w [u8]) -> Option<&'w [u8]> {
        self.head()?.origin(window)
    }

    fn head(&self) -> Option<&Head> {
        match &self.phase {
            Phase::Head(head) | Phase::Broken(_, Some(head)) => Some(head),
            _ => None,
        }
    }
}
