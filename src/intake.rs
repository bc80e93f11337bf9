//! Taking a request in: is it clean, where does it go, who sent it, and may they.
//!
//! The order of the checks is the order of the code, and each ends the request with its own cause. What
//! is decided here is written into the [`Exchange`]; nothing of it is decided again later. No socket is
//! touched, no target is chosen, and nothing but refused credentials is counted, so [`crate::explain`] asks these
//! very functions what would become of a request, and what it says can't differ from what [`crate::gateway`] does.

mod admit;
mod clean;
mod connection;
mod failures;
mod grpc;
mod onward;
mod own;
mod validation;

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;

use crate::auth::{Claims, Consumer, Wait};
use crate::exchange::{self, Exchange, Line, protocol};
use crate::grpc_web::Bridge;
use crate::hygiene::{CleanTarget, is_websocket};
use crate::listen::Facts;
use crate::portal::{Ask, Portal};
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::rewrite::Trace;
use crate::rewrite::cors::Preflight;
use crate::rewrite::forwarded::accepted_request_id;
use crate::route::{Found, Matched, Request};
use crate::snapshot::{Action, Route, Snapshot};
use crate::upstream::Switch;
use admit::{admit, is_for_address, judge};
use clean::{
    agreed_host, client, ends_at_one_place, host_as_sent, is_told_apart, may_be_forwarded,
    note_target, split_query, within_bounds,
};
use connection::to_https;
use grpc::grpc_timeout;
use onward::onward;
use own::{redirect_reply, respond_reply};

pub use clean::{FORWARDED_METHODS, size};
pub use onward::{hash_key, send_on};
pub use own::health;
pub use validation::{operation, too_large, validate, validate_body};

/// A request at the gate.
#[derive(Debug, Clone, Copy)]
pub struct Arriving<'a> {
    /// Its head, as the client sent it.
    pub head: &'a RequestHeader,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The port on which it came in.
    pub local_port: u16,
    /// What else is known of the connection.
    pub facts: Option<&'a Facts>,
    /// How it is found out who sent it.
    pub caller: Caller<'a>,
}

/// How it is found out who sent a request.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// By the credentials in its head. Nothing else counts for traffic.
    Credentials,
    /// It is taken for this consumer's, whose key nobody has to know, or for that of somebody whose token says this:
    /// for questions about a configuration.
    TakenFor {
        /// Who it is.
        consumer: Option<&'a Arc<Consumer>>,
        /// What the token says.
        claims: Option<&'a Claims>,
    },
}

/// What is done with a request that is let in.
#[derive(Debug)]
pub enum Decision {
    /// It is sent on to the upstream of its route.
    Forward,
    /// The gateway answers by itself.
    Answer(Reply),
    /// The gateway says whether it is ready; see [`health`].
    Health,
    /// The portal answers, which may take a moment.
    Portal(Box<Ask>),
    /// Who sent it is not known yet: what has become of this is to be added to [`Exchange::settled`], and all to be
    /// decided anew.
    Wait(Wait),
}

/// Decides everything about a request that its head allows, and notes it in the exchange.
///
/// # Errors
/// The first check that it does not pass, as the cause of an answer.
pub fn take_in(
    snapshot: &Snapshot,
    arriving: &Arriving<'_>,
    x: &mut Exchange,
) -> Result<Decision, Rejection> {
    let decision = decide(snapshot, arriving, x);
    if x.route.is_none() {
        x.unrouted.clone_from(&snapshot.unrouted);
    }
    decision
}

fn decide(
    snapshot: &Snapshot,
    arriving: &Arriving<'_>,
    x: &mut Exchange,
) -> Result<Decision, Rejection> {
    let head = arriving.head;
    let raw_target = head.raw_path();
    let (raw_path, raw_query) = split_query(raw_target);
    x.line = Line {
        method: head.method.clone(),
        host: host_as_sent(head).into(),
        path: String::from_utf8_lossy(raw_path).into(),
        query: raw_query.map(|query| String::from_utf8_lossy(query).into()),
        raw: None,
        protocol: protocol(head.version),
    };
    x.client = client(arriving, snapshot);
    let tls = arriving.facts.and_then(|facts| facts.tls.as_ref());
    x.certificate = tls.and_then(|tls| tls.client.clone());
    if let Some(id) = accepted_request_id(&head.headers, x.client.trusted)
        && let Ok(id) = HeaderValue::from_str(id)
    {
        x.id = id;
    }
    x.trace = Trace::of(&head.headers, x.client.trusted, &x.id, exchange::random).map(Box::new);

    within_bounds(head, raw_target)?;
    ends_at_one_place(head)?;
    is_told_apart(&head.method)?;
    let target = CleanTarget::parse(raw_target).map_err(|e| Rejection::BadRequest(e.detail()))?;
    note_target(&mut x.line, &target);
    let host = agreed_host(head, &target)?;
    may_be_forwarded(&head.method)?;
    if let Some(port) = arriving.facts.and_then(|facts| facts.door.redirect_to_https)
        && x.fill(&head.headers).scheme() == "http"
    {
        return to_https(port, x, &head.headers).map(Decision::Answer);
    }
    let request =
        Request { host: &host, method: &head.method, target: &target, headers: &head.headers };
    if let Some(answer) = preflight(snapshot, &request, x) {
        return answer;
    }
    let matched = match snapshot.routes.find(&request) {
        Found::Route(matched) => matched,
        Found::NoRoute => return Err(Rejection::NoRoute),
        Found::WrongMethod { allow } => return Err(Rejection::MethodNotAllowed { allow }),
        Found::Ambiguous => return Err(Rejection::AmbiguousPath),
    };
    let route = matched.value.clone();
    x.enter(route.clone());
    x.captures = matched.captures;

    serves(&route, x)?;
    is_for_address(&route, x)?;
    if let Some(wait) = admit(&route, arriving, &request, &snapshot.limiter.failures, x)? {
        return Ok(Decision::Wait(wait));
    }
    within_body_limit(&route, &head.headers)?;
    act(snapshot, &route, &matched, &request, arriving, x)
}

/// Answers a browser that asks whether a page may send a request, if the route that would take *that* request
/// has CORS. Else it is a request like any other, and perhaps the upstream's to answer.
fn preflight(
    snapshot: &Snapshot,
    request: &Request<'_>,
    x: &mut Exchange,
) -> Option<Result<Decision, Rejection>> {
    let asked = Preflight::of(request.method, request.headers)?;
    let meant = Request { method: &asked.method, ..*request };
    let Found::Route(matched) = snapshot.routes.find(&meant) else { return None };
    let cors = matched.value.policy.as_deref()?.cors.as_ref()?;
    x.enter(matched.value.clone());
    x.captures = matched.captures;
    if let Err(denied) = is_for_address(matched.value, x) {
        return Some(Err(denied));
    }
    Some(cors.preflight(&asked).map(Decision::Answer).ok_or(Rejection::CorsRefused))
}

/// Whether the route serves, or is in maintenance.
fn serves(route: &Route, x: &Exchange) -> Result<(), Rejection> {
    let maintenance = route.policy.as_deref().and_then(|policy| policy.maintenance.as_ref());
    match maintenance.filter(|maintenance| maintenance.turns_away(x.client.address)) {
        None => Ok(()),
        Some(maintenance) => Err(Rejection::Maintenance {
            message: maintenance.message.clone(),
            retry_after: maintenance.retry_after,
        }),
    }
}

fn act(
    snapshot: &Snapshot,
    route: &Route,
    matched: &Matched<'_, Arc<Route>>,
    request: &Request<'_>,
    arriving: &Arriving<'_>,
    x: &mut Exchange,
) -> Result<Decision, Rejection> {
    let head = arriving.head;
    let headers = &head.headers;
    match &route.action {
        Action::Forward(forward) => {
            x.onward = onward(forward, matched, request.target, &x.line);
            let total = forward.upstream.total_timeout();
            x.deadline =
                Some(x.started + grpc_timeout(headers).map_or(total, |own| own.min(total)));
            if is_websocket(&x.line.method, head.version, headers) {
                if !forward.upstream.can_switch() {
                    return Err(Rejection::NoWebSocket);
                }
                x.switch = Some(Switch::default());
            }
            if forward.upstream.speaks_http2() {
                x.grpc_web = Bridge::of(&x.line.method, headers);
            }
            Ok(Decision::Forward)
        }
        Action::Respond(respond) => Ok(Decision::Answer(respond_reply(respond, x, headers))),
        Action::Redirect(redirect) => redirect_reply(redirect, x, headers).map(Decision::Answer),
        Action::Health => Ok(Decision::Health),
        Action::Portal(portal) => ask(snapshot, portal, matched, request, arriving, x),
    }
}

/// What is asked of a portal.
fn ask(
    snapshot: &Snapshot,
    portal: &Arc<Portal>,
    matched: &Matched<'_, Arc<Route>>,
    request: &Request<'_>,
    arriving: &Arriving<'_>,
    x: &mut Exchange,
) -> Result<Decision, Rejection> {
    const READS: HeaderValue = HeaderValue::from_static("GET, HEAD");
    let target = request.target;
    let path = target.path();
    let (taken, rest) = path.split_at_checked(matched.matched_len).unwrap_or((path, ""));
    let head = arriving.head;
    let asked = portal.ask(taken, rest, target.query(), &head.headers, x.time);
    let mut asked = asked.ok_or(Rejection::NoRoute)?;
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Rejection::MethodNotAllowed { allow: READS });
    }
    if asked.is_for_caller() {
        match judge(snapshot, arriving, request, x)? {
            Ok(known) => asked.show_to(known),
            Err(wait) => return Ok(Decision::Wait(wait)),
        }
    }
    Ok(Decision::Portal(Box::new(asked)))
}

fn within_body_limit(route: &Route, headers: &HeaderMap) -> Result<(), Rejection> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > route.body_limit) {
        return Err(Rejection::BodyTooLarge);
    }
    Ok(())
}
