//! Requests that end below the session: they are answered, counted and logged as those above it are.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, SERVER};
use http::{Method, Version};
use pingora::protocols::http::date::get_cached_date;

use super::answer::SERVER_NAME;
use super::cause;
use crate::exchange::{REQUEST_ID, new_id, protocol};
use crate::listen::{self, Flaw, Refused};
use crate::observe::access_log::{AccessLog, Record, Timings};
use crate::observe::metrics::Metrics;
use crate::reply::{Reply, Wanted};

/// The listeners' word to clients, log and metrics.
pub struct Refusals {
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
}

impl Refusals {
    /// To this log and these metrics.
    #[must_use]
    pub fn new(log: Arc<AccessLog>, metrics: Arc<Metrics>) -> Self {
        Self { log, metrics }
    }
}

impl listen::Refusals for Refusals {
    fn refuse(&self, refused: &Refused<'_>) -> Vec<u8> {
        self.note(refused.flaw);
        let rejection = cause::of_flaw(refused.flaw);
        let id = new_id();
        let method = refused.method.and_then(|method| Method::from_bytes(method).ok());
        let reply = rejection.reply(Wanted::Json, id.to_str().unwrap_or_default());
        let (status, length) = (rejection.status(), reply.body.len());
        let answer = written(reply, id.clone(), method == Some(Method::HEAD));
        // A URL may hold a credential where its host is, which is not looked at here.
        let target = refused.target.filter(|target| target.starts_with(b"/"));
        let target = target.map(String::from_utf8_lossy);
        let (path, query) = match target.as_deref().map(|target| target.split_once('?')) {
            Some(Some((path, query))) => (Some(path.into()), Some(query.into())),
            _ => (target.as_deref().map(Into::into), None),
        };
        let version = |http10| if http10 { Version::HTTP_10 } else { Version::HTTP_11 };
        let record = Record {
            time: SystemTime::now() - refused.took,
            request_id: id.to_str().unwrap_or_default().into(),
            client: refused.peer.ip().to_canonical(),
            bytes_out: if method == Some(Method::HEAD) { 0 } else { length as u64 },
            method,
            host: None,
            path,
            query,
            protocol: refused.is_http10.map(|http10| protocol(version(http10))),
            route: None,
            consumer: None,
            upstream: None,
            target: None,
            tries: 0,
            status,
            bytes_in: 0,
            timings: Timings { total: refused.took, ..Timings::default() },
            why: Some(rejection.code()),
            detail: Some(refused.flaw.word()),
        };
        self.metrics.record(&record, None);
        self.log.write(record);
        answer
    }

    fn note(&self, flaw: Flaw) {
        self.metrics.refused(flaw);
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
