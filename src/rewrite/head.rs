//! A [`Head`] is a request's or a response's head: one set of operations for both of Pingora's types.
//!
//! All changes go through Pingora's own methods, which keep the written case of names in step with
//! the map of values. They fail only for a name that is no token, which no caller here can have, and
//! for a map of more than 32,768 values; what does not fit is then left out.

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{IntoCaseHeaderName, RequestHeader, ResponseHeader};

pub(super) trait Head {
    fn headers(&self) -> &HeaderMap;
    /// Replaces all values of the header by one.
    fn put(&mut self, name: impl IntoCaseHeaderName, value: HeaderValue);
    /// Adds a value to those that are there.
    fn push(&mut self, name: impl IntoCaseHeaderName, value: HeaderValue);
    /// Removes all values of the header.
    fn discard(&mut self, name: &HeaderName);

    /// Removes the headers of this map whose name `doomed` picks. Allocates only if there is one.
    fn discard_where(&mut self, doomed: impl Fn(&str) -> bool) {
        let found: Vec<HeaderName> =
            self.headers().keys().filter(|name| doomed(name.as_str())).cloned().collect();
        for name in found {
            self.discard(&name);
        }
    }

    /// All values of a list-valued header as one line with `last` at its end, so that a reader which
    /// takes only the first line sees them all.
    fn extend_list(&mut self, header: &HeaderName, written: &'static str, last: &str) {
        let mut line = Vec::with_capacity(last.len());
        for value in self.headers().get_all(header) {
            line.extend_from_slice(value.as_bytes());
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(last.as_bytes());
        if let Some(value) = owned_value(line) {
            self.put(written, value);
        }
    }
}

macro_rules! head {
    ($type:ty) => {
        impl Head for $type {
            fn headers(&self) -> &HeaderMap {
                &self.headers
            }

            fn put(&mut self, name: impl IntoCaseHeaderName, value: HeaderValue) {
                let _ = self.insert_header(name, value);
            }

            fn push(&mut self, name: impl IntoCaseHeaderName, value: HeaderValue) {
                let _ = self.append_header(name, value);
            }

            fn discard(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }
        }
    };
}

head!(RequestHeader);
head!(ResponseHeader);

/// A value that takes over the text; none if it holds a control character (RFC 9110, 5.5).
pub(super) fn owned_value(text: impl Into<bytes::Bytes>) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(text.into()).ok()
}

/// Whether a name (in lower case) starts so, once `_` is read as `-`. CGI, WSGI and PHP make one
/// variable of `X-Consumer-Name` and `X_Consumer_Name`, so a guard that tells them apart is none.
pub(super) fn starts_alike(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len()
        && name.bytes().zip(prefix.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

/// Whether two names (in lower case) are one to such a reader.
pub(super) fn is_alike(name: &str, other: &str) -> bool {
    name.len() == other.len() && starts_alike(name, other)
}
