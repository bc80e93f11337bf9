//! Conditions on the headers and the query of a request.
//!
//! A value that is demanded must be the only one: a header or query key that is sent twice with
//! different values meets no demand for either. So two routes that demand different values never
//! take the same request, and a client can't choose between them by sending both.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::diagnostic::{At, Diagnostics};
use crate::hygiene::decoded;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Predicate {
    Header(HeaderName, Want),
    Query(Box<str>, Want),
}

/// What a condition asks of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// It is there.
    Present,
    /// It is there, and is this.
    Exactly(Box<[u8]>),
}

impl Want {
    fn parse(text: &str) -> Self {
        if text == "*" { Self::Present } else { Self::Exactly(text.as_bytes().into()) }
    }

    fn holds<V>(
        &self,
        mut values: impl Iterator<Item = V>,
        same: impl Fn(&V, &[u8]) -> bool,
    ) -> bool {
        let Some(first) = values.next() else { return false };
        match self {
            Self::Present => true,
            Self::Exactly(want) => same(&first, want) && values.all(|value| same(&value, want)),
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Exactly(one), Self::Exactly(two)) if one != two)
    }
}

impl Predicate {
    pub(super) fn holds(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        match self {
            Self::Header(name, want) => want
                .holds(headers.get_all(name).iter(), |value: &&HeaderValue, want| {
                    value.as_bytes() == want
                }),
            Self::Query(key, want) => {
                let pairs = query.into_iter().flat_map(|query| query.split('&'));
                let values = pairs
                    .filter(|pair| !pair.is_empty())
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .filter(|(name, _)| same_form(name, key.as_bytes()));
                want.holds(values, |(_, value), want| same_form(value, want))
            }
        }
    }

    /// Whether the two can never hold for one request.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(a, one), Self::Header(b, two)) => a == b && one.excludes(two),
            (Self::Query(a, one), Self::Query(b, two)) => a == b && one.excludes(two),
            _ => false,
        }
    }
}

/// Whether a part of a query stands for these bytes. A `+` is a space, as forms have it; an encoded
/// one is a plus, so what stands between raw ones is decoded piece by piece.
fn same_form(raw: &str, want: &[u8]) -> bool {
    let mut pieces = raw.split('+');
    let first = pieces.next().unwrap_or_default();
    let rest = pieces.flat_map(|piece| std::iter::once(b' ').chain(decoded(piece)));
    decoded(first).chain(rest).eq(want.iter().copied())
}

pub(super) fn compile(
    headers: &BTreeMap<String, String>,
    query: &BTreeMap<String, String>,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[Predicate]>> {
    let mut compiled: Vec<Predicate> = Vec::with_capacity(headers.len() + query.len());
    for (name, value) in headers {
        let twice = |known: &Predicate| matches!(known, Predicate::Header(n, _) if *n == *name.to_ascii_lowercase());
        let refused = match HeaderName::try_from(name.as_str()) {
            Err(_) => Some(("is not a header name", "write a name like X-Version")),
            Ok(http::header::HOST) => Some(("is not a condition", "write it as `host: ...`")),
            Ok(_) if HeaderValue::from_str(value).is_err() => {
                Some(("asks for a value that no header has", "use visible ASCII characters"))
            }
            Ok(_) if compiled.iter().any(twice) => {
                Some(("stands here twice", "the case of a header name does not matter; keep one"))
            }
            Ok(name) => {
                compiled.push(Predicate::Header(name, Want::parse(value)));
                None
            }
        };
        if let Some((what, help)) = refused {
            diagnostics.error(at.key("headers").key(name), format!("{name:?} {what}"), help);
        }
    }
    for (key, value) in query {
        if key.is_empty() {
            let help = "write the name of a query parameter";
            diagnostics.error(at.key("query").key(key), "the key is empty", help);
        } else {
            compiled.push(Predicate::Query(key.as_str().into(), Want::parse(value)));
        }
    }
    (compiled.len() == headers.len() + query.len()).then(|| compiled.into())
}
