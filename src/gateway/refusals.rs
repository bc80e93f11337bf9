//! Requests that end below the session: they are answered, counted and logged as those above it are.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, ORIGIN, SERVER};
use http::{HeaderMap, Method, Version};
use pingora::protocols::http::date::get_cached_date;

use super::answer::SERVER_NAME;
use super::cause;
use crate::exchange::{REQUEST_ID, new_id, protocol};
use crate::listen::{self, Flaw, Refused};
use crate::live::Live;
use crate::observe::access_log::{AccessLog, Record, Timings};
use crate::observe::metrics::Metrics;
use crate::reply::{Reply, Wanted};

/// The listeners' word to clients, log and metrics.
pub struct Refusals {
    live: Arc<Live>,
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
}

impl Refusals {
    /// To this log and these metrics, by the configuration in force.
    #[must_use]
    pub fn new(live: Arc<Live>, log: Arc<AccessLog>, metrics: Arc<Metrics>) -> Self {
        Self { live, log, metrics }
    }
}

impl listen::Refusals for Refusals {
    fn refuse(&self, refused: &Refused<'_>) -> Vec<u8> {
        self.note(refused.flaw);
        let rejection = cause::of_flaw(refused.flaw);
        let id = new_id();
        let id_text = id.to_str().unwrap_or_default();
        let method = refused.method.and_then(|method| Method::from_bytes(method).ok());
        let (status, why) = (rejection.status(), Some(rejection.code()));
        let reply = rejection.reply(Wanted::Json, id_text);
        // Whatever else it asked for can't be read. For whom the answer is may be known all the same.
        let origin = refused.origin.and_then(|origin| HeaderValue::from_bytes(origin).ok());
        let sent: HeaderMap = origin.map(|origin| (ORIGIN, origin)).into_iter().collect();
        let reply = match &self.live.now().unrouted {
            Some(policy) => policy.dress(reply, &sent, false),
            None => reply,
        };
        let head_only = method == Some(Method::HEAD);
        let body = if head_only { 0 } else { reply.body.len() as u64 };
        self.metrics.record(None, method.as_ref(), status, refused.took, why);
        if self.log.is_on() && self.live.now().sampling.keeps(status, true, id_text) {
            self.log.write(record(refused, id_text, method, (status, why, body)));
        }
        written(reply, id, head_only)
    }

    fn note(&self, flaw: Flaw) {
        self.metrics.refused(flaw);
    }
}

/// The line of the log, with what was answered: status, code, and bytes of the body.
fn record(
    refused: &Refused<'_>,
    id: &str,
    method: Option<Method>,
    (status, why, bytes_out): (u16, Option<&'static str>, u64),
) -> Record {
    // A URL may hold a credential where its host is, which is not looked at here.
    let target = refused.target.filter(|target| target.starts_with(b"/"));
    let target = target.map(String::from_utf8_lossy);
    let (path, query) = match target.as_deref().map(|target| target.split_once('?')) {
        Some(Some((path, query))) => (Some(path.into()), Some(query.into())),
        _ => (target.as_deref().map(Into::into), None),
    };
    let version = |http10| if http10 { Version::HTTP_10 } else { Version::HTTP_11 };
    Record {
        time: SystemTime::now() - refused.took,
        request_id: id.into(),
        trace_id: None,
        client: refused.peer.ip().to_canonical(),
        method,
        host: None,
        path,
        query,
        protocol: refused.is_http10.map(|http10| protocol(version(http10))),
        // The request was refused below all that is known of it.
        tls: None,
        route: None,
        consumer: None,
        upstream: None,
        target: None,
        tries: 0,
        status,
        bytes_in: 0,
        bytes_out,
        timings: Timings { total: refused.took, ..Timings::default() },
        why,
        detail: Some(refused.flaw.word()),
        limit: None,
        observed: None,
        agent: None,
    }
}

/// The answer as it is sent, the last one of its connection.
fn written(reply: Reply, id: HeaderValue, head_only: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + reply.body.len());
    let reason = reply.status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", reply.status.as_u16()).as_bytes());
    let length = HeaderValue::from(reply.body.len());
    let more = [
        (SERVER, SERVER_NAME),
        (REQUEST_ID, id),
        (CONTENT_LENGTH, length),
        (DATE, get_cached_date()),
        (CONNECTION, HeaderValue::from_static("close")),
    ];
    for (name, value) in reply.headers.into_iter().chain(more) {
        line(&mut out, &name, &value);
    }
    out.extend_from_slice(b"\r\n");
    if !head_only {
        out.extend_from_slice(&reply.body);
    }
    out
}

fn line(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}
