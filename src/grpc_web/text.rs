//! Base64 as it streams: groups of four characters, any of which may be the padded end of a piece.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The characters of a group.
const GROUP: usize = 4;

/// A body that says it is base64, and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not base64")]
pub struct NotText;

/// Writes bytes as a piece of its own.
pub(super) fn encode(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

/// Reads base64 in whatever pieces it comes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a group.
    begun: [u8; GROUP],
    length: usize,
}

impl Decoder {
    /// Reads on.
    pub(super) fn feed(&mut self, mut text: &[u8]) -> Result<Bytes, NotText> {
        let mut bytes = Vec::with_capacity(text.len() / GROUP * 3 + 3);
        if self.length > 0 {
            let missing = text.len().min(GROUP - self.length);
            let (here, rest) = text.split_at(missing);
            self.begun[self.length..self.length + missing].copy_from_slice(here);
            self.length += missing;
            text = rest;
            if self.length < GROUP {
                return Ok(Bytes::new());
            }
            decode(&self.begun, &mut bytes)?;
        }
        let (whole, begun) = text.split_at(text.len() - text.len() % GROUP);
        decode(whole, &mut bytes)?;
        self.begun[..begun.len()].copy_from_slice(begun);
        self.length = begun.len();
        Ok(bytes.into())
    }

    /// Whether it may end here.
    pub(super) fn end(&self) -> Result<(), NotText> {
        if self.length == 0 { Ok(()) } else { Err(NotText) }
    }
}

/// Decodes whole groups, which the ends of pieces may be among.
fn decode(mut text: &[u8], bytes: &mut Vec<u8>) -> Result<(), NotText> {
    while !text.is_empty() {
        let padding = memchr::memchr(b'=', text);
        let end = padding.map_or(text.len(), |at| (at / GROUP + 1) * GROUP);
        let (piece, rest) = text.split_at(end);
        STANDARD.decode_vec(piece, bytes).map_err(|_| NotText)?;
        text = rest;
    }
    Ok(())
}
