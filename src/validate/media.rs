//! Media types, as a document names them and as a request does.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// The media type of a form.
const FORM: (&str, &str) = ("application", "x-www-form-urlencoded");

/// Type and subtype, in small letters; `*` stands for all, in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaType {
    kind: Box<str>,
    subtype: Box<str>,
}

impl MediaType {
    /// Reads one; parameters are left out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let essence = text.split(';').next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        let is_token = |text: &str| {
            let known = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
            !text.is_empty() && text.bytes().all(known)
        };
        (is_token(kind) && is_token(subtype))
            .then(|| Self { kind: kind.into(), subtype: subtype.into() })
    }

    /// Whether it is JSON.
    pub(super) fn is_json(&self) -> bool {
        &*self.subtype == "json" && matches!(&*self.kind, "application" | "text")
            || self.subtype.ends_with("+json")
    }

    /// Whether it is a form of pairs.
    pub(super) fn is_form(&self) -> bool {
        (&*self.kind, &*self.subtype) == FORM
    }

    /// How exactly it names another: 2 for that alone, 1 for its whole type, 0 for all. None if it does not.
    pub(super) fn names(&self, other: &Self) -> Option<u8> {
        match (&*self.kind, &*self.subtype) {
            ("*", "*") => Some(0),
            (kind, "*") if kind == &*other.kind => Some(1),
            _ => (self == other).then_some(2),
        }
    }
}

/// Whether a name in a document is one of JSON.
pub(super) fn is_json_name(name: &str) -> bool {
    MediaType::parse(name).is_some_and(|media| media.is_json())
}

/// The media type of a request's body, if there is exactly one.
pub(super) fn sent(headers: &HeaderMap) -> Option<MediaType> {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (only, None) = (lines.next()?, lines.next()) else { return None };
    MediaType::parse(only.to_str().ok()?)
}

/// Whether the body is sent in another encoding than its own.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    lines.any(|line| !line.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether the body's letters are said to be others than those of UTF-8, of which ASCII's are a part.
pub(super) fn is_in_another_charset(headers: &HeaderMap) -> bool {
    let Some(line) = headers.get(CONTENT_TYPE).and_then(|line| line.to_str().ok()) else {
        return false;
    };
    let parameters = line.split(';').skip(1).filter_map(|one| one.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.any(|(_, value)| {
        let value = value.trim().trim_matches('"');
        !["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read() {
        let parse = |text| MediaType::parse(text).unwrap();
        for (text, json, form) in [
            ("application/json", true, false),
            ("Application/JSON; charset=utf-8", true, false),
            ("application/merge-patch+json", true, false),
            ("text/json", true, false),
            ("application/jsonx", false, false),
            ("image/json", false, false),
            ("application/x-www-form-urlencoded", false, true),
        ] {
            assert_eq!((parse(text).is_json(), parse(text).is_form()), (json, form), "{text}");
        }
        for text in ["json", "", "application/", "/json", "application/js on", "a/b, c/d"] {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
        for (range, names) in [
            ("application/json", Some(2)),
            ("application/*", Some(1)),
            ("*/*", Some(0)),
            ("text/*", None),
            ("application/xml", None),
        ] {
            assert_eq!(parse(range).names(&parse("application/json")), names, "{range}");
        }
    }
}
