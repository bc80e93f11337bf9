//! A [`Document`]: the operations of an `OpenAPI` document, ready to hold requests to them.

use http::Method;
use serde_json::{Map, Value};

use super::body::Body;
use super::find::{Clash, Finder, names};
use super::parameter::{self, Parameter};
use super::schema::{Pointer, Schemas, escaped, resolve};
use crate::portal::{base, parse};

/// So many mistakes of a document are told.
const MOST_MISTAKES: usize = 20;

/// The operations of a document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) finder: Finder,
    pub(super) operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// Method and path, as the document has them.
    pub(super) name: Box<str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
}

/// A mistake in a document: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) at: Pointer,
    pub(super) what: String,
    pub(super) help: String,
}

/// The mistakes in a document.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, at: Pointer, what: impl Into<String>, help: impl Into<String>) {
        let mistake = Mistake { at, what: what.into(), help: help.into() };
        if !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn into_vec(mut self) -> Vec<Mistake> {
        if self.0.len() > MOST_MISTAKES {
            let left = self.0.len() - MOST_MISTAKES;
            self.0.truncate(MOST_MISTAKES);
            let what = format!("there are {left} mistakes more");
            self.0.push(Mistake { at: String::new(), what, help: "mend these first".to_owned() });
        }
        self.0
    }
}

impl Document {
    /// Reads a document in JSON or YAML: `OpenAPI` 3.1 or 3.0.
    pub(super) fn read(text: &[u8]) -> Result<Self, Vec<Mistake>> {
        let whole = |what: String, help: &str| {
            vec![Mistake { at: String::new(), what, help: help.to_owned() }]
        };
        let document = parse(text).map_err(|error| {
            whole(error.to_string(), "write an OpenAPI document of version 3.1 or 3.0")
        })?;
        let version = match &document["openapi"] {
            Value::String(version) => version.clone(),
            // Who forgot the quotes meant the text.
            Value::Number(version) => version.to_string(),
            _ => String::new(),
        };
        let is = |wanted: &str| {
            version
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !is("3.1") && !is("3.0") {
            let what = "it does not say that it is an OpenAPI document of version 3.1 or 3.0";
            return Err(whole(what.to_owned(), "begin it with `openapi: 3.1.0`"));
        }
        let Some(paths) = document["paths"].as_object().filter(|paths| !paths.is_empty()) else {
            let what = "it has no `paths`, so every request would be refused".to_owned();
            return Err(whole(what, "describe the operations below `paths`"));
        };
        let mut mistakes = Mistakes::default();
        if let Some(dialect) = document.get("jsonSchemaDialect")
            && !super::schema::is_known_dialect(dialect)
        {
            let help = "leave it out, or name that of JSON Schema 2020-12";
            mistakes.add("/jsonSchemaDialect".to_owned(), "the dialect is not known here", help);
        }
        let mut reader = Reader {
            document: &document,
            schemas: Schemas::new(&document, is("3.0")),
            mistakes: &mut mistakes,
            made: Self { finder: Finder::new(), operations: Vec::new() },
        };
        for (path, item) in paths.iter().filter(|(path, _)| path.starts_with('/')) {
            reader.item(path, item);
        }
        let made = reader.made;
        if mistakes.len() > 0 { Err(mistakes.into_vec()) } else { Ok(made) }
    }
}

struct Reader<'d, 'm> {
    document: &'d Value,
    schemas: Schemas<'d>,
    mistakes: &'m mut Mistakes,
    made: Document,
}

const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];

impl<'d> Reader<'d, '_> {
    /// What stands here or where it refers to, and where that is.
    fn at(&mut self, value: &'d Value, at: Pointer) -> Option<(&'d Value, Pointer)> {
        let (mut value, mut at) = (value, at);
        for _ in 0..8 {
            let Some(name) = value.get("$ref") else {
                if value.is_object() {
                    return Some((value, at));
                }
                self.mistakes.add(at, "this is no map", "write one, or leave it out");
                return None;
            };
            let found = name.as_str().and_then(|name| resolve(self.document, name));
            let Some((place, found)) = found else {
                let what = format!("the reference {name} leads to nothing in this document");
                self.mistakes.add(at, what, "put it below `components`: nothing is fetched");
                return None;
            };
            (value, at) = (found, place);
        }
        self.mistakes.add(at, "the reference leads in a circle", "let it end somewhere");
        None
    }

    fn item(&mut self, path: &'d str, item: &'d Value) {
        let at = format!("/paths/{}", escaped(path));
        let Some((item, at)) = self.at(item, at) else { return };
        let shared = self.parameters(item, &at);
        let at_document = base(&self.document["servers"]);
        let at_path = base(&item["servers"]);
        for (word, method) in METHODS {
            let Some(operation) = item.get(word) else { continue };
            let Some(described) = operation.as_object() else {
                self.mistakes.add(
                    format!("{at}/{word}"),
                    "this is no map",
                    "write one, or leave it out",
                );
                continue;
            };
            let base = base(&operation["servers"]).or_else(|| at_path.clone());
            let base = base.or_else(|| at_document.clone()).unwrap_or_default();
            self.operation((path, &base), (word, &method), described, operation, &shared, &at);
        }
    }

    fn operation(
        &mut self,
        (path, base): (&'d str, &str),
        (word, method): (&str, &Method),
        described: &'d Map<String, Value>,
        operation: &'d Value,
        shared: &[(&'d Value, Pointer)],
        at: &Pointer,
    ) {
        let at = format!("{at}/{word}");
        let own = self.parameters(operation, &at);
        let names: Vec<&str> = names(path).collect();
        let mut parameters: Vec<Parameter> = Vec::new();
        // What stands at the operation holds before what stands at the path.
        for (value, at) in own.iter().chain(shared) {
            let made =
                parameter::compile(value, &names, at, &mut self.schemas, self.mistakes).flatten();
            if let Some(made) = made
                && !parameters.iter().any(|known| known.is_called_as(&made))
            {
                parameters.push(made);
            }
        }
        let body = described.get("requestBody").and_then(|body| {
            let (body, at) = self.at(body, format!("{at}/requestBody"))?;
            Body::compile(body, &at, &mut self.schemas, self.mistakes)
        });
        let number = self.made.operations.len();
        let name = format!("{method} {path}").into();
        self.made.operations.push(Operation { name, parameters, body });
        // The service may see the path of its server, or not, if the gateway in front of it takes that off.
        let below = format!("{base}{path}");
        let planted = self.made.finder.plant(&below, method, number);
        let planted = planted.and_then(|()| self.made.finder.plant(path, method, number));
        match planted {
            Ok(()) => {}
            Err(Clash::Segment) => self.mistakes.add(
                at,
                "a segment of the path has more than one parameter, or half of one",
                "leave one parameter in each segment",
            ),
            Err(Clash::With(other)) => {
                let other = self.made.operations.get(other).map(|other| other.name.clone());
                let what = format!("the same requests are for {}", other.unwrap_or_default());
                self.mistakes.add(at, what, "take one of the two out");
            }
        }
    }

    /// The parameters of an operation or path, without references.
    fn parameters(&mut self, of: &'d Value, at: &Pointer) -> Vec<(&'d Value, Pointer)> {
        let list = of.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let numbered = list.enumerate();
        numbered
            .filter_map(|(index, one)| self.at(one, format!("{at}/parameters/{index}")))
            .collect()
    }
}
