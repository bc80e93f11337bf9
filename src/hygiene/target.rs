//! [`CleanTarget`]: a request target that can be read in one way only.

use std::borrow::Cow;
use std::fmt;

use super::host::clean_host;
use super::percent::{dots, escape, wide_escape};
use super::readings::readings;

/// Why a request target is refused. The answer is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unclean {
    /// Neither a path nor an absolute http URL (RFC 9112, section 3.2).
    NoLeadingSlash,
    /// The asterisk-form `*` (RFC 9112, section 3.2.4).
    Asterisk,
    /// An absolute URL whose authority is not a clean host.
    Authority,
    /// A backslash, raw or encoded.
    Backslash,
    /// A NUL, raw or encoded.
    Nul,
    /// Another control character, raw or encoded.
    Control,
    /// A raw space.
    Space,
    /// A raw byte above 0x7f.
    NonAscii,
    /// A raw `#`.
    Fragment,
    /// A `%` that two hex digits do not follow.
    BrokenEncoding,
    /// Encoded bytes that are not UTF-8.
    NotUtf8,
    /// `..` that leads above the root.
    DotsAboveRoot,
    /// A dot segment behind an encoded slash or before a `;`.
    HiddenDots,
}

impl Unclean {
    /// One sentence for people, without a full stop. It never repeats bytes of the request.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NoLeadingSlash => "The request target is neither a path nor an http URL",
            Self::Asterisk => "The request target \"*\" is not served",
            Self::Authority => "The request target names no valid host",
            Self::Backslash => "The path contains a backslash",
            Self::Nul => "The request target contains a NUL",
            Self::Control => "The request target contains a control character",
            Self::Space => "The request target contains a space",
            Self::NonAscii => "The request target contains a character that is not percent-encoded",
            Self::Fragment => "The request target contains a fragment",
            Self::BrokenEncoding => "The path contains a broken percent-encoding",
            Self::NotUtf8 => "The path contains percent-encoded bytes that are not UTF-8",
            Self::DotsAboveRoot => "The path leads above the root",
            Self::HiddenDots => "The path hides a dot segment",
        }
    }

    /// Why a single byte, raw or decoded, is refused; none if it is not.
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Nul),
            1..=0x1f | 0x7f => Some(Self::Control),
            b'\\' => Some(Self::Backslash),
            _ => None,
        }
    }

    /// Why a raw byte is refused anywhere in a target; none if it is not.
    const fn of_raw(byte: u8) -> Option<Self> {
        match byte {
            b' ' => Some(Self::Space),
            b'#' => Some(Self::Fragment),
            0x80.. => Some(Self::NonAscii),
            _ => Self::of(byte),
        }
    }
}

impl fmt::Display for Unclean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Unclean {}

/// A request target that follows the rules of [`hygiene`](crate::hygiene). A plain one is borrowed whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanTarget<'a> {
    authority: Option<&'a str>,
    path: Cow<'a, str>,
    query: Option<&'a str>,
    encoded: bool,
    readings: Vec<Box<str>>,
}

impl<'a> CleanTarget<'a> {
    /// Reads a request target, as it stood in the request line or in `:path`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Unclean> {
        let (authority, rest) = split_form(raw)?;
        let scan = scan_path(rest)?;
        let query = match rest.get(scan.end + 1..) {
            Some(query) => Some(check_query(query)?),
            None => None,
        };
        // Only an absolute URL can have an empty path here.
        let path = if scan.end == 0 { "/" } else { ascii(&rest[..scan.end])? };
        let path = match scan.untidy.then(|| tidy(path)).transpose()?.flatten() {
            Some(tidied) => Cow::Owned(tidied),
            None => Cow::Borrowed(path),
        };
        let readings = if scan.layered { readings(&path)? } else { Vec::new() };
        Ok(Self { authority, path, query, encoded: scan.encoded, readings })
    }

    /// The normalised path, still percent-encoded. It begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query, byte for byte, without the `?`. Empty is not the same as none.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The authority of an absolute URL as written, port included. [`clean_host`] accepts it.
    #[must_use]
    pub const fn authority(&self) -> Option<&'a str> {
        self.authority
    }

    /// Whether normalising changed the path.
    #[must_use]
    pub const fn was_tidied(&self) -> bool {
        matches!(self.path, Cow::Owned(_))
    }

    /// Whether the path holds a percent-encoding.
    pub(crate) const fn is_encoded(&self) -> bool {
        self.encoded
    }

    /// What other software might take the path for, where that differs; four at most.
    pub(crate) fn readings(&self) -> impl Iterator<Item = &str> {
        self.readings.iter().map(AsRef::as_ref)
    }
}

/// Splits the authority off an absolute URL.
fn split_form(raw: &[u8]) -> Result<(Option<&str>, &[u8]), Unclean> {
    if raw.first() == Some(&b'/') {
        return Ok((None, raw));
    }
    if raw == b"*" {
        return Err(Unclean::Asterisk);
    }
    let rest = [b"http://".as_slice(), b"https://"]
        .iter()
        .find(|scheme| {
            raw.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        })
        .map(|scheme| &raw[scheme.len()..])
        .ok_or(Unclean::NoLeadingSlash)?;
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let authority = ascii(&rest[..end])?;
    clean_host(authority).map_err(|_| Unclean::Authority)?;
    Ok((Some(authority), &rest[end..]))
}

/// What one pass over a path tells.
#[derive(Default)]
struct Scan {
    /// Where the path ends: at a `?` or at the end of the target.
    end: usize,
    /// It has repeated slashes, or a segment that begins with a dot.
    untidy: bool,
    /// It has a percent-encoding.
    encoded: bool,
    /// It has a byte that other software may read otherwise.
    layered: bool,
}

/// The bytes of a path that need no thought.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        plain[byte as usize] = !matches!(byte, b'/' | b'.' | b';' | b'%' | b'?' | b'#' | b'\\');
        byte += 1;
    }
    plain
};

fn scan_path(target: &[u8]) -> Result<Scan, Unclean> {
    let mut scan = Scan::default();
    let mut at = 0;
    while let Some(&byte) = target.get(at) {
        if PLAIN[usize::from(byte)] {
            at += 1;
            continue;
        }
        let mut length = 1;
        let after_slash = at > 0 && target[at - 1] == b'/';
        match byte {
            b'?' => break,
            b'/' | b'.' => scan.untidy |= after_slash,
            b';' => scan.layered = true,
            b'%' => {
                scan.encoded = true;
                let decoded = escape(&target[at..]).ok_or(Unclean::BrokenEncoding)?;
                length = 3;
                match decoded {
                    0x80.. => length = wide_escape(&target[at..]).ok_or(Unclean::NotUtf8)?,
                    b'.' => scan.untidy |= after_slash,
                    b'/' | b';' => scan.layered = true,
                    _ => Unclean::of(decoded).map_or(Ok(()), Err)?,
                }
            }
            _ => return Err(Unclean::of_raw(byte).unwrap_or(Unclean::Control)),
        }
        at += length;
    }
    scan.end = at;
    Ok(scan)
}

/// Backslashes are data in a query; all else that is refused raw in a path is refused here too.
fn check_query(query: &[u8]) -> Result<&str, Unclean> {
    let refused = |byte: &u8| Unclean::of_raw(*byte).filter(|why| *why != Unclean::Backslash);
    query.iter().find_map(refused).map_or(Ok(()), Err)?;
    ascii(query)
}

fn ascii(bytes: &[u8]) -> Result<&str, Unclean> {
    std::str::from_utf8(bytes).map_err(|_| Unclean::NonAscii)
}

/// Merges slashes, then resolves dot segments. None if there is nothing to do.
fn tidy(path: &str) -> Result<Option<String>, Unclean> {
    let segments = || path.split('/').skip(1);
    let doubled = memchr::memmem::find(path.as_bytes(), b"//").is_some();
    if !doubled && !segments().any(|segment| matches!(dots(segment), Some(1 | 2))) {
        return Ok(None);
    }
    let mut clean = String::with_capacity(path.len());
    let mut open_end = false;
    for segment in segments() {
        let dots = dots(segment);
        open_end = matches!(dots, Some(0..=2));
        match dots {
            Some(0 | 1) => {}
            Some(2) => clean.truncate(clean.rfind('/').ok_or(Unclean::DotsAboveRoot)?),
            _ => {
                clean.push('/');
                clean.push_str(segment);
            }
        }
    }
    if open_end {
        clean.push('/');
    }
    Ok(Some(clean))
}
