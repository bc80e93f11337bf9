//! A request's head, read line by line as it comes in, and what it says of the body behind it.
//!
//! A line is judged when it has come whole, or is too long to go on with. So what becomes of a head doesn't depend
//! on the pieces in which it arrived. Where it arrives at once, as nearly all do, each byte is looked at once.

use std::ops::Range;

use super::bytes::{TOKEN, is_control, target_end, token_end, value_end};
use super::flaw::Flaw;
use super::framing::{Fields, Framing};
use crate::hygiene::{MAX_HEAD, MAX_HEADERS, MAX_TARGET};

/// The longest request line: a target, a method and a version.
const MAX_LINE: usize = MAX_TARGET + 64;

/// A request line, by its places in the bytes that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// Where the method stands.
    pub method: Range<usize>,
    /// Where the target stands; empty if it is too long.
    pub target: Range<usize>,
    /// Whether the version is HTTP/1.0, and not HTTP/1.1.
    pub is_http10: bool,
}

/// A head that is being read.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that is read next.
    line: usize,
    /// No line feed stands between `line` and here.
    searched: usize,
    /// Where the header lines begin; none before the request line is read.
    begin: Option<usize>,
    request: Option<RequestLine>,
    count: usize,
    fields: Fields,
}

/// What a look at a line found.
enum Look {
    /// The line is whole, and the next one begins here.
    Line(usize),
    /// It was the empty line; the body begins here.
    End(usize),
    /// It is not there yet.
    More,
}

impl Head {
    /// The request line, if that was read.
    pub(super) fn request(&self) -> Option<&RequestLine> {
        self.request.as_ref()
    }

    /// The value of `Origin`, if it stands once in the lines that were read.
    pub(super) fn origin<'w>(&self, window: &'w [u8]) -> Option<&'w [u8]> {
        const NAME: &[u8] = b"origin:";
        let begin = self.begin.filter(|_| self.request.is_some())?;
        let lines = window.get(begin..self.line)?.split(|byte| *byte == b'\n');
        let mut all = lines.filter_map(|line| {
            let (name, value) = line.split_at_checked(NAME.len())?;
            name.eq_ignore_ascii_case(NAME).then(|| value.trim_ascii())
        });
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether a request has begun: an empty line before it does not count.
    pub(super) fn has_begun(window: &[u8]) -> bool {
        !matches!(window, [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'])
    }

    /// Reads on in `window`, which begins where the head does and holds at least what it did the last time.
    /// Returns where the body begins, once the head is whole.
    pub(super) fn advance(&mut self, window: &[u8]) -> Result<Option<(usize, Framing)>, Flaw> {
        loop {
            // Before a request two bytes tell everything, and no line feed is waited for.
            if let Some(begin) = self.begin
                && self.searched > self.line
                && !self.has_line_feed(window, begin)?
            {
                return Ok(None);
            }
            let look = match (self.begin, &self.request) {
                (None, _) => self.start(window),
                (Some(_), None) => self.request_line(window),
                (Some(begin), Some(_)) => self.field(window, begin),
            };
            match look {
                Ok(Look::Line(next)) => (self.line, self.searched) = (next, next),
                Ok(Look::End(end)) => {
                    let target = self.request.as_ref().map(|line| &window[line.target.clone()]);
                    let http10 = self.request.as_ref().is_some_and(|line| line.is_http10);
                    let framing =
                        self.fields.conclude(window, target.unwrap_or_default(), http10)?;
                    return Ok(Some((end, framing)));
                }
                Ok(Look::More) => {
                    if let Some(begin) = self.begin {
                        self.has_line_feed(window, begin)?;
                    }
                    return Ok(None);
                }
                Err(flaw) => {
                    // What can't be the beginning of a request won't become one.
                    let Some(begin) = self.begin else { return Err(flaw) };
                    return if self.has_line_feed(window, begin)? { Err(flaw) } else { Ok(None) };
                }
            }
        }
    }

    /// Whether the line that is read is there up to its line feed. One that is too long is refused at once.
    #[cold]
    fn has_line_feed(&mut self, window: &[u8], begin: usize) -> Result<bool, Flaw> {
        let from = self.searched.max(self.line);
        let found = memchr::memchr(b'\n', window.get(from..).unwrap_or_default());
        let end = found.map(|at| from + at + 1);
        match &self.request {
            None => {
                if end.unwrap_or(window.len()) - self.line > MAX_LINE {
                    return Err(self.too_long(window));
                }
            }
            // The empty line counts for none.
            Some(_) if window[self.line..].starts_with(b"\r\n") => {}
            Some(_) => self.within_bounds(begin, end.ok_or(window.len()))?,
        }
        // What has a line feed is looked at again from its beginning.
        self.searched = if found.is_some() { self.line } else { window.len() };
        Ok(found.is_some())
    }

    /// Whether header lines up to the end of this one, or up to the end of what has come of it, are not too many.
    fn within_bounds(&self, begin: usize, end: Result<usize, usize>) -> Result<(), Flaw> {
        match end {
            Ok(end) if end - begin > MAX_HEAD => Err(Flaw::FieldsTooLarge),
            Ok(_) if self.count >= MAX_HEADERS => Err(Flaw::TooManyFields),
            // The empty line, of which there may be the half, is not counted.
            Err(so_far) if so_far - begin > MAX_HEAD + 2 => Err(Flaw::FieldsTooLarge),
            _ => Ok(()),
        }
    }

    /// One empty line may stand before a request (RFC 9112, section 2.2): old clients send it after a body.
    fn start(&mut self, window: &[u8]) -> Result<Look, Flaw> {
        match &window[self.line.min(window.len())..] {
            [] | [b'\r'] => Ok(Look::More),
            [b'\r', b'\n', ..] if self.line == 0 => Ok(Look::Line(2)),
            [b'\r', b'\n', ..] => Err(Flaw::EmptyLine),
            [b'\r', ..] => Err(Flaw::BareCr),
            [b'\n', ..] => Err(Flaw::BareLf),
            [first, ..] if !TOKEN[usize::from(*first)] => Err(Flaw::RequestLine),
            _ => {
                self.begin = Some(self.line);
                Ok(Look::Line(self.line))
            }
        }
    }

    fn request_line(&mut self, window: &[u8]) -> Result<Look, Flaw> {
        let method = self.line..token_end(window, self.line);
        match window.get(method.end) {
            None => return Ok(Look::More),
            Some(b' ') => {}
            Some(_) => return Err(Flaw::RequestLine),
        }
        let target = method.end + 1..target_end(window, method.end + 1);
        match window.get(target.end) {
            None => return Ok(Look::More),
            Some(b' ') if target.is_empty() => return Err(Flaw::RequestLine),
            Some(b' ') => {}
            Some(b'\r' | b'\n') => return Err(Flaw::RequestLine),
            Some(_) => return Err(Flaw::Target),
        }
        let version = target.end + 1;
        let is_http10 = match window.get(version..version + 10) {
            Some(b"HTTP/1.1\r\n") => false,
            Some(b"HTTP/1.0\r\n") => true,
            _ => return Err(of_version(&window[version..], &window[method])),
        };
        let next = version + 10;
        if target.len() > MAX_TARGET || next - self.line > MAX_LINE {
            return Err(self.too_long(window));
        }
        check_method(&window[method.clone()])?;
        check_form(&window[method.clone()], &window[target.clone()])?;
        self.request = Some(RequestLine { method, target, is_http10 });
        self.begin = Some(next);
        Ok(Look::Line(next))
    }

    /// Whoever is told that a line is too long wants to know its method: an answer to HEAD has no body.
    #[cold]
    fn too_long(&mut self, window: &[u8]) -> Flaw {
        let method = self.line..token_end(window, self.line);
        if window.get(method.end) == Some(&b' ') {
            let target = method.end..method.end;
            self.request = Some(RequestLine { method, target, is_http10: false });
        }
        Flaw::TargetTooLong
    }

    fn field(&mut self, window: &[u8], begin: usize) -> Result<Look, Flaw> {
        let name = self.line..token_end(window, self.line);
        match window.get(name.end) {
            None => return Ok(Look::More),
            Some(b':') if !name.is_empty() => {}
            Some(b'\r') if name.is_empty() => {
                return match window.get(name.end + 1) {
                    None => Ok(Look::More),
                    Some(b'\n') => Ok(Look::End(name.end + 2)),
                    Some(_) => Err(Flaw::BareCr),
                };
            }
            Some(b' ' | b'\t') if name.is_empty() => return Err(Flaw::Fold),
            Some(b'\n') => return Err(Flaw::BareLf),
            Some(byte) if *byte != b'\r' && is_control(*byte) => return Err(Flaw::Control),
            Some(_) => return Err(Flaw::FieldName),
        }
        let value = name.end + 1..value_end(window, name.end + 1);
        let next = value.end + 2;
        match (window.get(value.end), window.get(value.end + 1)) {
            (None, _) | (Some(b'\r'), None) => return Ok(Look::More),
            (Some(b'\r'), Some(b'\n')) => {}
            (Some(b'\r'), _) => return Err(Flaw::BareCr),
            (Some(b'\n'), _) => return Err(Flaw::BareLf),
            _ => return Err(Flaw::Control),
        }
        self.within_bounds(begin, Ok(next))?;
        self.fields.note(window, name, value)?;
        self.count += 1;
        Ok(Look::Line(next))
    }
}

/// What is wrong with the rest of a line that is not a version of ours and the end of the line.
#[cold]
fn of_version(rest: &[u8], method: &[u8]) -> Flaw {
    let line = memchr::memchr(b'\n', rest).map_or(rest, |end| &rest[..end]);
    match line {
        b"HTTP/2.0\r" if method == b"PRI" => Flaw::Http2,
        b"HTTP/1.1" | b"HTTP/1.0" => Flaw::BareLf,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Flaw::Version
        }
        _ => Flaw::RequestLine,
    }
}

/// Methods are told apart by case (RFC 9110, section 9.1), and not by every server: one in small letters would be
/// another method here and perhaps a GET there.
fn check_method(method: &[u8]) -> Result<(), Flaw> {
    match method {
        b"CONNECT" => Err(Flaw::Connect),
        _ if method.iter().any(u8::is_ascii_lowercase) => Err(Flaw::Method),
        _ => Ok(()),
    }
}

/// The forms of RFC 9112, section 3.2, without the one for CONNECT.
fn check_form(method: &[u8], target: &[u8]) -> Result<(), Flaw> {
    let fits = match target.first() {
        Some(b'/') => true,
        Some(b'*') => target.len() == 1 && method == b"OPTIONS",
        _ => absolute(target).is_some_and(|authority| !authority.is_empty()),
    };
    if fits { Ok(()) } else { Err(Flaw::Target) }
}

/// The authority of an absolute http URL.
pub(super) fn absolute(target: &[u8]) -> Option<&[u8]> {
    let rest = [b"http://".as_slice(), b"https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    Some(&rest[..end.unwrap_or(rest.len())])
}
