//! The tests that configurations carry: they refuse a file that does not do what it says.

use portcullis::loading::{self, Loaded};

use crate::support::gateway::TestSources;

const FILE: &str = r#"version: 1
listeners: { public: { address: "127.0.0.1:8080" } }
trusted_proxies: [ 10.0.0.0/8 ]
upstreams:
  users: { targets: [ "127.0.0.1:8001" ], gateway_secret: { header: x-api-key, value: "${env:GATE}" } }
consumers:
  mobile: { api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }
  partner: { api_keys: [ "sha256:bfe31525b56bef806e93c191560d5d84963f509a764d32ae1ebc5192b58f075b" ] }
defaults: { request_headers: { remove: [ X-Debug ] } }
routes:
  users: { path: /users, to: users, strip_prefix: true, allow: { consumers: [ mobile ] }, body_limit: 1KiB }
  hosted: { path: /, host: a.example.com, to: users }
  old: { path: /old, redirect: { to: /users }, auth: none }
tests:
"#;

fn load(tests: &str) -> Loaded {
    let env = [("GATE".to_owned(), "hunter2-of-the-gate".to_owned())].into();
    let sources = TestSources { env, ..TestSources::default() };
    loading::load_text(&format!("{FILE}{tests}"), &sources)
}

#[test]
fn what_holds_is_let_through() {
    let loaded = load(
        r#"
  - { when: GET /users/profile, as: mobile, expect: { upstream: users, route: users, path: /profile } }
  - { when: "GET /users?x=1", as: mobile, expect: { path: "/?x=1" } }
  - { when: "GET /users?x=1", as: mobile, expect: { path: / } }
  - { when: GET /users2, expect: { status: 404, code: no_route } }
  - { when: GET /users, expect: { status: 401, route: users } }
  - { when: GET /users, as: partner, expect: { status: 403, code: forbidden } }
  - { when: GET /users, with: { headers: { x-api-key: secret002oUdaRJA } }, expect: { upstream: users } }
  - { when: POST /users, as: mobile, with: { body_size: 1KiB }, expect: { upstream: users } }
  - { when: POST /users, as: mobile, with: { body_size: 2KiB }, expect: { code: body_too_large } }
  - { when: "GET http://a.example.com/x", expect: { route: hosted } }
  - { when: GET /x, with: { host: a.example.com }, expect: { route: hosted } }
  - when: GET /users
    as: mobile
    with: { headers: { X-Debug: "1", X-Forwarded-For: 192.0.2.1 }, client: 10.0.0.1 }
    expect:
      headers: { x-debug: null, X-Forwarded-For: "192.0.2.1, 10.0.0.1", x-consumer-name: mobile, x-api-key: "*" }
  - { when: GET /old, expect: { status: 307, headers: { Location: /users } } }
"#,
    );
    assert!(loaded.compiled.is_some(), "{}", loaded.diagnostics.render("it"));
    assert_eq!(
        loaded.diagnostics.render("it"),
        "it:22:33: warning: tests[6].with.headers: a key of mobile stands in the file\n    \
         help: take it out, and write `as: mobile`, which needs no key\n"
    );
}

/// Place, expected, found, and the command that looks closer; whatever is secret stays so.
#[test]
fn what_does_not_hold_refuses_the_file() {
    let loaded = load(
        r#"
  - { when: GET /users/profile, as: mobile, expect: { upstream: users, path: /users/profile } }
  - { when: GET /users2, expect: { upstream: users } }
  - { when: GET /users, expect: { status: 404 } }
  - { when: GET /users, as: mobile, expect: { status: 200, route: hosted } }
  - { when: GET /users, as: mobile, with: { headers: { x-api-key: secret002oUdaRJA }, host: b.test }, expect: { headers: { x-api-key: null, X-A: "1" } } }
  - { when: GET /old, expect: { path: /users, headers: { Location: /user } } }
"#,
    );
    assert!(loaded.compiled.is_none() && loaded.untested.is_some() && loaded.config.is_some());
    assert_eq!(
        loaded.diagnostics.render("it"),
        r#"it:16:78: error: tests[0].expect.path: expected the path "/users/profile", found "/profile"
    help: look closer: portcullis explain GET /users/profile --as mobile
it:17:46: error: tests[1].expect.upstream: expected upstream "users", found status 404 (no_route); /users2 is not under /users: prefixes match whole segments (route users)
    help: look closer: portcullis explain GET /users2
it:18:43: error: tests[2].expect.status: expected status 404, found status 401 (unauthorized, credential_missing)
    help: look closer: portcullis explain GET /users
it:19:55: error: tests[3].expect.status: expected status 200, found that it is sent on to upstream "users"
    help: look closer: portcullis explain GET /users --as mobile
it:19:67: error: tests[3].expect.route: expected route "hosted", found route "users"
    help: look closer: portcullis explain GET /users --as mobile
it:20:135: error: tests[4].expect.headers.x-api-key: expected no header x-api-key, found "***"
    help: look closer: portcullis explain GET http://b.test/users -H 'x-api-key: ...' --as mobile
it:20:146: error: tests[4].expect.headers.X-A: expected the header X-A to be "1", found none
    help: look closer: portcullis explain GET http://b.test/users -H 'x-api-key: ...' --as mobile
it:21:39: error: tests[5].expect.path: expected the path "/users", found status 307
    help: look closer: portcullis explain GET /old
it:21:68: error: tests[5].expect.headers.Location: expected the header Location to be "/user", found "/users"
    help: look closer: portcullis explain GET /old
"#
    );
}

#[test]
fn what_is_not_there_is_a_mistake() {
    let loaded = load(
        r"
  - { when: GET /users, expect: { route: user } }
  - { when: GET /users, expect: { upstream: usres } }
  - { when: GET /users, as: mobil, expect: { status: 401 } }
  - { when: /users, expect: { status: 401 } }
  - { when: GET users, expect: { status: 401 } }
  - { when: GET /users, expect: {} }
",
    );
    let told = loaded.diagnostics.render("it");
    for part in [
        "it:16:42: error: tests[0].expect.route: no route \"user\"\n    help: did you mean \"users\"?",
        "tests[1].expect.upstream: no upstream \"usres\"\n    help: did you mean \"users\"?",
        "it:18:29: error: tests[2].as: no consumer \"mobil\"\n    help: did you mean \"mobile\"?",
        "tests[3].when: \"/users\" is no method and path",
        "tests[4].when: \"users\" is neither a path nor a URL",
        "tests[5].expect: the test expects nothing",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert_eq!(loaded.diagnostics.len(), 6, "{told}");
}

/// Mistakes in the rest of the file are told alone: its tests would only repeat them.
#[test]
fn a_file_with_mistakes_is_not_tested() {
    let sources = TestSources::default();
    let text = format!("{FILE}  - {{ when: GET /users, expect: {{ status: 200 }} }}\n");
    let told = loading::load_text(&text, &sources).diagnostics.render("it");
    assert!(told.contains("GATE") && !told.contains("tests[0]"), "{told}");
}
