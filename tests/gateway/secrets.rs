//! No credential or secret is told: not in a log at any level, a metric, an error, an explanation, or to operators.
//!
//! All stories are held to it while they run ([`crate::support::secrets`]). Those here plant in every place that
//! a client and an author have, and hold that the ears hear.

use std::process::Command;

use http::Response;
use http_body_util::Full;

use crate::support::gateway::TestSources;
use crate::support::{Client, Gateway, Origin, RawOrigin, Reloading, get, secrets, send};

const KEY: &str = "planted-key-7q3z";
const TOKEN: &str = "planted-token-7q3z-0123456789";
const BEARER: (&str, &str) = ("Authorization", "Bearer planted-token-7q3z-0123456789");
const LOCAL: (&str, &str) = ("Host", "localhost");

/// Headers with something in them that must not be told.
pub const PLANTED: &[(&str, &str)] = &[
    ("X-Api-Key", KEY),
    ("Authorization", "Bearer planted-bearer-7q3z"),
    ("Cookie", "session=planted-cookie-7q3z; other=1"),
    ("Proxy-Authorization", "Basic planted-proxy-7q3z"),
    ("X-Gate", "planted-forged-7q3z"),
    ("Referer", "https://a.test/?planted-referer-7q3z"),
    ("X-Request-Id", "planted-id-7q3z"),
    ("X-Forwarded-For", "planted-for-7q3z"),
    ("Traceparent", "00-planted-trace-7q3z-01"),
    ("Tracestate", "planted=state-7q3z"),
];

/// Targets of all fates with something in the query that must not be told.
const TARGETS: &[&str] = &[
    "/svc?api_key=planted-query-7q3z&planted-bare-7q3z&a=b;c=planted-query-7q3z",
    "/open/x?token=planted-query-7q3z",
    "/narrow?token=planted-query-7q3z",
    "/broken?token=planted-query-7q3z",
    "/none?token=planted-query-7q3z",
    "/none%00?token=planted-query-7q3z",
    "/..%2f?token=planted-query-7q3z",
    "*?token=planted-query-7q3z",
    "http://gateway.test/svc?token=planted-query-7q3z",
    "/svc?%zz=planted-query-7q3z&x=%00planted-query-7q3z",
];

/// Heads that the parser refuses by itself.
const UNREADABLE: &[&str] = &[
    "GET /svc HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Api-Key: planted-key-7q3z\r\n\r\n",
    "GET /svc?planted-query-7q3z HTTP/1.1\r\nHost: a\r\nX-Api-Key planted-key-7q3z\r\n\r\n",
    "GET http://planted-user-7q3z@gateway.test/svc HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "POST /svc HTTP/1.1\r\nHost: a\r\nContent-Length: planted-7q3z\r\nX-Api-Key: planted-key-7q3z\r\n\r\n",
    "planted-line-7q3z\r\n\r\n",
];

fn configuration(origin: &Origin, broken: &RawOrigin) -> String {
    format!(
        r#"
admin: {{ address: "127.0.0.1:0", token: {TOKEN} }}
upstreams:
  svc: {{ targets: [ "{}" ], health: none, gateway_secret: {{ header: x-gate, value: "${{env:GATE}}" }} }}
  broken: {{ targets: [ "{}" ], health: none, gateway_secret: {{ value: planted-plainly-7q3z }} }}
consumers:
  app: {{ api_keys: [ "{}" ] }}
  other: {{ api_keys: [ "{}" ] }}
routes:
  svc:
    path: /svc
    to: svc
    request_headers: {{ set: {{ X-Backend-Token: planted-header-7q3z, X-Plain: "a ${{env:PLAIN}} b" }} }}
    response_headers: {{ set: {{ X-Signing-Key: planted-answer-7q3z }} }}
  narrow: {{ path: /narrow, methods: [ GET ], to: svc, allow: {{ consumers: [ other ] }} }}
  open: {{ path: /open, to: svc, auth: none, strip_prefix: true }}
  broken: {{ path: /broken, to: broken, auth: none }}
  hook: {{ path: "/hook/${{env:PLAIN}}", to: svc, auth: none, rewrite: "/in/${{env:PLAIN}}" }}
  asked: {{ path: /asked, query: {{ token: planted-condition-7q3z }}, headers: {{ X-Secret: planted-condition-7q3z }}, to: svc }}
  away: {{ path: /away, auth: none, redirect: {{ to: "https://b.test/?t=${{env:PLAIN}}" }} }}
"#,
        origin.address,
        broken.address,
        portcullis::auth::Digest::of(KEY.as_bytes()),
        portcullis::auth::Digest::of(b"other")
    )
}

async fn gateway(origin: &Origin, broken: &RawOrigin) -> Gateway {
    let mut sources = TestSources::default();
    sources.env.insert("GATE".to_owned(), "planted-gate-7q3z".to_owned());
    sources.env.insert("PLAIN".to_owned(), "planted-outside-7q3z".to_owned());
    Gateway::start_with(&configuration(origin, broken), sources).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_told_nowhere() {
    let origin = Origin::with(|_| {
        Response::builder()
            .header("Set-Cookie", "session=planted-answer-7q3z")
            .header("X-Token", "planted-answer-7q3z")
            .header("Location", "/there?token=planted-answer-7q3z")
            .body(Full::new("planted-body-7q3z".into()))
            .unwrap()
    })
    .await;
    let broken = RawOrigin::saying(b"").await;
    let gateway = gateway(&origin, &broken).await;
    for target in TARGETS {
        for headers in [PLANTED, &PLANTED[1..]] {
            get(gateway.address(), target, headers).await;
        }
    }
    let wrong = [("X-Api-Key", "planted-wrong-7q3z"), ("x-api-key", "planted-second-7q3z")];
    get(gateway.address(), "/svc", &wrong).await;
    send(gateway.address(), "POST", "/svc", PLANTED, b"planted-body-7q3z").await;
    for unreadable in UNREADABLE {
        let mut client = Client::connect(gateway.address()).await;
        client.write(unreadable.as_bytes()).await;
        client.read_any(false).await;
    }
    let lines = gateway.log(2 * TARGETS.len() + 2).await;
    for line in &lines {
        secrets::none_in("the access log", &line.to_string());
    }
    // The answers of operators are looked through by the client that reads them.
    let operators = gateway.addresses["admin"];
    for path in ["/config", "/routes", "/upstreams", "/readyz", "/metrics", "/log-level"] {
        for accept in ["*/*", "application/openmetrics-text; version=1.0.0"] {
            let answer = get(operators, path, &[LOCAL, BEARER, ("Accept", accept)]).await;
            assert_ne!(answer.status, 401, "{path}");
        }
        get(operators, &format!("{path}?token=planted-query-7q3z"), &[LOCAL]).await;
        get(operators, path, &[("Host", "planted-host-7q3z.test"), BEARER]).await;
    }
    get(operators, "/planted-path-7q3z", &[LOCAL, BEARER]).await;
    let drain = "/upstreams/planted-name-7q3z/targets/planted-label-7q3z/drain";
    send(operators, "POST", drain, &[LOCAL, BEARER], b"").await;
    let loud = b"{\"filter\": \"planted-filter-7q3z=loud\"}";
    send(operators, "PUT", "/log-level", &[LOCAL, BEARER], loud).await;
    assert!(gateway.stop().await);
    assert!(secrets::heard() > 0, "nothing was listened to");
}

/// Mistakes at the places of secrets, each of which refuses a reload.
const MISTAKES: &[&str] = &[
    "consumers: { c: { api_keys: [ planted-plain-key-7q3z ] } }",
    "consumers: { c: { api_keys: [ { digest: \"sha256:planted-7q3z\" } ] } }",
    "consumers: { c: { api_keys: { planted-key-7q3z: 1 } } }",
    "auth: { key: { api_key: { header: \"${file:secret}\" } } }",
    "auth: { key: { api_key: { keys_file: keys } } }",
    "upstreams: { u: { targets: [ \"${file:secret}\" ] } }",
    "upstreams: { u: { targets: [ \"127.0.0.1:1\" ], gateway_secret: { header: \"${file:secret}\", value: x } } }",
    "upstreams: { u: { targets: [ \"127.0.0.1:1\" ], gateway_secret: { value: \"planted-\\n-7q3z\" } } }",
    "upstreams: { u: { targets: [ \"127.0.0.1:1\" ], gateway_secret: { value: { planted-7q3z: 1 } } } }",
    "drain: \"${file:secret}\"",
    "trusted_proxies: [ \"${file:secret}\" ]",
    "defaults: { request_headers: { set: { X-Token: \"${file:secret} ${no.such}\" } } }",
    "defaults: { request_headers: { set: { \"a b\": planted-7q3z } } }",
    "tests: [ { when: GET /, with: { headers: { X-Api-Key: planted-7q3z, Cookie: planted-7q3z } }, expect: { status: 500 } } ]",
    "tests: [ { when: \"GET http://planted-7q3z@a/\", expect: { status: 500 } } ]",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_tells_its_mistakes_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "planted from outside-7q3z\n").unwrap();
    std::fs::write(folder.path().join("keys"), "planted-plain-7q3z app\nsha256:7q3z app\n")
        .unwrap();
    let admin = format!("admin: {{ address: \"127.0.0.1:0\", token: {TOKEN} }}");
    let routes = "routes: { r: { path: /, respond: { status: 204 }, auth: none } }\n";
    let gateway = Reloading::start_in(folder, &admin, routes).await;
    let sound = std::fs::read_to_string(&gateway.file).unwrap();
    for mistake in MISTAKES {
        gateway.write_all(&format!("{sound}{mistake}\n"));
        assert!(!gateway.reload().await.accepted, "{mistake}");
        let answer = send(gateway.admin(), "POST", "/reload", &[LOCAL, BEARER], b"").await;
        assert_eq!(answer.status, 422, "{mistake}");
        assert_eq!(get(gateway.admin(), "/readyz", &[LOCAL, BEARER]).await.status, 200);
    }
    assert!(gateway.stop().await);
}

/// Not a story: what runs in a process of its own, which has to end of it.
#[test]
#[ignore = "told by a process that another test starts"]
fn a_secret_in_the_process_log() {
    if std::env::var_os("TELL").is_some() {
        secrets::listen();
        log::debug!(target: "portcullis::gateway", "the head was X-Api-Key: {KEY}");
    }
}

#[test]
fn a_secret_that_is_told_ends_the_run() {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--ignored", "--exact", "secrets::a_secret_in_the_process_log"]);
    let ended = process.env("TELL", "1").output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(101) && told.contains("tells a secret"), "{ended:?}");
    for text in [KEY, TOKEN, "x=secret003;"] {
        assert!(std::panic::catch_unwind(|| secrets::none_in("it", text)).is_err(), "{text}");
    }
}
