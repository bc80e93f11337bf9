//! The operators' listener: is the process alive, and is it ready for traffic.
//!
//! `/livez` answers 200 as long as the process runs. `/readyz` answers 200 while it serves, and 503 from
//! the moment a stop was asked for, so that a load balancer in front sends nothing new. `/metrics` answers
//! with the process's numbers.

mod scrape;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

pub use scrape::Scrape;

use crate::listen::Shutdown;

/// Serves the operators until the process ends. Spawned tasks end with the runtime.
pub async fn serve(listener: TcpListener, shutdown: Shutdown, scrape: Arc<Scrape>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::error!("admin: cannot accept connections: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                continue;
            }
        };
        let (shutdown, scrape) = (shutdown.clone(), scrape.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (stopping, scrape) = (*shutdown.borrow(), scrape.clone());
                async move { Ok::<_, Infallible>(route(&request, stopping, scrape).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                log::debug!("admin: connection ended: {error}");
            }
        });
    }
}

async fn route(
    request: &Request<Incoming>,
    stopping: bool,
    scrape: Arc<Scrape>,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method(), request.uri().path());
    if path == "/metrics" && matches!(*method, Method::GET | Method::HEAD) {
        return scrape::answer(request.headers(), scrape).await;
    }
    answer(method, path, stopping)
}

fn answer(method: &Method, path: &str, stopping: bool) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        _ if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, "{\"error\":\"use GET\"}\n")
        }
        "/livez" => (StatusCode::OK, "{\"status\":\"live\"}\n"),
        "/readyz" if stopping => (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}\n"),
        "/readyz" => (StatusCode::OK, "{\"status\":\"ready\"}\n"),
        _ => (StatusCode::NOT_FOUND, "{\"error\":\"known here: /livez, /readyz, /metrics\"}\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_ends_when_the_stop_begins() {
        assert_eq!(answer(&Method::GET, "/readyz", false).status(), 200);
        assert_eq!(answer(&Method::GET, "/readyz", true).status(), 503);
        assert_eq!(answer(&Method::GET, "/livez", true).status(), 200);
        assert_eq!(answer(&Method::POST, "/livez", false).status(), 405);
        assert_eq!(answer(&Method::GET, "/", false).status(), 404);
    }
}
