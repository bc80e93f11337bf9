//! `Vary`: which request headers an answer depends on, so that no cache gives it to somebody else.

use http::header::VARY;
use http::{HeaderMap, HeaderValue};

use super::head::Fields;

/// Adds a name to `Vary`, unless it is there already, or `*`, which says more.
pub fn vary(headers: &mut HeaderMap, name: &'static str) {
    let names = headers.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let mut names = names.map(<[u8]>::trim_ascii).peekable();
    if names.peek().is_none() {
        headers.insert(VARY, HeaderValue::from_static(name));
    } else if !names.any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_bytes())) {
        headers.extend_list(VARY, name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::lines::{head, wire};
    use super::*;

    #[test]
    fn a_name_is_added_once() {
        for (before, after) in [
            (&[][..], "vary: Origin"),
            (&["vary: origin"], "vary: origin"),
            (&["vary: *"], "vary: *"),
            (&["vary: Accept, ORIGIN"], "vary: Accept, ORIGIN"),
            (&["vary: X-Origin"], "vary: X-Origin, Origin"),
            (&["vary: Accept", "vary: Cookie"], "vary: Accept, Cookie, Origin"),
        ] {
            let mut headers = head(before);
            vary(&mut headers, "Origin");
            assert_eq!(wire(&headers), [after]);
        }
    }
}
