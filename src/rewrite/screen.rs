//! The screen: what a request loses before anything is written into it.
//!
//! - The caller's credentials end here, on every route.
//! - Who called is the gateway's to say: `X-Consumer-*` from a client is dropped, from whomever.
//! - Where a request came from is a claim. From a peer that is not trusted, `Forwarded` and
//!   `X-Forwarded-*` are dropped; from a trusted one they are kept, and [`forwarded`](super::forwarded)
//!   extends them.
//! - `tracestate` belongs to a `traceparent`; without a valid one from a trusted peer it is dropped.
//! - Other headers that servers are known to believe are dropped from everybody: a proxy in front that
//!   does not know them passes on what its client sent. Some name a client's address (`X-Real-IP`), some make
//!   frameworks serve another path than the one whose policy was applied (`X-Original-URL`).
//!
//! A name is also meant when it is written with `_`, which many servers cannot tell from `-`.

use http::{HeaderMap, HeaderName};

use super::head::{Fields, is_alike, starts_alike};

/// Believed by some server, written by no proxy that speaks `X-Forwarded-*`.
const HEARSAY: [&str; 9] = [
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
];

/// Removes from a request what must not go on. `is_traced`: it belongs to a trace that its peer may name. `secret`
/// is the header in which the gateway's own secret goes to the upstream: nothing that could be taken for it may
/// stand beside it.
pub fn screen(
    headers: &mut HeaderMap,
    peer_is_trusted: bool,
    is_traced: bool,
    credentials: &[HeaderName],
    secret: Option<&HeaderName>,
) {
    for credential in credentials {
        headers.remove(credential);
    }
    headers.discard_where(|name| {
        let twin = |of: &HeaderName| is_alike(name, of.as_str());
        // Nearly all headers leave at the first letter.
        let told = match name.as_bytes().first() {
            Some(b'x') => {
                starts_alike(name, "x-consumer-")
                    || (!peer_is_trusted && starts_alike(name, "x-forwarded-"))
                    || (!peer_is_trusted && is_alike(name, "x-forwarded"))
                    || is_hearsay(name)
            }
            Some(b'f') => !peer_is_trusted && name == "forwarded",
            Some(b't') => (!is_traced && name == "tracestate") || is_hearsay(name),
            Some(b'c') => is_hearsay(name),
            _ => false,
        };
        told || credentials.iter().any(twin) || secret.is_some_and(twin)
    });
}

/// Whether a name has a twin in which `-` stands for `_`: few clients send one.
#[must_use]
pub fn may_be_twin(name: &HeaderName) -> bool {
    // Names are short, so that no search is worth its beginning.
    name.as_str().bytes().any(|byte| byte == b'_')
}

/// Removes what the client `sent` under a name with `_` if the same name stands there with `-` now, from the gateway or
/// from the client: a server that can't tell the two apart would read either. To be called when all is written.
pub fn without_twins(headers: &mut HeaderMap, sent: &HeaderMap) {
    let is_twin = |name: &&HeaderName| {
        may_be_twin(name)
            && sent.contains_key(*name)
            && headers.contains_key(name.as_str().replace('_', "-"))
    };
    let twins: Vec<HeaderName> = headers.keys().filter(is_twin).cloned().collect();
    for twin in twins {
        headers.remove(twin);
    }
}

fn is_hearsay(name: &str) -> bool {
    HEARSAY.iter().any(|known| is_alike(name, known))
}

#[cfg(test)]
mod tests {
    use super::super::head::lines::{head, wire};
    use super::*;

    const KEY: HeaderName = HeaderName::from_static("x-api-key");
    const SECRET: HeaderName = HeaderName::from_static("x-gate");

    fn left(trusted: bool, lines: &[&str]) -> Vec<String> {
        let mut head = head(lines);
        screen(&mut head, trusted, trusted, &[KEY], Some(&SECRET));
        wire(&head)
    }

    #[test]
    fn credentials_and_their_twins_end_at_the_gate() {
        for line in ["X-Api-Key: k", "x_api_key: k", "X-Api_Key: k", "X-Gate: s", "x_gate: s"] {
            assert_eq!(left(true, &[line, "x-apikey: kept"]), ["x-apikey: kept"], "{line}");
        }
        assert!(left(false, &["x-api-key: a", "x-api-key: b"]).is_empty());
    }

    #[test]
    fn a_name_is_not_there_twice_for_servers_that_take_underscores_for_dashes() {
        let sent = head(&["x_request_id: forged", "x_tenant: b", "x-tenant: a", "x_own: kept"]);
        let mut headers = sent.clone();
        headers.insert("x-request-id", http::HeaderValue::from_static("ours"));
        headers.insert("x_ours", http::HeaderValue::from_static("1"));
        headers.insert("x-ours", http::HeaderValue::from_static("2"));
        without_twins(&mut headers, &sent);
        let mut left = wire(&headers);
        left.sort_unstable();
        let expected =
            ["x-ours: 2", "x-request-id: ours", "x-tenant: a", "x_ours: 1", "x_own: kept"];
        assert_eq!(left, expected);
    }

    #[test]
    fn nobody_says_who_called() {
        for trusted in [false, true] {
            for name in ["X-Consumer-Name", "X-CONSUMER-Plan", "X_Consumer_Name", "x-consumer_id"] {
                let forged = format!("{name}: root");
                assert_eq!(left(trusted, &[&forged, "x-consumers: kept"]), ["x-consumers: kept"]);
            }
        }
    }

    #[test]
    fn a_strangers_claims_are_dropped_and_a_trusted_peers_kept() {
        for line in [
            "forwarded: for=1.1.1.1",
            "x-forwarded-for: 1.1.1.1",
            "x-forwarded-user: root",
            "x-forwarded: for=1",
            "x_forwarded_for: 1.1.1.1",
            "tracestate: a=1",
        ] {
            assert!(left(false, &[line]).is_empty(), "{line}");
            assert_eq!(left(true, &[line]), [line]);
        }
    }

    #[test]
    fn hearsay_is_dropped_from_everybody() {
        for name in HEARSAY {
            for trusted in [false, true] {
                let line = format!("{name}: /admin");
                assert!(left(trusted, &[&line]).is_empty(), "{line}");
                let twin = format!("{}: /admin", name.replace('-', "_"));
                assert!(left(trusted, &[&twin]).is_empty(), "{twin}");
            }
        }
        let kept = ["cookie: a=b", "te: x", "x-original: kept", "x-real-ipx: kept"];
        assert_eq!(left(false, &kept), kept);
    }
}
