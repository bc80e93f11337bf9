use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn parameters_are_read_as_they_are_written() {
    let query = |name: &str, schema: Value, more: Value| {
        let mut one = json!({ "name": name, "in": "query", "schema": schema });
        for (key, value) in more.as_object().expect("a map") {
            one[key] = value.clone();
        }
        one
    };
    let integers = json!({ "type": "array", "items": { "type": "integer" }, "maxItems": 3 });
    let paths = json!({ "/p/{id}": {
        "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer", "minimum": 1 } }],
        "get": { "parameters": [
            query("limit", json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] }), json!({})),
            query("on", json!({ "type": "boolean" }), json!({})),
            query("share", json!({ "type": "number" }), json!({})),
            query("q", json!({ "type": "string", "maxLength": 3 }), json!({})),
            query("kind", json!({ "enum": ["a", 1] }), json!({})),
            query("flag", json!({ "type": "boolean" }), json!({ "allowEmptyValue": true })),
            query("n", integers.clone(), json!({})),
            query("csv", integers.clone(), json!({ "explode": false })),
            query("pipes", integers.clone(), json!({ "style": "pipeDelimited", "explode": false })),
            query("words", json!({ "type": "array", "items": { "type": "string" } }), json!({ "style": "spaceDelimited", "explode": false })),
            query("f", json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } }), json!({ "style": "deepObject" })),
            json!({ "name": "j", "in": "query", "content": { "application/json": { "schema": { "type": "object" } } } }),
            json!({ "name": "X-Ids", "in": "header", "schema": integers }),
            json!({ "name": "X-One", "in": "header", "schema": { "type": "string", "pattern": "^[a-z]+$" } }),
            json!({ "name": "Authorization", "in": "header", "required": true, "schema": { "type": "integer" } }),
            json!({ "name": "theme", "in": "cookie", "schema": { "enum": ["dark", "light"] } }),
        ] },
    } });
    let validation = compiled(&document("3.1.0", &paths, &json!({})));
    for (target, told) in [
        ("/p/7", ""),
        ("/p/0", "path id: is less than 1"),
        ("/p/x", "path id: is not of type integer"),
        ("/p/7.0", "path id: is not of type integer"),
        ("/p/007", "path id: is not of type integer"),
        ("/p/%37", ""),
        ("/p/7?limit=10&other=x&other=y", ""),
        ("/p/7?l%69mit=x", "query limit: is not of type integer or null"),
        ("/p/7?limit=", "query limit: is not of type integer or null"),
        ("/p/7?limit=1e1", "query limit: is not of type integer or null"),
        ("/p/7?limit=1&limit=2", "query limit: is given more than once"),
        ("/p/7?on=true&share=1.5", ""),
        ("/p/7?on=True", "query on: is not of type boolean"),
        ("/p/7?on=1", "query on: is not of type boolean"),
        ("/p/7?share=%2B1", "query share: is not of type number"),
        ("/p/7?share=.5", "query share: is not of type number"),
        ("/p/7?share=NaN", "query share: is not of type number"),
        ("/p/7?q=a+b", ""),
        ("/p/7?q=a%2Bbc", "query q: has more than 3 characters"),
        ("/p/7?q=%zz", "query q: is no text in UTF-8, percent-encoded"),
        ("/p/7?q=%ff", "query q: is no text in UTF-8, percent-encoded"),
        ("/p/7?q=7", ""),
        ("/p/7?kind=1", ""),
        ("/p/7?kind=a", ""),
        ("/p/7?kind=2", "query kind: is none of \"a\", 1"),
        ("/p/7?flag&n=1&n=2", ""),
        ("/p/7?n=1&n=x", "query n/1: is not of type integer"),
        ("/p/7?n=1&n=2&n=3&n=4", "query n: has more than 3 items"),
        ("/p/7?csv=1,2,3", ""),
        ("/p/7?csv=1%2C2", "query csv/0: is not of type integer"),
        ("/p/7?csv=1&csv=2", "query csv: is given more than once"),
        ("/p/7?pipes=1|2%7C3", ""),
        ("/p/7?pipes=1|", "query pipes/1: is not of type integer"),
        ("/p/7?words=a%20b+c", ""),
        ("/p/7?f[a]=1&f%5Bb%5D=x", ""),
        ("/p/7?f[a]=x", "query f/a: is not of type integer"),
        ("/p/7?f[b]=x", "query f/a: is missing"),
        ("/p/7?f[a]=1&f[a]=1", "query f: has a member more than once"),
        ("/p/7?f[a][b]=1", "query f: has a member in a member, or a bracket too few"),
        ("/p/7?f=1", "query f: is no map, written as name[member]"),
        ("/p/7?j=%7B%22a%22:1%7D", ""),
        ("/p/7?j=%7B%22a%22:1,%22a%22:2%7D", "query j: is no JSON"),
        ("/p/7?j=[]", "query j: is not of type object"),
        ("/q/7", "operation_unknown"),
        ("/p/7/8", "operation_unknown"),
        ("/P/7", "operation_unknown"),
    ] {
        let found = judge(&validation, ("GET", target), &[], None).err().unwrap_or_default();
        assert_eq!(found, told, "{target}");
    }
    for (headers, told) in [
        (&[("x-ids", "1, 2"), ("X-Ids", "3")][..], ""),
        (&[("x-ids", "1, b")], "header X-Ids/1: is not of type integer"),
        (&[("x-one", "abc"), ("cookie", "a=b; theme=dark")], ""),
        (&[("x-one", "abc1")], "header X-One: does not match the pattern ^[a-z]+$"),
        (&[("x-one", "abc"), ("x-one", "abc")], "header X-One: is given more than once"),
        (&[("cookie", "theme=red")], "cookie theme: is none of \"dark\", \"light\""),
        (
            &[("cookie", "theme=dark"), ("cookie", "theme=light")],
            "cookie theme: is given more than once",
        ),
    ] {
        let found = judge(&validation, ("GET", "/p/7"), headers, None).err().unwrap_or_default();
        assert_eq!(found, told, "{headers:?}");
    }
    let found = judge(&validation, ("POST", "/p/7"), &[], None);
    assert_eq!(found, Err("other methods: [GET]".to_owned()));
    assert_eq!(judge(&validation, ("HEAD", "/p/7"), &[], None), Ok(()));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bodies_are_of_the_types_that_are_documented() {
    let form = json!({ "type": "object", "required": ["name"], "additionalProperties": false, "properties": {
        "name": { "type": "string" }, "age": { "type": "integer" },
        "tag": { "type": "array", "items": { "type": "string" } },
    } });
    let object = json!({ "schema": { "type": "object" } });
    let paths = json!({
        "/x": { "post": { "requestBody": { "content": {
            "application/json": object,
            "application/x-www-form-urlencoded": { "schema": form },
            "image/*": { "schema": { "type": "string" } },
        } } }, "get": {} },
        "/any": { "post": { "requestBody": { "required": true, "content": { "*/*": object } } } },
    });
    let document = document("3.0.0", &paths, &json!({}));
    let validation = compiled(&document);
    let form = "application/x-www-form-urlencoded";
    for (target, headers, sent, told) in [
        ("/x", &[][..], None, ""),
        ("/x", &[("content-type", "application/json")], Some("{}"), ""),
        ("/x", &[("content-type", "Application/JSON; charset=\"UTF-8\"")], Some("{}"), ""),
        ("/x", &[("content-type", "application/json")], Some("[]"), ": is not of type object"),
        // A body that need not be there may be empty.
        ("/x", &[("content-type", "application/json")], Some(""), ""),
        ("/x", &[], Some("{}"), "media_type"),
        ("/x", &[("content-type", "text/plain")], Some("{}"), "media_type"),
        (
            "/x",
            &[("content-type", "application/json"), ("content-type", "text/plain")],
            Some("{}"),
            "media_type",
        ),
        ("/x", &[("content-type", "application/json, text/plain")], Some("{}"), "media_type"),
        ("/x", &[("content-type", "application/json; charset=utf-16")], Some("{}"), "charset"),
        (
            "/x",
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            Some("{}"),
            "content_encoding",
        ),
        (
            "/x",
            &[("content-type", "application/json"), ("content-encoding", "identity")],
            Some("{}"),
            "",
        ),
        (
            "/x",
            &[("content-type", "image/png"), ("content-encoding", "gzip")],
            Some("\u{89}PNG"),
            "",
        ),
        ("/x", &[("content-type", form)], Some("name=a+b&age=7&tag=x&tag=y"), ""),
        ("/x", &[("content-type", form)], Some("name=a&age=x"), "/age: is not of type integer"),
        ("/x", &[("content-type", form)], Some("name=a&name=b"), "/name: is given more than once"),
        ("/x", &[("content-type", form)], Some("name=a&x=1"), "/x: is not known here"),
        ("/x", &[("content-type", form)], Some(""), "/name: is missing"),
        ("/x", &[("content-type", form)], Some("name=%"), ": is no form in UTF-8, percent-encoded"),
        (
            "/x",
            &[("content-type", form)],
            Some("%=1&name=a"),
            ": is no form in UTF-8, percent-encoded",
        ),
        (
            "/any",
            &[("content-type", "application/problem+json")],
            Some("[]"),
            ": is not of type object",
        ),
        ("/any", &[("content-type", "text/plain")], Some("[]"), ""),
        ("/any", &[("content-type", "text/plain")], None, "body_missing"),
    ] {
        let sent = sent.map(str::as_bytes);
        let found = judge(&validation, ("POST", target), headers, sent).err().unwrap_or_default();
        assert_eq!(found, told, "{target} {headers:?} {sent:?}");
    }
    // What is not described at all.
    let found = judge(&validation, ("GET", "/x"), &[], Some(b"{}"));
    assert_eq!(found, Err("body_unknown".to_owned()));
    let lax = compile(&document, Unknown::Pass).expect("sound");
    assert_eq!(judge(&lax, ("GET", "/x"), &[], Some(b"{}")), Ok(()));
    assert_eq!(judge(&lax, ("DELETE", "/other"), &[], None), Ok(()));
    let json = [("content-type", "application/json")];
    assert!(judge(&lax, ("POST", "/x"), &json, Some(b"[]")).is_err());
}

#[test]
fn the_path_of_a_server_may_be_there_or_not() {
    let mut document =
        document("3.1.0", &json!({ "/a/{id}": { "get": {} }, "/": { "get": {} } }), &json!({}));
    document["servers"] = json!([{ "url": "https://api.example.com/v1/" }]);
    let validation = compiled(&document);
    for (path, found) in [
        ("/v1/a/7", true),
        ("/a/7", true),
        ("/", true),
        ("/v1/", true),
        ("/v2/a/7", false),
        ("/v1", false),
    ] {
        assert_eq!(judge(&validation, ("GET", path), &[], None).is_ok(), found, "{path}");
    }
}
