//! The other readings of a path: what software behind us might take it for.
//!
//! Servers decode, split and strip in different orders. Decoding first makes `%2f` a separator and
//! `%3b` a `;`; stripping first removes `;...` up to the next real slash, an encoded one with it. One
//! combined reading would miss what only one order shows: `/p;%2fz/q` is `/p/z/q` to who decodes
//! first, and `/p/q` to who strips first. So all four are made, and there are four at most.

use super::percent::{escape, is_dot_segment};
use super::target::Unclean;

/// When `;...` is stripped from a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strip {
    Never,
    BeforeDecoding,
    AfterDecoding,
}

/// A way to read a path: when parameters are stripped, and whether `%2f` separates.
const WAYS: [(Strip, bool); 4] = [
    (Strip::Never, true),
    (Strip::BeforeDecoding, false),
    (Strip::BeforeDecoding, true),
    (Strip::AfterDecoding, true),
];

/// The readings of a normalised path that differ from it. A dot segment in one of them is refused.
pub(super) fn readings(path: &str) -> Result<Vec<Box<str>>, Unclean> {
    let mut found: Vec<Box<str>> = Vec::new();
    for (strip, splits) in WAYS {
        let reading = read(path, strip, splits)?;
        if reading != path && !found.iter().any(|known| **known == *reading) {
            found.push(reading.into_boxed_str());
        }
    }
    Ok(found)
}

fn read(path: &str, strip: Strip, splits: bool) -> Result<String, Unclean> {
    let mut reading = String::with_capacity(path.len());
    let mut open_end = false;
    for segment in path.split('/').skip(1) {
        let mut rest = if strip == Strip::BeforeDecoding { before(segment, b';') } else { segment };
        loop {
            let piece = if splits { before_escape(rest, b'/') } else { rest };
            let last = piece.len() == rest.len();
            let kept = match strip {
                Strip::AfterDecoding => before_escape(before(piece, b';'), b';'),
                _ => piece,
            };
            if is_dot_segment(kept) {
                return Err(Unclean::HiddenDots);
            }
            open_end = kept.is_empty();
            if !open_end {
                reading.push('/');
                reading.push_str(kept);
            }
            if last {
                break;
            }
            rest = &rest[piece.len() + 3..];
        }
    }
    if open_end {
        reading.push('/');
    }
    Ok(reading)
}

/// What stands before the first such byte, or all.
fn before(text: &str, byte: u8) -> &str {
    memchr::memchr(byte, text.as_bytes()).map_or(text, |at| &text[..at])
}

/// What stands before the first escape of such a byte, or all.
fn before_escape(text: &str, byte: u8) -> &str {
    memchr::memchr_iter(b'%', text.as_bytes())
        .find(|&at| escape(&text.as_bytes()[at..]) == Some(byte))
        .map_or(text, |at| &text[..at])
}
