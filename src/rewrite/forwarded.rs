//! Where a request came from, told to the upstream: `X-Forwarded-*`, `Forwarded`, `Via`.
//!
//! [`screen`](super::screen()) has dropped before what a client claims about its own origin, unless its peer
//! is trusted. So what is found here is believed, and extended.

use std::net::IpAddr;

use http::header::{Entry, FORWARDED, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::head::{Fields, owned_value};
use crate::units::write_ip;

/// The name under which the gateway appears in `Via` (RFC 9110, 7.6.3): a pseudonym, without version.
pub const PSEUDONYM: &str = "portcullis";

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the gateway itself saw of a request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// `http` or `https`, of the connection.
    pub scheme: &'a str,
    /// The host as sent, with its port if it had one.
    pub host: Option<&'a str>,
    /// The port of the listener.
    pub port: u16,
    /// What the route took off the front of the path, such as `/users`.
    pub prefix: Option<&'a str>,
    /// The version in which the request was received.
    pub version: Version,
    /// The id of the request, made by us or taken over by [`accepted_request_id`].
    pub request_id: &'a HeaderValue,
    /// Whether `Forwarded` (RFC 7239) is written too.
    pub forwarded: bool,
}

/// Tells the upstream where the request came from.
///
/// - `X-Forwarded-For`, and `Forwarded` if asked for: the peer's address, after what a trusted peer
///   sent. Several lines become one, since many readers look at one only.
/// - `X-Forwarded-Proto`, `-Host`, `-Port`: kept from a trusted peer, else set.
/// - `X-Forwarded-Prefix`: what was stripped, after what a trusted peer had stripped before us.
/// - `Cookie`: one line, where HTTP/2 brought several.
/// - `X-Request-Id`: set. `Via`: extended, whoever the peer is, so that loops can be seen.
pub fn forward(head: &mut HeaderMap, arrival: &Arrival<'_>) {
    if arrival.version == Version::HTTP_2 {
        head.join_cookies();
    }
    let peer = arrival.peer.to_canonical();
    // Its numbers, letters and colons are text.
    let mut address = Vec::with_capacity(16);
    write_ip(&mut address, peer);
    if arrival.forwarded {
        let element = element(peer, std::str::from_utf8(&address).unwrap_or_default(), arrival);
        head.extend_list(FORWARDED, &element);
    }
    // An entry is looked up once, where asking first would do it twice.
    match head.entry(FOR) {
        Entry::Occupied(_) => {
            head.extend_list(FOR, std::str::from_utf8(&address).unwrap_or_default());
        }
        Entry::Vacant(place) => {
            if let Some(value) = owned_value(address) {
                place.insert(value);
            }
        }
    }
    if let Entry::Vacant(place) = head.entry(PROTO) {
        place.insert(scheme(arrival.scheme));
    }
    if let Some(host) = arrival.host
        && let Entry::Vacant(place) = head.entry(HOST)
        && let Ok(host) = HeaderValue::from_str(host)
    {
        place.insert(host);
    }
    if let Entry::Vacant(place) = head.entry(PORT) {
        place.insert(HeaderValue::from(arrival.port));
    }
    if let Some(prefix) = arrival.prefix.filter(|prefix| !prefix.is_empty() && *prefix != "/") {
        extend_prefix(head, prefix);
    }
    head.insert(REQUEST_ID, arrival.request_id.clone());
    via(head, arrival.version);
}

/// Tells the client which way the answer came: `Via`, extended, and the id of the request.
/// `version` is the one in which the upstream answered.
pub fn answer(head: &mut HeaderMap, version: Version, request_id: &HeaderValue) {
    head.insert(REQUEST_ID, request_id.clone());
    via(head, version);
}

/// The request id that a trusted peer sent, if it is one and is fit for logs and headers: 1 to 128
/// letters, digits and `-_.:/+=@`.
#[must_use]
pub fn accepted_request_id(headers: &HeaderMap, peer_is_trusted: bool) -> Option<&str> {
    if !peer_is_trusted {
        return None;
    }
    let mut values = headers.get_all(REQUEST_ID).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    only.to_str().ok().filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(fit))
}

/// The two schemes are constants; no third one arrives here.
fn scheme(name: &str) -> HeaderValue {
    HeaderValue::from_static(if name == "https" { "https" } else { "http" })
}

/// A proxy in front of us stripped its part first, so the client's path began with that part.
fn extend_prefix(head: &mut HeaderMap, prefix: &str) {
    let before = head.get(PREFIX).map_or(&b""[..], HeaderValue::as_bytes);
    let before = before.strip_suffix(b"/").unwrap_or(before);
    let mut whole = Vec::with_capacity(before.len() + prefix.len());
    whole.extend_from_slice(before);
    whole.extend_from_slice(prefix.as_bytes());
    if let Some(value) = owned_value(whole) {
        head.insert(PREFIX, value);
    }
}

/// One element of `Forwarded` (RFC 7239, 4): an IPv6 address stands in brackets, and whatever is not
/// a token stands in quotes.
fn element(peer: IpAddr, address: &str, arrival: &Arrival<'_>) -> String {
    let mut text = String::with_capacity(96);
    match peer {
        IpAddr::V4(_) => text.push_str("for="),
        IpAddr::V6(_) => text.push_str("for=\"["),
    }
    text.push_str(address);
    if peer.is_ipv6() {
        text.push_str("]\"");
    }
    if let Some(host) = arrival.host.filter(|host| host.bytes().all(|b| b.is_ascii_graphic())) {
        let token = host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
        text.push_str(if token { ";host=" } else { ";host=\"" });
        for letter in host.chars() {
            if letter == '"' || letter == '\\' {
                text.push('\\');
            }
            text.push(letter);
        }
        if !token {
            text.push('"');
        }
    }
    text.push_str(";proto=");
    text.push_str(arrival.scheme);
    text
}

fn via(head: &mut HeaderMap, version: Version) {
    let ours = match version {
        Version::HTTP_09 => "0.9 portcullis",
        Version::HTTP_10 => "1.0 portcullis",
        Version::HTTP_2 => "2 portcullis",
        Version::HTTP_3 => "3 portcullis",
        _ => "1.1 portcullis",
    };
    match head.entry(VIA) {
        Entry::Occupied(_) => head.extend_list(VIA, ours),
        Entry::Vacant(place) => {
            place.insert(HeaderValue::from_static(ours));
        }
    }
}

#[cfg(test)]
mod tests;
