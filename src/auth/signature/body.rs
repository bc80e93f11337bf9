//! The body that was signed, by its digest (RFC 9530), held against the one that comes.
//!
//! The last piece of a body goes on only when all of it was seen: an upstream never has the whole of one that is not
//! what was signed.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use sha2::{Digest as _, Sha256, Sha512};

use super::super::keyring::Reason;

/// The header with the digest of a body.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The body that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBody {
    /// None.
    Empty,
    /// The one with these digests.
    Digests {
        /// By SHA-256.
        sha256: Option<[u8; 32]>,
        /// By SHA-512.
        sha512: Option<Box<[u8; 64]>>,
    },
}

/// The body is not the one that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

impl SignedBody {
    /// That of which the headers hold the digest.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Reason> {
        let mut lines = headers.get_all(CONTENT_DIGEST).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(Reason::Malformed);
        };
        let read: Result<Dictionary, _> = Parser::new(line.as_bytes()).parse();
        let read = read.map_err(|_| Reason::Malformed)?;
        let bytes = |name: &str| match read.get(name) {
            None => Ok(None),
            Some(ListEntry::Item(item)) => match &item.bare_item {
                BareItem::ByteSequence(bytes) => Ok(Some(bytes)),
                _ => Err(Reason::Malformed),
            },
            Some(ListEntry::InnerList(_)) => Err(Reason::Malformed),
        };
        let sha256 = match bytes("sha-256")? {
            None => None,
            Some(bytes) => Some(<[u8; 32]>::try_from(&**bytes).map_err(|_| Reason::Malformed)?),
        };
        let sha512 = match bytes("sha-512")? {
            None => None,
            Some(bytes) => {
                Some(Box::new(<[u8; 64]>::try_from(&**bytes).map_err(|_| Reason::Malformed)?))
            }
        };
        if sha256.is_none() && sha512.is_none() {
            // Others are weak, or not known here.
            return Err(Reason::Covers);
        }
        Ok(Self::Digests { sha256, sha512 })
    }
}

/// A body on its way.
#[derive(Debug)]
pub struct BodyCheck {
    signed: SignedBody,
    sha256: Sha256,
    sha512: Sha512,
    held: Bytes,
}

impl BodyCheck {
    /// Of a request whose signature has this to say of its body.
    #[must_use]
    pub fn new(signed: SignedBody) -> Self {
        Self { signed, sha256: Sha256::new(), sha512: Sha512::new(), held: Bytes::new() }
    }

    /// Begins anew, for another try.
    pub fn restart(&mut self) {
        *self = Self::new(self.signed.clone());
    }

    /// Whether one was signed, which perhaps is not what comes.
    #[must_use]
    pub const fn wants_body(&self) -> bool {
        matches!(self.signed, SignedBody::Digests { .. })
    }

    /// Takes a piece of the body, and leaves in its place what may go on.
    ///
    /// # Errors
    /// It is another body.
    pub fn piece(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<(), Forged> {
        let piece = body.as_ref().map_or(&[][..], |bytes| bytes);
        match &self.signed {
            SignedBody::Empty if piece.is_empty() => return Ok(()),
            SignedBody::Empty => return Err(Forged),
            SignedBody::Digests { sha256, sha512 } => {
                if sha256.is_some() {
                    self.sha256.update(piece);
                }
                if sha512.is_some() {
                    self.sha512.update(piece);
                }
            }
        }
        if end {
            self.verify()?;
            if !self.held.is_empty() {
                let mut last = BytesMut::from(&*std::mem::take(&mut self.held));
                last.extend_from_slice(body.as_deref().unwrap_or_default());
                *body = Some(last.freeze());
            }
        } else if let Some(piece) = body.as_mut().filter(|piece| !piece.is_empty()) {
            // What is empty is not sent, and no end either.
            std::mem::swap(piece, &mut self.held);
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Forged> {
        let SignedBody::Digests { sha256, sha512 } = &self.signed else { return Ok(()) };
        let (first, second) = (self.sha256.finalize_reset(), self.sha512.finalize_reset());
        let good = sha256.is_none_or(|wanted| *first == wanted)
            && sha512.as_ref().is_none_or(|wanted| *second == **wanted);
        if good { Ok(()) } else { Err(Forged) }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Of `{"hello": "world"}`, from RFC 9421, appendix B.2.
    const SHA_512: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    const SHA_256: &str = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";

    fn read(lines: &[&str]) -> Result<SignedBody, Reason> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_DIGEST, HeaderValue::from_str(line).expect("a value"));
        }
        SignedBody::of(&headers)
    }

    /// What goes on of a body in these pieces; none at the end if it comes alone.
    fn pass(signed: &SignedBody, pieces: &[&'static str]) -> Result<String, Forged> {
        let mut check = BodyCheck::new(signed.clone());
        let mut out = String::new();
        for attempt in 0..2 {
            out.clear();
            if attempt > 0 {
                check.restart();
            }
            for piece in pieces {
                let mut body = Some(Bytes::from_static(piece.as_bytes()));
                check.piece(&mut body, false)?;
                out.push_str(std::str::from_utf8(&body.expect("no end")).expect("text"));
            }
            assert!(pieces.is_empty() || out.len() < pieces.concat().len(), "the last is held");
            let mut body = None;
            check.piece(&mut body, true)?;
            out.push_str(std::str::from_utf8(&body.unwrap_or_default()).expect("text"));
        }
        Ok(out)
    }

    #[test]
    fn a_body_goes_on_if_it_is_the_one_that_was_signed() {
        let whole = "{\"hello\": \"world\"}";
        for header in
            [SHA_512, SHA_256, &format!("{SHA_256}, {SHA_512}"), &format!("md5=:AAAA:, {SHA_256}")]
        {
            let signed = read(&[header]).expect(header);
            assert_eq!(pass(&signed, &[whole]).as_deref(), Ok(whole));
            assert_eq!(pass(&signed, &["{\"hello\"", "", ": \"world\"}"]).as_deref(), Ok(whole));
            for other in
                [&["{\"hello\": \"World\"}"][..], &["{\"hello\": \"world\"}", " "], &["x"], &[]]
            {
                assert_eq!(pass(&signed, other), Err(Forged), "{other:?}");
            }
        }
        assert_eq!(pass(&SignedBody::Empty, &[]).as_deref(), Ok(""));
        assert_eq!(pass(&SignedBody::Empty, &["x"]), Err(Forged));
        let one = SHA_256.replace("X48", "Y48");
        let either = read(&[&format!("{one}, {SHA_512}")]).expect("digests");
        assert_eq!(pass(&either, &[whole]), Err(Forged), "each of them must hold");
    }

    #[test]
    fn a_digest_that_is_weak_or_cannot_be_read_is_none() {
        for (lines, reason) in [
            (&[][..], Reason::Malformed),
            (&[SHA_256, SHA_512], Reason::Malformed),
            (&["md5=:AAAA:"], Reason::Covers),
            (&["sha-256=:AAAA:"], Reason::Malformed),
            (&["sha-256=AAAA"], Reason::Malformed),
            (&["sha-256"], Reason::Malformed),
            (&["sha-256=(:AAAA:)"], Reason::Malformed),
            (&["sha-256=:AAAA"], Reason::Malformed),
            (&[""], Reason::Covers),
        ] {
            assert_eq!(read(lines), Err(reason), "{lines:?}");
        }
    }
}
