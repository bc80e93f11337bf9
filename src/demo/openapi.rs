//! The `OpenAPI` 3.1 document that a service publishes about itself.

use serde_json::{Map, Value, json};

use super::shape::Kind;

/// The document, with paths as the service itself knows them.
pub(super) fn document(kind: Kind) -> Value {
    let (one, many, base) = (kind.one(), kind.many(), kind.base());
    let list_path = if base.is_empty() { "/" } else { base };
    let schema = json!({ "$ref": format!("#/components/schemas/{one}") });
    let body = json!({
        "required": true,
        "content": { "application/json": { "schema": schema } },
    });
    let mut paths = Map::new();
    paths.insert(
        list_path.to_owned(),
        json!({
            "get": {
                "operationId": format!("list_{many}"),
                "summary": format!("All {many}"),
                "responses": answers(&[("200", "Them all")]),
            },
            "post": {
                "operationId": format!("create_{one}"),
                "summary": format!("One {one} more"),
                "requestBody": body,
                "responses": answers(&[("201", "Created"), ("422", "A field is wrong")]),
            },
        }),
    );
    paths.insert(format!("{base}/{{id}}"), item(one, &body));
    paths.insert(
        "/health".to_owned(),
        json!({
            "get": {
                "operationId": "health",
                "summary": "Whether this instance can work",
                "responses": answers(&[("200", "It can")]),
            },
        }),
    );
    json!({
        "openapi": "3.1.0",
        "info": { "title": format!("The demo's {one} service"), "version": "1.0.0" },
        "security": [{ "gateway_secret": [] }],
        "paths": paths,
        "components": {
            "schemas": { one: fields(kind) },
            "securitySchemes": {
                "gateway_secret": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    })
}

/// The operations on one thing.
fn item(one: &str, body: &Value) -> Value {
    json!({
        "parameters": [{
            "name": "id",
            "in": "path",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        }],
        "get": {
            "operationId": format!("read_{one}"),
            "summary": format!("One {one}"),
            "responses": answers(&[("200", "Found"), ("404", "There is none with this id")]),
        },
        "put": {
            "operationId": format!("replace_{one}"),
            "summary": format!("Replaces one {one}"),
            "requestBody": body,
            "responses": answers(&[
                ("200", "Replaced"),
                ("404", "There is none with this id"),
                ("422", "A field is wrong"),
            ]),
        },
        "delete": {
            "operationId": format!("delete_{one}"),
            "summary": format!("Deletes one {one}"),
            "responses": answers(&[("204", "Deleted"), ("404", "There is none with this id")]),
        },
    })
}

fn answers(list: &[(&str, &str)]) -> Value {
    let mut all = Map::new();
    for (status, description) in list {
        all.insert((*status).to_owned(), json!({ "description": description }));
    }
    all.insert("403".to_owned(), json!({ "description": "Not called by the gateway" }));
    Value::Object(all)
}

fn fields(kind: Kind) -> Value {
    let mut properties = Map::new();
    for (name, field) in kind.fields() {
        properties.insert((*name).to_owned(), field.schema());
    }
    let required: Vec<&str> = kind.fields().iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}
