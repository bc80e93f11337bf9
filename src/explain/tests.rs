use super::*;
use crate::snapshot;
use crate::yaml::System;

const FILE: &str = r#"version: 1
listeners: { public: { address: "127.0.0.1:8080" } }
upstreams:
  users: { targets: [ "127.0.0.1:8001", "127.0.0.1:8002" ], balance: { hash: { header: X-User } } }
  named: { targets: [ "users.internal:8001" ], balance: { hash: path } }
consumers:
  me: { api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }
routes:
  users:
    path: /users
    to: users
    headers: { X-Tenant: acme, Cookie: "a=s3cr3t" }
    request_headers: { rename: { Authorization: X-Legacy }, set: { X-Copy: "<${header.cookie}>" } }
  named: { path: /named, to: named, auth: none }
  pair: { path: "/p;x", to: users, auth: none }
  other: { path: /p, to: users, auth: none }
"#;

fn told(method: &str, url: &str, headers: &[&str]) -> Explanation {
    let system = System { base: std::path::PathBuf::new() };
    let draft = snapshot::draft(FILE, &system, None);
    let compiled = draft.compiled.unwrap_or_else(|| panic!("{}", draft.diagnostics.render("it")));
    let mut question = Question::new(method, url).unwrap();
    for header in headers {
        question.header(header).unwrap();
    }
    explain(&compiled.snapshot, 8080, &question).unwrap()
}

/// Under whatever name a credential goes on, and wherever a template has put it.
#[test]
fn a_secret_is_not_shown_under_another_name() {
    let told = told(
        "GET",
        "/users/1",
        &[
            "x-api-key: secret002oUdaRJA",
            "X-Tenant: acme",
            "Cookie: a=s3cr3t",
            "Authorization: Bearer of-great-joy",
        ],
    );
    let forward = told.forward.as_ref().unwrap();
    let values = |name: &str| {
        let change = forward.changes.iter().find(|change| change.name == name);
        change.unwrap_or_else(|| panic!("{name}: {:?}", forward.changes)).values.clone()
    };
    assert_eq!(values("x-copy"), ["<***>"]);
    assert_eq!(values("x-legacy"), ["***"]);
    assert_eq!(values("authorization"), [""; 0]);
    for shown in [told.to_text(), told.to_json(), format!("{told:?}")] {
        for secret in ["secret002", "s3cr3t", "great-joy"] {
            assert!(!shown.contains(secret), "{secret}:\n{shown}");
        }
    }
}

#[test]
fn a_condition_on_a_credential_keeps_it() {
    let told = told("GET", "/users", &["X-Tenant: acme"]);
    let users = told.routes.iter().find(|verdict| verdict.route == "users").unwrap();
    assert_eq!(users.why, "wants another value of the header cookie");
    let told = self::told("GET", "/users", &["Cookie: a=s3cr3t"]);
    let users = told.routes.iter().find(|verdict| verdict.route == "users").unwrap();
    assert_eq!(users.why, "wants the header x-tenant to be \"acme\"");
}

#[test]
fn a_hash_leads_to_a_target_if_the_addresses_are_known() {
    let preferred = |told: Explanation| told.forward.unwrap().choice.preferred;
    let headers =
        ["x-api-key: secret002oUdaRJA", "X-Tenant: acme", "Cookie: a=s3cr3t", "X-User: 7"];
    let first = preferred(told("GET", "/users", &headers));
    assert!(first.as_ref().is_some_and(|label| label.starts_with("127.0.0.1:800")), "{first:?}");
    assert_eq!(preferred(told("GET", "/users/1", &headers)), first);
    assert_eq!(preferred(told("GET", "/users", &headers[..3])), None, "there is no key");
    assert_eq!(preferred(told("GET", "/named", &[])), None, "nobody has resolved the name");
}

#[test]
fn two_readings_are_both_told() {
    let told = told("GET", "/p;x/1", &[]);
    let pair = told.routes.iter().find(|verdict| verdict.route == "pair").unwrap();
    assert_eq!(pair.why, "would take it, but other software may read /p/1, which is of other");
    assert_eq!(told.answer.map(|answer| answer.status), Some(400));
}

#[test]
fn a_url_is_split_as_written() {
    for (url, host, target) in [
        ("/a//b?x=%20", "localhost", "/a//b?x=%20"),
        ("http://api.example.com:8080/a/../b", "api.example.com:8080", "/a/../b"),
        ("HTTPS://[::1]", "[::1]", "/"),
        ("http://a?x", "a", "/?x"),
    ] {
        let question = Question::new("GET", url).unwrap();
        assert_eq!((&*question.host, &*question.target), (host, target));
    }
    for url in ["", "a/b", "ftp://a/b", "http://me:pw@a/"] {
        assert!(Question::new("GET", url).is_err(), "{url}");
    }
}

#[test]
fn a_host_among_the_headers_has_the_last_word() {
    let told = told("GET", "http://a.test/named", &["host: b.test"]);
    assert_eq!(told.request.host, "b.test");
}
