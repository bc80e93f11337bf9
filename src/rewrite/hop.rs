//! Headers that are meant for one connection, and so never passed on (RFC 9110, 7.6.1).
//!
//! Pingora strips requests by itself before our filters run, except those that come in and go out over
//! HTTP/2, and it strips nothing from responses but what it writes itself (`Connection`). What frames
//! a message (`Transfer-Encoding`, `Content-Length`) is Pingora's to write and is never touched here.

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    PROXY_AUTHENTICATE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::{HeaderMap, HeaderName, StatusCode, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

/// Always removed from a response. The `Proxy-*` ones speak of a proxy's own credentials: the client
/// knows no proxy here, and a challenge from an upstream would ask it for credentials meant for us.
/// `Trailer` goes because trailers are not passed on from every version to every other.
const RESPONSE: [HeaderName; 6] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHENTICATION_INFO, TE, TRAILER];

/// Never removed because `Connection` names them: they frame the message, say what its content is, or
/// who may keep it. RFC 9110, 7.6.1 forbids to name such fields, so a message that does is in error,
/// and losing `Cache-Control: private` is worse than passing it on.
const END_TO_END: [HeaderName; 8] = [
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    SET_COOKIE,
    TRANSFER_ENCODING,
    VARY,
];

/// Removes what the upstream meant for its connection to us: what `Connection` names, and what never
/// goes further. A switch of protocols (101) keeps `Connection` and `Upgrade`, which make it one.
pub fn strip_response(head: &mut HeaderMap, status: StatusCode, version: Version) {
    // One look at each name costs less than looking each of these names up.
    if !head.keys().any(is_hop) {
        return;
    }
    let switching = status == StatusCode::SWITCHING_PROTOCOLS && version != Version::HTTP_2;
    if head.contains_key(CONNECTION) {
        for name in nominated(head) {
            if !(END_TO_END.contains(&name) || (switching && name == UPGRADE)) {
                head.remove(&name);
            }
        }
        if !switching {
            head.remove(CONNECTION);
        }
    }
    if !switching {
        head.remove(UPGRADE);
    }
    for name in &RESPONSE {
        head.remove(name);
    }
}

fn is_hop(name: &HeaderName) -> bool {
    match name.as_str().as_bytes() {
        [b'c', ..] => name == CONNECTION,
        [b'u', ..] => name == UPGRADE,
        [b'k' | b'p' | b't', ..] => RESPONSE.contains(name),
        _ => false,
    }
}

fn nominated(head: &HeaderMap) -> Vec<HeaderName> {
    let lines = head.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::head::lines::head;
    use super::*;

    #[test]
    fn a_response_keeps_what_is_meant_for_the_client() {
        for (status, before, after) in [
            (200, &["content-type: a", "date: b"][..], &["content-type", "date"][..]),
            (200, &["connection: close"], &[]),
            (
                200,
                &[
                    "connection: keep-alive, X-Hop",
                    "connection: x-other",
                    "x-hop: 1",
                    "x-other: 2",
                    "x-end: 3",
                ],
                &["x-end"],
            ),
            (
                200,
                &[
                    "keep-alive: timeout=5",
                    "proxy-connection: a",
                    "te: b",
                    "trailer: c",
                    "upgrade: h2c",
                ],
                &[],
            ),
            (407, &["proxy-authenticate: Basic", "proxy-authentication-info: a"], &[]),
            (
                200,
                &[
                    "connection: content-length, transfer-encoding, cache-control, set-cookie, junk junk",
                    "content-length: 1",
                    "cache-control: private",
                    "set-cookie: a=b",
                ],
                &["cache-control", "content-length", "set-cookie"],
            ),
            (200, &["transfer-encoding: chunked"], &["transfer-encoding"]),
            (
                101,
                &["connection: Upgrade, X-Hop", "upgrade: websocket", "x-hop: 1"],
                &["connection", "upgrade"],
            ),
            (200, &["connection: upgrade", "upgrade: websocket"], &[]),
        ] {
            let mut head = head(before);
            let status = StatusCode::from_u16(status).expect("status");
            strip_response(&mut head, status, Version::HTTP_11);
            let mut left: Vec<&str> = head.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, after, "{before:?}");
        }
    }
}
