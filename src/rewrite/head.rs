//! What the steps of this folder do to a map of headers, beyond what the map itself can.
//!
//! All of them work on a plain [`HeaderMap`], with names that are constants: Pingora's own heads keep a
//! second map for the written case of names, and parse and copy each name that is inserted, which cost more
//! than all that is done here. So names go out in lower case (RFC 9110, 5.1: case does not matter).

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) trait Fields {
    /// Removes the headers whose name `doomed` picks. Allocates only if there is one.
    fn discard_where(&mut self, doomed: impl Fn(&str) -> bool);

    /// All values of a list-valued header as one line with `last` at its end, so that a reader which
    /// takes only the first line sees them all.
    fn extend_list(&mut self, name: HeaderName, last: &str);

    /// Makes one line of the lines of `Cookie`, which HTTP/2 sends one pair at a time (RFC 9113, section
    /// 8.2.3): a reader of HTTP/1 expects one line, and may take the first only.
    fn join_cookies(&mut self);
}

impl Fields for HeaderMap {
    fn discard_where(&mut self, doomed: impl Fn(&str) -> bool) {
        let found: Vec<HeaderName> =
            self.keys().filter(|name| doomed(name.as_str())).cloned().collect();
        for name in found {
            self.remove(&name);
        }
    }

    fn join_cookies(&mut self) {
        let mut lines = self.get_all(COOKIE).iter();
        let (Some(first), Some(_)) = (lines.next(), lines.next()) else { return };
        let mut line = first.as_bytes().to_vec();
        for more in self.get_all(COOKIE).iter().skip(1) {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(more.as_bytes());
        }
        if let Some(value) = owned_value(line) {
            self.insert(COOKIE, value);
        }
    }

    fn extend_list(&mut self, name: HeaderName, last: &str) {
        let mut line = Vec::with_capacity(last.len());
        for value in self.get_all(&name) {
            line.extend_from_slice(value.as_bytes());
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(last.as_bytes());
        if let Some(value) = owned_value(line) {
            self.insert(name, value);
        }
    }
}

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

/// Whether two names (in lower case) differ, and are one to such a reader.
pub(super) fn is_twin(name: &str, other: &str) -> bool {
    let either = |byte: u8| byte == b'-' || byte == b'_';
    name.len() == other.len()
        && name != other
        && name.bytes().zip(other.bytes()).all(|(a, b)| a == b || (either(a) && either(b)))
}

/// For tests: a map of these lines, and the lines of a map, sorted.
#[cfg(test)]
pub(super) mod lines {
    use super::{HeaderMap, HeaderName, HeaderValue};

    pub fn head(lines: &[&str]) -> HeaderMap {
        let mut head = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("line");
            head.append(
                HeaderName::from_bytes(name.as_bytes()).expect("name"),
                HeaderValue::from_str(value).expect("value"),
            );
        }
        head
    }

    pub fn wire(head: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().expect("text"))
        };
        let mut lines: Vec<String> = head.iter().map(line).collect();
        lines.sort();
        lines
    }
}
