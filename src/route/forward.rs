//! [`Forwarding`]: which path the upstream sees, and how its own paths are mapped back.
//!
//! What the route's pattern took of a path may be cut off (`strip_prefix: true`), a leading part of it
//! may be (`strip_prefix: /api`), or it may be replaced (`rewrite: /v2/people/${path.id}`). What comes
//! after it is kept byte for byte.
//!
//! An upstream that knows nothing of this answers with paths of its own, in `Location` and in the
//! `Path` of cookies. [`Prefixes`] remembers both beginnings of the path and maps them back.

mod compile;
mod invert;
mod strip;

use std::borrow::Cow;

use super::captures::Captures;
use crate::hygiene::{CleanTarget, is_dot_segment, same_decoded};

pub use invert::Public;
pub(crate) use invert::parameters;
pub use strip::StripPrefix;

/// How the path that is forwarded comes from the one that was matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding(How);

#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    Keep,
    /// All that the pattern took is cut off.
    StripWhole,
    /// So many leading segments are cut off.
    StripSegments(usize),
    /// What the pattern took is replaced by these.
    Replace(Box<[Part]>),
}

/// A part of a rewritten path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// What the capture with this number took.
    Capture(usize),
}

/// The path that is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// The path, still percent-encoded. It begins with `/`.
    pub path: Cow<'a, str>,
    /// How to map the upstream's paths back; none if the path was kept.
    pub prefixes: Option<Prefixes>,
}

impl Forwarding {
    /// The path is forwarded as it was matched.
    pub const KEEP: Self = Self(How::Keep);

    /// Whether the path is forwarded as it was matched.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        matches!(self.0, How::Keep)
    }

    /// What is sent for a target of which the pattern took `matched_len` bytes. The arguments are those
    /// of one [`Matched`](super::Matched), whose route has this forwarding.
    #[must_use]
    pub fn apply<'a>(
        &self,
        target: &'a CleanTarget<'_>,
        captures: &Captures,
        matched_len: usize,
    ) -> Forwarded<'a> {
        let path = target.path();
        let taken = match &self.0 {
            How::Keep => return Forwarded { path: Cow::Borrowed(path), prefixes: None },
            How::StripWhole | How::Replace(_) => matched_len,
            How::StripSegments(count) => end_of_segments(path, *count),
        };
        // The only pattern that takes the slash itself is an exact `/`.
        let (public, rest) = path.split_at_checked(taken).unwrap_or((path, ""));
        let public = public.strip_suffix('/').unwrap_or(public);
        let upstream = match &self.0 {
            How::Replace(parts) => Cow::Owned(fill(parts, path, captures)),
            _ => Cow::Borrowed(""),
        };
        let sent = match (&*upstream, rest) {
            ("", "") => Cow::Borrowed("/"),
            ("", rest) => Cow::Borrowed(rest),
            (upstream, rest) => Cow::Owned([upstream, rest].concat()),
        };
        Forwarded { path: sent, prefixes: Some(Prefixes::new(public, &upstream)) }
    }
}

/// Where the first so many segments of a path end.
fn end_of_segments(path: &str, count: usize) -> usize {
    memchr::memchr_iter(b'/', path.as_bytes()).nth(count).unwrap_or(path.len())
}

fn fill(parts: &[Part], path: &str, captures: &Captures) -> String {
    let mut filled = String::new();
    for part in parts {
        filled.push_str(match part {
            Part::Text(text) => text,
            Part::Capture(number) => captures.nth(*number, path).unwrap_or_default(),
        });
    }
    filled
}

/// The beginning of the path that the client sees, and the one that the upstream sees in its place.
/// Neither ends with a slash, so the root is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Prefixes {
    /// Both, the public one first.
    text: Box<str>,
    public_len: usize,
}

impl Prefixes {
    fn new(public: &str, upstream: &str) -> Self {
        Self { text: [public, upstream].concat().into(), public_len: public.len() }
    }

    /// What the client's path begins with, such as for `X-Forwarded-Prefix`.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.text[..self.public_len]
    }

    /// What the upstream's path begins with.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.text[self.public_len..]
    }

    /// The path under which a client finds what the upstream calls `upstream_path` (a query or fragment
    /// behind it is kept). None if it does not lie below the upstream's prefix, by whole segments, or
    /// is no plain path: the caller decides what becomes of it.
    ///
    /// A path below the public prefix is public already: it is what an upstream writes that heeds
    /// `X-Forwarded-Prefix`.
    #[must_use]
    pub fn to_public(&self, upstream_path: &str) -> Option<String> {
        let end = upstream_path.find(['?', '#']).unwrap_or(upstream_path.len());
        let (path, suffix) = upstream_path.split_at(end);
        let network = path.starts_with("//");
        if !path.starts_with('/') || network || path.split('/').any(is_dot_segment) {
            return None;
        }
        if !self.public().is_empty() && below(path, self.public()).is_some() {
            return Some(upstream_path.to_owned());
        }
        let rest = below(path, self.upstream())?;
        let root = if self.public().is_empty() && rest.is_empty() { "/" } else { "" };
        Some([self.public(), root, rest, suffix].concat())
    }
}

/// What of a path follows a prefix, by whole segments. Software that decodes a path writes it back in its own
/// way, so escapes are seen through.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let depth = prefix.split('/').skip(1).count();
    let cut = if depth == 0 { 0 } else { end_of_segments(path, depth) };
    let (head, rest) = path.split_at(cut);
    let same = head.split('/').count() == depth + 1
        && head.split('/').zip(prefix.split('/')).all(|(a, b)| same_decoded(a, b));
    same.then_some(rest)
}

impl std::fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} for {:?}", self.public(), self.upstream())
    }
}
