//! The operators' listener: is the process alive and ready, what does it do, and change it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 as long as the process runs |
//! | `GET /readyz` | 200 while it serves; 503 from the moment a stop was asked for. A refused reload is told, and is no reason to be unready: the configuration before it serves |
//! | `GET /config` | the configuration in force, masked |
//! | `GET /routes`, `GET /upstreams` | what there is, and how it is |
//! | `GET /portal` | how the services' own documents are, and where calls differ from them |
//! | `GET /metrics` | the process's numbers |
//! | `POST /reload` | reads the file again |
//! | `POST /upstreams/NAME/targets/LABEL/drain`, `.../undrain` | takes a target out of service, or back |
//! | `GET`, `PUT /log-level` | the filter of the process log |
//!
//! Everything but the metrics is JSON; docs/admin-openapi.yaml has the shapes, and a test holds it against the answers. It
//! speaks through a small server of its own and not through the gateway: it must answer when that does not,
//! and no route may reach it.

mod access;
mod listener;
mod portal;
mod scrape;
mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

pub use scrape::Scrape;

use crate::listen::Shutdown;
use crate::live::Live;
use crate::observe::process_log::LogLevel;
use crate::reload::{Reloader, Trigger};
use crate::snapshot::Snapshot;
use crate::units::Secret;

use access::{Access, Caller};
pub use listener::{AdminBindError, Bound};

/// So many connections at once: operators are few, and a scraper that leaks must not take everything.
const CONNECTIONS: usize = 128;
/// How long a connection is kept, so that no place is taken for ever by one that asks little or does not read.
const CONNECTION_AGE: Duration = Duration::from_secs(300);
/// How long the answer may take that is under way then.
const LAST_ANSWER: Duration = Duration::from_secs(60);
/// How long a client may take for its request's head, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest body: a filter of the process log.
const BODY: usize = 4 << 10;

/// What operators are shown, and what they can change.
pub struct Admin {
    /// The configuration in force.
    pub live: Arc<Live>,
    /// Who reloads it.
    pub reloader: Reloader,
    /// Whether the process is about to stop.
    pub shutdown: Shutdown,
    /// The filter of the process log, if this process has one.
    pub log_level: Option<Arc<LogLevel>>,
    /// The numbers.
    pub scrape: Arc<Scrape>,
}

/// All that operators are shown of a configuration, by its path.
#[must_use]
pub fn shown(snapshot: &Snapshot) -> [(&'static str, Value); 4] {
    [
        ("/config", view::config(snapshot)),
        ("/routes", view::routes(snapshot)),
        ("/upstreams", view::upstreams_now(snapshot)),
        ("/portal", portal::portal(snapshot)),
    ]
}

/// Serves the operators until this is dropped; connections end with the runtime.
pub async fn serve(bound: Bound, token: Option<&Secret>, admin: Admin) -> std::io::Result<()> {
    let access = Access::new(&bound.address(), token);
    let socket = bound.into_tokio()?;
    let shared = Arc::new((admin, access));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return Ok(()) };
        let stream = match socket.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                log::error!("admin: cannot accept connections: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(shared.0.serve(&shared.1, request).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(served);
            let ended = tokio::select! {
                ended = served.as_mut() => ended,
                () = tokio::time::sleep(CONNECTION_AGE) => {
                    served.as_mut().graceful_shutdown();
                    tokio::time::timeout(LAST_ANSWER, served).await.unwrap_or(Ok(()))
                }
            };
            if let Err(error) = ended {
                log::debug!("admin: connection ended: {error}");
            }
            drop(place);
        });
    }
}

/// What a path stands for.
#[derive(Debug, PartialEq, Eq)]
enum Endpoint {
    Live,
    Ready,
    Config,
    Routes,
    Upstreams,
    Portal,
    Reload,
    /// Upstream, label, and whether it is to be drained.
    Drain(String, String, bool),
    LogLevel,
    Metrics,
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match segments[..] {
            ["livez"] => Self::Live,
            ["readyz"] => Self::Ready,
            ["config"] => Self::Config,
            ["routes"] => Self::Routes,
            ["upstreams"] => Self::Upstreams,
            ["portal"] => Self::Portal,
            ["reload"] => Self::Reload,
            ["log-level"] => Self::LogLevel,
            ["metrics"] => Self::Metrics,
            ["upstreams", upstream, "targets", label, word @ ("drain" | "undrain")] => {
                Self::Drain(decode(upstream)?, decode(label)?, word == "drain")
            }
            _ => return None,
        })
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Reload | Self::Drain(..) => "POST",
            Self::LogLevel => "GET, HEAD, PUT",
            _ => "GET, HEAD",
        }
    }

    fn takes(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|known| known == method.as_str())
    }

    const fn is_for_everybody(&self) -> bool {
        matches!(self, Self::Live | Self::Ready)
    }
}

/// A path's segment without its percent-encoding (RFC 3986, section 2.1): labels have slashes in them.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'%' {
            let (digits, more) = more.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = more;
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}

type Answer = (StatusCode, Value);

fn problem(status: StatusCode, what: impl Into<String>) -> Answer {
    (status, json!({ "error": what.into() }))
}

impl Admin {
    async fn serve(&self, access: &Access, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        match Self::admit(access, &head) {
            Ok((Endpoint::Metrics, _)) => {
                scrape::answer(&head.headers, Arc::clone(&self.scrape)).await
            }
            Ok((endpoint, caller)) => {
                respond(self.act(&endpoint, caller, &head.method, body).await)
            }
            Err((answer, allow)) => {
                let mut response = respond(answer);
                if let Some(allow) = allow {
                    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
                }
                response
            }
        }
    }

    /// What is asked for and by whom; or why nobody answers, with the methods that would do.
    fn admit(
        access: &Access,
        head: &Parts,
    ) -> Result<(Endpoint, Caller), (Answer, Option<&'static str>)> {
        let endpoint = Endpoint::of(head.uri.path());
        let open = endpoint.as_ref().is_some_and(Endpoint::is_for_everybody);
        let refuse = |status, what: &str| (problem(status, what), None);
        let caller =
            access.check(head, open).map_err(|refusal| refuse(refusal.status, refusal.what))?;
        if caller == Caller::Stranger && !open {
            let what = "send the token: Authorization: Bearer TOKEN";
            return Err(refuse(StatusCode::UNAUTHORIZED, what));
        }
        let Some(endpoint) = endpoint else {
            let known = "known here: /livez, /readyz, /metrics, /config, /routes, /upstreams, /portal, \
                         /reload, /log-level";
            return Err(refuse(StatusCode::NOT_FOUND, known));
        };
        if !endpoint.takes(&head.method) {
            let methods = endpoint.methods();
            let answer = problem(StatusCode::METHOD_NOT_ALLOWED, format!("use {methods}"));
            return Err((answer, Some(methods)));
        }
        Ok((endpoint, caller))
    }

    async fn act(
        &self,
        endpoint: &Endpoint,
        caller: Caller,
        method: &Method,
        body: Incoming,
    ) -> Answer {
        // With thousands of routes these take milliseconds, which the workers have requests for.
        let shown = async |show: fn(&Snapshot) -> Value| {
            let snapshot = Arc::clone(&self.live.now());
            match spawn_blocking(move || show(&snapshot)).await {
                Ok(value) => (StatusCode::OK, value),
                Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it cannot be shown"),
            }
        };
        match endpoint {
            Endpoint::Live => (StatusCode::OK, json!({ "status": "live" })),
            Endpoint::Ready => self.ready(caller),
            Endpoint::Config => shown(view::config).await,
            Endpoint::Routes => shown(view::routes).await,
            Endpoint::Upstreams => shown(view::upstreams_now).await,
            Endpoint::Portal => shown(portal::portal).await,
            Endpoint::Reload => self.reload().await,
            Endpoint::Drain(upstream, label, drained) => self.drain(upstream, label, *drained),
            Endpoint::LogLevel => self.log_level(method, body).await,
            Endpoint::Metrics => problem(StatusCode::NOT_FOUND, "metrics are no JSON"),
        }
    }

    fn ready(&self, caller: Caller) -> Answer {
        let stopping = *self.shutdown.borrow();
        let status = if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        match caller {
            Caller::Operator => {
                let store = self.live.now().store.as_ref().map(|store| store.status());
                (status, view::ready(&self.reloader.status(), store.as_ref(), stopping))
            }
            // A mistake in the configuration may name what is not everybody's business.
            Caller::Stranger => {
                (status, json!({ "status": if stopping { "stopping" } else { "ready" } }))
            }
        }
    }

    async fn reload(&self) -> Answer {
        match self.reloader.reload(Trigger::Admin).await {
            Some(outcome) if outcome.accepted => (StatusCode::OK, view::outcome(&outcome)),
            Some(outcome) => (StatusCode::UNPROCESSABLE_ENTITY, view::outcome(&outcome)),
            None => problem(
                StatusCode::CONFLICT,
                "there is nothing to reload: the configuration did not come from a file, or the process \
                 is about to end",
            ),
        }
    }

    fn drain(&self, upstream: &str, label: &str, drained: bool) -> Answer {
        if self.reloader.drain(upstream, label, drained) {
            return (
                StatusCode::OK,
                json!({ "upstream": upstream, "target": label, "drained": drained }),
            );
        }
        problem(
            StatusCode::NOT_FOUND,
            "no such upstream, or it has no such target: GET /upstreams shows their labels, which are \
             percent-encoded in a path",
        )
    }

    async fn log_level(&self, method: &Method, body: Incoming) -> Answer {
        let Some(level) = &self.log_level else {
            return problem(StatusCode::CONFLICT, "the process log is not this program's");
        };
        if *method == Method::PUT {
            let wish = match filter_of(body).await {
                Ok(wish) => wish,
                Err(what) => return problem(StatusCode::BAD_REQUEST, what),
            };
            if let Err(error) = level.set(&wish) {
                return problem(StatusCode::BAD_REQUEST, error.to_string());
            }
            log::info!("admin: the filter of the process log is {wish}");
        }
        (StatusCode::OK, json!({ "filter": level.filter() }))
    }
}

fn respond((status, value): Answer) -> Response<Full<Bytes>> {
    let mut text = value.to_string();
    text.push('\n');
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

async fn filter_of(body: Incoming) -> Result<String, &'static str> {
    let body = tokio::time::timeout(PATIENCE, Limited::new(body, BODY).collect()).await;
    let Ok(Ok(body)) = body else { return Err("the body is too large, or did not come") };
    let value: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    match value.get("filter").and_then(Value::as_str) {
        Some(filter) => Ok(filter.to_owned()),
        None => Err("send JSON such as {\"filter\": \"warn,portcullis=debug\"}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_segment_with_its_slashes_encoded() {
        let drain = |label: &str| Endpoint::Drain("users".into(), label.into(), true);
        for (path, endpoint) in [
            ("/upstreams/users/targets/10.0.0.1:80/drain", drain("10.0.0.1:80")),
            ("/upstreams/users/targets/http%3A%2F%2Fu:80/drain", drain("http://u:80")),
            ("/upstreams/users/targets/unix%3a%2frun%2fu.sock/drain", drain("unix:/run/u.sock")),
        ] {
            assert_eq!(Endpoint::of(path), Some(endpoint), "{path}");
        }
        for none in
            ["", "/", "/livez/", "/upstreams/users", "/upstreams/u/targets/%zz/drain", "//livez"]
        {
            assert_eq!(Endpoint::of(none), None, "{none}");
        }
    }

    #[test]
    fn each_endpoint_has_its_methods() {
        let takes = |path, method: Method| Endpoint::of(path).unwrap().takes(&method);
        assert!(takes("/livez", Method::GET) && takes("/livez", Method::HEAD));
        assert!(!takes("/livez", Method::POST));
        assert!(takes("/reload", Method::POST) && !takes("/reload", Method::GET));
        assert!(takes("/log-level", Method::PUT) && !takes("/log-level", Method::POST));
    }
}
