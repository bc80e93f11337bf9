mod sent;

use std::path::Path;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;

/// A document of one version with these paths and components.
fn document(version: &str, paths: &Value, components: &Value) -> Value {
    json!({
        "openapi": version,
        "info": { "title": "T", "version": "1" },
        "paths": paths,
        "components": components,
    })
}

fn compile(document: &Value, unknown: Unknown) -> Result<Arc<Validation>, String> {
    let text = document.to_string().into_bytes();
    let read = |_: &Path| Ok(text.clone());
    let config = Config { openapi: "api.json".into(), unknown, observe: false };
    let mut diagnostics = Diagnostics::new();
    let at = At::root().key("validate");
    let compiled = Documents::new(&read).compile(&config, &at, &mut diagnostics);
    compiled.ok_or_else(|| diagnostics.render("f"))
}

fn compiled(document: &Value) -> Arc<Validation> {
    compile(document, Unknown::Refuse).unwrap_or_else(|told| panic!("{told}"))
}

/// What becomes of a request: `Ok`, or what is wrong with it in short.
fn judge(
    validation: &Validation,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<(), String> {
    let method: Method = method.parse().expect("a method");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("a name");
        sent.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let head = Head { method: &method, path, query, has_body: Some(body.is_some()) };
    let asked = || {
        let Some(matched) = validation.find(&head)? else { return Ok(()) };
        let check = matched.judge(&head, &sent, &sent)?;
        check.map_or(Ok(()), |check| check.judge(body.unwrap_or_default()))
    };
    asked().map_err(|refused: Refused| match &refused {
        Refused::Parameters(faults) | Refused::Unreadable(faults) | Refused::Body(faults) => {
            let told = faults.iter().map(|fault| match &fault.parameter {
                Some((place, name)) => format!("{place} {name}{}: {}", fault.pointer, fault.detail),
                None => format!("{}: {}", fault.pointer, fault.detail),
            });
            told.collect::<Vec<_>>().join("; ")
        }
        Refused::OtherMethods(methods) => format!("other methods: {methods:?}"),
        other => other.word().to_owned(),
    })
}

/// Whether a body fits a schema, by what is told of it.
fn body(version: &str, schema: &Value, components: &Value, body: &str) -> Result<(), String> {
    let content = json!({ "application/json": { "schema": schema } });
    let paths =
        json!({ "/x": { "post": { "requestBody": { "required": true, "content": content } } } });
    let validation = compiled(&document(version, &paths, components));
    let headers = [(CONTENT_TYPE.as_str(), "application/json")];
    judge(&validation, ("POST", "/x"), &headers, Some(body.as_bytes()))
}

#[track_caller]
fn assert_bodies(version: &str, schema: &Value, cases: &[(&str, &str)]) {
    for (sent, told) in cases {
        let found = body(version, schema, &json!({}), sent).err().unwrap_or_default();
        assert_eq!(found, *told, "{version}: {sent} by {schema}");
    }
}

#[test]
fn words_of_3_0_and_of_3_1_mean_what_they_mean_there() {
    for (version, schema) in [
        (
            "3.0.3",
            json!({ "type": "integer", "nullable": true, "minimum": 1, "exclusiveMinimum": true }),
        ),
        ("3.1.0", json!({ "type": ["integer", "null"], "exclusiveMinimum": 1 })),
    ] {
        assert_bodies(
            version,
            &schema,
            &[
                ("null", ""),
                ("2", ""),
                ("2.0", ""),
                ("1", ": is not more than 1"),
                ("1.5", ": is not of type integer or null"),
                ("\"2\"", ": is not of type integer or null"),
            ],
        );
    }
    // 3.1 knows no `nullable`.
    let schema = json!({ "type": "string", "nullable": true });
    assert_bodies("3.1.0", &schema, &[("null", ": is not of type string"), ("\"\"", "")]);
    let schema = json!({ "type": "string", "nullable": true, "enum": ["a", "b"] });
    assert_bodies("3.0.0", &schema, &[("null", ""), ("\"c\"", ": is none of \"a\", \"b\", null")]);
    let schema = json!({ "nullable": true, "allOf": [{ "type": "object" }] });
    assert_bodies(
        "3.0.0",
        &schema,
        &[("null", ""), ("{}", ""), ("[]", ": is not of type object or null")],
    );
}

#[test]
fn faults_are_told_by_where_they_are() {
    let schema = json!({
        "type": "object",
        "required": ["items", "a/b"],
        "additionalProperties": false,
        "properties": {
            "a/b": { "type": "boolean" },
            "note": { "anyOf": [{ "type": "string", "maxLength": 3 }, { "type": "null" }] },
            "items": {
                "type": "array",
                "maxItems": 2,
                "uniqueItems": true,
                "items": { "type": "object", "properties": { "qty": { "type": "integer", "minimum": 1 } } },
            },
        },
    });
    assert_bodies(
        "3.1.0",
        &schema,
        &[
            ("{\"items\":[{\"qty\":1}],\"a/b\":true,\"note\":null}", ""),
            (
                "{\"items\":[{\"qty\":0}],\"a/b\":1}",
                "/items/0/qty: is less than 1; /a~1b: is not of type boolean",
            ),
            ("{\"a/b\":true}", "/items: is missing"),
            ("{\"items\":[],\"a/b\":true,\"x~y\":1}", "/x~0y: is not known here"),
            ("{\"items\":[],\"a/b\":true,\"note\":\"four\"}", "/note: has more than 3 characters"),
            ("{\"items\":[],\"a/b\":true,\"note\":4}", "/note: is not of type string or null"),
            (
                "{\"items\":[1,1,1],\"a/b\":true}",
                "/items: has more than 2 items; /items: has an item twice; \
             /items/0: is not of type object; /items/1: is not of type object; /items/2: is not of type object",
            ),
            ("[]", ": is not of type object"),
        ],
    );
    // Nothing of what was sent is told, and not more than is read.
    let many = format!("[{}]", vec!["\"secret\""; 1000].join(","));
    let told = body("3.1.0", &json!({ "items": { "type": "integer" } }), &json!({}), &many);
    let told = told.expect_err("no integers");
    assert_eq!(told.split("; ").count(), 20);
    assert!(!told.contains("secret"));
}

#[test]
fn what_is_no_json_is_refused_before_any_schema() {
    let nested = "[".repeat(200) + &"]".repeat(200);
    for (sent, told) in [
        ("", "body_missing"),
        ("{", ": is no JSON in UTF-8"),
        ("{\"a\":1} {}", ": is no JSON in UTF-8"),
        ("{'a':1}", ": is no JSON in UTF-8"),
        ("\u{feff}{}", ": is no JSON in UTF-8"),
        ("[NaN]", ": is no JSON in UTF-8"),
        ("[1e999]", ": is no JSON in UTF-8"),
        ("{\"a\":1,\"a\":2}", ": has two members of one name in an object"),
        ("[{\"b\":{\"a\":1,\"\\u0061\":2}}]", ": has two members of one name in an object"),
        (&nested, ": is nested more than 127 levels deep"),
        ("12345678901234567890123", ""),
        ("\"😀\"", ""),
    ] {
        let found = body("3.1.0", &json!({}), &json!({}), sent).err().unwrap_or_default();
        assert_eq!(found, told, "{sent}");
    }
    let schema = json!({ "type": "string", "maxLength": 1 });
    assert_bodies("3.1.0", &schema, &[("\"😀\"", ""), ("\"ab\"", ": has more than 1 character")]);
    let schema = json!({ "type": "integer", "maximum": 9_007_199_254_740_992_u64 });
    assert_bodies(
        "3.1.0",
        &schema,
        &[
            ("9007199254740992", ""),
            ("9007199254740993", ": is more than 9007199254740992"),
            ("123456789012345678901234567890", ": is more than 9007199254740992"),
        ],
    );
}

#[test]
fn formats_are_held_to() {
    for (format, good, bad) in [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-02-28T01:02:03Z", "2026-02-28 01:02"),
        ("email", "a@example.com", "a@"),
        ("uuid", "f308a72c-fa84-11eb-9a03-0242ac130003", "f308a72c"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8"),
        ("uri", "https://example.com/", "example"),
        ("hostname", "example.com", "-example-"),
    ] {
        let schema = json!({ "type": "string", "format": format });
        let told = format!(": is no {format}");
        assert_bodies(
            "3.0.0",
            &schema,
            &[(&format!("\"{good}\""), ""), (&format!("\"{bad}\""), &told)],
        );
    }
    for free in ["binary", "password", "regex", "of-our-own"] {
        assert_bodies("3.1.0", &json!({ "format": free }), &[("\"(((\"", "")]);
    }
    let schema = json!({ "type": "integer", "format": "int32" });
    assert_bodies(
        "3.0.0",
        &schema,
        &[
            ("2147483647", ""),
            ("2147483648", ": is more than 2147483647"),
            ("-2147483649", ": is less than -2147483648"),
        ],
    );
}

#[test]
fn references_lead_through_the_document() {
    let components = json!({
        "schemas": {
            "Order": {
                "allOf": [
                    { "$ref": "#/components/schemas/Base" },
                    { "type": "object", "properties": { "next": { "$ref": "#/components/schemas/Order" } } },
                ],
            },
            "Base": {
                "type": "object",
                "required": ["id", "made"],
                "properties": { "id": { "type": "integer" }, "made": { "type": "string", "readOnly": true } },
            },
            "Pet": {
                "oneOf": [{ "$ref": "#/components/schemas/Cat" }, { "$ref": "#/components/schemas/Dog" }],
                "discriminator": { "propertyName": "kind" },
            },
            "Cat": { "type": "object", "required": ["kind"], "properties": { "kind": { "const": "cat" }, "lives": { "type": "integer" } } },
            "Dog": { "type": "object", "required": ["kind"], "properties": { "kind": { "const": "dog" } } },
        },
    });
    let order = json!({ "$ref": "#/components/schemas/Order" });
    let pet = json!({ "$ref": "#/components/schemas/Pet", "description": "one of them" });
    for (schema, sent, told) in [
        (&order, "{\"id\":1,\"next\":{\"id\":2}}", ""),
        (&order, "{\"id\":1,\"next\":{\"id\":\"x\"}}", "/next/id: is not of type integer"),
        (&order, "{}", "/id: is missing"),
        (&pet, "{\"kind\":\"cat\",\"lives\":9}", ""),
        (&pet, "{\"kind\":\"dog\"}", ""),
        (&pet, "{\"kind\":\"cow\"}", ": fits none of the alternatives"),
    ] {
        let found = body("3.1.0", schema, &components, sent).err().unwrap_or_default();
        assert_eq!(found, told, "{sent} by {schema}");
    }
    // Beside a reference 3.1 heeds what 3.0 does not.
    let narrowed = json!({ "$ref": "#/components/schemas/Dog", "maxProperties": 0 });
    let dog = "{\"kind\":\"dog\"}";
    assert!(body("3.0.0", &narrowed, &components, dog).is_ok());
    assert!(body("3.1.0", &narrowed, &components, dog).is_err());
}

#[test]
fn a_search_for_faults_ends_soon_whatever_the_schema() {
    let node = json!({ "$ref": "#/components/schemas/Node" });
    let list = json!({ "type": "array", "items": node });
    let components = json!({ "schemas": { "Node": { "anyOf": [list, list.clone(), list, { "type": "string" }] } } });
    let mut deep = "[".repeat(100) + "1" + &"]".repeat(100);
    deep.insert_str(1, &"\"x\",".repeat(200));
    let told = body("3.1.0", &node, &components, &deep).expect_err("a number");
    assert_eq!(told, ": does not fit its schema");
    assert!(body("3.1.0", &node, &components, &deep.replace('1', "\"y\"")).is_ok());

    // Few values, but on many levels, each of which has two alternatives.
    let expr = json!({ "$ref": "#/components/schemas/Expr" });
    let side = |name| json!({ "required": ["l", name], "properties": { "l": expr } });
    let components = json!({ "schemas": { "Expr": { "oneOf": [side("x"), side("y")] } } });
    let nested = |levels: usize| "{\"l\":".repeat(levels) + "{}" + &"}".repeat(levels);
    for levels in [20, 31, 100, 126] {
        let told = body("3.1.0", &expr, &components, &nested(levels)).expect_err("none has all");
        assert_eq!(told, ": does not fit its schema", "{levels}");
    }
    let told = body("3.1.0", &expr, &components, &nested(2)).expect_err("none has all");
    assert_eq!(told, ": fits none of the alternatives");
    // Schemas that do not lead back to themselves, and still unfold to very many.
    let level = |next: String| json!({ "anyOf": [{ "$ref": next, "minProperties": 9 }, { "$ref": next, "maxProperties": 0 }] });
    let mut levels = serde_json::Map::new();
    for number in 0..20 {
        let next = format!("#/components/schemas/L{}", number + 1);
        levels.insert(format!("L{number}"), level(next));
    }
    levels.insert("L20".to_owned(), json!({ "type": "integer" }));
    let first = json!({ "$ref": "#/components/schemas/L0" });
    let told =
        body("3.1.0", &first, &json!({ "schemas": levels }), "\"x\"").expect_err("no number");
    assert_eq!(told, ": does not fit its schema");
    // One that unfolds to little is told the place, however often it leads back to itself.
    let tree = json!({ "$ref": "#/components/schemas/Tree" });
    let of = json!({ "type": "object", "properties": { "n": { "type": "integer" }, "l": tree } });
    let deep = "{\"n\":1,\"l\":".repeat(20) + "{\"n\":\"x\"}" + &"}".repeat(20);
    let told =
        body("3.1.0", &tree, &json!({ "schemas": { "Tree": of } }), &deep).expect_err("a text");
    assert_eq!(told, format!("{}/n: is not of type integer", "/l".repeat(20)));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes_of_a_document_are_told_by_their_place() {
    let with = |schema: Value| {
        let content =
            json!({ "application/json": { "schema": { "$ref": "#/components/schemas/A" } } });
        let paths = json!({ "/x": { "post": { "requestBody": { "content": content } } } });
        document("3.1.0", &paths, &json!({ "schemas": { "A": schema } }))
    };
    let parameter = |parameter: Value| {
        document(
            "3.1.0",
            &json!({ "/x/{id}": { "get": { "parameters": [parameter] } } }),
            &json!({}),
        )
    };
    let a = "/components/schemas/A";
    let p = "/paths/~1x~1{id}/get/parameters/0";
    for (document, at, what) in [
        (json!([]), "", "does not say that it is an OpenAPI document"),
        (
            json!({ "openapi": "3.2.0", "paths": {} }),
            "",
            "does not say that it is an OpenAPI document",
        ),
        (
            json!({ "swagger": "2.0", "paths": { "/x": {} } }),
            "",
            "does not say that it is an OpenAPI document",
        ),
        (json!({ "openapi": "3.1.0" }), "", "it has no `paths`"),
        (
            with(json!({ "type": "strin" })),
            &format!("{a}/type"),
            "the value of this keyword fits none",
        ),
        (
            with(json!({ "properties": { "a": { "minimum": "x" } } })),
            &format!("{a}/properties/a/minimum"),
            "is not of type number",
        ),
        (with(json!({ "pattern": "(?=a)" })), &format!("{a}/pattern"), "linear time"),
        (with(json!({ "pattern": "(a)\\1" })), &format!("{a}/pattern"), "linear time"),
        (
            with(json!({ "items": { "$ref": "other.json#/A" } })),
            &format!("{a}/items/$ref"),
            "in another document",
        ),
        (
            with(json!({ "items": { "$ref": "https://example.com/A" } })),
            &format!("{a}/items/$ref"),
            "in another document",
        ),
        (
            with(json!({ "items": { "$ref": "#/components/schemas/B" } })),
            &format!("{a}/items/$ref"),
            "nothing stands at",
        ),
        (with(json!({ "$ref": "#/components/schemas/A" })), a, "refers to itself"),
        (with(json!({ "$dynamicRef": "#x" })), &format!("{a}/$dynamicRef"), "is not followed"),
        (with(json!({ "$id": "https://example.com/A" })), &format!("{a}/$id"), "is not followed"),
        (
            with(json!({ "$schema": "http://json-schema.org/draft-04/schema" })),
            &format!("{a}/$schema"),
            "not known",
        ),
        (
            with(json!({ "properties": { "a": 1 } })),
            &format!("{a}/properties/a"),
            "this is no schema",
        ),
        (parameter(json!({ "in": "query" })), p, "no `name`"),
        (parameter(json!({ "name": "x", "in": "body" })), p, "in \"body\" is not checked"),
        (parameter(json!({ "name": "x", "in": "path" })), p, "the path has no {x}"),
        (
            parameter(json!({ "name": "id", "in": "path", "style": "matrix" })),
            p,
            "style \"matrix\"",
        ),
        (
            parameter(json!({ "name": "x", "in": "query", "schema": { "type": "object" } })),
            p,
            "deepObject",
        ),
        (
            parameter(
                json!({ "name": "x", "in": "query", "schema": { "type": ["array", "string"] } }),
            ),
            p,
            "cannot be told apart",
        ),
        (
            parameter(json!({ "name": "x", "in": "cookie", "schema": { "type": "array" } })),
            p,
            "explode: false",
        ),
        (
            parameter(json!({ "name": "x", "in": "query", "content": { "text/plain": {} } })),
            &format!("{p}/content"),
            "only JSON",
        ),
        (parameter(json!({ "$ref": "#/components/parameters/Q" })), p, "leads to nothing"),
        (
            document("3.1.0", &json!({ "/a/{x}{y}": { "get": {} } }), &json!({})),
            "/paths/~1a~1{x}{y}/get",
            "more than one parameter",
        ),
        (
            document(
                "3.1.0",
                &json!({ "/a/{x}": { "get": {} }, "/a/{y}": { "get": {} } }),
                &json!({}),
            ),
            "/paths/~1a~1{y}/get",
            "GET /a/{x}",
        ),
        (
            document("3.1.0", &json!({ "/a": { "post": { "requestBody": {} } } }), &json!({})),
            "/paths/~1a/post/requestBody",
            "no `content`",
        ),
    ] {
        let told = compile(&document, Unknown::Refuse).expect_err(what);
        let at =
            if at.is_empty() { "api.json: ".to_owned() } else { format!("api.json at {at}: ") };
        assert!(told.contains(&at) && told.contains(what), "{at}{what}\n{told}");
    }
}
