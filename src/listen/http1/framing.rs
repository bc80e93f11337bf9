//! The header lines that two readers must not understand differently: those that say for which host a request is,
//! and where it ends.

use std::ops::Range;

use super::bytes::{TOKEN, trimmed};
use super::flaw::Flaw;
use super::head::absolute;
use crate::hygiene::clean_host;

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes; none without any header that says otherwise.
    Length(u64),
    /// Until the last chunk.
    Chunked,
}

/// What was read of them so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
}

impl Fields {
    /// Looks at a header line.
    #[inline]
    pub(super) fn note(
        &mut self,
        window: &[u8],
        name: Range<usize>,
        value: Range<usize>,
    ) -> Result<(), Flaw> {
        // Nearly all lines leave by the length of their name.
        match name.len() {
            4 if window[name.clone()].eq_ignore_ascii_case(b"host") => self.note_host(value),
            14 if window[name.clone()].eq_ignore_ascii_case(b"content-length") => {
                self.note_length(trimmed(&window[value]))
            }
            17 if window[name].eq_ignore_ascii_case(b"transfer-encoding") => {
                self.note_coding(trimmed(&window[value]))
            }
            _ => Ok(()),
        }
    }

    fn note_host(&mut self, value: Range<usize>) -> Result<(), Flaw> {
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(Flaw::HostRepeated),
        }
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), Flaw> {
        // RFC 9110, section 8.6 lets equal ones be taken for one; whoever sends two is not to be trusted with either.
        if self.length.is_some() {
            return Err(Flaw::LengthRepeated);
        }
        self.length = Some(length(value).ok_or(Flaw::Length)?);
        Ok(())
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Flaw> {
        if self.chunked {
            return Err(Flaw::Coding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(of_coding(value));
        }
        self.chunked = true;
        Ok(())
    }

    /// What all lines together say.
    pub(super) fn conclude(
        &self,
        window: &[u8],
        target: &[u8],
        is_http10: bool,
    ) -> Result<Framing, Flaw> {
        self.check_host(window, target, is_http10)?;
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Flaw::LengthAndCoding),
            (true, None) if is_http10 => Err(Flaw::CodingInHttp10),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }

    fn check_host(&self, window: &[u8], target: &[u8], is_http10: bool) -> Result<(), Flaw> {
        let authority = if target.first() == Some(&b'/') { None } else { absolute(target) };
        if authority.is_some_and(|authority| !is_clean(authority)) {
            return Err(Flaw::Target);
        }
        let Some(host) = &self.host else {
            return if is_http10 { Ok(()) } else { Err(Flaw::HostMissing) };
        };
        let host = trimmed(&window[host.clone()]);
        if host.is_empty() {
            return Err(Flaw::HostMissing);
        }
        if !is_clean(host) {
            return Err(Flaw::HostInvalid);
        }
        match authority {
            Some(authority) if authority != host => Err(Flaw::HostMismatch),
            _ => Ok(()),
        }
    }
}

fn is_clean(host: &[u8]) -> bool {
    std::str::from_utf8(host).is_ok_and(|host| clean_host(host).is_ok())
}

/// A length as everybody reads it: digits without a sign, a list, or a zero in front that some take for octal, and
/// not more than a signed number of 64 bits holds.
fn length(value: &[u8]) -> Option<u64> {
    let padded = value.len() > 1 && value[0] == b'0';
    if value.is_empty() || value.len() > 18 || padded {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// What is wrong with a coding that is not `chunked` alone.
#[cold]
fn of_coding(value: &[u8]) -> Flaw {
    let mut names = value.split(|byte| *byte == b',').map(trimmed);
    let is_token = |name: &[u8]| !name.is_empty() && name.iter().all(|b| TOKEN[usize::from(*b)]);
    let is_chunked = |name: &[u8]| name.eq_ignore_ascii_case(b"chunked");
    let last_is_chunked = names.clone().next_back().is_some_and(is_chunked);
    let chunked = names.clone().filter(|name| is_chunked(name)).count();
    if !names.all(is_token) || chunked > usize::from(last_is_chunked) {
        return Flaw::Coding;
    }
    Flaw::CodingUnknown
}
