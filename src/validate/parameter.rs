//! A [`Parameter`] of an operation: where it stands, how it is written, and what it may be.

mod compile;
mod read;

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::schema::Schema;
use super::words::{Faults, Of};
pub(super) use compile::compile;
pub(super) use read::{Pair, field, pairs};

/// Something that a caller sends beside the body.
#[derive(Debug)]
pub(super) struct Parameter {
    place: Place,
    name: Box<str>,
    required: bool,
    /// Whether a query parameter without a value passes as it is.
    may_be_empty: bool,
    writing: Writing,
    /// None: anything will do.
    schema: Option<Arc<Schema>>,
}

/// Where a parameter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the path, the parameter with this number there.
    Path(usize),
    Query,
    Header(HeaderName),
    Cookie,
}

impl Place {
    const fn word(&self) -> &'static str {
        match self {
            Self::Path(_) => "path",
            Self::Query => "query",
            Self::Header(_) => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// How a parameter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// One text.
    One,
    /// A list in one text, with this between its items.
    List(&'static [&'static str]),
    /// A list, each item under the same name.
    Repeated,
    /// A map, each member under `name[member]`.
    Deep,
    /// A text in JSON.
    Json,
}

/// What of a request the parameters of an operation are found in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    /// The values in the path, percent-encoded.
    pub(super) path: &'a [&'a str],
    /// What stands behind the question mark.
    pub(super) query: &'a [Pair<'a>],
    /// The headers that the upstream sees.
    pub(super) headers: &'a HeaderMap,
}

impl Parameter {
    /// Whether it stands in the query.
    pub(super) fn is_in_query(&self) -> bool {
        self.place == Place::Query
    }

    /// Whether it stands in a header.
    pub(super) fn is_in_headers(&self) -> bool {
        matches!(self.place, Place::Header(_) | Place::Cookie)
    }

    /// Whether it is the same parameter as another, whatever is said of it.
    pub(super) fn is_called_as(&self, other: &Self) -> bool {
        let by_name = match (&self.place, &other.place) {
            (Place::Header(one), Place::Header(two)) => return one == two,
            (one, two) => one.word() == two.word(),
        };
        by_name && self.name == other.name
    }

    /// What is wrong with it in a request.
    pub(super) fn judge(&self, sent: &Sent<'_>, faults: &mut Faults) {
        let of = Of::Parameter(self.place.word(), &self.name);
        let value = match self.read(sent) {
            Ok(Some(value)) => value,
            Ok(None) => {
                if self.required {
                    faults.add(&of, "", "is missing");
                }
                return;
            }
            Err(what) => return faults.add(&of, "", what),
        };
        let Some(schema) = &self.schema else { return };
        match value {
            read::Value::Certain(value) => schema.judge(&value, &of, faults),
            read::Value::OneOf(values) => {
                if let Some(first) = values.first()
                    && !values.iter().any(|value| schema.fits(value))
                {
                    schema.judge(first, &of, faults);
                }
            }
            read::Value::Empty => {}
        }
    }
}
