//! A problem as a gRPC status, in the trailers-only form: HTTP 200, no body, the status in the headers; for gRPC-Web,
//! the status in the body, where a page of another origin sees it without asking.
//!
//! The numbers follow gRPC's table "HTTP to gRPC Status Code Mapping" where it has a line, so that a
//! caller sees the same status as if its own library had translated ours. They leave it in four places:
//! - 504 (and 408) is `DEADLINE_EXCEEDED`, not `UNAVAILABLE`: the call may have been carried out, and
//!   `UNAVAILABLE` is the status that libraries retry without asking.
//! - 413, 414 and 431 are `RESOURCE_EXHAUSTED`, as the libraries themselves say of a message or metadata
//!   that is too large.
//! - 429 is `RESOURCE_EXHAUSTED`, as gRPC's own words for it say; `UNAVAILABLE` would be tried again at once.
//! - 405 and 501 are `UNIMPLEMENTED`, like 404; 500 is `INTERNAL`.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::{Problem, Reply};
use crate::grpc_web::Form;

/// Whether a content type is of the family `application/grpc`, such as `application/grpc+proto`.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    const FAMILY: &[u8] = b"application/grpc";
    content_type.len() >= FAMILY.len()
        && content_type[..FAMILY.len()].eq_ignore_ascii_case(FAMILY)
        && content_type.get(FAMILY.len()).is_none_or(|next| b"+-; \t".contains(next))
}

/// The problem as a whole response.
pub(super) fn trailers_only(problem: &Problem<'_>) -> Reply {
    let mut headers = Vec::with_capacity(7);
    headers.push((CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
    headers.extend(status(problem));
    Reply { status: StatusCode::OK, headers, body: Bytes::new() }
}

/// The same for gRPC-Web.
pub(super) fn trailers_in_body(problem: &Problem<'_>, form: Form) -> Reply {
    let status = status(problem);
    let body = form.trailers(status.iter().map(|(name, value)| (name, value)));
    let headers = vec![(CONTENT_TYPE, form.content_type())];
    Reply { status: StatusCode::OK, headers, body }
}

fn status(problem: &Problem<'_>) -> [(HeaderName, HeaderValue); 2] {
    let status = HeaderValue::from(grpc_status(problem.status));
    [
        (HeaderName::from_static("grpc-status"), status),
        (HeaderName::from_static("grpc-message"), message(problem.detail)),
    ]
}

/// The gRPC status for an HTTP status.
fn grpc_status(http: u16) -> u16 {
    match http {
        401 => 16,                  // UNAUTHENTICATED
        403 => 7,                   // PERMISSION_DENIED
        404 | 405 | 501 => 12,      // UNIMPLEMENTED
        408 | 504 => 4,             // DEADLINE_EXCEEDED
        413 | 414 | 429 | 431 => 8, // RESOURCE_EXHAUSTED
        502 | 503 => 14,            // UNAVAILABLE
        400 | 500 => 13,            // INTERNAL
        _ => 2,                     // UNKNOWN
    }
}

/// The text with everything but printable ASCII, and `%` itself, percent-encoded.
fn message(text: &str) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(byte);
        } else {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
    // What is left is printable ASCII, which is always a header value.
    HeaderValue::from_maybe_shared(Bytes::from(out))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}
