//! The page to read first: what happens to a request, phase by phase, in the order of the code.
//!
//! Only this module touches Pingora's session. Each phase asks a station and does what it decided; causes
//! become answers in [`crate::reject`], and whatever happened ends in one line of the access log.

mod answer;
mod body;
mod bridge;
mod caps;
mod cause;
mod head;
mod intake;
mod limits;
mod refusals;
mod signed;
mod validate;

pub use refusals::Refusals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use http::header::HOST;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, HttpPeer, Result};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::concurrency::Seats;
use crate::exchange::Exchange;
use crate::hygiene::is_framed_in_one_way;
use crate::listen::{Conn, Facts, Flaw, Shutdown};
use crate::live::Live;
use crate::observe::access_log::{AccessLog, Sampling};
use crate::observe::metrics::Metrics;
use crate::reject::Rejection;
use crate::rewrite::{forwarded, hop};
use crate::upstream::{Attempt, FailureKind, Outcome, PeerWish};

use intake::Own;

/// That a client keeps its connection; for how long, the listener sees to.
const KEPT: Option<u64> = Some(0);
/// How long a client may pause that asked with `Expect: 100-continue` and got its answer instead: it need not send
/// the body any more, and some neither send it nor leave.
const REFUSED_READ: Duration = Duration::from_secs(2);

/// The gateway: one configuration in force, one log of what was done, and its numbers.
pub struct Gateway {
    live: Arc<Live>,
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    /// The number of the worker that it serves on.
    worker: usize,
}

impl Gateway {
    /// A gateway that serves whatever configuration is in force, on one of the workers.
    #[must_use]
    pub fn new(
        worker: usize,
        live: Arc<Live>,
        log: Arc<AccessLog>,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
    ) -> Self {
        Self { live, log, metrics, shutdown, worker }
    }
}

impl Gateway {
    /// Counts the request and writes its line, once.
    fn note(&self, session: &Session, x: &mut Exchange) {
        if x.marks.total.is_none() {
            let total = x.started.elapsed();
            x.marks.total = Some(total);
            answer::compare(x);
            let meter = x.route.as_deref().map(|route| &route.meter);
            self.metrics.record(meter, Some(&x.line.method), x.status, total, x.why);
            if self.log.is_on() && self.keeps(x) {
                self.log.write(answer::record(session, x, self.log.wants_agent()));
            }
        }
    }

    /// Whether the request is one of those that are logged.
    fn keeps(&self, x: &Exchange) -> bool {
        let keeps = |sampling: &Sampling| sampling.keeps(x.status, x.why.is_some(), x.trace_id());
        match &x.route {
            Some(route) => keeps(&route.sampling),
            None => keeps(&self.live.now().sampling),
        }
    }
}

/// The client's connection, where HTTP/1 is spoken on it.
fn conn(session: &Session) -> Option<&Conn> {
    let stream = session.as_downstream().stream()?;
    stream.as_any().downcast_ref()
}

#[async_trait]
impl ProxyHttp for Gateway {
    // Boxed, since Pingora moves it from future to future.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        Box::new(Exchange::begin())
    }

    // None of Pingora's modules is in use; an empty list saves setting them up for every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        x: &mut Box<Exchange>,
    ) -> Result<()> {
        let spent = conn(session).is_some_and(|conn| conn.is_spent(x.started));
        let is_stream = session.req_header().version == Version::HTTP_2;
        let facts = is_stream.then(|| Facts::of(session.digest())).flatten();
        let patience = facts.map(|facts| facts.door.pace.of_stream());
        let downstream = session.as_downstream_mut();
        if spent {
            downstream.set_keepalive(None);
        }
        // How long a client may take, the listener sees to: it can tell a client that drips from one that sends.
        downstream.set_read_timeout(None);
        // Of HTTP/2 it sees the connection alone, and not a stream that takes nothing.
        downstream.set_write_timeout(patience);
        downstream.set_pipelining_enabled(true);
        // RFC 9110, section 15.2: HTTP/1.0 knows no interim answers.
        downstream.set_ignore_info_resp(downstream.req_header().version < Version::HTTP_11);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, x: &mut Box<Exchange>) -> Result<bool> {
        let mut taken = self.take_in(session, x);
        // Boxed, so that what every forwarded request allocates for this phase stays small.
        if let Ok(Some(Own::Wait(wait))) = taken {
            taken = Box::pin(self.settle(session, x, wait)).await;
        }
        if taken.is_ok() {
            let asked = if limits::are_shared(x) {
                Box::pin(limits::ask_store(self.worker, session, x)).await
            } else {
                limits::ask(session, x)
            };
            match asked {
                Ok(None) => {}
                Ok(Some(delay)) => Box::pin(delay.over()).await,
                Err(rejection) => taken = Err(rejection),
            }
        }
        if taken.is_ok() {
            match caps::of_route(x) {
                Ok(None) => {}
                Ok(Some(waiter)) => match Box::pin(caps::wait(session, x, waiter)).await {
                    Ok(seat) => x.seats.route = Some(seat),
                    Err(rejection) => taken = Err(rejection),
                },
                Err(rejection) => taken = Err(rejection),
            }
        }
        // Whoever has a body read here has a place already, so that bodies take no more memory than there are places.
        if matches!(taken, Ok(None))
            && x.route.as_ref().is_some_and(|route| route.validation.is_some())
        {
            taken = Box::pin(validate::ask(session, x)).await?.map(|()| None);
        }
        if matches!(taken, Ok(None)) && x.signed.is_some() {
            taken = Box::pin(signed::ask(session, x)).await?.map(|()| None);
        }
        match taken {
            Ok(None) => return Ok(false),
            Ok(Some(own)) => Box::pin(answer::give(session, x, own)).await?,
            Err(rejection) => Box::pin(caps::turn_away(session, x, rejection)).await?,
        }
        Ok(true)
    }

    async fn proxy_upstream_filter(
        &self,
        session: &mut Session,
        x: &mut Box<Exchange>,
    ) -> Result<bool> {
        // The first target is chosen here and not in `upstream_peer`, since an answer from here leaves the
        // client its connection.
        let mut chosen = match caps::of_upstream(x) {
            Ok(None) => Ok(()),
            Ok(Some(waiter)) => Box::pin(caps::wait(session, x, waiter))
                .await
                .map(|seat| x.seats.upstream = Some(seat)),
            Err(rejection) => Err(rejection),
        };
        if chosen.is_ok() {
            chosen = intake::choose(session, x);
        }
        match chosen {
            Ok(()) => {
                crate::intake::forget_case(session.req_header_mut());
                Ok(true)
            }
            Err(rejection) => {
                Box::pin(caps::turn_away(session, x, rejection)).await?;
                Ok(false)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        x: &mut Box<Exchange>,
    ) -> Result<Box<HttpPeer>> {
        if x.attempt.is_none() {
            intake::choose(session, x).map_err(|rejection| cause::raise(x, rejection))?;
        }
        let Some(now) = x.attempt.as_ref().map(Attempt::started) else {
            return Err(cause::internal("no attempt"));
        };
        x.tries = x.tries.saturating_add(1);
        // Another try sends the body again from its beginning.
        x.bytes_in = 0;
        signed::restart(x);
        bridge::restart(x);
        validate::restart(x);
        x.marks.first_try.get_or_insert(now.saturating_duration_since(x.started));
        x.marks.try_started = Some(now);
        let wish = PeerWish {
            switch: x.switch.clone(),
            remaining: x.remaining(now),
            // Where one pooled connection was stale others may be too, more than there are tries.
            fresh: x.met_stale,
        };
        let Some(attempt) = &x.attempt else { return Err(cause::internal("no attempt")) };
        Ok(attempt.peer(wish))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        x: &mut Box<Exchange>,
    ) -> Result<()> {
        // A connection from the pool is there at once, and the clock need not be asked.
        let now = x.marks.try_started.filter(|_| reused).unwrap_or_else(Instant::now);
        x.marks.connect = x.marks.try_started.map(|start| now.saturating_duration_since(start));
        x.marks.connected = Some(now);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        x: &mut Box<Exchange>,
    ) -> Result<()> {
        let Some(attempt) = &x.attempt else { return Err(cause::internal("no attempt")) };
        let authority = attempt.target().authority();
        if let Err(rejection) = crate::intake::send_on(head, session.req_header(), authority, x) {
            return Err(cause::raise(x, rejection));
        }
        validate::send_on(x, head);
        x.onward.host = head.headers.get(HOST).cloned();
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        x: &mut Box<Exchange>,
    ) -> Result<()> {
        x.bytes_in += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if x.has_switched() {
            return Ok(());
        }
        let limit = x.route.as_ref().map_or(0, |route| route.body_limit);
        if x.bytes_in > limit {
            return Err(cause::raise_of_body(x, Rejection::BodyTooLarge));
        }
        // A client that keeps sending a little would keep every other timeout from firing. One that sends nothing need
        // not have the clock read for it.
        if x.bytes_in > 0 && x.deadline.is_some() && x.is_overdue(Instant::now()) {
            return Err(cause::raise_of_body(x, Rejection::DeadlineExceeded));
        }
        validate::watch(x, body.as_ref(), end);
        signed::piece(x, body, end)?;
        bridge::request_body(x, body, end)?;
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            // HTTP/2 may end a body with an empty frame. Towards HTTP/1 Pingora would write that as a last chunk, and then
            // the last chunk, which is the beginning of another request.
            *body = None;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        x: &mut Box<Exchange>,
    ) -> Result<()> {
        // A switch that nobody asked for would leave client and gateway with two readings of what follows, and so
        // would a body that ends at two places.
        if (head.status == 101 && x.switch.is_none())
            || !is_framed_in_one_way(&head.headers, head.version)
        {
            if let Some(attempt) = &x.attempt {
                attempt.note(Outcome::Broken);
            }
            return Err(cause::raise(x, Rejection::UpstreamBroken));
        }
        if head.status.is_informational() && head.status != 101 {
            return Ok(());
        }
        let now = Instant::now();
        x.marks.first_byte = x.marks.connected.map(|from| now.saturating_duration_since(from));
        if let Some(attempt) = &x.attempt {
            attempt.answered(head.status.as_u16(), now);
        }
        head::change(head, |headers, status, version| {
            hop::strip_response(headers, status, version);
            answer::map_back(x, headers);
            forwarded::answer(headers, version, &x.id);
            answer::change(session, x, headers, status);
        });
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        x: &mut Box<Exchange>,
    ) -> Result<()> {
        if head.status.is_informational() && head.status != 101 {
            x.kept_before_interim |= session.as_downstream().get_keepalive().is_some();
            return Ok(());
        }
        if head.status == 101
            && let Some(switch) = &x.switch
        {
            // It lives as long as its ends want it to.
            switch.done();
            x.deadline = None;
            if let Some(conn) = conn(session) {
                conn.switch();
            }
        }
        answer::dress(session, x, head)?;
        bridge::answer(x, head);
        x.status = head.status.as_u16();
        answer::suit(session, x, head);
        // A stop that began meanwhile: this is the connection's last answer, and the client should know.
        if self.shutdown.has_changed().unwrap_or(true) {
            session.as_downstream_mut().set_keepalive(None);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        x: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        bridge::answer_body(x, body);
        if x.encoder.is_some() && answer::compress(x, body, end).is_err() {
            return Err(cause::raise(x, Rejection::Internal));
        }
        if end {
            answer::ended(session, x);
        } else if x.deadline.is_some() && x.is_overdue(Instant::now()) {
            return Err(cause::raise(x, Rejection::DeadlineExceeded));
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut http::HeaderMap,
        x: &mut Box<Exchange>,
    ) -> Result<Option<Bytes>> {
        if let Some(frame) = x.grpc_web.as_ref().and_then(|bridge| bridge.trailers(trailers)) {
            return Ok(Some(frame));
        }
        // What ends a compressed body takes the place of trailers, which HTTP/1.1 clients do not get anyway.
        let mut rest = None;
        match answer::compress(x, &mut rest, true) {
            Ok(()) => Ok(rest),
            Err(_) => Err(cause::raise(x, Rejection::Internal)),
        }
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        x: &mut Box<Exchange>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let now = Instant::now();
        if let Some(attempt) = x.attempt.take() {
            if !cause::is_deadline(&error, x, now) {
                attempt.connect_failed(now);
            }
            attempt.note(cause::outcome(&error));
            x.tried.push(attempt.target().clone());
            x.last = Some(attempt.target().clone());
        }
        x.unsent = x.unsent.saturating_add(1);
        error.set_retry(intake::tries_again(session, x, FailureKind::NotSent, now));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        x: &mut Box<Exchange>,
        reused: bool,
    ) -> Box<Error> {
        let now = Instant::now();
        if cause::is_read_timeout(&error) && !session.as_downstream_mut().is_body_done() {
            // The target waits for the rest of the request, as we do: no fault of its own, and no client
            // may have it ejected.
            let late = x.is_overdue(now);
            x.rejection.get_or_insert(if late {
                Rejection::DeadlineExceeded
            } else {
                Rejection::RequestTimeout
            });
        }
        let cut_short = cause::is_deadline(&error, x, now);
        let blame = x.rejection.is_none() && cause::is_upstreams(&error) && !cut_short;
        if let Some(attempt) = x.attempt.take() {
            if blame {
                // A pooled connection that the upstream had closed meanwhile says nothing about its health.
                if !reused || !cause::is_stale_connection(&error) {
                    attempt.broke(now);
                    attempt.note(cause::outcome(&error));
                } else {
                    x.met_stale = true;
                    let begun = attempt.is_answered();
                    attempt.note(if begun { Outcome::Broken } else { Outcome::Stale });
                }
                // It may as well have died, so that the next try is better made elsewhere.
                x.tried.push(attempt.target().clone());
            } else if cut_short {
                attempt.note(cause::outcome(&error));
            }
            x.last = Some(attempt.target().clone());
        }
        error.set_retry(blame && intake::tries_again(session, x, FailureKind::Sent, now));
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        x: &mut Box<Exchange>,
    ) -> FailToProxy {
        // Whoever reads the answer, or does not, holds no place any more.
        x.seats = Seats::default();
        if x.rejection.is_none() && x.answered && cause::is_unsent_rest(error) {
            self.note(session, x);
            answer::close(session).await;
            return FailToProxy { error_code: x.status, can_reuse_downstream: false };
        }
        // Of one connection, few streams may end so.
        if cause::is_untaken(error)
            && let Some(crowd) = Facts::crowd(session.digest())
        {
            crowd.stalled();
        }
        let rejection = x.rejection.take().unwrap_or_else(|| cause::of(error, x));
        x.detail = Some(cause::flaw(error).map_or(error.etype().as_str(), Flaw::word));
        log::debug!("request {}: {}: {error}", x.id(), rejection.code());
        answer::fail(session, x, &rejection).await;
        // What follows is waiting for the client to leave, which is none of the request's time.
        self.note(session, x);
        if !matches!(rejection, Rejection::ClientClosed) {
            answer::close(session).await;
        }
        FailToProxy { error_code: rejection.status(), can_reuse_downstream: false }
    }

    // The access log has it, with its cause; Pingora's line would repeat it, and show the request's query.
    fn suppress_error_log(&self, _session: &Session, _x: &Box<Exchange>, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _x: &Box<Exchange>,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _session: &Session, x: &Box<Exchange>) -> String {
        format!("request {}", x.id())
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, x: &mut Box<Exchange>) {
        self.note(session, x);
    }
}
