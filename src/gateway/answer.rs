//! Writing answers of our own, mapping those of upstreams back, and telling the log.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, REFERER, SERVER};
use http::header::{TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use super::head;
use super::intake::{Own, has_begun};
use super::{KEPT, REFUSED_READ};
use crate::exchange::{Exchange, REQUEST_ID};
use crate::listen::Facts;
use crate::observe::access_log::{Agent, Record, Timings};
use crate::reject::Rejection;
use crate::reply::{self, Reply};
use crate::rewrite::location;
use crate::snapshot::{Policy, Route};
use crate::upstream::Attempt;

/// How our own answers are signed. It tells no version.
pub(super) const SERVER_NAME: HeaderValue = HeaderValue::from_static("portcullis");

/// Gives an answer of our own, as soon as it is there.
pub(super) async fn give(session: &mut Session, x: &mut Exchange, own: Own) -> Result<()> {
    let reply = match own {
        Own::Ready(reply) => Ok(reply),
        Own::Portal(ask) if ask.is_slow() => {
            // It may take longer than a worker's other requests should wait.
            tokio::task::spawn_blocking(move || ask.answer()).await
        }
        Own::Portal(ask) => Ok(ask.answer()),
        Own::Wait(_) => return refuse(session, x, &Rejection::Internal).await,
    };
    match reply {
        Ok(reply) => send(session, x, reply).await,
        Err(_) => refuse(session, x, &Rejection::Internal).await,
    }
}

/// Compares what an upstream answered with what it documents, where somebody wants to know.
pub(super) fn compare(x: &Exchange) {
    if let Some(drift) = x.route.as_deref().and_then(|route| route.drift.get())
        && x.why.is_none()
        && x.status >= 200
    {
        let target = x.onward.target.as_deref().unwrap_or(&x.line.path);
        drift.observe(x.line.method.as_str(), target, x.status);
    }
}

/// Sends an answer of our own; the client keeps its connection.
pub(super) async fn send(session: &mut Session, x: &mut Exchange, reply: Reply) -> Result<()> {
    let sent = &session.req_header().headers;
    let reply = match x.policy() {
        Some(policy) => policy.dress(reply, sent, x.is_secure(sent)),
        None => reply,
    };
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 5))?;
    for (name, value) in reply.headers {
        head.append_header(name, value)?;
    }
    for (name, value) in x.what_is_left().into_iter().flatten() {
        head.insert_header(name, value)?;
    }
    head.insert_header(SERVER, SERVER_NAME)?;
    head.insert_header(REQUEST_ID, x.id.clone())?;
    let has_no_body = matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_no_body {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(reply.body.len()))?;
    }
    x.status = reply.status.as_u16();
    let head_only = has_no_body || reply.body.is_empty() || x.line.method == Method::HEAD;
    if head_only && let ServerSession::H2(h2) = session.as_downstream_mut() {
        // The head itself ends the stream, which gRPC asks of a status without a message.
        return h2.write_response_header(Box::new(head), true);
    }
    session.write_response_header(Box::new(head), head_only).await?;
    if !head_only {
        session.write_response_body(Some(reply.body), true).await?;
    }
    Ok(())
}

/// Sends a refusal, and notes why.
pub(super) async fn refuse(
    session: &mut Session,
    x: &mut Exchange,
    rejection: &Rejection,
) -> Result<()> {
    x.why = Some(rejection.code());
    let wanted = reply::wanted(&session.req_header().headers);
    let reply = rejection.reply(wanted, x.id());
    send(session, x, reply).await
}

/// Ends a request that failed: with an answer where none has begun and somebody is there to read it.
pub(super) async fn fail(session: &mut Session, x: &mut Exchange, rejection: &Rejection) {
    x.why = Some(rejection.code());
    let begun = has_begun(session);
    if matches!(rejection, Rejection::ClientClosed) {
        if !begun {
            x.status = rejection.status();
        }
        return;
    }
    if !begun {
        session.as_downstream_mut().set_keepalive(None);
        if let Err(error) = refuse(session, x, rejection).await {
            log::debug!("request {}: the answer could not be sent: {error}", x.id());
        }
    }
}

/// Closes the connection of a request that failed.
pub(super) async fn close(session: &mut Session) {
    // Pingora drops the connection after a failure, with what is unread and what is still buffered; closing
    // it in order first gives an answer time to be read, and shows a cut one as far as it came.
    if let ServerSession::H1(h1) = session.as_downstream_mut() {
        // The connection itself bounds how long a client may take to read what is left, and then to leave.
        h1.shutdown().await;
    }
}

/// What of a route's policy holds for an upstream's answer with this status.
fn policy_of(route: &Route, status: StatusCode) -> Option<&Policy> {
    route.policy.as_deref().filter(|_| status != StatusCode::SWITCHING_PROTOCOLS)
}

/// Changes the headers of an upstream's answer as the route alone has it, where no policy does so later. First comes
/// what the caller is told of its limit, so that the route can take it out.
pub(super) fn change(session: &Session, x: &Exchange, headers: &mut HeaderMap, status: StatusCode) {
    for (name, value) in x.what_is_left().into_iter().flatten() {
        // In the place of those of whoever stands behind.
        headers.insert(name, value);
    }
    if let Some(route) = x.route.as_deref()
        && !route.response_headers.is_empty()
        && policy_of(route, status).is_none()
    {
        route.response_headers.apply(headers, &x.fill(&session.req_header().headers));
    }
}

/// Changes the head of an upstream's answer as the route's policy has it, and begins to compress its body.
pub(super) fn dress(session: &Session, x: &mut Exchange, head: &mut ResponseHeader) -> Result<()> {
    let Some(route) = x.route.as_deref() else { return Ok(()) };
    let sent = session.req_header();
    let Some(policy) = policy_of(route, head.status) else { return Ok(()) };
    let (fill, secure) = (x.fill(&sent.headers), x.is_secure(&sent.headers));
    let mut encoder = None;
    head::change(head, |headers, status, _| {
        let operations = (&route.response_headers, &fill);
        encoder = policy.answer(headers, status, &sent.headers, secure, operations);
    });
    let head_only = sent.method == Method::HEAD;
    if encoder.is_some() && !head_only && !session.as_downstream().is_http2() {
        // Its length is not known any more. HTTP/2 frames it by itself.
        head.set_version(Version::HTTP_11);
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    x.encoder = encoder.filter(|_| !head_only).map(Box::new);
    Ok(())
}

/// Sends a piece of an upstream's body through the encoder.
pub(super) fn compress(x: &mut Exchange, body: &mut Option<Bytes>, end: bool) -> io::Result<()> {
    let Some(mut encoder) = x.encoder.take() else { return Ok(()) };
    let piece = body.take().unwrap_or_default();
    if end {
        *body = Some(encoder.finish(&piece)?);
        return Ok(());
    }
    // An empty piece has nothing to flush.
    if !piece.is_empty() {
        *body = Some(encoder.piece(&piece)?);
    }
    x.encoder = Some(encoder);
    Ok(())
}

/// Frames an upstream's answer for the version that the client speaks, and keeps its connection where it can
/// be kept.
pub(super) fn suit(session: &mut Session, x: &mut Exchange, head: &mut ResponseHeader) {
    let (version, head_only) =
        (session.req_header().version, session.req_header().method == Method::HEAD);
    let downstream = session.as_downstream_mut();
    // Pingora gives a connection up when an answer begins before the request's body has come, and does not
    // except the interim ones (1xx), with which nothing is over.
    if x.kept_before_interim && downstream.is_body_done() {
        downstream.set_keepalive(KEPT);
    }
    // RFC 9112, section 6.1: to HTTP/1.0 no chunks; there the end of the connection ends the body.
    if version < Version::HTTP_11 && head.remove_header(&TRANSFER_ENCODING).is_some() {
        downstream.set_keepalive(None);
    }
    let no_body = head_only
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    if no_body {
        ended(session, x);
    }
}

/// Notes that the answer is whole. What the client still has to send is then its own affair.
pub(super) fn ended(session: &mut Session, x: &mut Exchange) {
    x.answered = true;
    if x.bytes_in == 0 && session.req_header().headers.contains_key(EXPECT) {
        session.as_downstream_mut().set_read_timeout(Some(REFUSED_READ));
    }
}

/// Maps `Location` and cookie paths of an upstream's answer back to what the client knows.
pub(super) fn map_back(x: &Exchange, headers: &mut HeaderMap) {
    let Some(attempt) = &x.attempt else { return };
    let host = x.onward.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority = attempt.target().authority().to_str().unwrap_or_default();
    let to_public = |path: &str| match &x.onward.prefixes {
        Some(prefixes) => prefixes.to_public(path),
        None => Some(path.to_owned()),
    };
    location::restore(
        headers,
        &location::Origin {
            authorities: &[host, authority],
            public_host: Some(&*x.line.host).filter(|host| !host.is_empty()),
            to_public: &to_public,
        },
    );
}

/// What the log is told of a request that has ended; what the client said of itself only if that is asked for.
pub(super) fn record(session: &Session, x: &mut Exchange, wants_agent: bool) -> Record {
    let total = x.marks.total.unwrap_or_default();
    let route = x.route.as_deref();
    let target = x.attempt.as_ref().map(Attempt::target).or(x.last.as_ref());
    Record {
        time: x.time,
        request_id: x.id().into(),
        trace_id: x.trace.as_deref().map(|trace| trace.id().into()),
        client: x.client.address,
        method: Some(x.line.method.clone()),
        host: Some(std::mem::take(&mut x.line.host)).filter(|host| !host.is_empty()),
        path: Some(x.line.raw.take().unwrap_or_else(|| std::mem::take(&mut x.line.path))),
        query: x.line.query.take(),
        protocol: Some(x.line.protocol),
        tls: Facts::of(session.digest()).and_then(|facts| facts.tls.clone()),
        route: route.map(|route| route.name.clone()),
        consumer: x.consumer.as_ref().map(|consumer| consumer.header_value().clone()),
        // Whoever was not let in has nothing to do with it.
        upstream: route
            .filter(|_| x.permit.is_some())
            .and_then(Route::upstream)
            .map(|upstream| upstream.name().clone()),
        target: target.map(|target| target.label().clone()),
        tries: x.tries,
        status: x.status,
        bytes_in: x.bytes_in,
        bytes_out: session.body_bytes_sent() as u64,
        timings: Timings {
            total,
            gateway: x.marks.first_try,
            connect: x.marks.connect,
            first_byte: x.marks.first_byte,
            upstream: x.marks.first_try.map(|first| total.saturating_sub(first)),
        },
        why: x.why,
        detail: x.detail,
        limit: x.cap.clone().or_else(|| x.limit.clone()),
        observed: x.observed,
        agent: wants_agent.then(|| Box::new(agent(&session.req_header().headers))),
    }
}

fn agent(headers: &HeaderMap) -> Agent {
    let sent = |name: HeaderName| headers.get(name).map(|value| value.as_bytes().into());
    Agent { referer: sent(REFERER), user_agent: sent(USER_AGENT) }
}
