//! Taking a request in: is it clean, where does it go, who sent it, and may they.
//!
//! The order of the checks is the order of the code, and each ends the request with its own cause. What
//! is decided here is written into the [`Exchange`]; nothing of it is decided again later. No socket is
//! touched, no target is chosen, and nothing but refused credentials is counted, so [`crate::explain`] asks these
//! very functions what would become of a request, and what it says can't differ from what [`crate::gateway`] does.

mod admit;
mod case;
mod connection;
mod failures;
mod grpc;
mod validation;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::RequestHeader;

use crate::auth::{Claims, Consumer, Wait, remove_cookies, single_cookie};
use crate::exchange::{self, Client, Exchange, Line, Onward, protocol};
use crate::grpc_web::Bridge;
use crate::hygiene::{
    CleanTarget, MAX_HEAD, MAX_HEADERS, MAX_TARGET, clean_host, has_one_length, is_websocket,
};
use crate::listen::Facts;
use crate::portal::{Ask, Portal};
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::rewrite::cors::Preflight;
use crate::rewrite::forwarded::{Arrival, accepted_request_id};
use crate::rewrite::{
    Trace, client_address, forwarded, identity, may_be_twin, screen, trace, without_twins,
};
use crate::route::{Found, Matched, Prefixes, Request};
use crate::snapshot::{Action, Forward, Redirect, Respond, RespondBody, Route, Snapshot};
use crate::template::{Fill, Part};
use crate::upstream::{HashKey, HashSource, Switch, Upstream};
use admit::{admit, is_for_address, judge};
pub use case::forget_case;
use case::take;
use connection::to_https;
use grpc::grpc_timeout;
pub use validation::{operation, too_large, validate, validate_body};

/// Room for what the gateway adds to a request's headers, so that the map grows once.
const NEW_HEADERS: usize = 12;

/// The methods that are forwarded, as far as they have names of their own.
pub const FORWARDED_METHODS: HeaderValue =
    HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");

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

/// What a route with `health: true` answers.
#[must_use]
pub fn health(stopping: bool) -> Reply {
    let (status, body) = if stopping {
        (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}\n")
    } else {
        (StatusCode::OK, "{\"status\":\"ready\"}\n")
    };
    json(status, body)
}

/// Makes of the head that the client sent, without what was meant for its connection, the head that the
/// upstream sees. `authority` is the target's own Host.
///
/// # Errors
/// Pingora's, of a target or header that cannot be set; the values were checked when they were compiled.
pub fn send_on(
    head: &mut RequestHeader,
    sent: &RequestHeader,
    authority: &HeaderValue,
    x: &Exchange,
) -> Result<(), Rejection> {
    let (Some(route), Some(permit)) = (&x.route, &x.permit) else {
        return Err(Rejection::Internal);
    };
    let Action::Forward(forward) = &route.action else { return Err(Rejection::Internal) };
    let upstream = &forward.upstream;
    let mut parts = take(head);
    let headers = &mut parts.headers;
    if x.switch.is_none() && headers.remove(UPGRADE).is_some() {
        // Asked for otherwise than the rules have it: no answer may switch.
        headers.remove(CONNECTION);
    }
    headers.reserve(NEW_HEADERS);
    let trace = x.trace.as_deref();
    let is_traced = trace.is_some_and(Trace::is_given);
    let (credentials, secret) = (route.guard.credential_headers(), upstream.secret_header());
    screen(headers, x.client.trusted, is_traced, credentials, secret);
    remove_cookies(headers, route.guard.credential_cookies());
    if let Some(bridge) = &x.grpc_web {
        bridge.request(headers);
    }
    forwarded::forward(headers, &arrival(x, forward, sent.version));
    trace::stamp(headers, trace, &x.id, exchange::random());
    identity::stamp(headers, permit.consumer().map(|consumer| consumer.header_value()));
    // Nearly no request has one, and then it has no twin either.
    let underscored = sent.headers.keys().any(may_be_twin);
    let mut given = false;
    for (name, value) in permit.headers() {
        given |= may_be_twin(name);
        headers.insert(name, value.clone());
    }
    route.request_headers.apply_to(headers, underscored || given, &x.fill(&sent.headers));
    // Last, so that nothing above can reach a backend in the gateway's name.
    upstream.dress(authority, headers);
    if underscored {
        without_twins(headers, &sent.headers);
    }
    *head = RequestHeader::from(parts);
    match &x.onward.target {
        Some(target) => head.set_raw_path(target.as_bytes()).map_err(|_| Rejection::Internal),
        None => Ok(()),
    }
}

/// What a hash policy sends to the same target; `address` lends the room for a client's address.
#[must_use]
pub fn hash_key<'a>(
    upstream: &Upstream,
    headers: &'a HeaderMap,
    x: &'a Exchange,
    address: &'a mut String,
) -> HashKey<'a> {
    match upstream.hash_key_source() {
        None => HashKey::NONE,
        Some(HashSource::Path) => HashKey::of(x.line.path.as_bytes()),
        Some(HashSource::ClientIp) => {
            // Writing to a String cannot fail.
            let _ = write!(address, "{}", x.client.address);
            HashKey::of(address.as_bytes())
        }
        Some(HashSource::Header(name)) => {
            headers.get(name).map_or(HashKey::NONE, |value| HashKey::of(value.as_bytes()))
        }
        Some(HashSource::Cookie(name)) => {
            single_cookie(headers, name).map_or(HashKey::NONE, HashKey::of)
        }
    }
}

/// The Host as the client sent it: in a header, or (HTTP/2) in the target's authority.
fn host_as_sent(head: &RequestHeader) -> &str {
    let header = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// The host that routes are matched by. A target in absolute form must name the same one as Host.
fn agreed_host<'a>(
    head: &'a RequestHeader,
    target: &CleanTarget<'a>,
) -> Result<std::borrow::Cow<'a, str>, Rejection> {
    let sent = host_as_sent(head);
    if sent.is_empty() && target.authority().is_none() {
        return if head.version == Version::HTTP_10 || head.version == Version::HTTP_09 {
            Ok("".into())
        } else {
            Err(Rejection::BadRequest("The request has no Host header."))
        };
    }
    let refuse =
        |_| Rejection::BadRequest("The Host header is not a host name with an optional port.");
    let Some(authority) = target.authority() else { return clean_host(sent).map_err(refuse) };
    let named = clean_host(authority).map_err(refuse)?;
    if !sent.is_empty() && clean_host(sent).map_err(refuse)? != named {
        return Err(Rejection::BadRequest("The Host header and the target name different hosts."));
    }
    Ok(named)
}

/// A method in small letters is another one here, and the same to servers that don't tell them apart.
fn is_told_apart(method: &Method) -> Result<(), Rejection> {
    if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Rejection::BadRequest("The method is not a word of capital letters."));
    }
    Ok(())
}

/// TRACE sends the request back to whoever asks, with the headers that the gateway adds (RFC 9110, section
/// 9.3.8); CONNECT asks for a tunnel. Neither passes, whatever a route says of methods.
fn may_be_forwarded(method: &Method) -> Result<(), Rejection> {
    if matches!(*method, Method::TRACE | Method::CONNECT) {
        return Err(Rejection::MethodNotAllowed { allow: FORWARDED_METHODS });
    }
    Ok(())
}

fn within_bounds(head: &RequestHeader, target: &[u8]) -> Result<(), Rejection> {
    if target.len() > MAX_TARGET {
        return Err(Rejection::UriTooLong);
    }
    if head.headers.len() > MAX_HEADERS || size(head) > MAX_HEAD {
        return Err(Rejection::HeaderTooLarge);
    }
    Ok(())
}

/// The bytes of a head's lines: name, colon, space, value, line end.
#[must_use]
pub fn size(head: &RequestHeader) -> usize {
    head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// A length that was announced is judged before a byte of the body is read.
/// The lengths of HTTP/1 are read below the session; HTTP/2 frames a body by itself, and lets several pass that agree.
fn ends_at_one_place(head: &RequestHeader) -> Result<(), Rejection> {
    if head.version == Version::HTTP_2 && !has_one_length(&head.headers) {
        return Err(Rejection::BadRequest("The Content-Length is not one number."));
    }
    Ok(())
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

/// Path and query of a target, as sent.
fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

/// Notes the clean path; keeps what was sent, for the log, if it was another.
fn note_target(line: &mut Line, target: &CleanTarget<'_>) {
    if *line.path != *target.path() {
        line.raw = Some(std::mem::replace(&mut line.path, target.path().into()));
    }
}

fn client(arriving: &Arriving<'_>, snapshot: &Snapshot) -> Client {
    let Arriving { head, peer, local_port, facts, .. } = *arriving;
    // A listener on `[::]` sees IPv4 clients as mapped addresses; rules and logs mean the plain one.
    let peer_ip: IpAddr = peer.ip().to_canonical();
    let trusted = snapshot.trusted.contains(peer_ip);
    let address = if trusted {
        client_address(peer_ip, forwarded_for(&head.headers), &snapshot.trusted)
    } else {
        peer_ip
    };
    let tls = facts.and_then(|facts| facts.tls.as_ref()).map(|tls| tls.version);
    Client { peer: SocketAddr::new(peer_ip, peer.port()), address, trusted, local_port, tls }
}

fn forwarded_for(headers: &HeaderMap) -> http::header::ValueIter<'_, HeaderValue> {
    headers.get_all("x-forwarded-for").into_iter()
}

fn onward(
    forward: &Forward,
    matched: &Matched<'_, Arc<Route>>,
    target: &CleanTarget<'_>,
    line: &Line,
) -> Onward {
    let forwarded = forward.path.apply(target, &matched.captures, matched.matched_len);
    let unchanged = line.raw.is_none() && forwarded.prefixes.is_none();
    let sent = (!unchanged).then(|| match target.query() {
        // Of the exact length, it becomes a box without a copy.
        Some(query) => [&*forwarded.path, "?", query].concat().into_boxed_str(),
        None => forwarded.path.as_ref().into(),
    });
    Onward { target: sent, prefixes: forwarded.prefixes, host: None }
}

/// What the upstream is told of where the request came from.
fn arrival<'a>(x: &'a Exchange, forward: &Forward, version: Version) -> Arrival<'a> {
    Arrival {
        peer: x.client.peer.ip(),
        scheme: x.client.scheme(),
        host: Some(&*x.line.host).filter(|host| !host.is_empty()),
        port: x.client.local_port,
        prefix: x
            .onward
            .prefixes
            .as_ref()
            .filter(|p| p.upstream().is_empty())
            .map(Prefixes::public),
        version,
        request_id: &x.id,
        forwarded: forward.forwarded_header,
    }
}

fn respond_reply(respond: &Respond, x: &Exchange, headers: &HeaderMap) -> Reply {
    let body = match &respond.body {
        RespondBody::Fixed(bytes) => bytes.clone(),
        RespondBody::Filled(template, escape) => {
            let (mut out, mut value) = (Vec::new(), Vec::new());
            let fill = x.fill(headers);
            for part in template.parts() {
                match part {
                    Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                    Part::Variable(variable) => {
                        value.clear();
                        fill.fill(variable, &mut value);
                        escape.write(&value, &mut out);
                    }
                }
            }
            out.into()
        }
    };
    let mut reply = Reply::new(respond.status);
    if !body.is_empty() {
        const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
        // No value in it may make another type of it.
        reply = reply
            .with(http::header::CONTENT_TYPE, respond.content_type.clone())
            .with(http::header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    }
    Reply { body, ..reply }
}

fn redirect_reply(
    redirect: &Redirect,
    x: &Exchange,
    headers: &HeaderMap,
) -> Result<Reply, Rejection> {
    let mut location = Vec::new();
    redirect.to.render(&x.fill(headers), &mut location);
    let location = HeaderValue::from_bytes(&location).map_err(|_| {
        Rejection::BadRequest("The redirect's target cannot be written in a header.")
    })?;
    Ok(Reply::new(redirect.status).with(http::header::LOCATION, location))
}

fn json(status: StatusCode, body: &'static str) -> Reply {
    let reply = Reply::new(status)
        .with(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .with(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Reply { body: body.into(), ..reply }
}
