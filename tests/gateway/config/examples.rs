//! The files in conf/ do what they say: each compiles without a doubt, and its main claim is driven.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pingora::tls::{PrivateKeyDer, ServerConfig, TlsAcceptor, install_default_crypto_provider};
use portcullis::loading::{self, Loaded};
use portcullis::observe::access_log::Access;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{check, folder, text, yaml_files};
use crate::support::gateway::TestSources;
use crate::support::origin::listen;
use crate::support::redis::Redis;
use crate::support::{Answer, Gateway, Origin, RawOrigin, Seen, eventually, get, send};

/// What the examples call with.
const KEY: (&str, &str) = ("x-api-key", "secret002oUdaRJA");

/// Starts an example with a free port, and with these addresses in the place of its targets.
fn start_text(mut text: String, targets: &[(&str, SocketAddr)], sources: &TestSources) -> Gateway {
    let listener = "\"127.0.0.1:8080\"";
    assert!(text.contains(listener));
    text = text.replace(listener, "\"127.0.0.1:0\"");
    for (written, real) in targets {
        assert!(text.contains(written), "{written} is not in\n{text}");
        text = text.replace(written, &real.to_string());
    }
    if !text.contains("\nlogs:") {
        text.push_str("\nlogs: { access: \"${LOG}\" }\n");
    }
    Gateway::start_file(&text, sources)
}

fn example(name: &str) -> String {
    std::fs::read_to_string(folder("conf/examples").join(name)).unwrap()
}

fn start(name: &str, targets: &[(&str, SocketAddr)]) -> Gateway {
    let sources = TestSources { base: folder("conf/examples"), ..TestSources::default() };
    start_text(example(name), targets, &sources)
}

/// GET with the key of the examples, and more headers.
async fn call(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut all = vec![KEY];
    all.extend(headers);
    get(gateway.address(), target, &all).await
}

#[test]
fn every_file_passes_the_strictest_check() {
    let mut files = yaml_files("conf/examples");
    assert!(files.len() >= 16, "{files:?}");
    files.push(folder("conf/portcullis.yaml"));
    files.push(folder("conf/reference.yaml"));
    let mut with_secret = 0;
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let env: &[_] = match name {
            "gateway-secret.yaml" | "reference.yaml" => &[("GATEWAY_SECRET", "from outside")],
            _ => &[],
        };
        with_secret += usize::from(!env.is_empty());
        let checked = check(&file, &["--strict"], env);
        assert!(checked.status.success(), "{}", text(&checked.stderr));
        assert_eq!(text(&checked.stderr), "", "{name}");
        let told = std::fs::read_to_string(&file).unwrap();
        assert!(told.starts_with("# "), "{name} begins with what it is");
    }
    assert_eq!(with_secret, 2);
}

/// An example says what it shows, in tests of its own.
#[test]
fn every_file_carries_tests() {
    let mut files = yaml_files("conf/examples");
    files.extend(yaml_files("conf"));
    for file in files {
        let told = std::fs::read_to_string(&file).unwrap();
        let told: serde_json::Value = serde_yaml::from_str(&told).unwrap();
        let tests = told["tests"].as_array().map_or(0, Vec::len);
        assert!(tests >= 2, "{} has {tests} tests", file.display());
    }
}

/// The demo's secret may stand in its file, and nothing else may be doubtful.
#[test]
fn the_demo_warns_of_its_secrets_alone() {
    let demo = folder("conf/demo.yaml");
    let checked = check(&demo, &[], &[]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let told = text(&checked.stderr);
    assert_eq!(told.matches("warning:").count(), 3, "{told}");
    assert_eq!(told.matches("a secret stands in the file").count(), 3, "{told}");
    let checked = check(&demo, &["--strict"], &[]);
    assert_eq!(checked.status.code(), Some(3));
    let checked = check(&demo, &["--strict"], &[("DEMO_GATEWAY_SECRET", "from outside")]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn the_short_configuration_is_short() {
    let told = std::fs::read_to_string(folder("conf/portcullis.yaml")).unwrap();
    assert!(told.lines().filter(|line| !line.is_empty()).count() <= 25, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_short_configuration_serves() {
    let users = Origin::start("users").await;
    let told = std::fs::read_to_string(folder("conf/portcullis.yaml")).unwrap();
    let gateway = start_text(told, &[("127.0.0.1:8001", users.address)], &TestSources::default());
    assert_eq!(get(gateway.address(), "/healthz", &[]).await.status, 200);
    assert_eq!(get(gateway.address(), "/users/1", &[]).await.status, 401);
    // Nobody has the key whose digest stands there as a placeholder.
    assert_eq!(call(&gateway, "/users/1", &[]).await.status, 401);
    assert_eq!(users.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts() {
    let (users, orders) = (Origin::start("users").await, Origin::start("orders").await);
    let gateway = start(
        "hosts.yaml",
        &[("127.0.0.1:8001", users.address), ("127.0.0.1:8002", orders.address)],
    );
    for (host, status, body) in [
        ("api.example.com", 200, "users"),
        ("API.example.com:8080", 200, "users"),
        ("a.example.com", 200, "orders"),
        ("a.b.example.com", 200, "orders"),
        ("example.com", 404, ""),
        ("other.org", 404, ""),
    ] {
        let answer = call(&gateway, "/", &[("Host", host)]).await;
        assert_eq!(answer.status, status, "{host}");
        if status == 200 {
            assert_eq!(answer.text(), body, "{host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_captures() {
    let (users, orders) = (Origin::start("users").await, Origin::start("orders").await);
    let gateway = start(
        "paths-and-captures.yaml",
        &[("127.0.0.1:8001", users.address), ("127.0.0.1:8002", orders.address)],
    );
    for (path, status, body) in [
        ("/users", 200, "users"),
        ("/users/", 200, "users"),
        ("/users/7", 200, "users"),
        ("/users2", 404, ""),
        ("/users/7/orders/1", 200, "orders"),
        ("/", 200, "users"),
        ("/other", 404, ""),
    ] {
        let answer = call(&gateway, path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 200 {
            assert_eq!(answer.text(), body, "{path}");
        }
    }
    assert_eq!(orders.last().header("x-user"), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_predicates() {
    let (users, orders) = (Origin::start("users").await, Origin::start("orders").await);
    let gateway = start(
        "methods-and-predicates.yaml",
        &[("127.0.0.1:8001", users.address), ("127.0.0.1:8002", orders.address)],
    );
    assert_eq!(call(&gateway, "/users", &[]).await.text(), "users");
    assert_eq!(call(&gateway, "/users", &[("X-Version", "2")]).await.text(), "orders");
    let answer = call(&gateway, "/users?preview=1", &[("X-Version", "2")]).await;
    assert_eq!(answer.text(), "users");
    assert_eq!(users.last().target, "/preview?preview=1");
    assert_eq!(send(gateway.address(), "HEAD", "/users", &[KEY], b"").await.status, 200);
    let answer = send(gateway.address(), "DELETE", "/users", &[KEY], b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strip_and_rewrite() {
    let users = Origin::with(|seen: &Seen| {
        let to = if seen.target == "/slash" { "/slash/" } else { "/" };
        Response::builder()
            .status(307)
            .header("Location", to)
            .body(Full::new(Bytes::new()))
            .unwrap()
    })
    .await;
    let gateway = start("strip-and-rewrite.yaml", &[("127.0.0.1:8001", users.address)]);
    for (asked, sent) in [
        ("/users/7?a=%20b", "/7?a=%20b"),
        ("/users", "/"),
        ("/api/orders/7", "/orders/7"),
        ("/people/7/photo", "/v2/users/7/photo"),
    ] {
        call(&gateway, asked, &[]).await;
        assert_eq!(users.last().target, sent, "{asked}");
    }
    let answer = call(&gateway, "/users/slash", &[]).await;
    assert_eq!(answer.header("location"), "/users/slash/");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys() {
    let users = Origin::start("users").await;
    let gateway = start("api-keys.yaml", &[("127.0.0.1:8001", users.address)]);
    for (key, path, status) in [
        ("secret002oUdaRJA", "/users", 200),
        ("secret003", "/users", 200),
        ("secret004", "/users", 401),
        ("another", "/users", 401),
        ("secret002oUdaRJA", "/admin", 200),
        ("secret003", "/admin", 403),
    ] {
        let answer = get(gateway.address(), path, &[("X-Token", key)]).await;
        assert_eq!(answer.status, status, "{key} {path}");
    }
    // The header is another than the default.
    assert_eq!(get(gateway.address(), "/users", &[KEY]).await.status, 401);
    assert_eq!(users.last().header("x-token"), "");
    assert_eq!(users.last().header("x-consumer-name"), "me");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    use crate::support::signer::token;
    let orders = Origin::start("orders").await;
    let gateway = start("tokens.yaml", &[("127.0.0.1:8001", orders.address)]);
    let made = |scope: &str| {
        let more = serde_json::json!({ "iss": "https://id.example.com/", "scope": scope });
        format!("Bearer {}", token("ed25519", "EdDSA", None, more))
    };
    for (method, path, scope, status) in [
        ("GET", "/orders", "", 200),
        ("POST", "/orders", "orders:write", 200),
        ("POST", "/orders", "orders:read", 403),
        ("GET", "/staff", "", 403),
        ("GET", "/soon", "", 200),
    ] {
        let bearer = made(scope);
        let answer =
            send(gateway.address(), method, path, &[("Authorization", &bearer)], b"").await;
        assert_eq!(answer.status, status, "{method} {path} {scope}");
    }
    assert_eq!(orders.last().header("x-consumer-name"), "login:alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses() {
    let users = Origin::start("users").await;
    let gateway = start("addresses.yaml", &[("127.0.0.1:8001", users.address)]);
    for (path, status) in [("/users", 200), ("/admin", 200), ("/status", 200), ("/soon", 200)] {
        let key = [("x-api-key", "secret003")];
        assert_eq!(get(gateway.address(), path, &key).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_file() {
    let users = Origin::start("users").await;
    let gateway = start("keys-file.yaml", &[("127.0.0.1:8001", users.address)]);
    for (key, status) in [("secret002oUdaRJA", 200), ("secret003", 200), ("secret004", 401)] {
        let answer = get(gateway.address(), "/users", &[("x-api-key", key)]).await;
        assert_eq!(answer.status, status, "{key}");
    }
    assert_eq!(users.last().header("x-consumer-name"), "partner");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers() {
    let users = Origin::with(|_| {
        Response::builder().header("Server", "old/1.0").body(Full::new(Bytes::new())).unwrap()
    })
    .await;
    let gateway = start("headers.yaml", &[("127.0.0.1:8001", users.address)]);
    let answer = call(&gateway, "/users", &[("X-Gateway", "forged")]).await;
    assert_eq!(users.last().header("x-gateway"), "True");
    assert_eq!(users.last().header("x-client"), "127.0.0.1");
    assert_eq!((answer.headers("server").len(), answer.header("vary")), (0, "X-Token"));
    call(&gateway, "/legacy/acme/x", &[("X-Old-Id", "5"), ("X-Gateway", "forged")]).await;
    let seen = users.last();
    assert_eq!((seen.header("x-id"), seen.header("x-old-id")), ("5", ""));
    assert_eq!((seen.header("x-tenant"), seen.header("x-gateway")), ("acme", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxies() {
    let users = Origin::start("users").await;
    let gateway = start("trusted-proxies.yaml", &[("127.0.0.1:8001", users.address)]);
    let claim = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")];
    call(&gateway, "/users", &claim).await;
    let seen = users.last();
    assert!(seen.header("x-forwarded-for").starts_with("203.0.113.9"), "{seen:?}");
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert!(seen.header("forwarded").contains("for=127.0.0.1"), "{seen:?}");
    // Without the key, the same words are nobody's.
    let distrustful =
        example("trusted-proxies.yaml").replace("10.0.0.0/8, 127.0.0.1", "10.0.0.0/8");
    let gateway =
        start_text(distrustful, &[("127.0.0.1:8001", users.address)], &TestSources::default());
    call(&gateway, "/users", &claim).await;
    assert_eq!(users.last().header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(users.last().header("x-forwarded-proto"), "http");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_balancing() {
    let mut origins = Vec::new();
    for name in ["1", "2", "3", "4", "5", "6"] {
        origins.push(Origin::start(name).await);
    }
    let ports = ["8001", "8011", "8002", "8012", "8003", "8013"].map(|p| format!("127.0.0.1:{p}"));
    let targets: Vec<(&str, SocketAddr)> =
        ports.iter().map(String::as_str).zip(origins.iter().map(|o| o.address)).collect();
    let gateway = start("load-balancing.yaml", &targets);
    for _ in 0..8 {
        call(&gateway, "/users", &[]).await;
    }
    assert_eq!((origins[0].seen().len(), origins[1].seen().len()), (2, 6));
    for _ in 0..40 {
        call(&gateway, "/orders", &[]).await;
    }
    // By chance: that one of two gets nothing of 40 happens once in 5e11.
    assert!(!origins[2].seen().is_empty() && !origins[3].seen().is_empty());
    for user in 0..20 {
        let user = user.to_string();
        let first = call(&gateway, "/carts", &[("X-User", &user)]).await;
        let second = call(&gateway, "/carts", &[("X-User", &user)]).await;
        assert_eq!(first.text(), second.text(), "user {user}");
    }
    assert_eq!(origins[4].seen().len() + origins[5].seen().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks() {
    let answering = |status: u16| {
        move |seen: &Seen| {
            let status = if seen.target == "/healthz" { status } else { 200 };
            Response::builder().status(status).body(Full::new(Bytes::from_static(b"ok"))).unwrap()
        }
    };
    let good = Origin::with(answering(204)).await;
    let ill = Origin::with(answering(500)).await;
    let legacy = Origin::start("legacy").await;
    let gateway = start(
        "health-checks.yaml",
        &[
            ("127.0.0.1:8001", good.address),
            ("127.0.0.1:8011", ill.address),
            ("127.0.0.1:8002", legacy.address),
        ],
    );
    let traffic = |origin: &Origin| origin.seen().iter().filter(|s| s.target == "/users").count();
    // Left out once it is: then four in a row go to the other.
    eventually("the ill target is left out", async || {
        let before = traffic(&ill);
        for _ in 0..4 {
            call(&gateway, "/users", &[]).await;
        }
        traffic(&ill) == before
    })
    .await;
    assert!(ill.seen().iter().any(|seen| seen.target == "/healthz"));
    assert_eq!(call(&gateway, "/legacy", &[]).await.text(), "legacy");
    assert_eq!(legacy.seen().len(), 1, "a service that is not probed");
}

/// Serves every connection with 200 and the version it was asked in.
async fn serve_versions<S>(stream: S, h2: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(async |request: Request<Incoming>| {
        let version = format!("{:?}", request.version());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version))))
    });
    let stream = TokioIo::new(stream);
    // The client ends the connection.
    if h2 {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(stream, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_upstream() {
    let listener = listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_versions(stream, true));
        }
    });
    let gateway = start("h2-upstream.yaml", &[("127.0.0.1:50051", address)]);
    let answer = call(&gateway, "/helloworld.Greeter/SayHello", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "HTTP/2.0"));
    origin.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web() {
    let gateway = start("grpc-web.yaml", &[]);
    let headers =
        [("Content-Type", "application/grpc-web-text"), ("Origin", "https://app.example.com")];
    let call = "/helloworld.Greeter/SayHello";
    let answer = send(gateway.address(), "POST", call, &headers, b"AAAAAAA=").await;
    assert_eq!(answer.header("content-type"), "application/grpc-web-text+proto");
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    // A frame of trailers, whose first is `grpc-status:16`.
    assert!(answer.text().starts_with("gAAAA"), "{}", answer.text());
    assert!(answer.text().contains("cnBjLXN0YXR1czoxNg0K"), "{}", answer.text());
}

fn certificate(name: &str) -> (String, TlsAcceptor) {
    install_default_crypto_provider();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_upstream() {
    let (pem, acceptor) = certificate("users.internal");
    let listener = listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_versions(stream, false).await;
                }
            });
        }
    });
    for (trusted, status) in [(pem, 200), (certificate("users.internal").0, 502)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), trusted).unwrap();
        let sources = TestSources { base: folder.path().to_owned(), ..TestSources::default() };
        let targets = [("127.0.0.1:8443", address)];
        let gateway = start_text(example("tls-upstream.yaml"), &targets, &sources);
        assert_eq!(call(&gateway, "/users", &[]).await.status, status);
    }
    origin.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_and_retries() {
    let users = Origin::start("users").await;
    // It takes connections, so that no probe leaves it out, and answers nothing.
    let mute = RawOrigin::saying(b"").await;
    let gateway = start(
        "timeouts-and-retries.yaml",
        &[("127.0.0.1:8001", users.address), ("127.0.0.1:8011", mute.address)],
    );
    for _ in 0..6 {
        assert_eq!(call(&gateway, "/users", &[]).await.status, 200);
    }
    let tries = gateway.log(6).await.iter().map(|line| line["tries"].as_u64().unwrap_or(1)).max();
    assert!(tries >= Some(2), "one was tried again: {tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers() {
    let gateway = start("answers.yaml", &[]);
    let answer = get(gateway.address(), "/hello/world", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "Hello, world!"));
    let answer = get(gateway.address(), "/v1/users", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (410, "application/json"));
    assert_eq!(answer.json()["error"], "use /v2");
    let answer = get(gateway.address(), "/old", &[("Host", "example.com")]).await;
    assert_eq!((answer.status, answer.header("location")), (308, "https://example.com/new"));
    assert_eq!(get(gateway.address(), "/healthz", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn body_limit() {
    let users = Origin::start("users").await;
    let gateway = start("body-limit.yaml", &[("127.0.0.1:8001", users.address)]);
    for (path, size, status) in [
        ("/users", 64 << 10, 200),
        ("/users", (64 << 10) + 1, 413),
        ("/photos", 1 << 20, 200),
        ("/photos", (1 << 20) + 1, 413),
    ] {
        // The length is announced, so a body too large is refused before any of it is sent.
        let length = format!("{size}");
        let answer = if status == 200 {
            send(gateway.address(), "POST", path, &[KEY], &vec![b'a'; size]).await
        } else {
            let mut client = crate::support::Client::connect(gateway.address()).await;
            client.ask("POST", path, &[KEY, ("Content-Length", &length)]).await
        };
        assert_eq!(answer.status, status, "{path} {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_log() {
    let users = Origin::start("users").await;
    let text = example("access-log.yaml");
    assert!(text.contains("/var/log/portcullis/access.log"));
    let text = text.replace("/var/log/portcullis/access.log", "\"${LOG}\"");
    let gateway = start_text(text, &[("127.0.0.1:8001", users.address)], &TestSources::default());
    call(&gateway, "/users/7?token=hunter2", &[]).await;
    let lines = gateway.log(1).await;
    assert_eq!(
        (lines[0]["status"].as_u64(), lines[0]["route"].as_str()),
        (Some(200), Some("users"))
    );
    let line = lines[0].to_string();
    assert!(!line.contains("hunter2") && !line.contains(KEY.1), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_sampling() {
    let users = Origin::start("users").await;
    let text = example("log-sampling.yaml");
    let text = text.replace("/var/log/portcullis/access.log", "\"${LOG}\"");
    let gateway = start_text(text, &[("127.0.0.1:8001", users.address)], &TestSources::default());
    for _ in 0..20 {
        get(gateway.address(), "/healthz", &[]).await;
        get(gateway.address(), "/users", &[]).await;
    }
    let lines = gateway.log(20).await;
    let refused = lines.iter().filter(|line| line["status"] == 401).count();
    // That a fifth of the probes is within a hundredth happens once in millions of years of testing.
    assert!(refused == 20 && lines.len() < 24, "{}", lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_context() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (users, old) = (Origin::start("users").await, Origin::start("old").await);
    let targets = [("127.0.0.1:8001", users.address), ("127.0.0.1:8002", old.address)];
    let gateway = start("trace-context.yaml", &targets);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    for path in ["/users", "/old"] {
        assert_eq!(call(&gateway, path, &[("traceparent", &parent)]).await.status, 200);
    }
    let seen = users.last();
    assert_eq!(seen.header("x-trace-id"), TRACE);
    assert!(seen.header("traceparent").starts_with(&format!("00-{TRACE}-")));
    assert_eq!(old.last().header("traceparent"), "");
}

/// The journal of this machine is none of a test's: that entries arrive is shown where the log is tested.
#[test]
fn journald() {
    let Loaded { compiled, .. } =
        loading::load_text(&example("journald.yaml"), &TestSources::default());
    assert_eq!(compiled.unwrap().logs.access, Access::Journald);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_secret() {
    let users = Origin::start("users").await;
    let env = BTreeMap::from([("GATEWAY_SECRET".to_owned(), "only the gateway".to_owned())]);
    let sources = TestSources { env, base: folder("conf/examples") };
    let targets = [("127.0.0.1:8001", users.address)];
    let gateway = start_text(example("gateway-secret.yaml"), &targets, &sources);
    assert_eq!(call(&gateway, "/users", &[]).await.status, 200);
    assert_eq!(users.last().header("x-api-key"), "only the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn portal() {
    let orders = Origin::with(|seen| match seen.target.as_str() {
        "/openapi.json" => Response::new(Full::from(
            r#"{"openapi":"3.1.0","info":{"title":"Orders"},"paths":{"/orders":{"get":{}}}}"#,
        )),
        _ => Response::new(Full::default()),
    })
    .await;
    let gateway = start("portal.yaml", &[("127.0.0.1:8002", orders.address)]);
    assert_eq!(get(gateway.address(), "/docs/", &[]).await.status, 200);
    eventually("the service is asked", async || !orders.seen().is_empty()).await;
    let shown = async |headers: &[(&str, &str)]| {
        let answer = get(gateway.address(), "/docs/openapi.json", headers).await;
        answer.json()["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert!(shown(&[]).await.is_empty());
    // Its own, from the file; the orders are for others.
    assert_eq!(shown(&[KEY]).await, ["/users", "/users/{id}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies() {
    let users = Origin::start("users").await;
    let gateway = start("policies.yaml", &[("127.0.0.1:8001", users.address)]);
    let app = ("Origin", "https://app.example.com");
    let answer = call(&gateway, "/users", &[app]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    let answer = call(&gateway, "/legacy", &[app]).await;
    assert_eq!(
        (answer.header("access-control-allow-origin"), answer.header("x-frame-options")),
        ("", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cors() {
    let users = Origin::start("users").await;
    let gateway = start("cors.yaml", &[("127.0.0.1:8001", users.address)]);
    let headers =
        [("Origin", "https://x.preview.example.com"), ("Access-Control-Request-Method", "PUT")];
    let answer = send(gateway.address(), "OPTIONS", "/users/7", &headers, b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, "PUT"));
    let answer = call(&gateway, "/users/7", &headers[..1]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://x.preview.example.com");
    assert!(answer.header("access-control-expose-headers").ends_with(", x-total"));
    let answer = get(gateway.address(), "/public", &[("Origin", "https://a.test")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test(flavor = "multi_thread")]
async fn security_headers() {
    let site = Origin::with(|_| {
        let builder = Response::builder().header("Content-Security-Policy", "default-src *");
        builder.header("Referrer-Policy", "origin").body(Full::new(Bytes::new())).unwrap()
    })
    .await;
    let gateway = start("security-headers.yaml", &[("127.0.0.1:8001", site.address)]);
    let answer = call(&gateway, "/site", &[]).await;
    let told = ["content-security-policy", "referrer-policy", "x-frame-options"];
    assert_eq!(
        told.map(|name| answer.header(name)),
        ["default-src 'self'; frame-ancestors 'none'", "origin", ""]
    );
    let answer = call(&gateway, "/api", &[]).await;
    assert_eq!(told.map(|name| answer.header(name)), ["default-src *", "origin", "DENY"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn compression() {
    let users = Origin::with(|_| {
        let builder = Response::builder().header("Content-Type", "application/json");
        builder.body(Full::new(Bytes::from(" ".repeat(2000)))).unwrap()
    })
    .await;
    let gateway = start("compression.yaml", &[("127.0.0.1:8001", users.address)]);
    let accept = ("Accept-Encoding", "gzip, br, zstd");
    for (path, coding) in [("/users", "zstd"), ("/reports", ""), ("/session", "")] {
        let answer = call(&gateway, path, &[accept]).await;
        assert_eq!(answer.header("content-encoding"), coding, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits() {
    let orders = Origin::start("orders").await;
    let gateway = start("limits.yaml", &[("127.0.0.1:8001", orders.address)]);
    let answer = call(&gateway, "/orders", &[]).await;
    assert!(answer.header("ratelimit").starts_with("\"60/min\";r=59;"), "{:?}", answer.headers);
    let mut posts = Vec::new();
    for _ in 0..6 {
        posts.push(send(gateway.address(), "POST", "/orders", &[KEY], b"").await.status);
    }
    assert_eq!(posts, [200, 200, 200, 200, 200, 429]);
    let login = get(gateway.address(), "/login", &[]).await;
    assert_eq!(login.header("ratelimit-policy"), "\"10/min\";q=10;w=60");
    let search = get(gateway.address(), "/search", &[]).await;
    assert!(
        search.header("ratelimit").starts_with("\"30/min burst 60\";r=55;"),
        "{:?}",
        search.headers
    );
}

/// Two gateways of an example that share a store, with the service behind.
async fn sharing(name: &str) -> (Origin, Redis, [Gateway; 2]) {
    let (orders, redis) = (Origin::start("orders").await, Redis::start().await);
    // A busy machine may miss the usual deadline.
    let text = example(name).replace("on_error: local", "deadline: 5s\n  on_error: deny");
    let targets = [("127.0.0.1:8001", orders.address), ("127.0.0.1:6379", redis.address)];
    let gateways = [(); 2].map(|()| start_text(text.clone(), &targets, &TestSources::default()));
    (orders, redis, gateways)
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_limits() {
    let (_orders, _redis, [one, two]) = sharing("shared-limits.yaml").await;
    let mut posts = Vec::new();
    for gateway in [&one, &two, &one, &two, &one, &two] {
        posts.push(send(gateway.address(), "POST", "/orders", &[KEY], b"").await.status);
    }
    assert_eq!(posts, [200, 200, 200, 200, 200, 429]);
    assert_eq!(call(&two, "/orders", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_quotas() {
    let (_orders, _redis, [one, two]) = sharing("shared-quotas.yaml").await;
    let mut found = Vec::new();
    for gateway in [&one, &two, &one, &two, &one, &two] {
        found.push(call(gateway, "/orders", &[]).await.status);
    }
    assert_eq!(found, [200, 200, 200, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency() {
    let orders = Origin::start("orders").await;
    let gateway = start("concurrency.yaml", &[("127.0.0.1:8001", orders.address)]);
    for path in ["/orders", "/orders/export", "/search"] {
        assert_eq!(call(&gateway, path, &[]).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validation() {
    let (orders, users) = (Origin::start("orders").await, Origin::start("users").await);
    let targets = [("127.0.0.1:8001", orders.address), ("127.0.0.1:8002", users.address)];
    let gateway = start("validation.yaml", &targets);
    let json = [KEY, ("Content-Type", "application/json")];
    let order = br#"{ "items": [ { "sku": "AB-1234", "qty": 1 } ] }"#;
    let answer = send(gateway.address(), "POST", "/orders", &json, order).await;
    assert_eq!((answer.status, answer.text()), (200, "orders"));
    assert_eq!(orders.last().body, order[..]);
    let order = br#"{ "items": [ { "sku": "AB-1234", "qty": 0 } ] }"#;
    let answer = send(gateway.address(), "POST", "/orders", &json, order).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_body"));
    let told = serde_json::json!([{ "pointer": "/items/0/qty", "detail": "is less than 1" }]);
    assert_eq!(answer.json()["errors"], told);
    assert_eq!(orders.seen().len(), 1);
    assert_eq!(call(&gateway, "/users/seven", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance() {
    let users = Origin::start("users").await;
    let gateway = start("maintenance.yaml", &[("127.0.0.1:8001", users.address)]);
    let answer = call(&gateway, "/users", &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "900"));
    assert_eq!(get(gateway.address(), "/healthz", &[]).await.status, 200);
    assert_eq!(get(gateway.address(), "/status", &[]).await.status, 200);
    assert_eq!(users.seen().len(), 0);
}
