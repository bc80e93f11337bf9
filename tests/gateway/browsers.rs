//! What browsers are told: which pages may call (CORS), and what they shall not do with an answer.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::support::{Answer, Client, Gateway, Origin, get};

/// The key of `me`.
const KEY: (&str, &str) = ("x-api-key", "secret002oUdaRJA");
const CONSUMERS: &str = "consumers: { me: { api_keys: [ \
                         \"sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6\" ] } }";
const APP: (&str, &str) = ("Origin", "https://app.test");
const EVIL: (&str, &str) = ("Origin", "https://evil.test");

async fn preflight(gateway: &Gateway, path: &str, more: &[(&str, &str)]) -> Answer {
    Client::connect(gateway.address()).await.ask("OPTIONS", path, more).await
}

fn wants(method: &'static str) -> (&'static str, &'static str) {
    ("Access-Control-Request-Method", method)
}

/// An upstream that has a word of its own on everything.
async fn outspoken() -> Origin {
    Origin::with(|_| {
        Response::builder()
            .header("Access-Control-Allow-Origin", "*")
            .header("Access-Control-Allow-Credentials", "true")
            .header("Access-Control-Allow-Private-Network", "true")
            .header("Referrer-Policy", "origin")
            .header("Vary", "Accept")
            .body(Full::new(Bytes::from_static(b"users")))
            .unwrap()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_before_anybody_is_asked_for_a_key() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
{CONSUMERS}
routes:
  read: {{ path: /users, methods: [ GET ], to: users, cors: {{ origins: [ "https://app.test" ] }} }}
  write: {{ path: /users, methods: [ PUT ], to: users }}
  open: {{ path: /open, auth: none, to: users }}
"#,
        users.address
    ))
    .await;
    let answer = preflight(&gateway, "/users/7", &[APP, wants("GET")]).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.test");
    assert_eq!(answer.header("access-control-allow-methods"), "GET");
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization, content-type, x-api-key"
    );
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(answer.headers("content-length"), [""; 0]);
    // The page of somebody else is told nothing, and the log tells why.
    let answer = preflight(&gateway, "/users/7", &[EVIL, wants("GET")]).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "cors_refused"));
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert!(answer.header("vary").contains("Origin"), "{answer:?}");
    // The route for PUT has no CORS, so that OPTIONS is a request like any other: there is no route for it.
    let answer = preflight(&gateway, "/users/7", &[APP, wants("PUT")]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, ""));
    assert_eq!(users.seen().len(), 0);
    // An upstream that answers preflights itself still does.
    let answer = preflight(&gateway, "/open", &[APP, wants("PUT")]).await;
    assert_eq!((answer.status, users.seen().len()), (200, 1));
    // OPTIONS without the question is none.
    let answer = preflight(&gateway, "/users", &[APP]).await;
    assert_eq!(answer.status, 405);
    let lines = gateway.log(5).await;
    let refused = lines.iter().find(|line| line["status"] == 403).unwrap();
    assert_eq!((&refused["why"], &refused["route"]), (&"cors_refused".into(), &"read".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_read_every_answer_and_nobody_elses_word_counts() {
    let users = outspoken().await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams:
  users: {{ targets: [ "{}" ] }}
  none: {{ targets: [ "127.0.0.1:1" ], health: none }}
{CONSUMERS}
defaults: {{ cors: {{ origins: [ "https://app.test" ], credentials: true, expose: [ X-Total ] }} }}
routes:
  users: {{ path: /users, to: users }}
  dead: {{ path: /dead, auth: none, to: none }}
  fixed: {{ path: /fixed, auth: none, respond: {{ status: 200, body: fixed }} }}
  own: {{ path: /own, auth: none, to: users, cors: none }}
"#,
        users.address
    ))
    .await;
    for (path, headers, status) in [
        ("/users", &[KEY][..], 200),
        ("/users", &[], 401),
        ("/dead", &[], 503),
        ("/nothing", &[], 404),
        ("/fixed", &[], 200),
    ] {
        for (origin, told) in [(Some(APP), "https://app.test"), (Some(EVIL), ""), (None, "")] {
            let all: Vec<_> = headers.iter().copied().chain(origin).collect();
            let answer = get(gateway.address(), path, &all).await;
            assert_eq!(answer.status, status, "{path}");
            let values = answer.headers("access-control-allow-origin");
            assert_eq!(values.concat(), told, "{path} {origin:?}");
            let with_cookies = if told.is_empty() { "" } else { "true" };
            assert_eq!(answer.header("access-control-allow-credentials"), with_cookies, "{path}");
            assert_eq!(answer.header("access-control-allow-private-network"), "", "{path}");
            let exposed = "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, x-total";
            let exposed = if told.is_empty() { "" } else { exposed };
            assert_eq!(answer.header("access-control-expose-headers"), exposed, "{path}");
            assert!(answer.headers("vary").concat().contains("Origin"), "{path}: {answer:?}");
        }
    }
    // Where the gateway has no CORS, the upstream's own stands.
    let answer = get(gateway.address(), "/own", &[EVIL]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("vary"), "Accept");
}

#[tokio::test(flavor = "multi_thread")]
async fn security_headers_stand_on_every_answer() {
    let users = outspoken().await;
    let gateway = Gateway::start(&format!(
        r#"
trusted_proxies: [ 127.0.0.0/8 ]
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
{CONSUMERS}
policies: {{ hardened: {{ security_headers: strict }} }}
defaults: {{ use: [ hardened ] }}
routes:
  users: {{ path: /users, to: users, auth: none }}
  closed: {{ path: /closed, to: users }}
  ours:
    path: /ours
    auth: none
    to: users
    security_headers: {{ preset: none, referrer_policy: same-origin }}
    response_headers: {{ set: {{ X-Frame-Options: SAMEORIGIN }} }}
  plain: {{ path: /plain, to: users, auth: none, security_headers: none }}
"#,
        users.address
    ))
    .await;
    for (path, status) in [("/users", 200), ("/closed", 401), ("/nothing", 404), ("//%", 400)] {
        let answer = get(gateway.address(), path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers("x-content-type-options"), ["nosniff"], "{path}");
        assert_eq!(answer.headers("x-frame-options"), ["DENY"], "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        let secure = get(gateway.address(), path, &[("X-Forwarded-Proto", "https")]).await;
        let hsts = secure.header("strict-transport-security");
        assert_eq!(hsts, "max-age=63072000; includeSubDomains", "{path}");
    }
    // A preset fills in; what is written replaces; the operations of the route come after.
    let policy = async |path: &str| {
        let answer = get(gateway.address(), path, &[]).await;
        (answer.header("referrer-policy").to_owned(), answer.header("x-frame-options").to_owned())
    };
    assert_eq!(policy("/users").await, ("origin".to_owned(), "DENY".to_owned()));
    assert_eq!(policy("/ours").await, ("same-origin".to_owned(), "SAMEORIGIN".to_owned()));
    assert_eq!(policy("/plain").await, ("origin".to_owned(), String::new()));
    // A page of ours keeps its own, which is stricter.
    let page = get(gateway.address(), "/nothing", &[("Accept", "text/html")]).await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{page:?}");
    assert_eq!(page.headers("content-security-policy").len(), 1);
}

/// HSTS is a promise of the client's own connection: whoever is not trusted cannot make it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_not_believed_that_it_came_by_tls() {
    let gateway = Gateway::start(
        "routes: { a: { path: /, auth: none, respond: { status: 200 }, security_headers: basic } }",
    )
    .await;
    let answer = get(gateway.address(), "/", &[("X-Forwarded-Proto", "https")]).await;
    assert_eq!(answer.header("strict-transport-security"), "");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

/// A page may read why its request was refused, even if the head is one that can't be read: of most that browsers send
/// so the cookies are too large. What counts is what stood there once, before whatever is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_what_is_said_of_a_head_that_cannot_be_read() {
    let large = format!("Cookie: a={}\r\n", "x".repeat(65 << 10));
    for (origins, credentials) in [("\"https://app.test\"", true), ("\"*\"", false)] {
        let gateway = Gateway::start(&format!(
            "defaults: {{ cors: {{ origins: [ {origins} ], credentials: {credentials} }} }}\n\
             routes: {{ a: {{ path: /, auth: none, respond: {{ status: 200 }} }} }}"
        ))
        .await;
        for (lines, status, told) in [
            (format!("Origin: https://app.test\r\n{large}"), 431, true),
            (format!("oRiGiN:https://app.test \r\n{large}"), 431, true),
            ("Origin: https://app.test\r\nbad header: x\r\n".to_owned(), 400, true),
            (
                "Origin: https://app.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
                    .to_owned(),
                400,
                true,
            ),
            (format!("Origin: https://evil.test\r\n{large}"), 431, false),
            (
                format!("Origin: https://app.test\r\nOrigin: https://app.test\r\n{large}"),
                431,
                false,
            ),
            (format!("{large}Origin: https://app.test\r\n"), 431, false),
            ("X-Origin: https://app.test\r\nbad header: x\r\n".to_owned(), 400, false),
            ("bad header: x\r\nOrigin: https://app.test\r\n".to_owned(), 400, false),
        ] {
            let mut client = Client::connect(gateway.address()).await;
            let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
            client.write(head.as_bytes()).await;
            let answer = client.read(false).await;
            let what = &lines[..lines.len().min(80)];
            assert_eq!(answer.status, status, "{what}");
            let allowed = match (credentials, told) {
                (false, _) => "*",
                (true, true) => "https://app.test",
                (true, false) => "",
            };
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{what}");
            let with = if told && credentials { "true" } else { "" };
            assert_eq!(answer.header("access-control-allow-credentials"), with, "{what}");
            assert_eq!(answer.header("vary"), if credentials { "Origin" } else { "" }, "{what}");
            assert!(!answer.header("x-request-id").is_empty(), "{what}");
        }
    }
}
