//! What of a request goes on: its target, its head as the upstream sees it, and what it is balanced by.

use std::fmt::Write as _;
use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Version, request};
use pingora::http::RequestHeader;

use crate::auth::{remove_cookies, single_cookie};
use crate::exchange::{self, Exchange, Line, Onward};
use crate::hygiene::CleanTarget;
use crate::reject::Rejection;
use crate::rewrite::forwarded::Arrival;
use crate::rewrite::{Trace, forwarded, identity, screen, trace, without_twins};
use crate::route::{Matched, Prefixes};
use crate::snapshot::{Action, Forward, Route};
use crate::upstream::{HashKey, HashSource, Upstream};

/// Room for what the gateway adds to a request's headers, so that the map grows once.
const NEW_HEADERS: usize = 12;

/// Makes of the head that the client sent, without what was meant for its connection, the head that the
/// upstream sees. `authority` is the target's own Host.
///
/// # Errors
/// Pingora's, of a target or header that cannot be set; the values were checked when they were compiled.
pub fn send_on(
    head: &mut RequestHeader,
    sent: &RequestHeader,
    authority: &HeaderValue,
    x: &Exchange,
) -> Result<(), Rejection> {
    let (Some(route), Some(permit)) = (&x.route, &x.permit) else {
        return Err(Rejection::Internal);
    };
    let Action::Forward(forward) = &route.action else { return Err(Rejection::Internal) };
    let upstream = &forward.upstream;
    let mut parts = take(head);
    let headers = &mut parts.headers;
    if x.switch.is_none() && headers.remove(UPGRADE).is_some() {
        // Asked for otherwise than the rules have it: no answer may switch.
        headers.remove(CONNECTION);
    }
    headers.reserve(NEW_HEADERS);
    let trace = x.trace.as_deref();
    let is_traced = trace.is_some_and(Trace::is_given);
    let (credentials, secret) = (route.guard.credential_headers(), upstream.secret_header());
    screen(headers, x.client.trusted, is_traced, credentials, secret);
    remove_cookies(headers, route.guard.credential_cookies());
    if let Some(bridge) = &x.grpc_web {
        bridge.request(headers);
    }
    forwarded::forward(headers, &arrival(x, forward, sent.version));
    trace::stamp(headers, trace, &x.id, exchange::random());
    identity::stamp(headers, permit.consumer().map(|consumer| consumer.header_value()));
    for (name, value) in permit.headers() {
        headers.insert(name, value.clone());
    }
    route.request_headers.apply(headers, &x.fill(&sent.headers));
    // Last, so that nothing above can reach a backend in the gateway's name.
    upstream.dress(authority, headers);
    without_twins(headers, &sent.headers);
    *head = RequestHeader::from(parts);
    match &x.onward.target {
        Some(target) => head.set_raw_path(target.as_bytes()).map_err(|_| Rejection::Internal),
        None => Ok(()),
    }
}

/// Takes a request's parts out of its head, which the caller makes anew from them.
///
/// A head of Pingora's keeps a second map for the written case of its names, and every change pays for both.
/// For a head that is rewritten the case is given up (RFC 9110, section 5.1: it means nothing).
fn take(head: &mut RequestHeader) -> request::Parts {
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    std::mem::replace(head, empty).into()
}

pub(super) fn onward(
    forward: &Forward,
    matched: &Matched<'_, Arc<Route>>,
    target: &CleanTarget<'_>,
    line: &Line,
) -> Onward {
    let forwarded = forward.path.apply(target, &matched.captures, matched.matched_len);
    let unchanged = line.raw.is_none() && forwarded.prefixes.is_none();
    let sent = (!unchanged).then(|| match target.query() {
        // Of the exact length, it becomes a box without a copy.
        Some(query) => [&*forwarded.path, "?", query].concat().into_boxed_str(),
        None => forwarded.path.as_ref().into(),
    });
    Onward { target: sent, prefixes: forwarded.prefixes, host: None }
}

/// What the upstream is told of where the request came from.
fn arrival<'a>(x: &'a Exchange, forward: &Forward, version: Version) -> Arrival<'a> {
    Arrival {
        peer: x.client.peer.ip(),
        scheme: x.client.scheme(),
        host: Some(&*x.line.host).filter(|host| !host.is_empty()),
        port: x.client.local_port,
        prefix: x
            .onward
            .prefixes
            .as_ref()
            .filter(|p| p.upstream().is_empty())
            .map(Prefixes::public),
        version,
        request_id: &x.id,
        forwarded: forward.forwarded_header,
    }
}

/// What a hash policy sends to the same target; `address` lends the room for a client's address.
#[must_use]
pub fn hash_key<'a>(
    upstream: &Upstream,
    headers: &'a HeaderMap,
    x: &'a Exchange,
    address: &'a mut String,
) -> HashKey<'a> {
    match upstream.hash_key_source() {
        None => HashKey::NONE,
        Some(HashSource::Path) => HashKey::of(x.line.path.as_bytes()),
        Some(HashSource::ClientIp) => {
            // Writing to a String cannot fail.
            let _ = write!(address, "{}", x.client.address);
            HashKey::of(address.as_bytes())
        }
        Some(HashSource::Header(name)) => {
            headers.get(name).map_or(HashKey::NONE, |value| HashKey::of(value.as_bytes()))
        }
        Some(HashSource::Cookie(name)) => {
            single_cookie(headers, name).map_or(HashKey::NONE, HashKey::of)
        }
    }
}
