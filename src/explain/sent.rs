//! The request as the upstream would see it, and who that would be.

use std::collections::BTreeSet;

use http::header::{CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER};
use http::header::{HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode};
use pingora::http::RequestHeader;
use serde::Serialize;

use super::mask::Mask;
use crate::exchange::Exchange;
use crate::intake;
use crate::snapshot::Route;
use crate::upstream::Upstream;
use crate::upstream::config::HostHeader;

/// A request that is sent on.
#[derive(Debug, Serialize)]
pub struct Forward {
    /// The upstream.
    pub upstream: String,
    /// Path and query that it would see, secrets masked.
    pub target: String,
    /// The Host that it would see; none if that is the chosen target's own, and they differ.
    pub host: Option<String>,
    /// What is changed of the headers.
    pub changes: Vec<Change>,
    /// The names of the headers that are passed on as they came.
    pub kept: Vec<String>,
    /// How a target is chosen, and from which.
    pub choice: TargetChoice,
    /// The headers that the route's policy puts on the answer, if the upstream says nothing of its own.
    pub answer: Vec<(String, String)>,
    /// By which coding the answer is compressed, if its type and size are worth it.
    pub compressed: Option<&'static str>,
}

/// What happens to a header.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What.
    pub change: Changed,
    /// Its name, in lower case.
    pub name: String,
    /// Its values as the upstream would see them, secrets masked; none if it is removed.
    pub values: Vec<String>,
}

/// What happens to a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The client sent none, and the upstream sees one.
    Added,
    /// The upstream sees another value.
    Replaced,
    /// The upstream sees none.
    Removed,
}

/// How a target is chosen.
#[derive(Debug, Serialize)]
pub struct TargetChoice {
    /// The policy, as the configuration calls it.
    pub policy: &'static str,
    /// What a hash policy looks at, as the configuration calls it.
    pub hashed: Option<String>,
    /// The target to which a hash policy leads if all are healthy.
    pub preferred: Option<String>,
    /// The targets, with their weights.
    pub candidates: Vec<(String, u32)>,
    /// Always `unknown`: only a running gateway knows which of them are healthy.
    pub health: &'static str,
}

/// What the upstream of the exchange's route would see.
pub(super) fn forward(
    head: &RequestHeader,
    x: &Exchange,
    mask: &Mask<'_>,
) -> Option<(Forward, RequestHeader)> {
    let upstream = x.route.as_deref().and_then(Route::upstream)?;
    let candidates = upstream.candidates();
    let authorities: BTreeSet<&[u8]> =
        candidates.iter().map(|candidate| candidate.authority.as_bytes()).collect();
    let own_hosts = authorities.len() > 1 && upstream.config().host == HostHeader::Target;
    let mut sent = head.clone();
    strip(&mut sent);
    intake::send_on(&mut sent, head, &candidates.first()?.authority, x).ok()?;
    let host = sent.headers.get(HOST).filter(|_| !own_hosts);
    let choice = TargetChoice {
        policy: upstream.policy(),
        hashed: hashed(upstream),
        preferred: preferred(upstream, head, x),
        candidates: candidates.iter().map(|c| (c.label.clone(), c.weight)).collect(),
        health: "unknown",
    };
    let forward = Forward {
        upstream: upstream.name().to_string(),
        target: mask.text(&String::from_utf8_lossy(sent.raw_path())),
        host: host.map(|host| mask.text(&String::from_utf8_lossy(host.as_bytes()))),
        changes: changes(head, &sent, mask),
        kept: kept(head, &sent),
        choice,
        answer: answered(head, x, mask),
        compressed: x.policy().and_then(|p| p.compress.as_ref()?.accepted(&head.headers)),
    };
    Some((forward, sent))
}

/// What a policy makes of an answer without headers.
fn answered(head: &RequestHeader, x: &Exchange, mask: &Mask) -> Vec<(String, String)> {
    let (Some(route), Some(policy)) = (&x.route, x.policy()) else { return Vec::new() };
    let mut headers = HeaderMap::new();
    let operations = (&route.response_headers, &x.fill(&head.headers));
    let secure = x.is_secure(&head.headers);
    let _ = policy.answer(&mut headers, StatusCode::OK, &head.headers, secure, operations);
    let told =
        |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), mask.value(name, value));
    headers.iter().map(told).collect()
}

/// What Pingora takes off a request before the gateway changes it: all that was meant for the connection
/// (RFC 9110, section 7.6.1). Of its framing, the length alone is seen by what follows.
fn strip(head: &mut RequestHeader) {
    let lines = head.headers.get_all(CONNECTION).iter();
    let named: Vec<HeaderName> = lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in &named {
        head.remove_header(name);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        head.remove_header(name);
    }
    for name in [
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        CONNECTION,
        UPGRADE,
    ] {
        head.remove_header(&name);
    }
}

fn changes(before: &RequestHeader, after: &RequestHeader, mask: &Mask<'_>) -> Vec<Change> {
    let names: BTreeSet<&str> =
        before.headers.keys().chain(after.headers.keys()).map(HeaderName::as_str).collect();
    let change = |name: &str| {
        if name == HOST.as_str() || same(before, after, name) {
            return None;
        }
        let change = match (before.headers.contains_key(name), after.headers.contains_key(name)) {
            (false, _) => Changed::Added,
            (true, true) => Changed::Replaced,
            (true, false) => Changed::Removed,
        };
        let shown = |value: &HeaderValue| match HeaderName::try_from(name) {
            Ok(header) => mask.value(&header, value),
            Err(_) => String::new(),
        };
        let values = after.headers.get_all(name).iter().map(shown).collect();
        Some(Change { change, name: name.to_owned(), values })
    };
    names.into_iter().filter_map(change).collect()
}

fn kept(before: &RequestHeader, after: &RequestHeader) -> Vec<String> {
    let names: BTreeSet<&str> = before.headers.keys().map(HeaderName::as_str).collect();
    let kept = |name: &&str| *name != HOST.as_str() && same(before, after, name);
    names.into_iter().filter(kept).map(str::to_owned).collect()
}

fn same(before: &RequestHeader, after: &RequestHeader, name: &str) -> bool {
    before.headers.get_all(name).iter().eq(after.headers.get_all(name).iter())
}

fn hashed(upstream: &Upstream) -> Option<String> {
    use crate::upstream::HashSource;
    Some(match upstream.hash_key_source()? {
        HashSource::Header(name) => format!("the header {name}"),
        HashSource::Cookie(name) => format!("the cookie {name}"),
        HashSource::ClientIp => "the client's address".to_owned(),
        HashSource::Path => "the path".to_owned(),
    })
}

fn preferred(upstream: &Upstream, head: &RequestHeader, x: &Exchange) -> Option<String> {
    // Without the addresses behind host names, it is not known where the key leads.
    if upstream.candidates().iter().any(|candidate| candidate.named) {
        return None;
    }
    let mut address = String::new();
    let key = intake::hash_key(upstream, &head.headers, x, &mut address);
    upstream.preferred(key).map(|label| label.to_string())
}
