//! A token taken apart (JWS compact serialization, RFC 7515), by the strictest reading there is.
//!
//! Whatever two readers could take for different things is refused: base64url that is not canonical, members that
//! stand twice, a header that brings its own key or says that something in it must be understood.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::super::keyring::Reason;
use super::algorithm::Algorithm;
use super::jwks::KeySet;
use crate::strict;

/// Longer ones are refused without a look.
pub(super) const LONGEST: usize = 16 << 10;

/// Header members that say where a key is, or bring one: only the configuration says which keys count. And those
/// that ask for more than is done here: what must be understood (`crit`), and an encoding or compression of the
/// payload.
const REFUSED: [&str; 8] = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

/// The types of tokens that let somebody in; others are for other purposes (RFC 8725, section 3.11).
const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// A token taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    signed: &'t [u8],
    payload: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    pub(super) fn read(text: &'t [u8]) -> Result<Self, Reason> {
        if text.len() > LONGEST {
            return Err(Reason::Malformed);
        }
        let mut dots = memchr::memchr_iter(b'.', text);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Reason::Malformed);
        };
        let header = strict::object(&decode(&text[..first])?).ok_or(Reason::Malformed)?;
        let (algorithm, kid) = header_of(&header)?;
        Ok(Self {
            algorithm,
            kid,
            signed: &text[..second],
            payload: &text[first + 1..second],
            signature: decode(&text[second + 1..])?,
        })
    }

    /// What it says, if one of these keys has signed it.
    pub(super) fn payload(&self, keys: &KeySet) -> Result<Vec<u8>, Reason> {
        let kid = self.kid.as_deref();
        if !keys.knows(kid) {
            return Err(Reason::KeyUnknown);
        }
        let mut tried = false;
        for key in keys.candidates(self.algorithm, kid) {
            tried = true;
            if key.verify(self.algorithm, self.signed, &self.signature) {
                return decode(self.payload);
            }
        }
        Err(if tried { Reason::Signature } else { Reason::Algorithm })
    }

    /// What it says, though nobody may have signed it.
    pub(super) fn unverified(&self) -> Option<Vec<u8>> {
        decode(self.payload).ok()
    }
}

fn header_of(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Reason> {
    if REFUSED.iter().any(|name| header.contains_key(*name)) {
        return Err(Reason::Header);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) => {
        }
        Some(_) => return Err(Reason::Header),
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(Reason::Header),
    };
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Reason::Malformed)?;
    Ok((Algorithm::named(algorithm).ok_or(Reason::Algorithm)?, kid))
}

/// Base64url without padding, and with nothing in its last bits that is not part of a byte.
fn decode(text: &[u8]) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Reason::Malformed)
}
