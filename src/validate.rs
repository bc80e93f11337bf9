//! Validation: whether a request is one that the service documents, before the service sees it.
//!
//! An `OpenAPI` document becomes operations, each with its parameters and its body. A request is held to the operation
//! for its method and for the path *that the upstream sees*: parameters from its head alone, then the body as a whole.
//! Nothing is changed: what is forwarded is what was checked, byte for byte.
//!
//! A body is held in memory to be checked, up to [`MOST_BODY`], which is what Pingora keeps of one to send it again. A
//! larger one is refused. What two readers could understand differently is refused too: two members of one name, a
//! parameter that is given twice, another charset, an encoding.

mod body;
mod document;
mod find;
mod media;
mod parameter;
mod schema;
mod words;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{At, Diagnostics, unreadable};
use crate::reply::Fault;
use crate::units::{OrNone, Toggled};
pub use body::Check;
use document::{Document, Mistake, Operation};
use find::Found;
use parameter::{Sent, pairs};
use words::Faults;

/// The largest body that is checked, in bytes.
pub const MOST_BODY: usize = 64 << 10;

/// What requests are held to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { openapi: users.yaml }", deny_unknown_fields)]
pub struct Config {
    /// The file with the `OpenAPI` document (3.1 or 3.0, JSON or YAML) of the service, with the paths that it sees.
    pub openapi: PathBuf,

    /// What becomes of an operation, or of a body, that the document does not describe: `refuse` or `pass`. Default: refuse.
    #[serde(default, skip_serializing_if = "Unknown::is_usual")]
    pub unknown: Unknown,

    /// Whether this is only found out and told, and nobody refused. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
}

/// What becomes of what a document does not describe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It is refused.
    #[default]
    Refuse,
    /// It passes, unchecked.
    Pass,
}

impl Unknown {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::Refuse
    }
}

/// Whether requests are held to a document.
pub type Setting = OrNone<Config>;

impl Toggled for Config {
    const NAME: &'static str = "Validate";
    const SAYS: &'static str =
        "Whether requests are held to the OpenAPI document of the service; `none`: they are not.";
    const EXAMPLE: &'static str = "{ openapi: users.yaml }";
    const UNSAID: Option<&'static str> = Some("what requests are held to");
}

/// What the requests of a route are held to.
#[derive(Debug)]
pub struct Validation {
    document: Arc<Document>,
    file: PathBuf,
    unknown: Unknown,
    /// Whether it only tells what it would do.
    pub observe: bool,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The document has no such operation.
    Unknown,
    /// It has the path, and only with these methods.
    OtherMethods(Vec<Method>),
    /// Parameters are wrong or missing.
    Parameters(Vec<Fault>),
    /// There is no body, and there must be one.
    NoBody,
    /// There is a body, and the operation takes none.
    UnknownBody,
    /// The body is of another media type than these.
    MediaType(Box<str>),
    /// The body is compressed, or encoded otherwise.
    Encoded,
    /// The body's letters are not those of UTF-8.
    Charset,
    /// The body is larger than can be checked.
    TooLarge,
    /// The body cannot be read.
    Unreadable(Vec<Fault>),
    /// The body does not fit its schema.
    Body(Vec<Fault>),
}

impl Refused {
    fn unreadable(pointer: &str, detail: &str) -> Self {
        let fault = Fault { parameter: None, pointer: pointer.into(), detail: detail.into() };
        Self::Unreadable(vec![fault])
    }

    /// The word for the access log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "operation_unknown",
            Self::OtherMethods(_) => "operation_other_method",
            Self::Parameters(_) => "parameters",
            Self::NoBody => "body_missing",
            Self::UnknownBody => "body_unknown",
            Self::MediaType(_) => "media_type",
            Self::Encoded => "content_encoding",
            Self::Charset => "charset",
            Self::TooLarge => "body_size",
            Self::Unreadable(_) => "body_unreadable",
            Self::Body(_) => "body_schema",
        }
    }
}

/// The head of a request, as the upstream sees it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: Option<&'a str>,
    /// Whether a body follows, if that is known.
    pub has_body: Option<bool>,
}

/// The operation that a request is for.
#[derive(Debug)]
pub struct Matched<'v, 'a> {
    validation: &'v Validation,
    operation: &'v Operation,
    path: Vec<&'a str>,
}

impl Validation {
    /// The document's file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The operation that a request is for; none if it passes without one.
    ///
    /// # Errors
    /// There is none.
    pub fn find<'a>(&self, head: &Head<'a>) -> Result<Option<Matched<'_, 'a>>, Refused> {
        match self.document.finder.find(head.method, head.path) {
            Found::Operation(number, path) => {
                let operation = self.document.operations.get(number);
                Ok(operation.map(|operation| Matched { validation: self, operation, path }))
            }
            _ if self.unknown == Unknown::Pass => Ok(None),
            Found::OtherMethods(methods) => Err(Refused::OtherMethods(methods)),
            Found::Nothing => Err(Refused::Unknown),
        }
    }
}

impl Matched<'_, '_> {
    /// Method and path of the operation, as the document has them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.operation.name
    }

    /// The media types that it takes, if it takes a body.
    #[must_use]
    pub fn accepted(&self) -> Option<&str> {
        self.operation.body.as_ref().map(body::Body::accepted)
    }

    /// Whether headers have to be looked at for parameters.
    #[must_use]
    pub fn wants_headers(&self) -> bool {
        self.operation.parameters.iter().any(parameter::Parameter::is_in_headers)
    }

    /// Whether the head is one that the operation takes, and how the body is to be checked, if it is. `headers` are
    /// those that the upstream sees, `sent` those of the client, which say what its body is.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn judge(
        &self,
        head: &Head<'_>,
        headers: &HeaderMap,
        sent: &HeaderMap,
    ) -> Result<Option<Check>, Refused> {
        let asks = self.operation.parameters.iter().any(parameter::Parameter::is_in_query);
        let query = head.query.filter(|_| asks).map(pairs).unwrap_or_default();
        let parts = Sent { path: &self.path, query: &query, headers };
        let mut faults = Faults::default();
        for parameter in &self.operation.parameters {
            parameter.judge(&parts, &mut faults);
        }
        let faults = faults.into_vec();
        if !faults.is_empty() {
            return Err(Refused::Parameters(faults));
        }
        match &self.operation.body {
            Some(body) => body.begin(sent, head.has_body),
            None if head.has_body == Some(true) && self.validation.unknown == Unknown::Refuse => {
                Err(Refused::UnknownBody)
            }
            None => Ok(None),
        }
    }
}

/// How a body is read to be checked.
#[derive(Debug, Default)]
pub enum Reading {
    /// It is not.
    #[default]
    Not,
    /// As a whole, before anything is sent on.
    Whole,
    /// As it passes.
    Passing(Box<Tap>),
}

/// A body that is looked at in passing.
#[derive(Debug)]
pub struct Tap {
    /// How it is checked once it is whole.
    pub check: Check,
    /// What has passed.
    pub body: Vec<u8>,
}

/// A document, or its mistakes.
type Read = Result<Arc<Document>, Vec<Mistake>>;

/// The documents of a configuration, each read once, however many routes are held to it.
pub struct Documents<'s> {
    read_file: &'s dyn Fn(&Path) -> io::Result<Vec<u8>>,
    known: RefCell<HashMap<PathBuf, Read>>,
}

impl<'s> Documents<'s> {
    /// Documents of files that are read like this.
    #[must_use]
    pub fn new(read_file: &'s dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Self {
        Self { read_file, known: RefCell::default() }
    }

    fn read(&self, file: &Path) -> Read {
        let mut known = self.known.borrow_mut();
        let read = || match (self.read_file)(file) {
            Ok(text) => Document::read(&text).map(Arc::new),
            Err(error) => Err(vec![Mistake {
                at: String::new(),
                what: unreadable(&error).to_owned(),
                help: "name the file with the OpenAPI document of the service".to_owned(),
            }]),
        };
        known.entry(file.to_owned()).or_insert_with(read).clone()
    }

    /// What a route is held to. None if it, or its document, has a mistake, which is told.
    pub fn compile(
        &self,
        config: &Config,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Validation>> {
        match self.read(&config.openapi) {
            Ok(document) => Some(Arc::new(Validation {
                document,
                file: config.openapi.clone(),
                unknown: config.unknown,
                observe: config.observe,
            })),
            Err(mistakes) => {
                let file = config.openapi.display();
                for Mistake { at: place, what, help } in mistakes {
                    let place = if place.is_empty() { place } else { format!(" at {place}") };
                    diagnostics.error(at.key("openapi"), format!("{file}{place}: {what}"), help);
                }
                None
            }
        }
    }
}
