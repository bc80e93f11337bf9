//! The words of explanations, as they are printed.

use std::fs;
use std::process::{Command, Output};

use crate::support::{get, secrets};

const FILE: &str = r#"
version: 1
listeners: { public: { address: "127.0.0.1:8080" } }
upstreams:
  users:
    targets: [ "127.0.0.1:8001", { url: "127.0.0.1:8011", weight: 3 } ]
    gateway_secret: { header: x-api-key, value: "${env:GATEWAY_SECRET}" }
  orders:
    targets: [ "http://orders.internal:8002", "http://orders-2.internal:8002" ]
    host: target
    balance: { hash: path }
consumers:
  mobile: { api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }
  partner: {}
defaults:
  request_headers: { set: { X-Gateway: "True", X-Caller: "${header.authorization}" }, remove: [ X-Debug ] }
routes:
  users: { path: /users, to: users, strip_prefix: true }
  mine: { path: "/users/{id}/orders", to: orders, methods: [ GET ], headers: { X-V: "2" } }
  admin: { path: /admin, host: admin.example.com, to: users, allow: { consumers: [ partner ] } }
  one: { path: /one, exact: true, auth: none, respond: { status: 204 } }
  old: { path: /old, auth: none, redirect: { to: "/new${request.path}" } }
"#;

const KEY: &str = "secret002oUdaRJA";

fn explain(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.yaml");
    fs::write(&file, FILE).unwrap();
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .env_clear()
        .env("GATEWAY_SECRET", "hunter2-of-the-gate")
        .arg("explain")
        .args(arguments)
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap()
}

fn told(arguments: &[&str]) -> String {
    let output = explain(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    secrets::none_in("explain", &told);
    told
}

#[test]
fn a_request_that_is_sent_on() {
    let key = format!("x-api-key: {KEY}");
    let headers =
        ["-H", &key, "-H", "X-Debug: 1", "-H", "Authorization: Bearer s3cr3t-7q3z-of-mine"];
    let mut arguments = vec!["GET", "/users//7?x=1"];
    arguments.extend(headers);
    assert_eq!(
        told(&arguments),
        "\
request    GET /users//7?x=1 on localhost from 127.0.0.1
path       /users/7, which is what routes are matched by
routes     -> users  /users              takes it, to users
              admin  /admin              is for admin.example.com, not localhost, and for other paths
              mine   /users/{id}/orders  /users/7 is above /users/{id}/orders, not under it
              old    /old                is for another path than /users/7
              one    /one                is for another path than /users/7
auth       asks for a key in x-api-key: lets mobile in
forward    to users: /7?x=1
headers    host: localhost
           + traceparent: new-for-each-request
           + via: 1.1 portcullis
           + x-caller: ***
           + x-consumer-name: mobile
           + x-forwarded-for: 127.0.0.1
           + x-forwarded-host: localhost
           + x-forwarded-port: 8080
           + x-forwarded-prefix: /users
           + x-forwarded-proto: http
           + x-gateway: True
           + x-request-id: new-for-each-request
           ~ x-api-key: ***
           - x-debug
           as sent: authorization
target     round_robin of 127.0.0.1:8001 (weight 1), 127.0.0.1:8011 (weight 3)
           which are healthy is known to a running gateway only
answer     what users answers
"
    );
}

#[test]
fn a_target_is_not_chosen_without_a_network() {
    let told = told(&["GET", "/users/7/orders", "-H", "X-V: 2", "--as", "mobile"]);
    let (_, rest) = told.split_once("\ncaptures ").unwrap();
    assert!(
        rest.starts_with(
            "  id = 7
auth       asks for a key in x-api-key: lets mobile in
forward    to orders: /users/7/orders
headers    host: that of the target that is chosen
"
        ),
        "{told}"
    );
    assert!(
        rest.ends_with(
            "
target     hash by the path of http://orders.internal:8002, http://orders-2.internal:8002
           which are healthy is known to a running gateway only
answer     what orders answers
"
        ),
        "{told}"
    );
}

/// The answer, and what was the nearest miss.
#[test]
fn a_miss_names_what_was_near() {
    for (arguments, nearest) in [
        (
            &["GET", "/users2"][..],
            "/users2 is not under /users: prefixes match whole segments (route users)",
        ),
        (
            &["GET", "/Users/7"],
            "/Users/7 is not under /users: upper and lower case are not the same (route users)",
        ),
        (
            &["GET", "/user/7"],
            "/user/7 is not under /users: segment 1 is \"user\", not \"users\" (route users)",
        ),
        (
            &["GET", "/one/"],
            "/one/ has a slash at its end, and /one is exact, without one (route one)",
        ),
        (&["GET", "/one/two"], "/one/two is below /one, which is exact (route one)"),
        (
            &["GET", "http://api.example.com/admin/x"],
            "/admin/x is under /admin for admin.example.com, not for api.example.com (route admin)",
        ),
        (
            &["GET", "/users/7/orders"],
            "/users/7/orders is under /users/{id}/orders, but the header x-v is missing or another \
             (route mine)",
        ),
    ] {
        let told = told(arguments);
        assert!(told.contains(&format!("\nnearest    {nearest}\n")), "{nearest}\n{told}");
        assert!(told.contains("\nanswer     404 no_route: "), "{told}");
    }
    assert!(!told(&["GET", "/"]).contains("nearest"), "nothing is near to /");
}

#[test]
fn an_answer_of_our_own_is_told_with_its_cause() {
    for (arguments, parts) in [
        (
            &["POST", "/users/7/orders", "-H", "X-V: 2"][..],
            &["takes GET, HEAD only, not POST", "405 method_not_allowed", "allow: GET, HEAD"][..],
        ),
        (
            &["GET", "/users/7"],
            &["refuses (credential_missing)", "--as CONSUMER", "401 unauthorized"],
        ),
        (
            &["GET", "/users/7", "-H", "x-api-key: s3cr3t-7q3z-but-wrong"],
            &["refuses (credential_unknown)", "401 unauthorized"],
        ),
        (&["GET", "/users/7", "--as", "partner"], &["partner has no key that counts here"]),
        (
            &["GET", "http://admin.example.com/admin", "--as", "mobile"],
            &["refuses mobile (consumer_not_allowed)", "403 forbidden"],
        ),
        (
            &["GET", "/old/x"],
            &["none: everybody may pass", "answer     307", "location: /new/old/x"],
        ),
        (&["GET", "/one"], &["takes it, and answers by itself", "answer     204\n"]),
        (&["GET", "/a/../../x"], &["400 bad_request: The path leads above the root"]),
        (
            &["PUT", "/users/7", "--as", "mobile", "-H", "Content-Length: 99999999"],
            &["lets mobile in", "413 body_too_large"],
        ),
    ] {
        let told = told(arguments);
        for part in parts {
            assert!(told.contains(part), "{part}\n{told}");
        }
    }
}

/// The page about it shows what is printed.
#[test]
fn the_documentation_shows_what_is_printed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(folder.join("docs/explain.md")).unwrap();
    let arguments = "explain GET /users/7 --as demo --config conf/demo.yaml";
    let (_, after) = page.split_once(&format!("$ portcullis {arguments}\n")).unwrap();
    let (shown, _) = after.split_once("```").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), shown);
}

#[test]
fn programs_are_told_the_same() {
    let value: serde_json::Value =
        serde_json::from_str(&told(&["GET", "/users/7", "--as", "mobile", "--json"])).unwrap();
    assert_eq!(value["route"], "users");
    assert_eq!(value["request"]["as"], "mobile");
    assert_eq!(value["forward"]["target"], "/7");
    assert_eq!(value["forward"]["choice"]["health"], "unknown");
    assert_eq!(value["auth"]["consumer"], "mobile");
    assert_eq!(value["routes"].as_array().unwrap().len(), 5);
    let changes = value["forward"]["changes"].as_array().unwrap();
    assert!(changes.iter().any(|c| c["name"] == "x-api-key" && c["values"][0] == "***"));
    assert!(value["answer"].is_null());
}

#[test]
fn a_question_that_is_none_is_refused() {
    for (arguments, code, part) in [
        (&["GET", "users"][..], 2, "write a path such as /users/7"),
        (&["GE T", "/users"], 2, "is not a method"),
        (&["GET", "/users", "-H", "x-api-key s3cr3t-7q3z"], 2, "a header has no colon"),
        (&["GET", "/users", "--as", "mobil"], 2, "did you mean \"mobile\"?"),
        (&["GET", "http://me:s3cr3t-7q3z@api.example.com/"], 2, "user name or password"),
        (&["GET", "/users", "--config", "/nowhere.yaml"], 2, "cannot be used multiple times"),
    ] {
        let output = explain(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(part) && output.stdout.is_empty(), "{told}");
        assert!(!told.contains("s3cr3t-7q3z"), "{told}");
    }
}

/// What the gateway counts does not move when somebody asks.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent() {
    let origin = crate::support::Origin::start("users").await;
    let text = format!(
        "upstreams: {{ users: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ users: {{ path: /users, to: users, auth: none }} }}\n",
        origin.address
    );
    let whole = format!("version: 1\nlisteners: {{ a: {{ address: \"127.0.0.1:0\" }} }}\n{text}");
    let sources = crate::support::gateway::TestSources::default();
    let snapshot = portcullis::loading::load_text(&whole, &sources).compiled.unwrap().snapshot;
    let question = portcullis::explain::Question::new("GET", "/users").unwrap();
    for _ in 0..5 {
        portcullis::explain::explain(&snapshot, 80, &question).unwrap();
    }
    assert!(snapshot.upstreams["users"].targets().iter().all(|target| target.in_flight == 0));
    let gateway = crate::support::Gateway::start(&text).await;
    assert_eq!(get(gateway.address(), "/users", &[]).await.status, 200);
    assert_eq!(origin.seen().len(), 1, "only what was sent to the gateway");
}
