//! A [`Reply`] is a response of our own making; a [`Problem`] is one that says why there is no other.
//!
//! A problem has three faces, chosen by [`wanted`] from the request's own headers: problem+json
//! (RFC 9457) for programs, a small page for browsers, and a gRPC status for gRPC callers, who would
//! take any other body for a broken connection. All three say the same: the status, the stable
//! `code`, one sentence of detail, and the request id to quote to whoever runs the gateway.
//!
//! Floods are answered from here (401, 429, 503), so a face is written straight into one buffer of
//! about the right size, and the headers are static wherever their value does not depend on the request.
//!
//! Nothing here adds `Content-Length`: whoever sends the reply knows whether a body follows (a HEAD
//! request has none) and frames it.

mod accept;
mod fault;
mod grpc;
pub(crate) mod html;
pub(crate) mod json;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

pub use fault::{Fault, MOST_FAULTS};

use crate::grpc_web::Form;

/// A response of our own making, whole in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status of the response.
    pub status: StatusCode,
    /// Its headers, in the order in which they are sent, without those of framing.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// A response without headers or body.
    #[must_use]
    pub const fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// The same response with one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// The form in which a caller can read a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `application/problem+json` (RFC 9457), for everyone who does not ask for more.
    Json,
    /// A page, for people.
    Html,
    /// A status in the trailers-only form, for gRPC callers.
    Grpc,
    /// The same for those in browsers.
    GrpcWeb(Form),
}

/// The form in which the sender of these request headers can read a problem.
///
/// A content type of the `application/grpc` family means gRPC, or gRPC-Web. `Accept` means HTML if it names
/// `text/html`, and JSON is neither rated higher (by name or wildcard) nor named before it with the
/// same rating. Everything else is answered in JSON.
#[must_use]
pub fn wanted(headers: &HeaderMap) -> Wanted {
    if headers.get(CONTENT_TYPE).is_some_and(|value| grpc::is_grpc(value.as_bytes())) {
        Form::wanted(headers).map_or(Wanted::Grpc, Wanted::GrpcWeb)
    } else if accept::prefers_html(headers) {
        Wanted::Html
    } else {
        Wanted::Json
    }
}

/// Why there is no other answer (RFC 9457), in words that a client may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem<'a> {
    /// The HTTP status, 400 to 599; a number that is none is sent as 500.
    pub status: u16,
    /// The stable word for the cause, such as `no_route`: the same in the log and the metrics.
    pub code: &'static str,
    /// The cause in a few words; the same for every occurrence.
    pub title: &'static str,
    /// This occurrence, in one sentence.
    pub detail: &'a str,
    /// The id of the request, as it stands in the log.
    pub request_id: &'a str,
    /// When it makes sense to try again, in seconds from now.
    pub retry_after: Option<u64>,
    /// What is wrong with the request, one by one; only programs are told that much.
    pub faults: &'a [Fault],
}

impl Problem<'_> {
    /// This problem in the form wanted.
    #[must_use]
    pub fn reply(&self, wanted: Wanted) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = match wanted {
            Wanted::Json => self.json(status),
            Wanted::Html => html::page(self, status),
            Wanted::Grpc => grpc::trailers_only(self),
            Wanted::GrpcWeb(form) => grpc::trailers_in_body(self, form),
        };
        reply.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(seconds) = self.retry_after {
            reply.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        reply
    }

    fn json(&self, status: StatusCode) -> Reply {
        let texts = self.title.len() + self.detail.len() + self.request_id.len();
        let mut body = Vec::with_capacity(160 + texts + 2 * self.code.len());
        body.extend_from_slice(b"{\"type\":\"urn:portcullis:problem:");
        json::escape(&mut body, self.code);
        body.extend_from_slice(b"\",\"title\":\"");
        json::escape(&mut body, self.title);
        body.extend_from_slice(b"\",\"status\":");
        body.extend_from_slice(status.as_str().as_bytes());
        body.extend_from_slice(b",\"detail\":\"");
        json::escape(&mut body, self.detail);
        body.extend_from_slice(b"\",\"code\":\"");
        json::escape(&mut body, self.code);
        body.extend_from_slice(b"\",\"request_id\":\"");
        json::escape(&mut body, self.request_id);
        body.push(b'"');
        for (number, fault) in self.faults.iter().take(MOST_FAULTS).enumerate() {
            body.extend_from_slice(if number == 0 { b",\"errors\":[" } else { b"," });
            fault.write(&mut body);
        }
        body.extend_from_slice(if self.faults.is_empty() { b"}\n" } else { b"]}\n" });
        // Room for what the caller may add: Allow or WWW-Authenticate, and the request id.
        let mut headers = Vec::with_capacity(6);
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
        Reply { status, headers, body: Bytes::from(body) }
    }
}

#[cfg(test)]
mod tests;
