//! A [`Record`] is what is known of a request when it is over, not yet put into words.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};

use crate::listen::TlsFacts;

/// What is known of a request when it is over. The meaning of each field stands in the table of
/// [`access_log`](super).
///
/// The types are those that the request path has at hand: shared names, numbers, and text that is moved
/// here rather than formatted.
#[derive(Debug, Clone)]
pub struct Record {
    /// When the request's head had arrived.
    pub time: SystemTime,
    /// The request's id.
    pub request_id: Box<str>,
    /// The id of its trace, if that is not the request's id.
    pub trace_id: Option<Box<str>>,
    /// The client's address, seen past trusted proxies.
    pub client: IpAddr,
    /// The request's method, if it could be read.
    pub method: Option<Method>,
    /// The host asked for.
    pub host: Option<Box<str>>,
    /// The path as the client sent it, if it could be read.
    pub path: Option<Box<str>>,
    /// The query as the client sent it, without the `?`; its values are redacted when it is written.
    pub query: Option<Box<str>>,
    /// The protocol between client and gateway, such as `HTTP/1.1`, if it could be read.
    pub protocol: Option<&'static str>,
    /// What is known of the connection's TLS; none without.
    pub tls: Option<Arc<TlsFacts>>,
    /// The name of the route.
    pub route: Option<Arc<str>>,
    /// The name of the consumer, as it is sent on.
    pub consumer: Option<HeaderValue>,
    /// The name of the upstream.
    pub upstream: Option<Arc<str>>,
    /// The target of the last try.
    pub target: Option<Arc<str>>,
    /// How many times a target was tried.
    pub tries: u8,
    /// The status that the client got, or 0.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// How long it all took.
    pub timings: Timings,
    /// Why we answered ourselves: the `code` of that answer.
    pub why: Option<&'static str>,
    /// More about `why`, for the operator only.
    pub detail: Option<&'static str>,
    /// The place of the limit that refused it or held it up, or would have.
    pub limit: Option<Arc<str>>,
    /// What a rule or a limit that only observes would have refused it for.
    pub observed: Option<&'static str>,
    /// What the client said of itself; only asked for by a log that [wants it](super::AccessLog::wants_agent).
    pub agent: Option<Box<Agent>>,
}

impl Record {
    /// The name of the consumer.
    #[must_use]
    pub fn consumer(&self) -> Option<&str> {
        self.consumer.as_ref().and_then(|name| std::str::from_utf8(name.as_bytes()).ok())
    }

    /// The id of its trace.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.trace_id.as_deref().unwrap_or(&self.request_id)
    }
}

/// What a client said of itself and of where it came from, as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// `Referer`; its query is redacted when it is written.
    pub referer: Option<Box<[u8]>>,
    /// `User-Agent`.
    pub user_agent: Option<Box<[u8]>>,
}

/// How long the phases of a request took; `None` for a phase that it did not come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request's head to the last byte of the response.
    pub total: Duration,
    /// From the request's head to the first try.
    pub gateway: Option<Duration>,
    /// To get a connection for the last try.
    pub connect: Option<Duration>,
    /// From that connection to the head of the upstream's answer.
    pub first_byte: Option<Duration>,
    /// From the first try to the end of the upstream's part.
    pub upstream: Option<Duration>,
}
