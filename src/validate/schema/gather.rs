//! One schema of a document and all that it refers to, as one schema of JSON Schema 2020-12.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::portal::{Target, upgrade};
use crate::validate::document::Mistakes;

/// A place in a document, as a JSON Pointer.
pub(in crate::validate) type Pointer = String;

/// The schemas that lie in others by name, in a list, and alone.
pub(super) const BY_NAME: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
pub(super) const IN_A_LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
pub(super) const ALONE: [&str; 10] = [
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// What changes where references lead, which is not followed here.
const ELSEWHERE: [&str; 5] = ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"];

/// The dialects of which the words are known.
const DIALECTS: [&str; 3] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://spec.openapis.org/oas/3.1/dialect/base",
    "https://spec.openapis.org/oas/3.1/dialect/2024-10-25",
];

/// Whether a dialect's words are known.
pub(in crate::validate) fn is_known_dialect(name: &Value) -> bool {
    name.as_str().is_some_and(|name| DIALECTS.contains(&name.trim_end_matches('#')))
}

/// Whether a keyword holds values to nothing.
pub(super) fn is_annotation(key: &str) -> bool {
    const ALL: [&str; 19] = [
        "title",
        "description",
        "example",
        "examples",
        "default",
        "deprecated",
        "externalDocs",
        "xml",
        "discriminator",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "contentSchema",
        "$comment",
        "$schema",
        "$defs",
        "definitions",
        "$vocabulary",
    ];
    ALL.contains(&key) || key.starts_with("x-")
}

/// Where a reference leads in the document, and what stands there.
pub(in crate::validate) fn resolve<'d>(
    document: &'d Value,
    name: &str,
) -> Option<(Pointer, &'d Value)> {
    let found = Target::parse(name)?.find(document)?;
    Some((name.trim_start_matches('#').to_owned(), found))
}

/// A schema that refers to nothing outside itself.
pub(super) struct Gathered {
    pub(super) schema: Value,
    root: Pointer,
    /// Where the definitions came from, in the order of their numbers.
    places: Vec<Pointer>,
}

impl Gathered {
    /// The place in the document that a place in this schema came from.
    pub(super) fn place(&self, inside: &str) -> Pointer {
        let defined = inside.strip_prefix("/$defs/").map(|rest| {
            let (number, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (number.parse::<usize>().ok().and_then(|number| self.places.get(number)), rest)
        });
        match defined {
            Some((Some(place), rest)) => format!("{place}{rest}"),
            _ => format!("{}{inside}", self.root),
        }
    }
}

pub(super) struct Gather<'d, 'm> {
    document: &'d Value,
    old: bool,
    mistakes: &'m mut Mistakes,
    numbers: HashMap<Pointer, usize>,
    places: Vec<(Pointer, &'d Value)>,
}

impl<'d, 'm> Gather<'d, 'm> {
    pub(super) fn new(document: &'d Value, old: bool, mistakes: &'m mut Mistakes) -> Self {
        Self { document, old, mistakes, numbers: HashMap::new(), places: Vec::new() }
    }

    pub(super) fn whole(mut self, schema: &Value, at: &Pointer) -> Gathered {
        let mut root = self.schema(schema, at);
        let mut definitions = Map::new();
        let mut next = 0;
        while let Some((place, found)) = self.places.get(next).cloned() {
            let made = self.schema(found, &place);
            definitions.insert(next.to_string(), made);
            next += 1;
        }
        self.refuse_circles(&definitions);
        if let (Value::Object(root), false) = (&mut root, definitions.is_empty()) {
            root.insert("$defs".to_owned(), Value::Object(definitions));
        }
        let places = self.places.into_iter().map(|(place, _)| place).collect();
        Gathered { schema: root, root: at.clone(), places }
    }

    /// References that lead to one another and nowhere else hold values to nothing.
    fn refuse_circles(&mut self, definitions: &Map<String, Value>) {
        for (number, made) in definitions {
            let mut at = made;
            for _ in 0..=definitions.len() {
                let bare = at.as_object().filter(|at| at.len() == 1);
                match bare.and_then(|at| number_of(at.get("$ref")?)) {
                    Some(next) => at = &definitions[next],
                    None => break,
                }
                if std::ptr::eq(at, made) {
                    let place = number.parse().ok().and_then(|n: usize| self.places.get(n));
                    let place = place.map(|(place, _)| place.clone()).unwrap_or_default();
                    self.mistakes.add(
                        place,
                        "the schema refers to itself and says nothing else",
                        "give it a type",
                    );
                    break;
                }
            }
        }
    }

    fn schema(&mut self, value: &Value, at: &Pointer) -> Value {
        let given = match value {
            Value::Bool(all) => return Value::Bool(*all),
            Value::Object(given) => given,
            _ => {
                self.mistakes.add(
                    at.clone(),
                    "this is no schema",
                    "write a map such as { type: string }",
                );
                return Value::Bool(false);
            }
        };
        if self.old
            && let Some(name) = given.get("$ref")
        {
            // In 3.0 what stands beside a reference counts for nothing.
            return json!({ "$ref": self.reference(name, at) });
        }
        for key in ELSEWHERE.iter().filter(|key| given.contains_key(**key)) {
            self.mistakes.add(
                format!("{at}/{key}"),
                format!("`{key}` is not followed"),
                "refer to `#/components/schemas/NAME`",
            );
        }
        if given.get("$schema").is_some_and(|dialect| !is_known_dialect(dialect)) {
            let help = "leave it out, or name that of JSON Schema 2020-12";
            self.mistakes.add(format!("{at}/$schema"), "the dialect is not known here", help);
        }
        let mut made: Map<String, Value> = given.clone();
        if self.old {
            upgrade(&mut made);
        }
        let required = self.asked_for(&made);
        made.retain(|key, _| !is_annotation(key));
        if let Some(required) = required {
            made.insert("required".to_owned(), required);
        }
        within_format(&mut made);
        for (key, value) in &mut made {
            let at = format!("{at}/{}", escaped(key));
            let key = key.as_str();
            if key == "$ref" {
                *value = self.reference(value, &at);
            } else if BY_NAME.contains(&key)
                && let Value::Object(entries) = value
            {
                for (name, entry) in entries {
                    *entry = self.schema(entry, &format!("{at}/{}", escaped(name)));
                }
            } else if IN_A_LIST.contains(&key)
                && let Value::Array(entries) = value
            {
                for (index, entry) in entries.iter_mut().enumerate() {
                    *entry = self.schema(entry, &format!("{at}/{index}"));
                }
            } else if ALONE.contains(&key) {
                *value = self.schema(value, &at);
            }
        }
        Value::Object(made)
    }

    /// The name of what a reference leads to, in the schema that is made.
    fn reference(&mut self, name: &Value, at: &Pointer) -> Value {
        let Some(name) = name.as_str() else {
            self.mistakes.add(
                at.clone(),
                "a reference is no text",
                "write \"#/components/schemas/NAME\"",
            );
            return Value::Null;
        };
        let Some((place, found)) = resolve(self.document, name) else {
            if name.starts_with('#') {
                let help = "add it, or refer to another";
                self.mistakes.add(at.clone(), format!("nothing stands at {name:?}"), help);
            } else {
                self.mistakes.add(
                    at.clone(),
                    format!("{name:?} is in another document, and none is fetched"),
                    "put it into this one, below `components`",
                );
            }
            return Value::Null;
        };
        let next = self.places.len();
        let number = *self.numbers.entry(place.clone()).or_insert(next);
        if number == next {
            self.places.push((place, found));
        }
        format!("#/$defs/{number}").into()
    }

    /// What a request must have: what only answers have is none of it. None where that changes nothing.
    fn asked_for(&self, schema: &Map<String, Value>) -> Option<Value> {
        let required = schema.get("required")?.as_array()?;
        let properties = schema.get("properties")?.as_object()?;
        let only_answers = |name: &Value| {
            let property = name.as_str().and_then(|name| properties.get(name));
            let target = property.and_then(|property| property.get("$ref")?.as_str());
            let target = target.and_then(|name| resolve(self.document, name));
            let reads = |schema: &Value| schema["readOnly"] == Value::Bool(true);
            property.is_some_and(reads) || target.is_some_and(|(_, target)| reads(target))
        };
        Some(required.iter().filter(|name| !only_answers(name)).cloned().collect())
    }
}

/// A step of a JSON Pointer.
pub(in crate::validate) fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// The bounds that `format` sets for a number; and that of a pattern, which would be compiled for each request, is none.
fn within_format(schema: &mut Map<String, Value>) {
    let (low, high): (Value, Value) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("int64") => (i64::MIN.into(), i64::MAX.into()),
        Some("regex") => {
            schema.remove("format");
            return;
        }
        _ => return,
    };
    let bounds = json!({ "minimum": low, "maximum": high });
    if let Value::Array(all) = schema.entry("allOf").or_insert_with(|| json!([])) {
        all.push(bounds);
    }
}

/// The number of the definition that a made reference leads to.
pub(super) fn number_of(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix("#/$defs/")
}
