//! Services over anything that carries bytes: Unix sockets, TLS, HTTP/2.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

/// A request, as far as these stories look at it.
#[derive(Debug, Clone)]
pub struct Caught {
    pub version: Version,
    /// The Host, or the authority of HTTP/2.
    pub host: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

/// What a service saw.
pub type Catch = Arc<Mutex<Vec<Caught>>>;

/// Serves one connection by HTTP/1 or, by prior knowledge, HTTP/2, with its name as every answer.
pub async fn serve<S>(stream: S, h2: bool, name: &'static str, connection: usize, caught: Catch)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let caught = caught.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
            let named = head.headers.get("host").map(|host| host.to_str().unwrap());
            let host = head.uri.authority().map(http::uri::Authority::as_str).or(named);
            caught.lock().unwrap().push(Caught {
                version: head.version,
                host: host.unwrap_or_default().to_owned(),
                path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                headers: head.headers,
                body,
                connection,
            });
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(name.as_bytes()))))
        }
    });
    let io = TokioIo::new(stream);
    let _ = if h2 {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}
