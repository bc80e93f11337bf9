//! API keys and their digests.
//!
//! The configuration holds SHA-256 digests, never keys. A plain hash without salt or stretching is
//! right here, because a key is not a password: [`new_key`] draws 256 random bits, which nobody can
//! guess however fast the hash is, and each request pays for one hash.

use std::fmt;
use std::io;
use std::str::FromStr;

use ring::hmac;
use sha2::{Digest as _, Sha256};

use crate::units::Secret;

/// What every digest is written with in front.
const PREFIX: &str = "sha256:";

/// The SHA-256 digest of a key. It is not a secret: the key cannot be found from it, if the key was
/// drawn at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a key, as it is sent in a header.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The digest of something under a key, so that nobody else can compute it.
    pub(super) fn keyed(key: &hmac::Key, text: &[u8]) -> Self {
        let mut digest = [0; 32];
        // A key of SHA-256 makes tags of just this length.
        for (byte, made) in digest.iter_mut().zip(hmac::sign(key, text).as_ref()) {
            *byte = *made;
        }
        Self(digest)
    }

    /// The first eight bytes as a number, which sorts as the digest does.
    pub(super) const fn head(&self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().expect("a digest has 32 bytes"))
    }
}

/// The digest of several texts, of which each counts by itself.
#[derive(Default)]
pub(super) struct Hashing(Sha256);

impl Hashing {
    pub(super) fn add(&mut self, text: &[u8]) {
        self.0.update(text.len().to_be_bytes());
        self.0.update(text);
    }

    pub(super) fn done(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Why a text is not a digest. It never holds the text, which may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    /// It does not begin with `sha256:`.
    #[error("this is not a digest, and a key itself must not stand in a file")]
    Plaintext,
    /// Not 64 characters follow.
    #[error("a digest has 64 hexadecimal digits after `sha256:`, this one has {0} characters")]
    Length(usize),
    /// A character that is no hexadecimal digit.
    #[error("a digest has only hexadecimal digits (0-9, a-f) after `sha256:`")]
    Letter,
}

/// How to mend an [`InvalidDigest`].
pub(super) const DIGEST_HELP: &str = "`portcullis key digest` reads a key from standard input and \
     prints its digest; `portcullis key new` makes a new key with its digest";

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidDigest::Plaintext)?.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidDigest::Length(digits.len()));
        }
        let mut bytes = [0; 32];
        let mut all = 0;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
            all |= high | low;
            *byte = high << 4 | low;
        }
        // Looked at once: a file may hold a million of these.
        if all & NOT_HEX == 0 { Ok(Self(bytes)) } else { Err(InvalidDigest::Letter) }
    }
}

/// The mark of a character that is no hexadecimal digit.
const NOT_HEX: u8 = 0x80;

/// What each character stands for as a hexadecimal digit.
const NIBBLES: [u8; 256] = {
    let mut table = [NOT_HEX; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        table[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of a key as the configuration wants it: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest(key: &str) -> String {
    Digest::of(key.as_bytes()).to_string()
}

/// Letters and digits only, so that a double click selects the whole key and no shell, header or URL
/// needs quotes.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The length of a key without its `pk_`: 43 characters of 62 hold 256 bits.
const LENGTH: usize = 43;

/// A new key: `pk_` and 43 letters and digits, 256 bits from the operating system's random source.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn new_key() -> io::Result<Secret> {
    let mut key = String::with_capacity(3 + LENGTH);
    key.push_str("pk_");
    let mut random = [0; 64];
    while key.len() < 3 + LENGTH {
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        // Bytes from 248 on are thrown away, or the first letters would be likelier than the others.
        let fair = random.iter().filter(|byte| **byte < 248);
        let letters = fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        key.extend(letters.take(3 + LENGTH - key.len()));
    }
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard_and_reads_back() {
        // FIPS 180-2, appendix B.1.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest("abc"), abc);
        assert_eq!(abc.parse(), Ok(Digest::of(b"abc")));
        assert_eq!(abc.to_uppercase().replace("SHA", "sha").parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn what_is_no_digest_is_refused_without_being_told() {
        let z = format!("sha256:{}", "z".repeat(64));
        for (text, error) in [
            ("hunter2", InvalidDigest::Plaintext),
            ("", InvalidDigest::Plaintext),
            ("SHA256:ba78", InvalidDigest::Plaintext),
            ("md5:ba78", InvalidDigest::Plaintext),
            ("sha256:", InvalidDigest::Length(0)),
            ("sha256:hunter2", InvalidDigest::Length(7)),
            (&z, InvalidDigest::Letter),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
            assert!(!format!("{error} {error:?} {DIGEST_HELP}").contains("hunter2"));
        }
    }

    #[test]
    fn keys_are_long_plain_and_never_alike() {
        let keys: std::collections::HashSet<String> =
            (0..100).map(|_| new_key().expect("random").expose().to_owned()).collect();
        assert_eq!(keys.len(), 100);
        for key in &keys {
            let letters = key.strip_prefix("pk_").expect("prefix");
            assert_eq!(letters.len(), LENGTH);
            assert!(letters.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
    }
}
