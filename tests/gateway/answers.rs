//! Answers of our own: one cause, one code, in the form that the caller can read, and nothing from within.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Answer, Client, Gateway, Origin, RawOrigin, eventually, get, send};

/// Routes that end in every refusal and failure that a client can bring about.
struct Stage {
    gateway: Gateway,
    origin: Origin,
    /// They hold their addresses for as long as the stage stands.
    _others: Vec<RawOrigin>,
    _held: TcpSocket,
    /// What no answer may tell.
    hidden: Vec<String>,
}

/// An address at which nobody listens, for as long as the socket is held.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The file of the stage: where a request ends well, and where it does not.
fn file(fine: SocketAddr, others: [SocketAddr; 5], gone: SocketAddr) -> String {
    format!(
        r#"
upstreams:
  fine: {{ targets: [ "{}" ], health: none }}
  slow: {{ targets: [ "{}" ], health: none, timeouts: {{ read: 100ms }} }}
  endless: {{ targets: [ "{}" ], health: none, timeouts: {{ total: 100ms }} }}
  empty: {{ targets: [ "{}" ], health: none }}
  garbage: {{ targets: [ "{}" ], health: none }}
  cut: {{ targets: [ "{}" ], health: none }}
  gone: {{ targets: [ "{gone}" ], health: none, when_all_down: try_anyway, retries: {{ max: 0 }} }}
  down: {{ targets: [ "{gone}" ], health: {{ every: 100ms, unhealthy_after: 1 }} }}
defaults: {{ auth: none }}
consumers:
  in: {{ api_keys: [ "{}" ] }}
  out: {{ api_keys: [ "{}" ] }}
routes:
  fine: {{ path: /fine, to: fine, body_limit: 1KiB }}
  read: {{ path: /read, methods: [ GET ], to: fine }}
  guarded: {{ path: /guarded, to: fine, auth: key, allow: {{ consumers: [ in ] }} }}
  slow: {{ path: /slow, to: slow }}
  endless: {{ path: /endless, to: endless }}
  empty: {{ path: /empty, to: empty }}
  garbage: {{ path: /garbage, to: garbage }}
  cut: {{ path: /cut, to: cut }}
  gone: {{ path: /gone, to: gone }}
  down: {{ path: /down, to: down }}
"#,
        fine,
        others[0],
        others[1],
        others[2],
        others[3],
        others[4],
        portcullis::auth::Digest::of(b"in"),
        portcullis::auth::Digest::of(b"out"),
    )
}

async fn stage() -> Stage {
    let origin = Origin::start("fine").await;
    let silent = || {
        RawOrigin::with(async |stream: TcpStream| {
            std::future::pending::<()>().await;
            drop(stream);
        })
    };
    let (slow, endless) = (silent().await, silent().await);
    let empty = RawOrigin::saying(b"").await;
    let garbage = RawOrigin::saying(b"SSH-2.0-internal-host.corp\r\n\r\n").await;
    let cut = RawOrigin::saying(b"HTTP/1.1 200 OK\r\nX-Internal: internal-host.corp\r\n").await;
    let (held, gone) = nobody();
    let addresses = [&slow, &endless, &empty, &garbage, &cut].map(|other| other.address);
    let gateway = Gateway::start(&file(origin.address, addresses, gone)).await;
    eventually("a probe has failed", async || {
        get(gateway.address(), "/down", &[]).await.code() == "no_healthy_target"
    })
    .await;
    let words = [
        "127.0.0.1",
        "internal-host",
        "pingora",
        "hyper",
        "os error",
        "panic",
        "refused",
        "ssh-2.0",
        "etype",
        "errno",
        ".rs:",
    ];
    let mut hidden: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let others = vec![slow, endless, empty, garbage, cut];
    hidden.extend(others.iter().map(|other| other.address.port().to_string()));
    hidden.extend([gone.port().to_string(), origin.address.port().to_string()]);
    Stage { gateway, origin, _others: others, _held: held, hidden }
}

/// A refusal or failure: what is asked with which method and headers, and status, code and gRPC status.
type Case = (&'static str, String, Vec<(&'static str, String)>, u16, &'static str, u16);

fn cases() -> Vec<Case> {
    let plain = |target: &str, status, code, grpc| -> Case {
        ("GET", target.to_owned(), Vec::new(), status, code, grpc)
    };
    let many: Vec<_> = (0..101).map(|_| ("X-Many", "1".to_owned())).collect();
    let out = vec![("X-Api-Key", "out".to_owned())];
    let large = vec![("Content-Length", "2000".to_owned())];
    vec![
        plain("/fine%00", 400, "bad_request", 13),
        plain("/fine;x", 404, "no_route", 12),
        plain("/guarded%2fx", 404, "no_route", 12),
        plain("/fine/..%2fguarded", 400, "bad_request", 13),
        plain("/guarded", 401, "unauthorized", 16),
        ("GET", "/guarded".into(), out, 403, "forbidden", 7),
        plain("/none", 404, "no_route", 12),
        ("POST", "/read".into(), Vec::new(), 405, "method_not_allowed", 12),
        ("POST", "/fine".into(), large, 413, "body_too_large", 8),
        plain(&format!("/{}", "a".repeat(9000)), 414, "uri_too_long", 8),
        ("GET", "/fine".into(), many, 431, "header_too_large", 8),
        plain("/empty", 502, "upstream_broken", 14),
        plain("/garbage", 502, "upstream_broken", 14),
        plain("/cut", 502, "upstream_broken", 14),
        plain("/gone", 503, "upstream_unreachable", 14),
        plain("/down", 503, "no_healthy_target", 14),
        plain("/slow", 504, "upstream_timeout", 4),
        plain("/endless", 504, "deadline_exceeded", 4),
    ]
}

/// Those that come from above the session. What is refused below it has one form, and ends the connection.
fn cases_above() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| !matches!(case.3, 414 | 431))
}

impl Stage {
    async fn ask(&self, case: &Case, more: &[(&str, &str)], head_only: bool) -> Answer {
        let method = if head_only { "HEAD" } else { case.0 };
        let mut headers: Vec<(&str, &str)> =
            case.2.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend(more);
        Client::connect(self.gateway.address()).await.ask(method, &case.1, &headers).await
    }

    fn assert_tells_nothing(&self, answer: &Answer) {
        let mut all = String::from_utf8_lossy(&answer.body).into_owned();
        for (name, value) in &answer.headers {
            // An id and a date are made of digits, which could be a port's by chance.
            if name != "x-request-id" && name != "date" {
                all.extend(["\n", name, ": ", value]);
            }
        }
        let all = all.replace(answer.header("x-request-id"), "ID").to_ascii_lowercase();
        for word in &self.hidden {
            assert!(!all.contains(word.as_str()), "{word} in {all}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_has_its_status_and_code_as_a_problem() {
    let stage = stage().await;
    for case in cases() {
        let answer = stage.ask(&case, &[], false).await;
        let told = format!("{} {:.40}: {answer:?}", case.0, case.1);
        assert_eq!((answer.status, answer.code().as_str()), (case.3, case.4), "{told}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{told}");
        assert_eq!(answer.header("cache-control"), "no-store", "{told}");
        assert_eq!(answer.header("server"), "portcullis", "{told}");
        assert!(answer.complete, "{told}");
        let problem = answer.json();
        assert_eq!(problem["type"], format!("urn:portcullis:problem:{}", case.4));
        assert_eq!(problem["status"], case.3);
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(case.3 == 503, !answer.header("retry-after").is_empty(), "{told}");
        assert_eq!(case.3 == 401, answer.header("www-authenticate") == "ApiKey", "{told}");
        assert_eq!(case.3 == 405, answer.header("allow") == "GET, HEAD", "{told}");
        stage.assert_tells_nothing(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page() {
    let stage = stage().await;
    let accept = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for case in cases_above() {
        let answer = stage.ask(&case, &accept, false).await;
        assert_eq!(answer.status, case.3, "{:.40}", case.1);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{:.40}", case.1);
        assert!(answer.text().contains(&format!("<dd>{}</dd>", case.4)), "{}", answer.text());
        assert!(answer.text().contains(answer.header("x-request-id")));
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        stage.assert_tells_nothing(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_caller_gets_a_status_of_its_own() {
    let stage = stage().await;
    for case in cases_above() {
        let answer = stage.ask(&case, &[("Content-Type", "application/grpc+proto")], false).await;
        assert_eq!(answer.status, 200, "{:.40}", case.1);
        assert_eq!(answer.header("content-type"), "application/grpc");
        assert_eq!(answer.header("grpc-status"), case.5.to_string(), "{:.40}", case.1);
        assert!(!answer.header("grpc-message").is_empty() && answer.body.is_empty());
        stage.assert_tells_nothing(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_a_head_only() {
    let stage = stage().await;
    for case in cases().into_iter().filter(|case| case.0 == "GET") {
        let full = stage.ask(&case, &[], false).await;
        let mut client = Client::connect(stage.gateway.address()).await;
        let headers: Vec<(&str, &str)> =
            case.2.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = client.ask("HEAD", &case.1, &headers).await;
        assert_eq!(answer.status, case.3, "{:.40}", case.1);
        assert_eq!(answer.header("content-length"), full.header("content-length"));
        if answer.header("connection") == "close" {
            assert!(client.is_closed().await, "a body after {:.40}", case.1);
        } else {
            // The next answer begins where this one ended.
            assert_eq!(client.ask("GET", "/fine", &[]).await.text(), "fine", "{:.40}", case.1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_survives_answers_of_ours() {
    let stage = stage().await;
    let mut client = Client::connect(stage.gateway.address()).await;
    for _ in 0..3 {
        for case in cases_above().filter(|case| case.0 == "GET" && case.3 < 500) {
            let headers: Vec<(&str, &str)> =
                case.2.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = client.ask("GET", &case.1, &headers).await;
            assert_eq!((answer.status, answer.header("connection")), (case.3, "keep-alive"));
        }
        let answer = client.ask("GET", "/down", &[]).await;
        assert_eq!((answer.status, answer.header("connection")), (503, "keep-alive"));
        assert_eq!(client.ask("GET", "/fine", &[]).await.text(), "fine");
    }
    assert_eq!(stage.origin.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_refused_announced_or_not() {
    let stage = stage().await;
    let address = stage.gateway.address();
    assert_eq!(send(address, "POST", "/fine", &[], &[b'x'; 1024]).await.status, 200);
    assert_eq!(stage.origin.last().body.len(), 1024);
    let answer = send(address, "POST", "/fine", &[], &[b'x'; 1025]).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));

    let chunked = |length: usize| {
        let head =
            "POST /fine HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
    };
    let mut client = Client::connect(address).await;
    client.write(chunked(1024).as_bytes()).await;
    assert_eq!(client.read(false).await.status, 200);
    let mut client = Client::connect(address).await;
    client.write(chunked(5000).as_bytes()).await;
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_to_two_routes_is_told_as_such() {
    let origin = Origin::start("open").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ open: {{ targets: [ "{}" ] }} }}
routes:
  open: {{ path: /, to: open, auth: none }}
  admin: {{ path: /admin, to: open }}
"#,
        origin.address
    ))
    .await;
    let answer = get(gateway.address(), "/admin;x", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous_path"));
    let page = get(gateway.address(), "/admin;x", &[("Accept", "text/html")]).await;
    assert!(page.text().contains("ambiguous_path"));
    assert_eq!(gateway.log(2).await[0]["why"], "ambiguous_path");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_answer_by_itself() {
    let gateway = Gateway::start(
        r#"
defaults: { auth: none }
routes:
  text: { path: /text, respond: { status: 200, body: "as it is" } }
  json: { path: "/json/{id}", respond: { status: 418, content_type: application/json, body: "{\"id\":\"${path.id}\",\"route\":\"${route.name}\"}" } }
  none: { path: /none, respond: { status: 204 } }
  empty: { path: /empty, respond: { status: 503 } }
  moved: { path: "/old/{id}", redirect: { to: "/new/${path.id}?${request.query}", status: 308 } }
  secure: { path: /secure, redirect: { to: "https://${request.host}${request.path}" } }
  health: { path: /health, health: true }
"#,
    )
    .await;
    let mut client = Client::connect(gateway.address()).await;
    for (method, path, status, kind, body) in [
        ("GET", "/text", 200, "text/plain; charset=utf-8", "as it is"),
        ("POST", "/text/below", 200, "text/plain; charset=utf-8", "as it is"),
        ("GET", "/json/a%22b", 418, "application/json", r#"{"id":"a%22b","route":"json"}"#),
        ("GET", "/none", 204, "", ""),
        ("GET", "/empty", 503, "", ""),
        ("HEAD", "/text", 200, "text/plain; charset=utf-8", ""),
        ("GET", "/health", 200, "application/json", "{\"status\":\"ready\"}\n"),
        ("HEAD", "/health", 200, "application/json", ""),
    ] {
        let answer = client.ask(method, path, &[]).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{method} {path}");
        assert_eq!(answer.header("content-type"), kind, "{method} {path}");
        assert_eq!(answer.header("x-request-id").len(), 32);
        assert_eq!(answer.headers("content-length").len(), usize::from(status != 204));
    }
    for (path, status, location) in [
        ("/old/7?a=b", 308, "/new/7?a=b"),
        ("/old/%2f%2fevil.test", 308, "/new/%2f%2fevil.test?"),
        ("/secure/a//b/../c", 307, "https://gateway.test/secure/a/c"),
    ] {
        let answer = client.ask("GET", path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (status, location), "{path}");
    }
    let log = gateway.log(11).await;
    assert!(log.iter().all(|line| line.get("why").is_none() && line.get("upstream").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_a_body_is_text_and_nothing_else() {
    let gateway = Gateway::start(
        r#"
routes:
  json: { path: /json, auth: none, respond: { status: 200, content_type: application/json, body: '{"you":"${header.x-you}"}' } }
  html: { path: /html, auth: none, respond: { status: 200, content_type: text/html, body: '<p>${header.x-you}</p>' } }
  text: { path: /text, auth: none, respond: { status: 200, body: '${header.x-you}' } }
"#,
    )
    .await;
    let you = r#""},{"<script>"#;
    for (path, body) in [
        ("/json", r#"{"you":"\"},{\"<script>"}"#),
        ("/html", "<p>&quot;},{&quot;&lt;script&gt;</p>"),
        ("/text", you),
    ] {
        let answer = get(gateway.address(), path, &[("X-You", you)]).await;
        assert_eq!((answer.status, answer.text()), (200, body));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_scheme_and_host_are_those_the_client_used() {
    for (trusted, headers, seen) in [
        (
            "[]",
            &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "a.test")][..],
            "http://g.test",
        ),
        ("[ 127.0.0.1 ]", &[], "http://g.test"),
        (
            "[ 127.0.0.1 ]",
            &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "a.test")],
            "https://a.test",
        ),
        (
            "[ 127.0.0.1 ]",
            &[("X-Forwarded-Proto", "HTTPS, http"), ("X-Forwarded-Host", "a.test:8443, b.test")],
            "https://a.test:8443",
        ),
        (
            "[ 127.0.0.1 ]",
            &[("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Host", "a.test/@evil")],
            "http://g.test",
        ),
    ] {
        let gateway = Gateway::start(&format!(
            r#"
trusted_proxies: {trusted}
routes: {{ moved: {{ path: /, auth: none, redirect: {{ to: "/at?${{request.scheme}}://${{request.host}}" }} }} }}
"#
        ))
        .await;
        let headers = [&[("Host", "g.test")], headers].concat();
        let answer = get(gateway.address(), "/x", &headers).await;
        assert_eq!(answer.header("location"), format!("/at?{seen}"), "{trusted} {headers:?}");
    }
}
