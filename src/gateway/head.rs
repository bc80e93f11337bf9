//! An answer's head as a plain map, as [`crate::intake`] has it for a request's, and for the same reason.

use http::{HeaderMap, Response, StatusCode, Version};
use pingora::http::ResponseHeader;

/// Changes a response's headers; status, version and reason stay.
pub(super) fn change(
    head: &mut ResponseHeader,
    change: impl FnOnce(&mut HeaderMap, StatusCode, Version),
) {
    let reason =
        head.get_reason_phrase().filter(|reason| Some(*reason) != head.status.canonical_reason());
    let reason = reason.map(str::to_owned);
    let empty = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts: http::response::Parts = std::mem::replace(head, empty).into();
    change(&mut parts.headers, parts.status, parts.version);
    *head = ResponseHeader::from(parts);
    if let Some(reason) = reason {
        // It was read from a head, so that it can stand in one.
        let _ = head.set_reason_phrase(Some(&reason));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderValue, VIA};

    use super::*;

    #[test]
    fn status_version_and_an_odd_reason_survive() {
        for reason in [None, Some("Teapot Time")] {
            let mut head = ResponseHeader::build(418, None).unwrap();
            head.set_version(Version::HTTP_10);
            head.set_reason_phrase(reason).unwrap();
            head.insert_header("X-Kept", "1").unwrap();
            change(&mut head, |headers, status, version| {
                assert_eq!((status.as_u16(), version), (418, Version::HTTP_10));
                headers.insert(VIA, HeaderValue::from_static("x"));
            });
            assert_eq!(head.status, 418);
            assert_eq!(head.version, Version::HTTP_10);
            assert_eq!(head.get_reason_phrase(), reason.or(head.status.canonical_reason()));
            assert_eq!(
                (&head.headers["x-kept"], &head.headers["via"]),
                (&"1".parse().unwrap(), &"x".parse().unwrap())
            );
        }
    }
}
