//! `portcullis schema` is what editors check by: it takes what the program takes, and refuses what it can.

use std::process::Command;

use serde_json::Value;

use super::{folder, yaml_files};
use crate::support::schema::validate;

fn schema() -> Value {
    let printed = Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("schema").output().unwrap();
    assert!(printed.status.success());
    serde_json::from_slice(&printed.stdout).unwrap()
}

fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn every_file_that_is_shipped_is_valid() {
    let mut files = yaml_files("conf");
    files.extend(yaml_files("conf/examples"));
    assert!(files.len() >= 19, "{files:?}");
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let values: Vec<Value> = texts.map(|text| read(&text)).collect();
    for (file, answer) in files.iter().zip(validate(&schema(), &values)) {
        answer.unwrap_or_else(|mistakes| panic!("{}:\n{mistakes}", file.display()));
    }
}

/// What a schema cannot know (names, digests that stand twice, what lies on the disk) is left to `check`.
#[test]
fn what_a_schema_can_know_it_refuses() {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for file in yaml_files("tests/config/invalid") {
        let text = std::fs::read_to_string(&file).unwrap();
        let Ok(value) = serde_yaml::from_str::<Value>(&text) else { continue };
        names.push(file.file_stem().unwrap().to_str().unwrap().to_owned());
        values.push(value);
    }
    let answers = validate(&schema(), &values);
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    let must = ["unknown-", "type-", "unit-", "size-unit", "version-"];
    for (name, answer) in names.iter().zip(&answers) {
        let known = must.iter().any(|prefix| name.starts_with(prefix));
        assert!(!known || answer.is_err(), "{name} is valid by the schema");
    }
    assert!(refused >= 60, "only {refused}");
}

/// Everything that is written in more than one way, by hand in the code and so by hand in the schema.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of forms")]
fn every_form_of_a_value_is_valid() {
    let forms = [
        r#"upstreams: { u: { targets: [ "a:1", { url: "b:1" }, { url: "c:1", weight: 3 } ] } }"#,
        "upstreams: { u: { targets: [ 'a:1' ], balance: random } }",
        "upstreams: { u: { targets: [ 'a:1' ], balance: { hash: client_ip } } }",
        "upstreams: { u: { targets: [ 'a:1' ], balance: { hash: { header: X-User } } } }",
        "upstreams: { u: { targets: [ 'a:1' ], health: none } }",
        "upstreams: { u: { targets: [ 'a:1' ], health: { path: /h, expect: [ 200, '204', 300-399 ] } } }",
        "upstreams: { u: { targets: [ 'a:1' ], host: target, protocol: h2, when_all_down: try_anyway } }",
        "upstreams: { u: { targets: [ 'a:1' ], gateway_secret: { value: '${env:SECRET:-x}' } } }",
        "routes: { r: { path: /, host: a.example, to: u } }",
        "routes: { r: { path: /, host: [ a.example, '*.b.example' ], to: u } }",
        "routes: { r: { path: /, to: u, strip_prefix: true } }",
        "routes: { r: { path: /, to: u, strip_prefix: /api } }",
        "routes: { r: { path: /, to: u, auth: none } }",
        "routes: { r: { path: /, to: u, auth: [ key, other ] } }",
        "routes: { r: { path: /, to: u, allow: { consumers: [ a ] } } }",
        "routes: { r: { path: /, to: u, allow: { groups: a, require: { scope: [ a, b ] }, observe: true } } }",
        "routes: { r: { path: /, to: u, auth: { all: [ key, login ] } } }",
        "routes: { r: { path: /, to: u, ip: none } }",
        "defaults: { ip: { allow: [ 10.0.0.0/8 ], observe: true } }",
        "auth: { l: { jwt: { issuer: a, audience: [ b, c ], jwks: auto, algorithms: [ EdDSA, RS256 ] } } }",
        "routes: { r: { path: /, to: u, request_headers: { add: { X-A: a, X-B: [ b, c ] } } } }",
        "policies: { p: { cors: { origins: '*' } } }",
        "policies: { p: { cors: none, security_headers: strict, compress: true, maintenance: false } }",
        "defaults: { use: [ p ], security_headers: { preset: none, hsts: max-age=5 } }",
        "routes: { r: { path: /, to: u, use: p, cors: { origins: [ 'https://a.test' ], headers: '*' } } }",
        "routes: { r: { path: /, to: u, compress: { algorithms: [ br ] }, maintenance: { retry_after: 1h } } }",
        "consumers: { c: { api_keys: 'sha256:0000000000000000000000000000000000000000000000000000000000000001' } }",
        "consumers: { c: { api_keys: [ { digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000001', expires: '2030-01-01T00:00:00Z' } ] } }",
        "routes: { r: { path: /, to: u, limits: none } }",
        "routes: { r: { path: /, to: u, limits: 5/min } }",
        "routes: { r: { path: /, to: u, limits: { rate: 5/min, per: ip } } }",
        "routes: { r: { path: /, to: u, limits: [ 100/s burst 50, { rate: [ 5/min, 9/day ], per: [ route, { header: X } ], mode: delay } ] } }",
        "routes: { r: { path: /, to: u, limits: [ { rate: 5/min, per: { cookie: c }, methods: GET, cost: 2, mode: { delay: 2s }, observe: true } ] } }",
        "plans: { p: { concurrency: 5, priority: high }, q: { priority: low } }",
        "routes: { r: { path: /, to: u, concurrency: 5 } }",
        "routes: { r: { path: /, to: u, concurrency: { max: 5, queue: 0, wait: 1s, observe: true } } }",
        "routes: { r: { path: /, to: u, concurrency: none } }",
        "defaults: { concurrency: { max: 5 } }",
        "policies: { p: { concurrency: 5 } }",
        "upstreams: { u: { targets: [ \"127.0.0.1:8001\" ], concurrency: adaptive } }",
        "upstreams: { u: { targets: [ \"127.0.0.1:8001\" ], concurrency: { adaptive: true, min: 2, max: 9, per_target: 5 } } }",
        "plans: { p: { limits: 5/min }, q: { limits: [ 5/min, 7/hour ] } }",
        "failed_credentials: none",
        "failed_credentials: 5/min",
        "logs: { access: off, format: text }",
        "logs: { access: /var/log/access.log, format: combined }",
        "logs: { access: journald, sample: [ { route: r, keep: 1% }, { status: 2xx, keep: 10% } ] }",
        "logs: { sample: [ { status: 404, keep: 0% }, { status: 200-399, keep: 100% }, { keep: 5% } ] }",
        "workers: 4",
        "admin: { address: '127.0.0.1:9901' }",
        "trusted_proxies: [ 10.0.0.0/8, '::1' ]",
    ];
    let texts = forms.map(|form| {
        let mut text = format!("version: 1\n{form}\n");
        for section in
            ["listeners: { l: { address: '127.0.0.1:80' } }", "routes: { r: { path: / } }"]
        {
            if !form.starts_with(&section[..6]) {
                text.push_str(section);
                text.push('\n');
            }
        }
        text
    });
    let values = texts.each_ref().map(|text| read(text));
    for ((form, text), answer) in forms.iter().zip(&texts).zip(validate(&schema(), &values)) {
        answer.unwrap_or_else(|mistakes| panic!("{form}:\n{mistakes}"));
        // The program itself takes the form too: what it refuses then is another matter.
        let mut diagnostics = portcullis::diagnostic::Diagnostics::new();
        let sources = crate::support::gateway::TestSources::default();
        let read =
            portcullis::yaml::read::<portcullis::config::Config>(text, &sources, &mut diagnostics);
        assert!(read.wrong.is_empty(), "{form}:\n{}", diagnostics.render("it"));
    }
}

/// An editor shows these when the mouse rests on a key.
#[test]
fn every_key_is_described() {
    fn walk(node: &Value, path: &str, missing: &mut Vec<String>) {
        for (key, value) in node["properties"].as_object().into_iter().flatten() {
            let told = value["description"].is_string() || value["$ref"].is_string();
            if !told {
                missing.push(format!("{path}.{key}"));
            }
        }
        match node {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), missing));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, path, missing)),
            _ => {}
        }
    }
    let schema = schema();
    assert!(schema["title"].is_string() && schema["description"].is_string());
    let mut missing = Vec::new();
    walk(&schema, "", &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!folder("conf").join("schema.json").exists(), "it is printed, not kept");
}
