//! Which documents are read, and what is told of those that are not.

use super::*;

fn told(text: &str) -> String {
    Spec::read(text.as_bytes()).map_or_else(|error| error.to_string(), |spec| spec.title)
}

#[test]
fn versions_are_told_apart() {
    for (text, said) in [
        (r#"{"openapi":"3.1.0","info":{"title":"A"},"paths":{}}"#, "A"),
        (r#"{"openapi":"3.1","info":{"title":"A"},"paths":{}}"#, "A"),
        (r#"{"openapi":"3.0.3","info":{"title":"A"},"paths":{}}"#, "A"),
        (r#"{"swagger":"2.0","info":{"title":"A"},"paths":{}}"#, "A"),
        ("swagger: 2.0\ninfo: { title: A }\npaths: {}", "A"),
        (r#"{"openapi":"3.10.0","paths":{}}"#, "its version is \"3.10.0\""),
        (r#"{"openapi":"3.2.0","paths":{}}"#, "versions 3.1, 3.0 and 2.0 are read"),
        (r#"{"swagger":"1.2","paths":{}}"#, "its version is \"1.2\""),
        (r#"{"openapi":3.1,"info":{"title":"A"},"paths":{}}"#, "A"),
        (r#"{"paths":{}}"#, "neither `openapi` nor `swagger`"),
        (r#"{"openapi":"3.1.0"}"#, "it has no `paths`"),
        ("[]", "it is no object"),
        ("<html></html>", "it is no object"),
        ("{", "neither JSON nor YAML"),
    ] {
        assert!(told(text).contains(said), "{text}: {}", told(text));
    }
}

#[test]
fn a_version_is_told_in_a_few_letters() {
    let text = format!("{{\"openapi\":\"{}\",\"paths\":{{}}}}", "9".repeat(100_000));
    assert!(told(&text).len() < 200);
}

#[test]
fn lost_references_are_counted() {
    let spec = Spec::read(
        br##"{"openapi":"3.1.0","paths":{"/a":{"get":{"responses":{"200":{"$ref":"#/none"},
              "201":{"$ref":"other.json"},"202":{"$ref":"#/components/responses/A"}}}}},
              "components":{"responses":{"A":{"description":"there"}}}}"##,
    )
    .unwrap();
    assert_eq!((spec.lost, spec.len()), (2, 1));
}
