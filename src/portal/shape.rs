//! What stands where in an `OpenAPI` 3.1 document: for each object its fields, and of what kind they are.
//!
//! Only with this can a reference be told from an example that holds the key `$ref`, and a schema's property
//! named `description` from a description.

use serde_json::{Map, Value};

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// An object with these fields.
    Object(&'static Shape),
    /// An object whose keys are names.
    Map(&'static Kind),
    /// A list.
    List(&'static Kind),
    /// One line of text.
    Text,
    /// Text that pages render as Markdown.
    Markdown,
    /// An address that pages make links of.
    Link,
    /// True or false.
    Flag,
    /// A number.
    Number,
    /// Texts.
    Texts,
    /// Data, whatever it is.
    Any,
    /// A schema, or true or false.
    Schema,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    PathItem,
    Operation,
    Parameter,
    Header,
    RequestBody,
    Response,
    MediaType,
    Encoding,
    Example,
    Link,
    Schema,
    Discriminator,
    ExternalDocs,
    Xml,
}

impl What {
    /// The section of the components that holds such objects.
    pub(super) const fn section(self) -> Option<&'static str> {
        Some(match self {
            Self::Schema => "schemas",
            Self::Response => "responses",
            Self::Parameter => "parameters",
            Self::Example => "examples",
            Self::RequestBody => "requestBodies",
            Self::Header => "headers",
            Self::Link => "links",
            _ => return None,
        })
    }
}

/// The fields of an object.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) what: What,
    pub(super) fields: &'static [(&'static str, Kind)],
}

impl Shape {
    pub(super) fn field(&self, name: &str) -> Option<Kind> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// The sections of the components that are taken over, and what they hold. Links are not: each becomes a part of its
/// response, since it leads to an operation of the response's own route.
pub(super) const SECTIONS: [(&str, &Shape); 6] = [
    ("schemas", &SCHEMA),
    ("responses", &RESPONSE),
    ("parameters", &PARAMETER),
    ("examples", &EXAMPLE),
    ("requestBodies", &REQUEST_BODY),
    ("headers", &HEADER),
];

/// The methods that an `OpenAPI` document knows, in the order in which they are written. TRACE is never forwarded.
pub(super) const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

pub(super) static PATH_ITEM: Shape = Shape {
    what: What::PathItem,
    fields: &[
        ("summary", Kind::Text),
        ("description", Kind::Markdown),
        ("parameters", Kind::List(&Kind::Object(&PARAMETER))),
        ("servers", Kind::Any),
        ("get", Kind::Object(&OPERATION)),
        ("put", Kind::Object(&OPERATION)),
        ("post", Kind::Object(&OPERATION)),
        ("delete", Kind::Object(&OPERATION)),
        ("options", Kind::Object(&OPERATION)),
        ("head", Kind::Object(&OPERATION)),
        ("patch", Kind::Object(&OPERATION)),
    ],
};

pub(super) static OPERATION: Shape = Shape {
    what: What::Operation,
    fields: &[
        ("summary", Kind::Text),
        ("description", Kind::Markdown),
        ("externalDocs", Kind::Object(&EXTERNAL_DOCS)),
        ("operationId", Kind::Text),
        ("parameters", Kind::List(&Kind::Object(&PARAMETER))),
        ("requestBody", Kind::Object(&REQUEST_BODY)),
        ("responses", Kind::Map(&Kind::Object(&RESPONSE))),
        ("deprecated", Kind::Flag),
        ("servers", Kind::Any),
    ],
};

pub(super) static PARAMETER: Shape = Shape {
    what: What::Parameter,
    fields: &[
        ("name", Kind::Text),
        ("in", Kind::Text),
        ("description", Kind::Markdown),
        ("required", Kind::Flag),
        ("deprecated", Kind::Flag),
        ("allowEmptyValue", Kind::Flag),
        ("style", Kind::Text),
        ("explode", Kind::Flag),
        ("allowReserved", Kind::Flag),
        ("schema", Kind::Schema),
        ("example", Kind::Any),
        ("examples", Kind::Map(&Kind::Object(&EXAMPLE))),
        ("content", Kind::Map(&Kind::Object(&MEDIA_TYPE))),
    ],
};

pub(super) static HEADER: Shape = Shape {
    what: What::Header,
    fields: &[
        ("description", Kind::Markdown),
        ("required", Kind::Flag),
        ("deprecated", Kind::Flag),
        ("style", Kind::Text),
        ("explode", Kind::Flag),
        ("schema", Kind::Schema),
        ("example", Kind::Any),
        ("examples", Kind::Map(&Kind::Object(&EXAMPLE))),
        ("content", Kind::Map(&Kind::Object(&MEDIA_TYPE))),
    ],
};

pub(super) static REQUEST_BODY: Shape = Shape {
    what: What::RequestBody,
    fields: &[
        ("description", Kind::Markdown),
        ("content", Kind::Map(&Kind::Object(&MEDIA_TYPE))),
        ("required", Kind::Flag),
    ],
};

pub(super) static RESPONSE: Shape = Shape {
    what: What::Response,
    fields: &[
        ("description", Kind::Markdown),
        ("headers", Kind::Map(&Kind::Object(&HEADER))),
        ("content", Kind::Map(&Kind::Object(&MEDIA_TYPE))),
        ("links", Kind::Map(&Kind::Object(&LINK))),
    ],
};

pub(super) static MEDIA_TYPE: Shape = Shape {
    what: What::MediaType,
    fields: &[
        ("schema", Kind::Schema),
        ("example", Kind::Any),
        ("examples", Kind::Map(&Kind::Object(&EXAMPLE))),
        ("encoding", Kind::Map(&Kind::Object(&ENCODING))),
    ],
};

static ENCODING: Shape = Shape {
    what: What::Encoding,
    fields: &[
        ("contentType", Kind::Text),
        ("headers", Kind::Map(&Kind::Object(&HEADER))),
        ("style", Kind::Text),
        ("explode", Kind::Flag),
        ("allowReserved", Kind::Flag),
    ],
};

static EXAMPLE: Shape = Shape {
    what: What::Example,
    fields: &[("summary", Kind::Text), ("description", Kind::Markdown), ("value", Kind::Any)],
};

static LINK: Shape = Shape {
    what: What::Link,
    fields: &[
        ("operationRef", Kind::Text),
        ("operationId", Kind::Text),
        ("parameters", Kind::Map(&Kind::Any)),
        ("requestBody", Kind::Any),
        ("description", Kind::Markdown),
    ],
};

static EXTERNAL_DOCS: Shape = Shape {
    what: What::ExternalDocs,
    fields: &[("description", Kind::Markdown), ("url", Kind::Link)],
};

static XML: Shape = Shape {
    what: What::Xml,
    fields: &[
        ("name", Kind::Text),
        ("namespace", Kind::Text),
        ("prefix", Kind::Text),
        ("attribute", Kind::Flag),
        ("wrapped", Kind::Flag),
    ],
};

static DISCRIMINATOR: Shape = Shape {
    what: What::Discriminator,
    fields: &[("propertyName", Kind::Text), ("mapping", Kind::Map(&Kind::Text))],
};

/// Keywords that are not in this list are left out: they would be data at best, and at worst name another document
/// (`$id`) or another language (`$schema`).
pub(super) static SCHEMA: Shape = Shape {
    what: What::Schema,
    fields: &[
        ("type", Kind::Any),
        ("title", Kind::Text),
        ("description", Kind::Markdown),
        ("format", Kind::Text),
        ("enum", Kind::List(&Kind::Any)),
        ("const", Kind::Any),
        ("default", Kind::Any),
        ("example", Kind::Any),
        ("examples", Kind::List(&Kind::Any)),
        ("deprecated", Kind::Flag),
        ("readOnly", Kind::Flag),
        ("writeOnly", Kind::Flag),
        ("multipleOf", Kind::Number),
        ("maximum", Kind::Number),
        ("minimum", Kind::Number),
        ("exclusiveMaximum", Kind::Number),
        ("exclusiveMinimum", Kind::Number),
        ("maxLength", Kind::Number),
        ("minLength", Kind::Number),
        ("pattern", Kind::Text),
        ("maxItems", Kind::Number),
        ("minItems", Kind::Number),
        ("uniqueItems", Kind::Flag),
        ("maxContains", Kind::Number),
        ("minContains", Kind::Number),
        ("maxProperties", Kind::Number),
        ("minProperties", Kind::Number),
        ("required", Kind::Texts),
        ("dependentRequired", Kind::Map(&Kind::Texts)),
        ("contentEncoding", Kind::Text),
        ("contentMediaType", Kind::Text),
        ("contentSchema", Kind::Schema),
        ("properties", Kind::Map(&Kind::Schema)),
        ("patternProperties", Kind::Map(&Kind::Schema)),
        ("additionalProperties", Kind::Schema),
        ("unevaluatedProperties", Kind::Schema),
        ("propertyNames", Kind::Schema),
        ("dependentSchemas", Kind::Map(&Kind::Schema)),
        ("items", Kind::Schema),
        ("prefixItems", Kind::List(&Kind::Schema)),
        ("unevaluatedItems", Kind::Schema),
        ("contains", Kind::Schema),
        ("allOf", Kind::List(&Kind::Schema)),
        ("anyOf", Kind::List(&Kind::Schema)),
        ("oneOf", Kind::List(&Kind::Schema)),
        ("not", Kind::Schema),
        ("if", Kind::Schema),
        ("then", Kind::Schema),
        ("else", Kind::Schema),
        ("$defs", Kind::Map(&Kind::Schema)),
        ("discriminator", Kind::Object(&DISCRIMINATOR)),
        ("xml", Kind::Object(&XML)),
        ("externalDocs", Kind::Object(&EXTERNAL_DOCS)),
    ],
};

/// Calls `visit` for every object in a clean tree, an object before those inside it.
pub(super) fn walk(
    value: &mut Value,
    kind: Kind,
    visit: &mut dyn FnMut(&mut Map<String, Value>, &'static Shape),
) {
    match (kind, value) {
        (Kind::Object(shape), Value::Object(object)) => walk_object(object, shape, visit),
        (Kind::Schema, Value::Object(object)) => walk_object(object, &SCHEMA, visit),
        (Kind::Map(inner), Value::Object(entries)) => {
            entries.values_mut().for_each(|entry| walk(entry, *inner, visit));
        }
        (Kind::List(inner), Value::Array(items)) => {
            for item in items {
                walk(item, *inner, visit);
            }
        }
        _ => {}
    }
}

fn walk_object(
    object: &mut Map<String, Value>,
    shape: &'static Shape,
    visit: &mut dyn FnMut(&mut Map<String, Value>, &'static Shape),
) {
    visit(object, shape);
    for (name, value) in object {
        if let Some(kind) = shape.field(name) {
            walk(value, kind, visit);
        }
    }
}

/// The same for those who only look.
pub(super) fn look<'v>(
    value: &'v Value,
    kind: Kind,
    visit: &mut dyn FnMut(&'v Map<String, Value>, &'static Shape),
) {
    match (kind, value) {
        (Kind::Object(shape), Value::Object(object)) => look_object(object, shape, visit),
        (Kind::Schema, Value::Object(object)) => look_object(object, &SCHEMA, visit),
        (Kind::Map(inner), Value::Object(entries)) => {
            entries.values().for_each(|entry| look(entry, *inner, visit));
        }
        (Kind::List(inner), Value::Array(items)) => {
            for item in items {
                look(item, *inner, visit);
            }
        }
        _ => {}
    }
}

/// The same for an object.
pub(super) fn look_object<'v>(
    object: &'v Map<String, Value>,
    shape: &'static Shape,
    visit: &mut dyn FnMut(&'v Map<String, Value>, &'static Shape),
) {
    visit(object, shape);
    for (name, value) in object {
        if let Some(kind) = shape.field(name) {
            look(value, kind, visit);
        }
    }
}
