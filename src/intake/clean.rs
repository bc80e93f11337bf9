//! Whether the head of a request can be read in one way only, and whom it comes from.

use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::RequestHeader;

use super::Arriving;
use crate::exchange::{Client, Line};
use crate::hygiene::{CleanTarget, MAX_HEAD, MAX_HEADERS, MAX_TARGET, clean_host, has_one_length};
use crate::reject::Rejection;
use crate::rewrite::client_address;
use crate::snapshot::Snapshot;

/// The methods that are forwarded, as far as they have names of their own.
pub const FORWARDED_METHODS: HeaderValue =
    HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");

pub(super) fn within_bounds(head: &RequestHeader, target: &[u8]) -> Result<(), Rejection> {
    if target.len() > MAX_TARGET {
        return Err(Rejection::UriTooLong);
    }
    if head.headers.len() > MAX_HEADERS || size(head) > MAX_HEAD {
        return Err(Rejection::HeaderTooLarge);
    }
    Ok(())
}

/// The bytes of a head's lines: name, colon, space, value, line end.
#[must_use]
pub fn size(head: &RequestHeader) -> usize {
    head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// A length that was announced is judged before a byte of the body is read.
/// The lengths of HTTP/1 are read below the session; HTTP/2 frames a body by itself, and lets several pass that agree.
pub(super) fn ends_at_one_place(head: &RequestHeader) -> Result<(), Rejection> {
    if head.version == Version::HTTP_2 && !has_one_length(&head.headers) {
        return Err(Rejection::BadRequest("The Content-Length is not one number."));
    }
    Ok(())
}

/// A method in small letters is another one here, and the same to servers that don't tell them apart.
pub(super) fn is_told_apart(method: &Method) -> Result<(), Rejection> {
    if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Rejection::BadRequest("The method is not a word of capital letters."));
    }
    Ok(())
}

/// TRACE sends the request back to whoever asks, with the headers that the gateway adds (RFC 9110, section
/// 9.3.8); CONNECT asks for a tunnel. Neither passes, whatever a route says of methods.
pub(super) fn may_be_forwarded(method: &Method) -> Result<(), Rejection> {
    if matches!(*method, Method::TRACE | Method::CONNECT) {
        return Err(Rejection::MethodNotAllowed { allow: FORWARDED_METHODS });
    }
    Ok(())
}

/// The Host as the client sent it: in a header, or (HTTP/2) in the target's authority.
pub(super) fn host_as_sent(head: &RequestHeader) -> &str {
    let header = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// The host that routes are matched by. A target in absolute form must name the same one as Host.
pub(super) fn agreed_host<'a>(
    head: &'a RequestHeader,
    target: &CleanTarget<'a>,
) -> Result<std::borrow::Cow<'a, str>, Rejection> {
    let sent = host_as_sent(head);
    if sent.is_empty() && target.authority().is_none() {
        return if head.version == Version::HTTP_10 || head.version == Version::HTTP_09 {
            Ok("".into())
        } else {
            Err(Rejection::BadRequest("The request has no Host header."))
        };
    }
    let refuse =
        |_| Rejection::BadRequest("The Host header is not a host name with an optional port.");
    let Some(authority) = target.authority() else { return clean_host(sent).map_err(refuse) };
    let named = clean_host(authority).map_err(refuse)?;
    if !sent.is_empty() && clean_host(sent).map_err(refuse)? != named {
        return Err(Rejection::BadRequest("The Host header and the target name different hosts."));
    }
    Ok(named)
}

/// Path and query of a target, as sent.
pub(super) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

/// Notes the clean path; keeps what was sent, for the log, if it was another.
pub(super) fn note_target(line: &mut Line, target: &CleanTarget<'_>) {
    if *line.path != *target.path() {
        line.raw = Some(std::mem::replace(&mut line.path, target.path().into()));
    }
}

pub(super) fn client(arriving: &Arriving<'_>, snapshot: &Snapshot) -> Client {
    let Arriving { head, peer, local_port, facts, .. } = *arriving;
    // A listener on `[::]` sees IPv4 clients as mapped addresses; rules and logs mean the plain one.
    let peer_ip: IpAddr = peer.ip().to_canonical();
    let trusted = snapshot.trusted.contains(peer_ip);
    let address = if trusted {
        client_address(peer_ip, forwarded_for(&head.headers), &snapshot.trusted)
    } else {
        peer_ip
    };
    let tls = facts.and_then(|facts| facts.tls.as_ref()).map(|tls| tls.version);
    Client { peer: SocketAddr::new(peer_ip, peer.port()), address, trusted, local_port, tls }
}

fn forwarded_for(headers: &HeaderMap) -> http::header::ValueIter<'_, HeaderValue> {
    headers.get_all("x-forwarded-for").into_iter()
}
