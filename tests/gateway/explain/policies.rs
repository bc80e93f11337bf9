//! What explanations tell of policies: what stands on the answer, a preflight, a route in maintenance.

use portcullis::explain::{Question, explain};
use portcullis::loading::load_text;

use crate::support::gateway::TestSources;

const FILE: &str = r#"
version: 1
listeners: { public: { address: "127.0.0.1:8080" } }
upstreams: { users: { targets: [ "127.0.0.1:8001" ] } }
consumers:
  mobile: { api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }
routes:
  shop:
    path: /shop
    methods: [ GET, PUT ]
    to: users
    cors: { origins: [ "https://app.test" ] }
    security_headers: { preset: none, referrer_policy: no-referrer }
    compress: true
  closed: { path: /closed, to: users, maintenance: { message: We move house. } }
"#;

fn told(method: &str, path: &str, headers: &[&str]) -> String {
    let loaded = load_text(FILE, &TestSources::default());
    let snapshot = loaded.compiled.unwrap().snapshot;
    let mut question = Question::new(method, path).unwrap();
    question.consumer = Some("mobile".to_owned());
    for header in headers {
        question.header(header).unwrap();
    }
    explain(&snapshot, 8080, &question).unwrap().to_text()
}

#[test]
fn what_a_policy_puts_on_the_answer() {
    let told = told("GET", "/shop/7", &["Origin: https://app.test", "Accept-Encoding: gzip"]);
    assert!(
        told.ends_with(
            "
answer     what users answers
           + referrer-policy: no-referrer
           + vary: Origin
           + access-control-allow-origin: https://app.test
           + access-control-expose-headers: X-Request-Id, Retry-After, RateLimit, RateLimit-Policy
           compressed by gzip, if its type and size are worth it
"
        ),
        "{told}"
    );
}

#[test]
fn a_preflight_and_the_route_it_is_about() {
    let asked = |origin: &str| {
        let origin = format!("Origin: {origin}");
        told("OPTIONS", "/shop/7", &[&origin, "Access-Control-Request-Method: PUT"])
    };
    assert_eq!(
        asked("https://app.test"),
        "\
request    OPTIONS /shop/7 on localhost from 127.0.0.1, as mobile
routes     -> shop    /shop    takes it, to users
              closed  /closed  is for another path than /shop/7
preflight  a browser asks whether a page may send PUT: answered at the gate
answer     204
           access-control-allow-origin: https://app.test
           access-control-allow-methods: PUT
           access-control-allow-headers: authorization, content-type, x-api-key
           access-control-max-age: 600
           vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
           referrer-policy: no-referrer
"
    );
    let told = asked("https://evil.test");
    let refused =
        "answer     403 cors_refused: Pages of this origin may not call this route from a browser.";
    assert!(told.contains(refused), "{told}");
}

#[test]
fn a_route_in_maintenance() {
    let told = told("GET", "/closed", &[]);
    assert!(told.contains("answer     503 maintenance: We move house.\n"), "{told}");
    // Nobody was asked for a key.
    assert!(told.contains("retry-after: 300") && !told.contains("\nauth "), "{told}");
}
