//! The portal: the merged document and the page that shows it.

mod command;
mod golden;
mod page;
mod slow;
mod specs;

use serde_json::Value;

/// The mistakes of each document, by openapi-spec-validator.
fn mistakes(documents: &[Value]) -> Vec<Vec<String>> {
    crate::support::python::answer("openapi_valid.py", &Value::from(documents.to_vec()))
}

/// Panics with the mistakes of a document, if it has some.
fn assert_valid(what: &str, document: &Value) {
    let found = mistakes(std::slice::from_ref(document)).remove(0);
    assert!(found.is_empty(), "{what}: {}", found.join("\n"));
}
