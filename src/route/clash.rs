//! Routes that can't be told apart, and routes that can't be reached.

use std::fmt;
use std::sync::Arc;

use super::conditions::Rule;

/// Two routes of which no rule says which one comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clash {
    /// The name of one, the first in the alphabet.
    pub first: Arc<str>,
    /// The name of the other.
    pub second: Arc<str>,
    /// The path that they share, as the first writes it.
    pub path: Box<str>,
}

impl Clash {
    /// The clashes among the rules of one path at one host, which are sorted by rank: each rule with the first
    /// before it. All pairs would be millions where thousands are alike.
    pub(super) fn all(members: &[(Arc<str>, &Rule)]) -> Vec<Self> {
        let mut clashes = Vec::new();
        for same_rank in members.chunk_by(|(_, a), (_, b)| a.rank() == b.rank()) {
            for (at, (two, rule)) in same_rank.iter().enumerate() {
                let first = same_rank[..at].iter().find(|(_, other)| rule.clashes(other));
                clashes.extend(first.map(|(one, other)| Self {
                    first: one.clone(),
                    second: two.clone(),
                    path: other.path().as_str().into(),
                }));
            }
        }
        clashes
    }

    /// How to mend it, in one sentence without a full stop.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        "give one of them another path or host, or methods, headers or query that exclude the other's \
         (a route for GET takes HEAD too)"
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second, path } = self;
        write!(f, "routes {first:?} and {second:?} can't be told apart: both take {path}")
    }
}

/// A route that no request can reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shadow {
    /// Its name.
    pub shadowed: Arc<str>,
    /// The route in its way.
    pub by: Arc<str>,
}

impl Shadow {
    /// How to mend it, in one sentence without a full stop.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        "choose a path without `;` and %2f, which other software reads otherwise"
    }
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shadowed, by } = self;
        write!(
            f,
            "route {shadowed:?} is never chosen: its path can be read as one of route {by:?}, so all its \
             requests are refused"
        )
    }
}
