//! What a single object must have and must not have, beyond the kinds of its fields.

use serde_json::{Map, Value, json};

use crate::portal::shape::What;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Mends an object whose fields are of the right kinds. Whether it may stay.
pub(super) fn object(object: &mut Map<String, Value>, what: What) -> bool {
    match what {
        What::Schema => schema(object),
        What::Parameter => return parameter(object),
        What::Header => {
            content_or_schema(object);
            keep_style(object, &["simple"]);
        }
        What::RequestBody => {
            return object.get("content").and_then(Value::as_object).is_some_and(|c| !c.is_empty());
        }
        What::Response => {
            if object.get("content").and_then(Value::as_object).is_some_and(Map::is_empty) {
                object.remove("content");
            }
            object.entry("description").or_insert_with(|| "".into());
        }
        What::MediaType => one_example(object),
        What::Link => {
            return object.contains_key("operationRef") != object.contains_key("operationId");
        }
        What::ExternalDocs => return object.contains_key("url"),
        What::Operation => responses(object),
        What::PathItem | What::Encoding | What::Example | What::Discriminator | What::Xml => {}
    }
    true
}

/// Takes out of data what programs take for references all the same, and would follow.
pub(super) fn data(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| name != "$ref" || !field.is_string());
            fields.values_mut().for_each(data);
        }
        Value::Array(items) => items.iter_mut().for_each(data),
        _ => {}
    }
}

/// A list of different texts.
pub(super) fn texts(value: &mut Value) -> bool {
    let Some(items) = value.as_array_mut() else { return false };
    items.retain(Value::is_string);
    let mut seen = std::collections::BTreeSet::new();
    items.retain(|item| seen.insert(item.as_str().unwrap_or_default().to_owned()));
    true
}

fn schema(schema: &mut Map<String, Value>) {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let keep = match schema.get_mut("type") {
        None => true,
        Some(Value::Array(names)) => {
            names.retain(known);
            !names.is_empty()
        }
        Some(name) => known(name),
    };
    if !keep {
        schema.remove("type");
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        schema.remove("enum");
    }
    for key in ["enum", "default"] {
        if schema.get(key).is_some_and(has_markup) {
            schema.remove(key);
        }
    }
    for key in ["allOf", "anyOf", "oneOf", "prefixItems"] {
        if schema.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            schema.remove(key);
        }
    }
}

fn parameter(parameter: &mut Map<String, Value>) -> bool {
    let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, place) = (text("name").to_owned(), text("in").to_owned());
    let styles: &[&str] = match place.as_str() {
        "query" => &["form", "spaceDelimited", "pipeDelimited", "deepObject"],
        "path" => &["matrix", "label", "simple"],
        "header" => &["simple"],
        "cookie" => &["form"],
        _ => return false,
    };
    // These three are told elsewhere (OpenAPI 3.1, Parameter Object).
    let told_elsewhere = ["accept", "content-type", "authorization"];
    if name.is_empty()
        || place == "header" && told_elsewhere.contains(&name.to_ascii_lowercase().as_str())
    {
        return false;
    }
    content_or_schema(parameter);
    if parameter.get("example").is_some_and(has_markup) {
        parameter.remove("example");
    }
    keep_style(parameter, styles);
    if place == "path" {
        parameter.insert("required".to_owned(), true.into());
    }
    if place != "query" {
        parameter.remove("allowEmptyValue");
        parameter.remove("allowReserved");
    }
    true
}

/// Whether a value, or one of a list, would be markup. Pages show those of parameters as they show descriptions; but
/// they are data, so they cannot be written otherwise.
fn has_markup(value: &Value) -> bool {
    match value {
        Value::String(text) => matches!(super::clean::plain(text), std::borrow::Cow::Owned(_)),
        Value::Array(items) => items.iter().any(has_markup),
        _ => false,
    }
}

/// What a parameter or header holds is told in one way.
fn content_or_schema(object: &mut Map<String, Value>) {
    let whole = object.get("content").and_then(Value::as_object).is_some_and(|c| c.len() == 1);
    if object.contains_key("schema") || !whole {
        object.remove("content");
        object.entry("schema").or_insert_with(|| json!({}));
        one_example(object);
    } else {
        for key in ["style", "explode", "allowReserved", "example", "examples"] {
            object.remove(key);
        }
    }
}

fn keep_style(object: &mut Map<String, Value>, styles: &[&str]) {
    let known = |style: &Value| style.as_str().is_some_and(|style| styles.contains(&style));
    if object.get("style").is_some_and(|style| !known(style)) {
        object.remove("style");
    }
}

fn one_example(object: &mut Map<String, Value>) {
    if object.contains_key("examples") {
        object.remove("example");
    }
}

/// Statuses are numbers, classes such as `2XX`, or `default`.
fn responses(operation: &mut Map<String, Value>) {
    let Some(Value::Object(responses)) = operation.remove("responses") else { return };
    let mut known = Map::new();
    for (status, response) in responses {
        let name = if status == "default" { status } else { status.to_ascii_uppercase() };
        if name == "default" || is_status(&name) {
            known.insert(name, response);
        }
    }
    operation.insert("responses".to_owned(), Value::Object(known));
}

fn is_status(text: &str) -> bool {
    match text.as_bytes() {
        [b'1'..=b'5', b'X', b'X'] => true,
        [b'1'..=b'5', b, c] => b.is_ascii_digit() && c.is_ascii_digit(),
        _ => false,
    }
}
