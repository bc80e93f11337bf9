//! From a cause to an answer: the only place where a refusal or a failure becomes a response.
//!
//! A [`Rejection`] says why a request is not answered by an upstream. Its [`code`](Rejection::code) is the
//! same word in the answer, in the log (`why`) and in the metrics. Texts are written here, for clients;
//! what an upstream or a library said never reaches them.
//!
//! | code | status | cause |
//! |---|---|---|
//! | `bad_request` | 400 | a target, host or framing that a clean request does not have |
//! | `ambiguous_path` | 400 | a path that another reader would take for another route's |
//! | `invalid_request` | 400 | parameters, or a body that cannot be read, are not what the service documents |
//! | `unauthorized` | 401 | no credential that is known here |
//! | `forbidden` | 403 | a known caller that the route leaves out |
//! | `ip_denied` | 403 | an address that the route is not for |
//! | `cors_refused` | 403 | a browser asks for a page of an origin that the route does not list |
//! | `no_route` | 404 | no route for this host and path |
//! | `unknown_operation` | 404 | the service documents nothing under this path |
//! | `method_not_allowed` | 405 | a route, but not for this method |
//! | `request_timeout` | 408 | the client took too long to send its request |
//! | `body_too_large` | 413 | a body above `body_limit` |
//! | `unchecked_body` | 413 | a body above the 64 KiB that can be checked |
//! | `uri_too_long` | 414 | a target above 8 KiB |
//! | `unsupported_media_type` | 415 | a body of a type or encoding that the operation does not take |
//! | `misdirected` | 421 | a connection for another host, on which no certificate was shown |
//! | `invalid_body` | 422 | a body that does not fit the schema that the service documents |
//! | `rate_limited` | 429 | the caller has called too often, or too many of its credentials were refused |
//! | `quota_exceeded` | 429 | the caller has used up what its plan gives it for the day or the month |
//! | `too_many_at_once` | 429 | the caller has as many requests in flight as its plan gives it |
//! | `header_too_large` | 431 | a head above 64 KiB or 100 lines |
//! | `client_closed` | 499 | the client left before the answer (only in the log) |
//! | `internal_error` | 500 | a fault of this program |
//! | `unsupported_coding` | 501 | a `Transfer-Encoding` other than `chunked` |
//! | `no_websocket` | 501 | a WebSocket was asked for, and the upstream speaks HTTP/2 |
//! | `upstream_broken` | 502 | an answer that was cut or cannot be read, or a failed TLS handshake |
//! | `upstream_unreachable` | 503 | no connection to any target tried |
//! | `no_healthy_target` | 503 | no target is fit for use |
//! | `overloaded` | 503 | the route or its upstream has as many requests in flight as it may |
//! | `maintenance` | 503 | the route is in maintenance |
//! | `auth_unavailable` | 503 | it cannot be found out now who calls |
//! | `limit_unavailable` | 503 | it cannot be found out now how often the caller has called |
//! | `upstream_timeout` | 504 | a target took longer than `timeouts.connect`, `read` or `write` |
//! | `deadline_exceeded` | 504 | the whole request took longer than `timeouts.total` |
//! | `unsupported_version` | 505 | a version of HTTP that is not spoken here |

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, HeaderName, HeaderValue, WWW_AUTHENTICATE};

#[cfg(doc)]
use crate::hygiene::{MAX_HEAD, MAX_HEADERS, MAX_TARGET};
use crate::reply::{Fault, Problem, Reply, Wanted};

/// Why a request is not answered by an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// A target, host or framing that a clean request does not have; the text says which.
    BadRequest(&'static str),
    /// A path that another reader would take for another route's.
    AmbiguousPath,
    /// Parameters, or a body that cannot be read, are not what the service documents.
    InvalidRequest(Arc<[Fault]>),
    /// No credential that is known here.
    Unauthorized {
        /// The value of `WWW-Authenticate`.
        challenge: HeaderValue,
    },
    /// A known caller that the route leaves out.
    Forbidden,
    /// An address that the route's `ip` leaves out.
    IpDenied,
    /// A browser asks for a page of an origin that the route's `cors` does not list.
    CorsRefused,
    /// No route for this host and path.
    NoRoute,
    /// The service documents nothing under this path.
    UnknownOperation,
    /// A route, but not for this method.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: HeaderValue,
    },
    /// The client stopped sending its body.
    RequestTimeout,
    /// A body above the route's limit.
    BodyTooLarge,
    /// A body that is too large to be checked.
    UncheckedBody,
    /// A target above [`MAX_TARGET`].
    UriTooLong,
    /// A body of a type or encoding that the operation does not take; the text says which it takes.
    UnsupportedMediaType(Arc<str>),
    /// The route asks for a certificate, which the client can show on a connection of its own for this host.
    Misdirected,
    /// A body that does not fit the schema that the service documents.
    InvalidBody(Arc<[Fault]>),
    /// The caller has called too often.
    RateLimited {
        /// When it may again.
        retry_after: Duration,
    },
    /// The caller has used up what it bought for the day or the month.
    QuotaExceeded {
        /// When there is more.
        retry_after: Duration,
    },
    /// The caller has as many requests in flight as its plan gives it.
    TooManyAtOnce,
    /// A head above [`MAX_HEAD`] or [`MAX_HEADERS`].
    HeaderTooLarge,
    /// The client left before the answer.
    ClientClosed,
    /// A fault of this program.
    Internal,
    /// A `Transfer-Encoding` other than `chunked`.
    UnsupportedCoding,
    /// A `WebSocket` was asked for, which an upstream with `protocol: h2` cannot give.
    NoWebSocket,
    /// An answer that was cut or cannot be read, or a failed TLS handshake.
    UpstreamBroken,
    /// No connection to any target tried.
    UpstreamUnreachable {
        /// When a target is tried again.
        retry_after: Duration,
    },
    /// No target is fit for use.
    NoHealthyTarget {
        /// When a target is tried again.
        retry_after: Duration,
    },
    /// As many requests are in flight as may be.
    Overloaded {
        /// When it may be better.
        retry_after: Duration,
    },
    /// The route is in maintenance.
    Maintenance {
        /// The sentence for the client, if it is not the usual one.
        message: Option<Arc<str>>,
        /// When clients shall try again.
        retry_after: Duration,
    },
    /// The keys cannot be fetched, or the service not be asked, that say who calls.
    AuthUnavailable,
    /// The store with the limits does not answer, and `on_error` is `deny`.
    LimitUnavailable,
    /// A target took too long.
    UpstreamTimeout,
    /// The whole request took too long.
    DeadlineExceeded,
    /// A version of HTTP that is not spoken here.
    UnsupportedVersion,
}

/// All words that [`Rejection::code`] can give.
pub const CODES: [&str; 35] = [
    "bad_request",
    "ambiguous_path",
    "invalid_request",
    "unauthorized",
    "forbidden",
    "ip_denied",
    "cors_refused",
    "no_route",
    "unknown_operation",
    "method_not_allowed",
    "request_timeout",
    "body_too_large",
    "unchecked_body",
    "uri_too_long",
    "unsupported_media_type",
    "misdirected",
    "invalid_body",
    "rate_limited",
    "quota_exceeded",
    "too_many_at_once",
    "header_too_large",
    "client_closed",
    "internal_error",
    "unsupported_coding",
    "no_websocket",
    "upstream_broken",
    "upstream_unreachable",
    "no_healthy_target",
    "overloaded",
    "maintenance",
    "auth_unavailable",
    "limit_unavailable",
    "upstream_timeout",
    "deadline_exceeded",
    "unsupported_version",
];

impl Rejection {
    /// The stable word for the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.words().1
    }

    /// The HTTP status. [`Rejection::ClientClosed`] has nginx's 499, which is never sent.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.words().0
    }

    /// The sentence for the client.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Maintenance { message: Some(message), .. } => message,
            Self::UnsupportedMediaType(takes) => takes,
            _ => self.words().3,
        }
    }

    /// Status, code, title and sentence.
    #[expect(clippy::too_many_lines, reason = "a table, to be read at one sight")]
    const fn words(&self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Self::BadRequest(detail) => (400, "bad_request", "Bad request", detail),
            Self::AmbiguousPath => (
                400,
                "ambiguous_path",
                "Ambiguous path",
                "The path can be read in two ways that lead to different routes.",
            ),
            Self::InvalidRequest(_) => (
                400,
                "invalid_request",
                "Invalid request",
                "The request is not what this operation takes; `errors` says where it is not.",
            ),
            Self::Unauthorized { .. } => (
                401,
                "unauthorized",
                "Authentication required",
                "The request has no credential that is valid here.",
            ),
            Self::Forbidden => {
                (403, "forbidden", "Forbidden", "This caller may not use this route.")
            }
            Self::IpDenied => {
                (403, "ip_denied", "Forbidden", "Clients at this address may not use this route.")
            }
            Self::CorsRefused => (
                403,
                "cors_refused",
                "Origin not allowed",
                "Pages of this origin may not call this route from a browser.",
            ),
            Self::NoRoute => {
                (404, "no_route", "Not found", "Nothing is served under this host and path.")
            }
            Self::UnknownOperation => (
                404,
                "unknown_operation",
                "Not found",
                "The service documents no operation under this path.",
            ),
            Self::MethodNotAllowed { .. } => (
                405,
                "method_not_allowed",
                "Method not allowed",
                "The method is not allowed here; the Allow header names those that are.",
            ),
            Self::RequestTimeout => (
                408,
                "request_timeout",
                "Request timeout",
                "The rest of the request did not arrive in time.",
            ),
            Self::BodyTooLarge => (
                413,
                "body_too_large",
                "Body too large",
                "The request body is larger than this route allows.",
            ),
            Self::UncheckedBody => (
                413,
                "unchecked_body",
                "Body too large",
                "The request body is larger than 64 KiB, and no larger one is checked here.",
            ),
            Self::UnsupportedMediaType(_) => (
                415,
                "unsupported_media_type",
                "Unsupported media type",
                "The body is of a type that this operation does not take.",
            ),
            Self::UriTooLong => {
                (414, "uri_too_long", "URI too long", "The request target is longer than 8 KiB.")
            }
            Self::Misdirected => (
                421,
                "misdirected",
                "Misdirected request",
                "The connection was opened for another host; open one for this host.",
            ),
            Self::InvalidBody(_) => (
                422,
                "invalid_body",
                "Invalid body",
                "The body does not fit what this operation takes; `errors` says where it does not.",
            ),
            Self::RateLimited { .. } => (
                429,
                "rate_limited",
                "Too many requests",
                "This caller has sent too many requests; Retry-After says when it may send another.",
            ),
            Self::QuotaExceeded { .. } => (
                429,
                "quota_exceeded",
                "Quota exceeded",
                "This caller has used up its quota; Retry-After says when there is more.",
            ),
            Self::TooManyAtOnce => (
                429,
                "too_many_at_once",
                "Too many requests at once",
                "This caller has as many requests in flight as it may; one of them has to end first.",
            ),
            Self::HeaderTooLarge => (
                431,
                "header_too_large",
                "Header fields too large",
                "The request has more than 100 header lines or 64 KiB of them.",
            ),
            Self::ClientClosed => (499, "client_closed", "Client closed the request", ""),
            Self::Internal => {
                (500, "internal_error", "Internal error", "The gateway failed to handle this.")
            }
            Self::UnsupportedCoding => (
                501,
                "unsupported_coding",
                "Unsupported coding",
                "The body is sent in a coding other than chunked.",
            ),
            Self::NoWebSocket => (
                501,
                "no_websocket",
                "No WebSocket here",
                "The service behind the gateway cannot be reached by WebSocket.",
            ),
            Self::UpstreamBroken => (
                502,
                "upstream_broken",
                "Bad gateway",
                "The service behind the gateway did not give a complete and valid answer.",
            ),
            Self::UpstreamUnreachable { .. } => (
                503,
                "upstream_unreachable",
                "Service unavailable",
                "The service behind the gateway cannot be reached.",
            ),
            Self::NoHealthyTarget { .. } => (
                503,
                "no_healthy_target",
                "Service unavailable",
                "No instance of the service behind the gateway is healthy.",
            ),
            Self::Overloaded { .. } => (
                503,
                "overloaded",
                "Service overloaded",
                "More requests are in flight than the service bears; please try again later.",
            ),
            Self::Maintenance { .. } => (
                503,
                "maintenance",
                "Under maintenance",
                "The service is being worked on; please try again later.",
            ),
            Self::AuthUnavailable => (
                503,
                "auth_unavailable",
                "Service unavailable",
                "The credential cannot be verified now; please try again.",
            ),
            Self::LimitUnavailable => (
                503,
                "limit_unavailable",
                "Service unavailable",
                "The limits of this route cannot be checked now; please try again.",
            ),
            Self::UpstreamTimeout => (
                504,
                "upstream_timeout",
                "Gateway timeout",
                "The service behind the gateway did not answer in time.",
            ),
            Self::DeadlineExceeded => (
                504,
                "deadline_exceeded",
                "Gateway timeout",
                "The request took longer than it may in all.",
            ),
            Self::UnsupportedVersion => (
                505,
                "unsupported_version",
                "Unsupported version",
                "This version of HTTP is not spoken here.",
            ),
        }
    }

    /// The response, in the form that the caller can read.
    #[must_use]
    pub fn reply(&self, wanted: Wanted, request_id: &str) -> Reply {
        let (status, code, title, _) = self.words();
        let detail = self.detail();
        let retry_after = match self {
            Self::RateLimited { retry_after }
            | Self::QuotaExceeded { retry_after }
            | Self::UpstreamUnreachable { retry_after }
            | Self::NoHealthyTarget { retry_after }
            | Self::Overloaded { retry_after }
            | Self::Maintenance { retry_after, .. } => Some(whole_seconds(*retry_after)),
            Self::AuthUnavailable | Self::LimitUnavailable | Self::TooManyAtOnce => Some(1),
            _ => None,
        };
        let faults = match self {
            Self::InvalidRequest(faults) | Self::InvalidBody(faults) => &**faults,
            _ => &[],
        };
        let problem = Problem { status, code, title, detail, request_id, retry_after, faults };
        let reply = problem.reply(wanted);
        match self.extra_header() {
            Some((name, value)) => reply.with(name, value),
            None => reply,
        }
    }

    fn extra_header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized { challenge } => Some((WWW_AUTHENTICATE, challenge.clone())),
            Self::MethodNotAllowed { allow } => Some((ALLOW, allow.clone())),
            _ => None,
        }
    }
}

/// Rounded up, and at least one: `Retry-After: 0` would invite a stampede.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_the_code_and_when_to_come_back() {
        let rejection = Rejection::NoHealthyTarget { retry_after: Duration::from_millis(1200) };
        let reply = rejection.reply(Wanted::Json, "abc");
        assert_eq!(reply.status, 503);
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["code"], "no_healthy_target");
        assert_eq!(body["request_id"], "abc");
        let retry = reply.headers.iter().find(|(name, _)| *name == "retry-after").unwrap();
        assert_eq!(retry.1, "2");
        assert_eq!(whole_seconds(Duration::ZERO), 1);
    }

    #[test]
    fn the_list_of_codes_is_that_of_the_table_and_of_the_code() {
        let source = include_str!("reject.rs");
        let table =
            source.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
        assert_eq!(table.collect::<Vec<_>>(), CODES);
        let words = source.split("const fn words").nth(1).unwrap();
        let words = words.split("pub fn reply").next().unwrap();
        let unused: Vec<_> =
            CODES.iter().filter(|code| !words.contains(&format!("\"{code}\""))).collect();
        assert!(unused.is_empty(), "no cause has these codes: {unused:?}");
        assert_eq!(words.matches("Self::").count(), CODES.len(), "a code is not in the list");
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        let allow = HeaderValue::from_static("GET, HEAD");
        let reply = Rejection::MethodNotAllowed { allow: allow.clone() }.reply(Wanted::Json, "");
        assert!(reply.headers.contains(&(ALLOW, allow)));
    }
}
