//! Asking a real server, again and again.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::diagnostic::{At, Diagnostics};
use crate::upstream::config::{Config, Health, TargetSpec};

const GOOD: &str = r#"{"openapi":"3.1.0","info":{"title":"T"},"paths":{"/a":{"get":{}}}}"#;

/// A server whose n-th answer is that of `answer`, which also gets what `If-None-Match` says.
async fn server<F>(answer: F) -> (Arc<Upstream>, Arc<AtomicUsize>)
where
    F: Fn(usize, Option<&str>) -> Response<&'static str> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let calls = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&calls), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
            let service = service_fn(move |request: Request<Incoming>| {
                let known = request.headers().get(IF_NONE_MATCH).map(|tag| tag.to_str().unwrap());
                let answer = answer(count.fetch_add(1, Ordering::SeqCst), known);
                async move { Ok::<_, Infallible>(answer.map(Full::<bytes::Bytes>::from)) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let mut config = Config::to(vec![TargetSpec { url, weight: 1 }]);
    config.health = Health::None;
    let mut diagnostics = Diagnostics::new();
    let read = |_: &std::path::Path| Ok(Vec::new());
    let upstream = Upstream::compile("u", &config, &At::root(), &read, &mut diagnostics);
    (upstream.unwrap(), calls)
}

fn tagged(text: &'static str) -> Response<&'static str> {
    Response::builder().header(ETAG, "\"t\"").body(text).unwrap()
}

fn status(status: StatusCode) -> Response<&'static str> {
    Response::builder().status(status).body("").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_document_is_not_read_again() {
    let (upstream, calls) = server(|call, known| match (call, known) {
        (0, None) => tagged(GOOD),
        (1, Some("\"t\"")) => status(StatusCode::NOT_MODIFIED),
        // The same text under another tag.
        _ => Response::builder().header(ETAG, "\"u\"").body(GOOD).unwrap(),
    })
    .await;
    let source = Source::of_path(&upstream, "/openapi.json");
    assert_eq!(source.known(), Known { spec: None, state: State::Waiting });
    source.look().await;
    let (known, version) = (source.known(), source.version());
    assert_eq!((known.state, source.status().operations), (State::Good, 1));
    for _ in 0..2 {
        source.look().await;
        assert!(Arc::ptr_eq(&source.known().spec.unwrap(), known.spec.as_ref().unwrap()));
        assert_eq!(source.version(), version);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_document_is_kept_and_the_cause_is_told() {
    let (upstream, _) = server(|call, known| match call {
        1 => status(StatusCode::BAD_GATEWAY),
        2 => {
            assert_eq!(known, None, "what was broken is asked for whole");
            Response::new("no spec")
        }
        4 => Response::builder().header("content-encoding", "gzip").body("x").unwrap(),
        3 => Response::builder().status(302).header("location", "/other").body("").unwrap(),
        _ => tagged(GOOD),
    })
    .await;
    let source = Source::of_path(&upstream, "/openapi.json");
    source.look().await;
    let good = source.known();
    let mut version = source.version();
    let causes =
        ["answered with 502", "no OpenAPI document", "answered with 302", "a compressed document"];
    for cause in causes {
        source.look().await;
        let known = source.known();
        assert_eq!((known.state, &known.spec), (State::Broken, &good.spec));
        let told = source.status().complaint.unwrap();
        assert!(told.contains(cause), "{told}");
        assert!(source.version() > version, "{cause}");
        version = source.version();
    }
    source.look().await;
    assert_eq!((source.known(), source.status().complaint), (good, None));
    assert!(source.version() > version);
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_is_only_what_was_asked_about() {
    let (upstream, _) = server(|call, _| match call {
        // Without a tag no later question names one.
        1 => Response::new(GOOD),
        _ => status(StatusCode::NOT_MODIFIED),
    })
    .await;
    let source = Source::of_path(&upstream, "/openapi.json");
    for state in [State::Broken, State::Good, State::Broken] {
        source.look().await;
        assert_eq!(source.known().state, state);
    }
    assert!(source.status().complaint.unwrap().contains("answered with 304"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_until_it_is_dropped() {
    let (upstream, calls) =
        server(|call, _| if call < 2 { status(StatusCode::NOT_FOUND) } else { tagged(GOOD) }).await;
    let source = Source::of_path(&upstream, "/openapi.json");
    let soon = Duration::from_millis(5);
    source.start(&Handle::current(), Pace { first: soon, every: soon, after_failure: soon });
    while calls.load(Ordering::SeqCst) < 5 {
        tokio::time::sleep(soon).await;
    }
    assert_eq!(source.known().state, State::Good);
    let task = source.task.get().unwrap().clone();
    drop(source);
    while !task.is_finished() {
        tokio::time::sleep(soon).await;
    }
}
