//! [`PathPattern`]: the paths a route is for.

use super::captures::MAX_CAPTURES;
use crate::diagnostic::{At, Diagnostics};
use crate::hygiene::{CleanTarget, Unclean, decode, is_dot_segment};

/// How many segments a pattern may have; a search goes no deeper than this.
const MAX_SEGMENTS: usize = 64;

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// These bytes, after percent-decoding.
    Literal(Box<[u8]>),
    /// Any one segment that is not empty.
    Capture,
}

/// The path of a route: whole segments, of which `{name}` takes any one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    names: Box<[Box<str>]>,
    exact: bool,
}

/// What is wrong with a pattern, and how to mend it.
type Mistake = (String, String);

impl PathPattern {
    /// Reads the `path` and `exact` of a route. `at` is the place of `path`.
    pub fn compile(
        text: &str,
        exact: bool,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        Self::parse(text, exact)
            .map_err(|(what, help)| diagnostics.error(at.clone(), what, help))
            .ok()
    }

    fn parse(text: &str, exact: bool) -> Result<Self, Mistake> {
        check_whole(text)?;
        let mut names: Vec<Box<str>> = Vec::new();
        let mut segments = Vec::new();
        for segment in text.split('/').skip(1).filter(|segment| !segment.is_empty()) {
            match capture_name(segment)? {
                None => segments.push(Segment::Literal(decode(segment).into())),
                Some(name) if names.iter().any(|known| **known == *name) => {
                    let help = "give each capture its own name";
                    return Err((format!("{{{name}}} stands in the path twice"), help.to_owned()));
                }
                Some(name) => {
                    names.push(name.into());
                    segments.push(Segment::Capture);
                }
            }
        }
        if names.len() > MAX_CAPTURES || segments.len() > MAX_SEGMENTS {
            let what =
                format!("a path has at most {MAX_CAPTURES} captures and {MAX_SEGMENTS} segments");
            return Err((what, "end the path earlier: it takes all paths below it too".to_owned()));
        }
        Ok(Self { text: text.into(), segments: segments.into(), names: names.into(), exact })
    }

    /// The names of the captures, in the order of the path.
    pub fn captures(&self) -> impl Iterator<Item = &str> + Clone {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The path as written in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it takes only itself, not the paths below it.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// What can be said of the text as a whole.
fn check_whole(text: &str) -> Result<(), Mistake> {
    let wrong = |what: &str, help: String| Err((format!("{text:?} {what}"), help));
    if !text.starts_with('/') {
        let help = match text.split_once("://") {
            Some(_) => "write the path alone, and the host as `host: ...`".to_owned(),
            None => format!("write \"/{text}\""),
        };
        return wrong("does not begin with a slash", help);
    }
    if text.contains('?') {
        return wrong("contains a query", "write it as `query: { key: value }`".to_owned());
    }
    if text.contains('*') {
        let bare = text.trim_end_matches('*').trim_end_matches('/');
        let bare = if bare.is_empty() || bare.contains('*') { "/users" } else { bare };
        let help =
            format!("{bare:?} takes {bare} and all paths below it; {{name}} takes any one segment");
        return wrong("contains a `*`", help);
    }
    if text.contains("//") {
        return wrong(
            "repeats a slash",
            "slashes are merged before matching: write one".to_owned(),
        );
    }
    if text.split('/').any(is_dot_segment) {
        let help = "dot segments are resolved before matching: write the path they lead to";
        return wrong("contains a dot segment", help.to_owned());
    }
    if text.len() > 1 && text.ends_with('/') {
        let bare = text.trim_end_matches('/');
        let help = format!("leave it out: {bare:?} takes {bare} and all paths below it");
        return wrong("ends with a slash", help);
    }
    match CleanTarget::parse(text.as_bytes()) {
        Ok(_) => Ok(()),
        Err(Unclean::NonAscii) => {
            let help = format!("write it percent-encoded: {:?}", encoded(text));
            wrong("contains a character outside ASCII", help)
        }
        Err(Unclean::BrokenEncoding | Unclean::NotUtf8) => {
            let help = "write two hex digits after each %, of UTF-8; a percent sign is %25";
            wrong("contains a broken percent-encoding", help.to_owned())
        }
        Err(why) => {
            let help = format!("such a request is refused before it is matched: {}", why.detail());
            wrong("can never be matched", help)
        }
    }
}

fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii() {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The name of a segment that is a capture; none if it is a literal.
fn capture_name(segment: &str) -> Result<Option<&str>, Mistake> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let whole = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let name = match whole {
        Some(name) if !name.contains(['{', '}']) => name,
        _ if segment.matches('{').count() != segment.matches('}').count() => {
            let what = format!("{segment:?} has a brace without its partner");
            return Err((what, "write a capture as {name}, and a brace as %7B or %7D".to_owned()));
        }
        _ => {
            let what = format!("{segment:?} is only partly a capture");
            return Err((what, "a capture takes a whole segment: /{name}/".to_owned()));
        }
    };
    let mut letters = name.bytes();
    let first_fits = letters.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if first_fits && letters.all(fits) {
        return Ok(Some(name));
    }
    let what = format!("{name:?} is not a name for a capture");
    Err((what, "use lower-case letters, digits and _, such as {user_id}".to_owned()))
}
