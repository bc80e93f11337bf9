//! Whom a bucket is for.
//!
//! What a caller lacks (a header, a cookie, a claim, a name) is replaced by its address, so that leaving it out is no way to
//! a bucket without a bound. An address of IPv6 stands for its /64, which is what one customer gets.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method};

use crate::auth::{Claims, Consumer, single_cookie};

/// What is known of a request.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who sent it, if that is known.
    pub consumer: Option<&'a Consumer>,
    /// What its token says, if it came with one.
    pub claims: Option<&'a Claims>,
    /// The client's address.
    pub address: IpAddr,
    /// The headers as sent.
    pub headers: &'a HeaderMap,
    /// The method.
    pub method: &'a Method,
    /// The route's name.
    pub route: &'a str,
}

/// What tells one caller from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Consumer,
    Ip,
    Route,
    Header(HeaderName),
    Cookie(Box<str>),
    Claim(Box<str>),
}

impl Part {
    /// Gives `write` what the subject has of it. No two parts and no two values give the same bytes.
    pub(super) fn write(&self, subject: &Subject<'_>, mut write: impl FnMut(&[u8])) {
        match self {
            Self::Consumer => match subject.consumer {
                Some(consumer) => text(b'c', consumer.name().as_bytes(), write),
                None => address(subject.address, write),
            },
            Self::Ip => address(subject.address, write),
            Self::Route => text(b'r', subject.route.as_bytes(), write),
            Self::Header(name) => {
                let mut values = subject.headers.get_all(name).iter();
                // Which of two values counts is a guess; and an empty one is none.
                match (values.next(), values.next()) {
                    (Some(value), None) if !value.is_empty() => text(b'h', value.as_bytes(), write),
                    _ => address(subject.address, write),
                }
            }
            Self::Claim(name) => {
                let mut value = Vec::new();
                if let Some(claims) = subject.claims {
                    claims.write(name, &mut value);
                }
                if value.is_empty() {
                    address(subject.address, write);
                } else {
                    text(b'm', &value, write);
                }
            }
            Self::Cookie(name) => match single_cookie(subject.headers, name) {
                Some(value) => text(b'k', value, write),
                None => address(subject.address, |bytes| write(bytes)),
            },
        }
    }
}

/// A text with its length before it, so that nothing can run over into what follows.
fn text(tag: u8, text: &[u8], mut write: impl FnMut(&[u8])) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    write(&tagged(tag, length.into())[..5]);
    write(text);
}

/// An address, as far as it tells one customer from another.
pub(super) fn address(address: IpAddr, mut write: impl FnMut(&[u8])) {
    match address {
        IpAddr::V4(v4) => {
            let octets = u32::from_le_bytes(v4.octets());
            write(&tagged(b'4', octets.into())[..5]);
        }
        IpAddr::V6(v6) => write(&tagged(b'6', u128::from_le_bytes(v6.octets()))[..9]),
    }
}

/// A tag, and the bytes of a number after it. They are put together as one number, since a hasher reads them as words, for
/// which a processor has to wait if they were stored one by one.
fn tagged(tag: u8, bytes: u128) -> [u8; 16] {
    (u128::from(tag) | bytes << 8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateways that share a store have to agree on them.
    #[test]
    fn the_bytes_are_those_that_were_always_written() {
        let written = |ip: &str| {
            let mut bytes = Vec::new();
            address(ip.parse().unwrap(), |more| bytes.extend_from_slice(more));
            bytes
        };
        assert_eq!(written("192.0.2.255"), [b'4', 192, 0, 2, 255]);
        let network = [b'6', 0x20, 0x01, 0x0d, 0xb8, 0xff, 0, 0, 7];
        assert_eq!(written("2001:db8:ff00:7::1"), network);
        assert_eq!(written("2001:db8:ff00:7:8000::ff"), network);
        let mut bytes = Vec::new();
        text(b'c', &[b'x'; 258], |more| bytes.extend_from_slice(more));
        assert_eq!((&bytes[..5], bytes.len()), (&[b'c', 2, 1, 0, 0][..], 263));
    }
}
