//! Swagger 2 documents in the form of `OpenAPI` 3.0; what the two say differently of schemas is for
//! [`upgrade`](super::upgrade).

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::refs::Target;
use crate::portal::shape::METHODS;

/// So many media types of one body are told apart.
const MOST_MEDIA_TYPES: usize = 16;

/// The keys of a parameter or header that belong into its schema.
const OF_SCHEMA: [&str; 17] = [
    "type",
    "format",
    "items",
    "default",
    "enum",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "x-nullable",
];

/// The same document in the form of 3.0.
pub(super) fn upgrade(document: Map<String, Value>) -> Map<String, Value> {
    let old = Value::Object(document);
    let mut paths = Map::new();
    for (path, item) in old["paths"].as_object().into_iter().flatten() {
        paths.insert(path.clone(), path_item(item, &old));
    }
    let mut responses = Map::new();
    for (name, response) in old["responses"].as_object().into_iter().flatten() {
        responses.insert(name.clone(), self::response(response, &old["produces"]));
    }
    let mut new = Map::new();
    new.insert("openapi".to_owned(), "3.0.3".into());
    new.insert("info".to_owned(), old["info"].clone());
    if let Some(base) = old["basePath"].as_str() {
        new.insert("servers".to_owned(), json!([{ "url": base }]));
    }
    new.insert("paths".to_owned(), Value::Object(paths));
    let components = json!({ "schemas": old["definitions"], "responses": responses });
    new.insert("components".to_owned(), components);
    new
}

fn path_item(item: &Value, old: &Value) -> Value {
    let Some(item) = item.as_object() else { return Value::Null };
    if item.contains_key("$ref") {
        return Value::Object(item.clone());
    }
    let shared = item.get("parameters");
    let mut new = Map::new();
    for method in METHODS {
        if let Some(Value::Object(operation)) = item.get(method) {
            new.insert(method.to_owned(), self::operation(operation, shared, old));
        }
    }
    Value::Object(new)
}

fn operation(operation: &Map<String, Value>, shared: Option<&Value>, old: &Value) -> Value {
    let mut new = operation.clone();
    for key in ["parameters", "responses", "consumes", "produces", "schemes", "security"] {
        new.remove(key);
    }
    let consumes = operation.get("consumes").unwrap_or(&old["consumes"]);
    let produces = operation.get("produces").unwrap_or(&old["produces"]);
    let mut parameters = Vec::new();
    let mut form = Vec::new();
    let mut body = None;
    let mut known = HashSet::new();
    for list in [operation.get("parameters"), shared] {
        for written in list.and_then(Value::as_array).into_iter().flatten() {
            let Some(parameter) = resolved(written, old) else { continue };
            let place = parameter["in"].as_str().unwrap_or_default();
            let name = parameter["name"].as_str().unwrap_or_default();
            if !known.insert((place, name)) {
                continue;
            }
            match place {
                "body" => {
                    body.get_or_insert_with(|| request_body(parameter, consumes));
                }
                "formData" => form.push(parameter),
                _ => parameters.push(self::parameter(parameter)),
            }
        }
    }
    if !form.is_empty() {
        body = Some(form_body(&form, consumes));
    }
    if !parameters.is_empty() {
        new.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(body) = body {
        new.insert("requestBody".to_owned(), body);
    }
    let mut responses = Map::new();
    let written = operation.get("responses").and_then(Value::as_object);
    for (status, response) in written.into_iter().flatten() {
        responses.insert(status.clone(), self::response(response, produces));
    }
    new.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(new)
}

/// A parameter, which may be written elsewhere in the document.
fn resolved<'d>(parameter: &'d Value, old: &'d Value) -> Option<&'d Value> {
    let Some(to) = parameter.get("$ref").and_then(Value::as_str) else { return Some(parameter) };
    let name = Target::parse(to)?.component("parameters")?.to_owned();
    old["parameters"].get(name).filter(|found| found.get("$ref").is_none())
}

/// What of a parameter, a header or an item is said in a schema.
fn schema(written: &Value) -> Value {
    let mut schema = Map::new();
    for key in OF_SCHEMA {
        if let Some(value) = written.get(key) {
            let value = if key == "items" { self::schema(value) } else { value.clone() };
            schema.insert(key.to_owned(), value);
        }
    }
    Value::Object(schema)
}

fn parameter(written: &Value) -> Value {
    let mut new = Map::new();
    for key in ["name", "in", "description", "required", "allowEmptyValue"] {
        if let Some(value) = written.get(key) {
            new.insert(key.to_owned(), value.clone());
        }
    }
    new.insert("schema".to_owned(), schema(written));
    if written["in"] == "query" {
        new.extend(style(written));
    }
    Value::Object(new)
}

/// How the values of a list stand in a query or a form.
fn style(written: &Value) -> Map<String, Value> {
    let mut new = Map::new();
    if written["type"] == "array" {
        let (style, explode) = match written["collectionFormat"].as_str() {
            Some("multi") => ("form", true),
            Some("ssv") => ("spaceDelimited", false),
            Some("pipes") => ("pipeDelimited", false),
            _ => ("form", false),
        };
        new.insert("style".to_owned(), style.into());
        new.insert("explode".to_owned(), explode.into());
    }
    new
}

/// The media types of a list, or this one if there is none.
fn media_types<'v>(list: &'v Value, default: &'v str) -> Vec<&'v str> {
    let written = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let types: Vec<&str> = written.take(MOST_MEDIA_TYPES).collect();
    if types.is_empty() { vec![default] } else { types }
}

fn request_body(parameter: &Value, consumes: &Value) -> Value {
    let mut content = Map::new();
    for media_type in media_types(consumes, "application/json") {
        content.insert(media_type.to_owned(), json!({ "schema": parameter["schema"] }));
    }
    let mut body = json!({ "content": content });
    for key in ["description", "required"] {
        if let Some(value) = parameter.get(key) {
            body[key] = value.clone();
        }
    }
    body
}

fn form_body(fields: &[&Value], consumes: &Value) -> Value {
    const MULTIPART: &str = "multipart/form-data";
    const ENCODED: &str = "application/x-www-form-urlencoded";
    let (mut properties, mut required, mut encoding) = (Map::new(), Vec::new(), Map::new());
    for field in fields {
        let Some(name) = field["name"].as_str() else { continue };
        let mut schema = self::schema(field);
        if let Some(description) = field.get("description") {
            schema["description"] = description.clone();
        }
        properties.insert(name.to_owned(), schema);
        let style = style(field);
        if !style.is_empty() {
            encoding.insert(name.to_owned(), Value::Object(style));
        }
        if field["required"] == true {
            required.push(name);
        }
    }
    let has_file = fields.iter().any(|field| field["type"] == "file");
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = required.clone().into();
    }
    let forms = [MULTIPART, ENCODED];
    let written = media_types(consumes, ENCODED);
    let mut types: Vec<&str> = written.into_iter().filter(|name| forms.contains(name)).collect();
    if has_file || types.is_empty() {
        types = vec![if has_file { MULTIPART } else { ENCODED }];
    }
    let mut form = json!({ "schema": schema });
    if !encoding.is_empty() {
        form["encoding"] = Value::Object(encoding);
    }
    let content: Map<String, Value> =
        types.into_iter().map(|name| (name.to_owned(), form.clone())).collect();
    json!({ "content": content, "required": !required.is_empty() })
}

fn response(written: &Value, produces: &Value) -> Value {
    if written.get("$ref").is_some() {
        return written.clone();
    }
    let mut new = json!({ "description": written["description"].as_str().unwrap_or_default() });
    let examples = written["examples"].as_object();
    let mut content = Map::new();
    if let Some(schema) = written.get("schema") {
        // A file is told from text by its type alone.
        let default =
            if schema["type"] == "file" { "application/octet-stream" } else { "application/json" };
        for media_type in media_types(produces, default) {
            content.insert(media_type.to_owned(), json!({ "schema": schema }));
        }
    }
    for (media_type, example) in examples.into_iter().flatten() {
        let entry = content.entry(media_type).or_insert_with(|| json!({}));
        entry["example"] = example.clone();
    }
    if !content.is_empty() {
        new["content"] = Value::Object(content);
    }
    let mut headers = Map::new();
    for (name, header) in written["headers"].as_object().into_iter().flatten() {
        let mut entry = json!({ "schema": schema(header) });
        if let Some(description) = header.get("description") {
            entry["description"] = description.clone();
        }
        headers.insert(name.clone(), entry);
    }
    if !headers.is_empty() {
        new["headers"] = Value::Object(headers);
    }
    new
}
