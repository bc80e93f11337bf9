//! W3C trace context: `traceparent` and `tracestate`, Level 1 and what Level 2 adds to the flags.
//!
//! A trace says that requests to several services belong together. Whoever begins one chooses its id, and
//! whether it is recorded; so at the edge that is the gateway's to say, and a client's word is taken only if it
//! is a trusted peer, as with `X-Request-Id`. From others it could tie foreign traces together, or have every
//! request recorded.
//!
//! - A trace of ours has the request's id as its id (both are 128 random bits), and is marked as sampled: the
//!   services behind then record what they would record without a gateway, unless they sample by themselves at
//!   the root.
//! - In a given trace, id and flags go on, and `tracestate` with them, if it is one and not too long.
//! - The parent id is new for each try, since each is a request of its own to the upstream.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::owned_value;

/// The header that names the trace and the request's place in it.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with what tracing systems add for themselves.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const SAMPLED: u8 = 0b01;
/// Level 2: the last seven bytes of the trace's id are random.
const RANDOM: u8 = 0b10;

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// So much of `tracestate` is passed on: what the standard asks for at least.
const LONGEST_STATE: usize = 512;
/// The most members of a `tracestate`.
const MOST_MEMBERS: usize = 32;

/// A trace whose id is not the request's own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    id: [u8; 32],
    flags: u8,
    given: bool,
}

impl Trace {
    /// The trace of a request from a peer that may name one. `request_id` is the id that the request has by
    /// now. `None`: that id is the trace's too.
    #[must_use]
    pub fn of(
        headers: &HeaderMap,
        peer_is_trusted: bool,
        request_id: &HeaderValue,
        random: impl Fn() -> u64,
    ) -> Option<Self> {
        if !peer_is_trusted {
            return None;
        }
        if let Some(given) = Self::given(headers) {
            return Some(given);
        }
        if is_id(request_id.as_bytes()) {
            return None;
        }
        let mut id = [0; 32];
        id[..16].copy_from_slice(&hex(random()));
        id[16..].copy_from_slice(&hex(random()));
        Some(Self { id, flags: SAMPLED | RANDOM, given: false })
    }

    /// The trace in the one valid `traceparent`.
    fn given(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(only), None) = (values.next(), values.next()) else { return None };
        let text = only.as_bytes();
        // Versions to come may add parts, each after a dash; their first ones mean the same.
        let whole = match text {
            [b'0', b'0', ..] => text.len() == LENGTH,
            _ => text.len() == LENGTH || text.get(LENGTH) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
        if !whole || !dashes || !is_hex(&text[..2]) || &text[..2] == b"ff" {
            return None;
        }
        let (id, parent, flags) = (&text[3..35], &text[36..52], &text[53..LENGTH]);
        if !is_id(id) || !is_id_of(parent, 16) || !is_hex(flags) {
            return None;
        }
        let low = char::from(flags[1]).to_digit(16)?;
        let flags = u8::try_from(low).ok()? & (SAMPLED | RANDOM);
        Some(Self { id: id.try_into().ok()?, flags, given: true })
    }

    /// Its id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// Whether a peer named it, and not we.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.given
    }
}

/// Tells the upstream its place in the trace: a request with the id `span`, which nobody else has.
///
/// [`screen`](super::screen()) has dropped a `tracestate` that belongs to no given trace. `request_id` is the
/// trace's id if there is no other; a word in its place, as explanations have it, stands for the whole.
pub fn stamp(head: &mut HeaderMap, trace: Option<&Trace>, request_id: &HeaderValue, span: u64) {
    let (id, flags) = match trace {
        Some(trace) => (&trace.id[..], trace.flags),
        None => (request_id.as_bytes(), SAMPLED | RANDOM),
    };
    let value = if id.len() == 32 {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(id);
        // All zeros are no id.
        text[36..52].copy_from_slice(&hex(span.max(1)));
        text[54] = b'0' + flags;
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| request_id.clone())
    } else {
        request_id.clone()
    };
    head.insert(TRACEPARENT, value);
    if trace.is_some_and(Trace::is_given) {
        bound_state(head);
    }
}

/// Leaves a `tracestate` that is one, in one line, without the members at its end that are too many.
fn bound_state(head: &mut HeaderMap) {
    let mut lines = head.get_all(TRACESTATE).iter();
    let Some(first) = lines.next() else { return };
    if lines.next().is_none() && first.len() <= LONGEST_STATE && is_state(first.as_bytes()) {
        return;
    }
    let lines: Vec<&[u8]> = head.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
    let mut whole = lines.join(&b","[..]);
    let valid = is_state(&whole);
    if whole.len() > LONGEST_STATE {
        let end = whole[..=LONGEST_STATE].iter().rposition(|b| *b == b',').unwrap_or(0);
        whole.truncate(end);
    }
    head.remove(TRACESTATE);
    if valid
        && !whole.is_empty()
        && let Some(value) = owned_value(whole)
    {
        head.insert(TRACESTATE, value);
    }
}

/// Whether it is a list of `key=value`.
fn is_state(text: &[u8]) -> bool {
    let members = || text.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|m| !m.is_empty());
    members().count() <= MOST_MEMBERS && members().all(is_member)
}

fn is_member(member: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', member) else { return false };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let begins = key.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let fit = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(b);
    begins
        && (1..=256).contains(&key.len())
        && key.iter().all(fit)
        && (1..=256).contains(&value.len())
        && value.iter().all(|b| matches!(b, b' '..=b'~') && *b != b'=')
}

/// Whether it is the id of a trace.
fn is_id(text: &[u8]) -> bool {
    is_id_of(text, 32)
}

fn is_id_of(text: &[u8], length: usize) -> bool {
    text.len() == length && is_hex(text) && text.iter().any(|b| *b != b'0')
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 16];
    for (byte, pair) in number.to_be_bytes().into_iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

#[cfg(test)]
mod tests;
