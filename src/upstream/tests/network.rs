//! Tests that open sockets, all on 127.0.0.1.

use std::convert::Infallible;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pingora::tls::{PrivateKeyDer, ServerConfig, TlsAcceptor, install_default_crypto_provider};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpListener;

use super::*;
use crate::units::Secret;
use crate::upstream::config::GatewaySecret;

/// A service that answers 200 to those with the secret and 403 to others, or what it is told to.
struct Origin {
    address: String,
    status: Arc<Mutex<Option<StatusCode>>>,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let status = Arc::new(Mutex::new(None));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (told, log) = (Arc::clone(&status), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, log) = (Arc::clone(&told), Arc::clone(&log));
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&request, &told, &log);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        Self { address, status, seen, task }
    }
}

fn answer(
    request: &Request<Incoming>,
    told: &Mutex<Option<StatusCode>>,
    log: &Mutex<Vec<(String, String)>>,
) -> Response<Full<Bytes>> {
    let host = request.headers().get("host").and_then(|h| h.to_str().ok()).unwrap_or_default();
    log.lock().unwrap().push((request.uri().to_string(), host.to_owned()));
    let admitted = request.headers().get("x-api-key").is_some_and(|key| key == "s3cret");
    let status = if admitted { StatusCode::OK } else { StatusCode::FORBIDDEN };
    let mut response = Response::new(Full::new(Bytes::from("x".repeat(100_000))));
    *response.status_mut() = told.lock().unwrap().unwrap_or(status);
    response
}

/// A probed upstream; nothing waits longer than a test can bear.
fn probed(targets: &[&str], path: Option<&str>) -> Config {
    let mut config = config(targets);
    config.gateway_secret =
        Some(GatewaySecret { header: "x-api-key".to_owned(), value: Secret::new("s3cret") });
    config.health = Health::Check(Check {
        path: path.map(str::to_owned),
        every: Period::millis(100),
        healthy_after: 1,
        unhealthy_after: 2,
        ..Check::default()
    });
    config
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "never: {what}");
}

fn healthy(upstream: &Upstream) -> bool {
    upstream.targets().iter().all(|t| t.healthy)
}

fn refused(upstream: &Arc<Upstream>) -> bool {
    upstream.attempt(HashKey::NONE, &[], Instant::now()).is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_probe_carries_secret_and_host_and_follows_the_status() {
    let origin = Origin::start(None).await;
    let mut config = probed(&[&origin.address], Some("/healthz?deep=1"));
    config.host = config::HostHeader::Name("users.internal".to_owned());
    let upstream = upstream(&config);
    upstream.start(&Handle::current());
    let seen = Arc::clone(&origin.seen);
    until("several probes", || seen.lock().unwrap().len() >= 4).await;
    assert!(healthy(&upstream), "403 would mean that the secret is missing");
    let first = seen.lock().unwrap()[0].clone();
    assert_eq!(first, ("/healthz?deep=1".to_owned(), "users.internal".to_owned()));

    *origin.status.lock().unwrap() = Some(StatusCode::SERVICE_UNAVAILABLE);
    until("unhealthy", || !healthy(&upstream) && refused(&upstream)).await;
    *origin.status.lock().unwrap() = Some(StatusCode::NO_CONTENT);
    until("healthy again", || healthy(&upstream) && !refused(&upstream)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_probe_sees_a_listener_come_and_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = upstream(&probed(&[&address.to_string()], None));
    upstream.start(&Handle::current());
    let target = Arc::clone(&upstream.known_targets()[0]);
    until("proven", || target.proven.load(Ordering::Relaxed)).await;
    assert!(!refused(&upstream));
    drop(listener);
    until("unhealthy", || refused(&upstream)).await;
    let _listener = TcpListener::bind(address).await.unwrap();
    until("healthy again", || !refused(&upstream)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_never_worked_leaves_at_its_first_failed_probe() {
    let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bad = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (good_at, bad_at) = (good.local_addr().unwrap(), bad.local_addr().unwrap());
    drop(bad);
    let mut config = probed(&[&good_at.to_string(), &bad_at.to_string()], None);
    if let Health::Check(check) = &mut config.health {
        check.unhealthy_after = 100;
    }
    let upstream = upstream(&config);
    upstream.start(&Handle::current());
    until("ejected", || upstream.targets()[1].ejected_until.is_some()).await;
    assert!(upstream.targets()[0].ejected_until.is_none());
    let _bad = TcpListener::bind(bad_at).await.unwrap();
    until("brought back by a probe", || upstream.targets()[1].ejected_until.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_of_a_silent_target_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = probed(&[&listener.local_addr().unwrap().to_string()], Some("/"));
    if let Health::Check(check) = &mut config.health {
        check.timeout = Period::millis(50);
    }
    let upstream = upstream(&config);
    upstream.start(&Handle::current());
    until("unhealthy", || !healthy(&upstream)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_can_leave_the_secret_out_and_bounds_the_body() {
    let origin = Origin::start(None).await;
    let upstream = upstream(&probed(&[&origin.address], None));
    let target = Arc::clone(&upstream.known_targets()[0]);
    let agent = [(HeaderName::from_static("x-a"), HeaderValue::from_static("b"))];
    let ask =
        |path, with_secret| CallRequest { path, headers: &agent, with_secret, most_body: 64 << 10 };
    let soon = || Instant::now() + Duration::from_secs(20);
    let answer = upstream.call(&target, ask("/users", false), soon()).await.unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.body.len(), 64 << 10);
    let answer = upstream.call(&target, ask("/users", true), soon()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(origin.seen.lock().unwrap()[0], ("/users".to_owned(), origin.address.clone()));
    let error = upstream.call(&target, ask("users", true), soon()).await.unwrap_err();
    assert!(matches!(error, CallError::Request(_)), "{error}");
    let error = upstream.call(&target, ask("/users", true), Instant::now()).await.unwrap_err();
    assert_eq!(error, CallError::Timeout);
}

fn certificate(names: &[&str]) -> (String, TlsAcceptor) {
    install_default_crypto_provider();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_verified_for_addresses_and_names() {
    let (pem, acceptor) = certificate(&["127.0.0.1", "users.internal"]);
    let (other, _) = certificate(&["127.0.0.1"]);
    let origin = Origin::start(Some(acceptor)).await;
    let url = format!("https://{}", origin.address);
    for (ca, sni, verify, good) in [
        (Some(&pem), None, true, true),
        (Some(&pem), Some("users.internal"), true, true),
        (Some(&pem), Some("orders.internal"), true, false),
        (Some(&other), None, true, false),
        (None, None, true, false),
        (None, None, false, true),
    ] {
        let mut config = probed(&[&url], None);
        config.tls = config::Tls {
            ca: ca.map(|_| "/ca.pem".to_owned()),
            sni: sni.map(str::to_owned),
            verify,
            client_certificate: None,
        };
        let read = |_: &Path| Ok(ca.map(|pem| pem.clone().into_bytes()).unwrap_or_default());
        let mut diagnostics = Diagnostics::new();
        let upstream = Upstream::compile("users", &config, &At::root(), &read, &mut diagnostics);
        let upstream = upstream.unwrap_or_else(|| panic!("{}", diagnostics.render("f")));
        let target = Arc::clone(&upstream.known_targets()[0]);
        let request = CallRequest { path: "/", headers: &[], with_secret: true, most_body: 0 };
        let deadline = Instant::now() + Duration::from_secs(20);
        let answer = upstream.call(&target, request, deadline).await;
        assert_eq!(answer.is_ok(), good, "{sni:?} {verify}: {:?}", answer.map(|a| a.status));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_targets_are_called_by_prior_knowledge() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let uri = request.uri().to_string();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(uri))))
            });
            let http =
                hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    let mut config = probed(&[&address], None);
    config.protocol = config::Protocol::H2;
    let upstream = upstream(&config);
    let target = Arc::clone(&upstream.known_targets()[0]);
    let request =
        CallRequest { path: "/a?b=c", headers: &[], with_secret: true, most_body: 64 << 10 };
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = upstream.call(&target, request, deadline).await.unwrap();
    assert_eq!(answer.body, format!("http://{address}/a?b=c"));
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_resolved_after_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = upstream(&config(&[&format!("localhost:{port}")]));
    assert!(refused(&upstream));
    upstream.start(&Handle::current());
    upstream.start(&Handle::current());
    upstream.ready().await;
    assert!(!refused(&upstream));
    let at = format!("127.0.0.1:{port}");
    assert!(upstream.targets().iter().any(|t| t.address.to_string() == at));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn background_work_ends_with_the_upstream() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap().to_string();
    // One probe hangs while the upstream goes away.
    let upstream = upstream(&probed(&[&at, "localhost:1"], Some("/")));
    let pool = Arc::downgrade(&upstream.pool);
    upstream.start(&Handle::current());
    let (stream, _) = silent.accept().await.unwrap();
    drop(upstream);
    until("all that the tasks held is gone", || pool.strong_count() == 0).await;
    drop(stream);
}
