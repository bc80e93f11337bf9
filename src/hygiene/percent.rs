//! Percent-encoding (RFC 3986, section 2.1), as far as a path needs it.

use std::borrow::Cow;

use memchr::memchr;

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that the escape at the head of `text` stands for; none if there is no whole escape.
pub(super) fn escape(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

/// How many bytes the escapes of one character above ASCII take at the head of `text`; none if they
/// are not the shortest UTF-8 of a character.
pub(super) fn wide_escape(text: &[u8]) -> Option<usize> {
    let length = match escape(text)? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut character = [0; 4];
    for (position, byte) in character.iter_mut().take(length).enumerate() {
        *byte = escape(text.get(position * 3..)?)?;
    }
    std::str::from_utf8(&character[..length]).ok().map(|_| length * 3)
}

/// The bytes that `text` stands for. What is no escape stands for itself.
pub(crate) fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, length) = match escape(rest) {
            Some(byte) => (byte, 3),
            None => (*rest.first()?, 1),
        };
        rest = &rest[length..];
        Some(byte)
    })
}

/// The bytes that `text` stands for, borrowed where there is no escape.
pub(crate) fn decode(text: &str) -> Cow<'_, [u8]> {
    match memchr(b'%', text.as_bytes()) {
        None => Cow::Borrowed(text.as_bytes()),
        Some(_) => Cow::Owned(decoded(text).collect()),
    }
}

/// Whether two texts stand for the same bytes.
pub(crate) fn same_decoded(one: &str, other: &str) -> bool {
    one == other || decoded(one).eq(decoded(other))
}

/// How many dots a segment consists of, encoded or not; none if of anything else too.
pub(super) fn dots(segment: &str) -> Option<usize> {
    // A longer one than two encoded dots is not asked for.
    if segment.len() > 6 {
        return None;
    }
    decoded(segment).all(|byte| byte == b'.').then(|| decoded(segment).count())
}

/// Whether a segment means "here" or "one up".
pub(crate) fn is_dot_segment(segment: &str) -> bool {
    matches!(dots(segment), Some(1 | 2))
}
