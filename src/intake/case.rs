//! The written case of header names, which is given up (RFC 9110, section 5.1: it means nothing).
//!
//! A head of Pingora's keeps a second map for it, and every copy and every change pays for both.

use http::request::{self, Request};
use pingora::http::RequestHeader;

/// Gives up the case in a head that was read, before Pingora copies it for the upstream. A target that is not a path is
/// written there alone, and is not asked for any more.
pub fn forget_case(head: &mut RequestHeader) {
    if head.has_case() {
        *head = RequestHeader::from(take(head));
    }
}

/// Takes a request's parts out of its head, which the caller makes anew from them.
pub(super) fn take(head: &mut RequestHeader) -> request::Parts {
    let empty = RequestHeader::from(Request::new(()).into_parts().0);
    std::mem::replace(head, empty).into()
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    #[test]
    fn all_but_the_case_stays() {
        let mut head = RequestHeader::build("PUT", b"/a%20b?c=d", None).unwrap();
        head.set_version(Version::HTTP_10);
        for (name, value) in [("X-A", "1"), ("x-a", "2"), ("Host", "h")] {
            head.append_header(name, value).unwrap();
        }
        forget_case(&mut head);
        assert!(!head.has_case());
        assert_eq!((head.method.as_str(), head.version), ("PUT", Version::HTTP_10));
        assert_eq!(head.raw_path(), b"/a%20b?c=d");
        let values: Vec<_> = head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(head.headers["host"], "h");
    }
}
