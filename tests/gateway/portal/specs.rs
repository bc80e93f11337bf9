//! Where specs come from: real services, slow, broken and hostile ones; and that none of them holds anything up.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use super::assert_valid;
use crate::support::{Gateway, Origin, Reloading, eventually, get};

const SPEC: &str = r#"{"openapi":"3.1.0","info":{"title":"One","version":"1"},"paths":{"/one":{"get":{"responses":{"200":{"description":"Good"}}}}}}"#;

/// A route to a service with a document, and a portal.
pub fn one(address: SocketAddr) -> String {
    format!(
        "upstreams: {{ one: {{ targets: [ \"{address}\" ], health: none, openapi: /openapi.json }} }}\n\
         routes:\n  one: {{ path: /one, to: one, auth: none }}\n  docs: {{ path: /docs, auth: none, portal: true }}\n"
    )
}

async fn document(gateway: &Gateway) -> Value {
    get(gateway.address(), "/docs/openapi.json", &[]).await.json()
}

async fn tells(gateway: &Gateway, what: &str) -> Value {
    let mut document = Value::Null;
    eventually(what, async || {
        document = self::document(gateway).await;
        document.to_string().contains(what)
    })
    .await;
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_spec_is_shown_as_such_and_mended_by_itself() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let origin = Origin::with(move |_| {
        let text = match count.fetch_add(1, Ordering::Relaxed) {
            0 => return Response::builder().status(500).body(Full::default()).unwrap(),
            1 => "<html>no spec</html>".to_owned(),
            _ => SPEC.to_owned(),
        };
        Response::new(Full::from(text))
    })
    .await;
    let gateway = Gateway::start(&one(origin.address)).await;
    let broken = tells(&gateway, "cannot be read now").await;
    assert_valid("broken", &broken);
    // Why is the operators' affair.
    assert!(!broken.to_string().contains("500"), "{broken}");
    let good = tells(&gateway, "/one").await;
    assert!(!good.to_string().contains("cannot be read"), "{good}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_specs_end_soon() {
    let head = r#"{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{},"x":"#;
    let bomb =
        (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |mut text, level| {
            let before = vec![format!("*a{}", level - 1); 9].join(", ");
            let _ = writeln!(text, "a{level}: &a{level} [{before}]");
            text
        });
    let mut allof = json!({ "A0": { "type": "string" } });
    for level in 1..60 {
        let below = json!({ "$ref": format!("#/components/schemas/A{}", level - 1) });
        allof[format!("A{level}")] = json!({ "allOf": [below, below] });
    }
    let deep_refs = json!({ "openapi": "3.0.0", "info": { "title": "x", "version": "1" },
        "paths": { "/one": { "get": { "responses": { "200": { "description": "", "content": { "a/b": {
        "schema": { "$ref": "#/components/schemas/A59" } } } } } } } }, "components": { "schemas": allof } });
    let inlined = json!({ "openapi": "3.0.0", "info": { "title": "x", "version": "1" },
        "x": { "$ref": "#/x" }, "y": { "properties": { "a": { "$ref": "#/y" }, "b": { "$ref": "#/y" } } },
        "paths": { "/one": { "get": { "responses": { "200": { "description": "", "content": { "a/b": {
        "schema": { "$ref": "#/x" } }, "a/c": { "schema": { "$ref": "#/y" } } } } } } } } });
    for (what, text, told) in [
        ("50 MB", format!("{head}\"{}\"}}", "x".repeat(50 << 20)), "cannot be read now"),
        ("deep", format!("{head}{}", "[".repeat(1 << 20)), "cannot be read now"),
        ("wide", format!("{head}[{}1]}}", "1,".repeat(3 << 20)), "cannot be read now"),
        ("aliases", bomb, "cannot be read now"),
        ("expanding references", deep_refs.to_string(), "/one"),
        ("references outside of components, in circles", inlined.to_string(), "/one"),
    ] {
        let text = bytes::Bytes::from(text);
        let origin = Origin::with(move |_| Response::new(Full::new(text.clone()))).await;
        let gateway = Gateway::start(&one(origin.address)).await;
        let document = tells(&gateway, told).await;
        assert!(document.to_string().len() < 1 << 20, "{what}");
        // It goes on with everything else.
        assert_eq!(get(gateway.address(), "/one", &[]).await.status, 200, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fastapi_services_make_one_valid_document_that_schemathesis_finds_true() {
    use crate::real::{GATEWAY_SECRET, KEY, KEY_DIGEST, Service};
    let (items, shop) = (Service::start().await, Service::start_script("shop.py").await);
    let gateway = Gateway::start(&format!(
        "upstreams:\n  items: {{ targets: [ \"{}\" ], openapi: /openapi.json, gateway_secret: {{ value: \"{GATEWAY_SECRET}\" }} }}\n  \
         shop: {{ targets: [ \"{}\" ], openapi: /openapi.json, gateway_secret: {{ value: \"{GATEWAY_SECRET}\" }} }}\n\
         consumers: {{ python: {{ api_keys: [ \"{KEY_DIGEST}\" ] }} }}\n\
         routes:\n  items: {{ path: /api/v1, to: items, strip_prefix: true }}\n  \
         shop: {{ path: \"/tenants/{{tenant}}/shop\", to: shop, rewrite: \"/v2/${{path.tenant}}\" }}\n  \
         docs: {{ path: /docs, auth: none, portal: true }}\n",
        items.address, shop.address
    ))
    .await;
    tells(&gateway, "/tenants/{tenant}/shop").await;
    let document = tells(&gateway, "/api/v1/items/{number}").await;
    assert_valid("FastAPI", &document);
    let names: BTreeSet<&String> =
        document["components"]["schemas"].as_object().unwrap().keys().collect();
    // Both have it, and it is the same.
    assert!(names.iter().any(|name| *name == "HTTPValidationError"), "{names:?}");
    let address = format!("http://{}", gateway.address());
    let output = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(crate::support::python::interpreter());
        command.arg(crate::support::python::script("fuzz.py")).args([&address, KEY]);
        command.output().unwrap()
    })
    .await
    .unwrap();
    let (out, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
    let said: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    for run in ["known", "unknown"] {
        assert_eq!(said[run]["exit"], 0, "{out}\n{errors}");
        assert_eq!(said[run]["strangers"], json!([]), "let in without a key");
    }
    let answers = |run: &str, of: &str| {
        let all = said[run]["answers"].as_object().unwrap().iter();
        all.filter(|(name, _)| name.starts_with(of)).filter_map(|(_, n)| n.as_u64()).sum::<u64>()
    };
    // It came through to the services, and met the gateway's own answers beside theirs of the same status.
    assert!(answers("known", "service 2") > 100, "{said}");
    for met in ["service 400", "gateway 400", "gateway 401", "service 404", "service 422"] {
        assert!(answers("known", met) > 0, "{met}: {said}");
    }
    assert!(answers("unknown", "gateway 401") > 20, "{said}");
    assert_eq!(answers("unknown", "service"), 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_operations_are_merged_and_valid() {
    let mut paths = serde_json::Map::new();
    for number in 0..125 {
        let reference = json!({ "$ref": format!("#/components/schemas/Model{}", number % 40) });
        let answer = json!({ "200": { "description": "Good", "content": { "application/json": { "schema": reference } } } });
        let body = json!({ "content": { "application/json": { "schema": reference } } });
        let parameters = json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } }]);
        paths.insert(format!("/things{number}/{{id}}"), json!({ "parameters": parameters,
            "get": { "operationId": format!("get{number}"), "responses": answer },
            "put": { "operationId": format!("put{number}"), "requestBody": body, "responses": answer },
            "patch": { "operationId": format!("patch{number}"), "requestBody": body, "responses": answer },
            "delete": { "operationId": format!("delete{number}"), "responses": answer } }));
    }
    let models: serde_json::Map<String, Value> = (0..40)
        .map(|number| {
            let next =
                json!({ "$ref": format!("#/components/schemas/Model{}", (number + 1) % 40) });
            (format!("Model{number}"), json!({ "type": "object", "properties": { "next": next } }))
        })
        .collect();
    let spec =
        json!({ "openapi": "3.1.0", "info": { "title": "Large", "version": "1" }, "paths": paths,
        "components": { "schemas": models } })
        .to_string();
    let origin = Origin::with(move |_| Response::new(Full::from(spec.clone()))).await;
    let gateway = Gateway::start(&format!(
        "upstreams: {{ large: {{ targets: [ \"{}\" ], health: none, openapi: /openapi.json }} }}\n\
         routes:\n  large: {{ path: /large, to: large, auth: none, strip_prefix: true }}\n  \
         docs: {{ path: /docs, auth: none, portal: true }}\n",
        origin.address
    ))
    .await;
    let document = tells(&gateway, "/large/things124/{id}").await;
    let count: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(count, 500);
    assert_valid("500 operations", &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_goes_on_with_what_is_known() {
    let origin = Origin::with(|_| Response::new(Full::from(SPEC))).await;
    let gateway = Reloading::start(&one(origin.address)).await;
    let document = async || get(gateway.address(), "/docs/openapi.json", &[]).await;
    eventually("the spec is read", async || document().await.text().contains("/one")).await;
    let (before, asked) = (document().await, origin.seen().len());
    let other =
        one(origin.address) + "  more: { path: /more, auth: none, respond: { status: 204 } }\n";
    gateway.change_to(&other).await;
    assert_eq!(get(gateway.address(), "/more", &[]).await.status, 204);
    let after = document().await;
    assert_eq!((after.header("etag"), origin.seen().len()), (before.header("etag"), asked));
}
