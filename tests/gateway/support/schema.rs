//! JSON Schema, by Python's jsonschema: the crates that do the same would take longer to build than all tests.

use serde_json::{Value, json};

use super::python;

/// Validates each document by the schema, in one process: `Ok`, or its mistakes, a line each as `/its/path: what`.
/// A schema without `$schema` is read by draft 2020-12, as `OpenAPI` 3.1 has it; to hold a document against one part
/// of a larger file, give `{"$ref": "#/components/schemas/Part", "components": ...}`.
///
/// Panics when the schema itself is not valid, or the environment of the tests is not installed.
pub fn validate(schema: &Value, documents: &[Value]) -> Vec<Result<(), String>> {
    let asked = json!({ "schema": schema, "documents": documents });
    let answers: Vec<Vec<String>> = python::answer("validate.py", &asked);
    assert_eq!(answers.len(), documents.len());
    let result = |lines: Vec<String>| if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) };
    answers.into_iter().map(result).collect()
}

#[test]
fn a_document_is_judged_by_its_own_mistakes() {
    let schema = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/Port" } },
        "additionalProperties": false, "$defs": { "Port": { "type": "integer", "maximum": 9 } } });
    let answers = validate(&schema, &[json!({ "a": 1 }), json!({ "a": 10 }), json!({ "b": 1 })]);
    assert_eq!(answers[0], Ok(()));
    assert_eq!(answers[1], Err("/a: 10 is greater than the maximum of 9".to_owned()));
    assert!(answers[2].as_ref().unwrap_err().contains("'b' was unexpected"), "{answers:?}");
}

#[test]
#[should_panic(expected = "no JSON Schema")]
fn what_is_no_schema_validates_nothing() {
    validate(&json!({ "type": "objekt" }), &[json!({})]);
}
