//! One GET to one target, as traffic would send it: for probes, for what a service says of itself, and for checking
//! that a target refuses those who come without the gateway's secret.
//!
//! It goes through Pingora's own connector, so that TLS, server name and HTTP version are those of
//! traffic. Every call opens a connection of its own: a pooled one would hide that new ones fail.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;

use super::config::Protocol;
use super::dress::Dress;
use super::target::Target;

/// What to ask a target.
#[derive(Debug, Clone, Copy)]
pub struct CallRequest<'a> {
    /// Path and query, beginning with `/`.
    pub path: &'a str,
    /// Headers beside Host and the secret.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// Whether the gateway's secret is sent along.
    pub with_secret: bool,
    /// How much of the answer's body is read, in bytes; the rest is dropped.
    pub most_body: usize,
}

/// What a target answered.
#[derive(Debug, Clone)]
pub struct CallResponse {
    /// The final status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it was asked for.
    pub body: Bytes,
}

/// Why there was no answer. The texts are for the operator, never for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The answer was broken or cut off.
    #[error("no sound answer: {0}")]
    Broken(String),
    /// The time was over.
    #[error("no answer in time")]
    Timeout,
    /// The request could not be built.
    #[error("not a request: {0}")]
    Request(String),
}

/// Makes calls for one upstream.
pub(super) struct Caller {
    dress: Arc<Dress>,
    protocol: Protocol,
    /// Made when first needed, since it reads the system's authorities.
    connector: OnceLock<Connector>,
}

impl Caller {
    pub fn new(dress: Arc<Dress>, protocol: Protocol) -> Self {
        Self { dress, protocol, connector: OnceLock::new() }
    }

    /// Sends the request and reads the answer, all before the deadline.
    pub async fn call(
        &self,
        target: &Target,
        request: CallRequest<'_>,
        deadline: Instant,
    ) -> Result<CallResponse, CallError> {
        let head = self.head(target, &request)?;
        // The timer would give even a call whose time is over a moment to succeed.
        if deadline <= Instant::now() {
            return Err(CallError::Timeout);
        }
        tokio::time::timeout_at(deadline.into(), self.exchange(target, head, request.most_body))
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    fn head(&self, target: &Target, request: &CallRequest<'_>) -> Result<RequestHeader, CallError> {
        let refuse = |error: &dyn std::fmt::Display| CallError::Request(error.to_string());
        let path = request.path;
        if !path.starts_with('/') {
            return Err(CallError::Request("the path does not begin with /".to_owned()));
        }
        let uri: Uri = path.parse().map_err(|e: http::uri::InvalidUri| refuse(&e))?;
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            headers.append(name, value.clone());
        }
        self.dress.host(target.authority(), &mut headers);
        if request.with_secret {
            self.dress.secret(&mut headers);
        }
        let mut head =
            RequestHeader::build("GET", path.as_bytes(), Some(4)).map_err(|e| refuse(&e))?;
        for (name, value) in &headers {
            head.append_header(name, value).map_err(|e| refuse(&e))?;
        }
        if self.protocol == Protocol::H2 {
            // HTTP/2 carries scheme and authority in the target (RFC 9113, section 8.3.1).
            let host = head.headers.get(http::header::HOST).unwrap_or(target.authority());
            let scheme = if target.template.is_tls() { "https" } else { "http" };
            let mut parts = uri.into_parts();
            parts.scheme = scheme.parse().ok();
            parts.authority = Some(host.as_bytes().try_into().map_err(|e| refuse(&e))?);
            head.set_uri(Uri::from_parts(parts).map_err(|e| refuse(&e))?);
        }
        Ok(head)
    }

    async fn exchange(
        &self,
        target: &Target,
        head: RequestHeader,
        most_body: usize,
    ) -> Result<CallResponse, CallError> {
        let broken = |e: pingora::BError| CallError::Broken(explain(&e));
        let connector = self.connector.get_or_init(|| Connector::new(None));
        let mut peer = target.template.clone();
        // An HTTP/2 connection with room for one stream is not pooled.
        peer.options.max_h2_streams = 1;
        let (mut session, _) =
            connector.get_http_session(&peer).await.map_err(|e| CallError::Connect(explain(&e)))?;
        send(&mut session, head).await.map_err(broken)?;
        let (status, headers) = loop {
            session.read_response_header().await.map_err(broken)?;
            let Some(response) = session.response_header() else {
                return Err(CallError::Broken("there is no answer".to_owned()));
            };
            // Interim answers (RFC 9110, section 15.2) are followed by the final one.
            if !response.status.is_informational() {
                break (response.status, response.headers.clone());
            }
        };
        let body = body(&mut session, most_body).await.map_err(broken)?;
        session.shutdown().await;
        Ok(CallResponse { status, headers, body })
    }
}

/// Sends a request without a body.
async fn send(session: &mut HttpSession, head: RequestHeader) -> pingora::Result<()> {
    if let HttpSession::H2(stream) = session {
        // The head ends the stream. Ending it later, in a frame of its own, fails when the target
        // has answered by then.
        return stream.write_request_header(Box::new(head), true);
    }
    session.write_request_header(Box::new(head)).await?;
    session.finish_request_body().await
}

async fn body(session: &mut HttpSession, most: usize) -> pingora::Result<Bytes> {
    let mut body = BytesMut::new();
    while body.len() < most
        && let Some(piece) = session.read_response_body().await?
    {
        let room = most - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(body.freeze())
}

/// The kind of an error and what it says itself, without the chain that repeats the peer.
fn explain(error: &pingora::Error) -> String {
    match &error.context {
        Some(context) => format!("{}: {}", error.etype().as_str(), context.as_str()),
        None => error.etype().as_str().to_owned(),
    }
}
