//! Schemas of `OpenAPI` 3.0, and of Swagger 2, in the words of 3.1.

use serde_json::{Map, Value, json};

/// Rewrites one schema, without those inside it.
pub(crate) fn schema(schema: &mut Map<String, Value>) {
    if schema.get("type").and_then(Value::as_str) == Some("file") {
        schema.insert("type".to_owned(), "string".into());
        schema.insert("format".to_owned(), "binary".into());
    }
    if let Some(Value::String(property)) = schema.get("discriminator") {
        let discriminator = json!({ "propertyName": property });
        schema.insert("discriminator".to_owned(), discriminator);
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(exclusive)) = schema.get(flag) {
            let exclusive = *exclusive;
            schema.remove(flag);
            if exclusive && let Some(number) = schema.remove(bound) {
                schema.insert(flag.to_owned(), number);
            }
        }
    }
    if let Some(example) = schema.remove("example") {
        schema.insert("examples".to_owned(), json!([example]));
    }
    match schema.get("format").and_then(Value::as_str) {
        // The format stays: it is what pages know a file by.
        Some("binary") => {
            schema.insert("contentMediaType".to_owned(), "application/octet-stream".into());
        }
        Some("byte" | "base64") => {
            schema.insert("contentEncoding".to_owned(), "base64".into());
        }
        _ => {}
    }
    let nullable = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    if nullable("nullable") || nullable("x-nullable") {
        allow_null(schema);
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    schema.remove("x-nullable");
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    if let Some(name) = schema.get("type").filter(|name| name.is_string()).cloned() {
        schema.insert("type".to_owned(), json!([name, "null"]));
    } else if !schema.is_empty() && !schema.contains_key("enum") {
        // Nothing to add `null` to: it is another possibility beside the whole.
        let whole = Value::Object(std::mem::take(schema));
        schema.insert("anyOf".to_owned(), json!([whole, { "type": "null" }]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_3_0_become_those_of_3_1() {
        for (old, new) in [
            (json!({ "type": "string", "nullable": true }), json!({ "type": ["string", "null"] })),
            (
                json!({ "type": "string", "nullable": false }),
                json!({ "type": "string", "nullable": false }),
            ),
            (
                json!({ "type": "string", "nullable": true, "enum": ["a"] }),
                json!({ "type": ["string", "null"], "enum": ["a", null] }),
            ),
            (
                json!({ "allOf": [{}], "nullable": true }),
                json!({ "anyOf": [{ "allOf": [{}] }, { "type": "null" }] }),
            ),
            (json!({ "minimum": 1, "exclusiveMinimum": true }), json!({ "exclusiveMinimum": 1 })),
            (json!({ "maximum": 1, "exclusiveMaximum": false }), json!({ "maximum": 1 })),
            (json!({ "exclusiveMaximum": true }), json!({})),
            (json!({ "example": 1 }), json!({ "examples": [1] })),
            (
                json!({ "type": "file" }),
                json!({
                    "type": "string",
                    "format": "binary",
                    "contentMediaType": "application/octet-stream",
                }),
            ),
            (json!({ "format": "byte" }), json!({ "format": "byte", "contentEncoding": "base64" })),
            (
                json!({ "discriminator": "kind" }),
                json!({ "discriminator": { "propertyName": "kind" } }),
            ),
            (
                json!({ "x-nullable": true, "type": "integer" }),
                json!({ "type": ["integer", "null"] }),
            ),
        ] {
            let mut found = old.clone();
            schema(found.as_object_mut().unwrap());
            assert_eq!(found, new, "{old}");
        }
    }
}
