//! An [`Explanation`] tells why a request goes where it goes: every route that was tried, who the caller is,
//! what the upstream would see, and what would be answered.
//!
//! Nothing is sent, and nothing is counted or used up. What is told is no second opinion: the request is
//! made of the same parts as one from the network, and passes the same functions of [`crate::intake`] and the
//! same table, guard, forwarding and header operations as traffic does. Only the search for what is *near*
//! (a 404's nearest miss) is made for explanations alone.
//!
//! What cannot be known without a network is said to be unknown: which targets are healthy, and what an
//! upstream answers. The id of the request, new for each one, is shown as [`NEW_ID`].
//!
//! Secrets are not shown: neither credentials of the caller, nor the gateway's own, wherever they turn up.

mod mask;
mod nearest;
mod question;
mod sent;
mod tests_of_file;
mod text;
mod verdict;

use std::sync::Arc;

use pingora::http::RequestHeader;
use serde::Serialize;

use crate::auth::{Claims, Consumer};
use crate::concurrency::Caps;
use crate::diagnostic::did_you_mean;
use crate::exchange::{Exchange, Kind};
use crate::hygiene::{CleanTarget, clean_host};
use crate::intake::{self, Arriving, Caller, Decision};
use crate::listen::Facts;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::rewrite::cors::Preflight;
use crate::route::{Request, Tried};
use crate::snapshot::{Action, Route, Snapshot};

pub use question::{DEFAULT_HOST, InvalidQuestion, Question};
pub use sent::{Change, Changed, Forward, TargetChoice};
pub use tests_of_file::run_tests;

use mask::Mask;

/// Stands where a request from the network has an id of its own.
pub const NEW_ID: &str = "new-for-each-request";

/// So many names are looked through for a "did you mean"; a file of keys may have a million.
const MOST_SUGGESTIONS: usize = 1000;

/// What would become of a request, and why.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// What was asked about.
    pub request: Asked,
    /// What each route said, in the order of their names. Empty if the request is refused before that.
    pub routes: Vec<Verdict>,
    /// The route that takes it.
    pub route: Option<String>,
    /// What the route's captures caught, by name, still percent-encoded.
    pub captures: Vec<(String, String)>,
    /// Of a preflight: the method of the request that a browser asks about, by which the route is found.
    pub preflight: Option<String>,
    /// Who the caller is, and whether it may pass; none if nobody asks for it.
    pub auth: Option<Auth>,
    /// The limits that it would be counted at.
    pub limits: Vec<Limit>,
    /// What it is held to, once it is let in; none if to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// What the upstream would see; none if the gateway answers by itself.
    pub forward: Option<Forward>,
    /// What the gateway would answer by itself; none if it forwards.
    pub answer: Option<Answer>,
    /// For a request that no route takes: what it is near to, in a sentence.
    pub nearest: Option<String>,
    /// The head as the upstream would see it, secrets and all: for tests, never shown.
    #[serde(skip)]
    sent: Option<Hidden<RequestHeader>>,
}

/// The request that was asked about.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The Host.
    pub host: String,
    /// Path and query as sent.
    pub target: String,
    /// The path that routes are matched by, if it is not the one that was sent.
    pub normalised: Option<String>,
    /// The client's address.
    pub client: String,
    /// The consumer that the caller is taken for.
    #[serde(rename = "as")]
    pub consumer: Option<String>,
}

/// What one route said of the request.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Its name.
    pub route: String,
    /// Its hosts; none for every host.
    pub hosts: Vec<String>,
    /// Its path.
    pub path: String,
    /// Whether it takes the request.
    pub takes: bool,
    /// Whether it stood at the path, or near it, so that people want to read of it.
    #[serde(skip)]
    pub close: bool,
    /// Why, in words.
    pub why: String,
}

/// Who the caller is, and whether it may pass.
#[derive(Debug, Serialize)]
pub struct Auth {
    /// The headers in which the route looks for a credential; none on an open route.
    pub asks_for: Vec<String>,
    /// The same in words.
    #[serde(skip)]
    asks: String,
    /// Who it is, if that is known.
    pub consumer: Option<String>,
    /// Whether it may pass.
    pub admitted: bool,
    /// Why not, in the word of the access log.
    pub reason: Option<&'static str>,
    /// What it would be refused for, by a rule that only observes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<&'static str>,
}

/// A limit that a request is counted at. How much of it is used up is known to a running gateway only.
#[derive(Debug, Serialize)]
pub struct Limit {
    /// Its place in the configuration.
    pub at: String,
    /// What it says.
    pub says: String,
    /// Whether it is counted in the store, together with other gateways.
    pub shared: bool,
}

/// What a request is held to. Of its body only the headers are known to an explanation.
#[derive(Debug, Serialize)]
pub struct Validation {
    /// The file with the document.
    pub document: String,
    /// The operation that the request is for; none if there is none.
    pub operation: Option<String>,
    /// The media types that its body may be of, if it takes one.
    pub takes: Option<String>,
    /// Whether nothing is refused.
    pub observe: bool,
}

/// An answer of the gateway's own.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The stable word for a refusal.
    pub code: Option<&'static str>,
    /// The sentence that goes with it.
    pub detail: Option<String>,
    /// Its headers that tell something.
    pub headers: Vec<(String, String)>,
}

/// What must not be printed by accident.
struct Hidden<T>(T);

impl<T> std::fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Explanation {
    /// The head as the upstream would see it. It holds secrets, so it is not for showing.
    #[must_use]
    pub fn sent(&self) -> Option<&RequestHeader> {
        self.sent.as_ref().map(|hidden| &hidden.0)
    }

    /// The values of a header as the upstream would see them, secrets masked. `name` is in lower case.
    fn shown(&self, name: &str) -> Vec<String> {
        let Some(sent) = self.sent() else { return Vec::new() };
        let changes = self.forward.iter().flat_map(|forward| &forward.changes);
        if let Some(change) = changes.into_iter().find(|change| change.name == name) {
            return change.values.clone();
        }
        let values = sent.headers.get_all(name).iter();
        values.map(|_| "what the client sent".to_owned()).collect()
    }

    /// For people: the life of the request, from top to bottom.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::text(self)
    }

    /// For programs. It cannot fail: all of it is text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Tells what would become of a request on the listener that it comes by. `port` is that of [`Snapshot::usual_door`],
/// by which it comes unless it says otherwise.
///
/// # Errors
/// The question is none: it cannot be a request, or names a consumer that is not there.
pub fn explain(
    snapshot: &Snapshot,
    port: u16,
    question: &Question,
) -> Result<Explanation, InvalidQuestion> {
    explain_as(snapshot, port, question, Depth::Whole)
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// What becomes of the request. The cost does not grow with the number of routes.
    Outcome,
    /// What each route said of it too.
    Whole,
}

fn explain_as(
    snapshot: &Snapshot,
    port: u16,
    question: &Question,
    depth: Depth,
) -> Result<Explanation, InvalidQuestion> {
    let consumer = question.consumer.as_deref();
    let consumer = consumer.map(|name| find_consumer(snapshot, name)).transpose()?;
    let claims = (!question.claims.is_empty()).then(|| Claims::from(&question.claims));
    let head = question.head()?;
    let mask = Mask::new(snapshot, &head);
    let mut x = Exchange::begin();
    x.kind = Kind::Asked;
    x.id = http::HeaderValue::from_static(NEW_ID);
    let usual = snapshot.usual_door();
    let door = question.tls.map_or(usual, |tls| snapshot.door_for(tls));
    let is_usual = door.zip(usual).is_none_or(|(door, usual)| Arc::ptr_eq(door, usual));
    let facts = door.map(Facts::usual);
    let arriving = Arriving {
        head: &head,
        peer: (question.client, 0).into(),
        local_port: door.filter(|_| !is_usual).map_or(port, |door| door.address.port()),
        facts: facts.as_ref(),
        caller: if consumer.is_some() || claims.is_some() {
            Caller::TakenFor { consumer, claims: claims.as_ref() }
        } else {
            Caller::Credentials
        },
    };
    let decision = intake::take_in(snapshot, &arriving, &mut x);
    let (decision, validation) = held(decision, &head, &mut x);
    let preflight = Preflight::of(&head.method, &head.headers).map(|asked| asked.method);
    let preflight = preflight.filter(|_| x.permit.is_none() && x.route.is_some());
    let method = preflight.as_ref().unwrap_or(&head.method);
    let searched = depth == Depth::Whole && was_searched(&head, &x, &decision);
    let tried = if searched { tried(snapshot, &head, method) } else { Vec::new() };
    let nearest = match decision {
        Err(Rejection::NoRoute) => nearest::nearest(&x.line, &tried),
        _ => None,
    };
    let auth = auth(&x, &decision);
    let (forward, sent) = match &decision {
        Ok(Decision::Forward) => sent::forward(&head, &x, &mask).unzip(),
        _ => (None, None),
    };
    Ok(Explanation {
        request: asked(question, &head, &x, &mask),
        routes: tried.iter().map(|tried| verdict::tell(&x, tried, &mask)).collect(),
        route: x.route.as_deref().map(|route| route.name.to_string()),
        captures: captures(&x, &tried, &mask),
        preflight: preflight.as_ref().map(ToString::to_string),
        auth,
        limits: limits(&x, &decision),
        validation,
        forward,
        answer: answer(&decision, &arriving, &x, &mask),
        nearest: nearest.map(|near| mask.text(&near)),
        sent: sent.map(Hidden),
    })
}

fn find_consumer<'s>(
    snapshot: &'s Snapshot,
    name: &str,
) -> Result<&'s Arc<Consumer>, InvalidQuestion> {
    snapshot.auth.consumer(name).ok_or_else(|| {
        let known = snapshot.auth.consumers().iter().take(MOST_SUGGESTIONS).map(|c| c.name());
        InvalidQuestion { what: format!("no consumer {name:?}"), help: did_you_mean(name, known) }
    })
}

/// Whether the request got as far as the routes.
fn was_searched(
    head: &RequestHeader,
    x: &Exchange,
    decision: &Result<Decision, Rejection>,
) -> bool {
    match decision {
        Err(Rejection::NoRoute | Rejection::AmbiguousPath) => true,
        Err(Rejection::MethodNotAllowed { .. }) => {
            !matches!(head.method, http::Method::TRACE | http::Method::CONNECT)
        }
        _ => x.route.is_some(),
    }
}

/// What each route says, if the request gets so far: the same search, on the same clean target and host.
fn tried<'s>(
    snapshot: &'s Snapshot,
    head: &RequestHeader,
    method: &http::Method,
) -> Vec<Tried<'s, Arc<Route>>> {
    let Ok(target) = CleanTarget::parse(head.raw_path()) else { return Vec::new() };
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let Ok(host) = clean_host(host.unwrap_or_default()) else { return Vec::new() };
    let request = Request { host: &host, method, target: &target, headers: &head.headers };
    let mut tried = snapshot.routes.tried(&request);
    tried.sort_by(|a, b| a.name.cmp(b.name));
    tried
}

fn asked(question: &Question, head: &RequestHeader, x: &Exchange, mask: &Mask<'_>) -> Asked {
    let path = &x.line.path;
    Asked {
        method: head.method.to_string(),
        host: x.line.host.to_string(),
        target: mask.text(&question.target),
        normalised: x.line.raw.is_some().then(|| mask.text(path)),
        client: x.client.address.to_string(),
        consumer: question.consumer.clone(),
    }
}

fn captures(
    x: &Exchange,
    tried: &[Tried<'_, Arc<Route>>],
    mask: &Mask<'_>,
) -> Vec<(String, String)> {
    let Some(route) = &x.route else { return Vec::new() };
    let Some(taker) = tried.iter().find(|tried| *tried.name == route.name) else {
        return Vec::new();
    };
    let caught = |(index, name): (usize, &str)| {
        Some((name.to_owned(), mask.text(x.captures.nth(index, &x.line.path)?)))
    };
    taker.path.captures().enumerate().filter_map(caught).collect()
}

fn auth(x: &Exchange, decision: &Result<Decision, Rejection>) -> Option<Auth> {
    let route = x.route.as_ref()?;
    let pending = matches!(decision, Ok(Decision::Wait(_)));
    let denied = pending
        || matches!(
            decision,
            Err(Rejection::Unauthorized { .. } | Rejection::Forbidden | Rejection::AuthUnavailable)
        );
    if x.permit.is_none() && !denied {
        // It was answered before.
        return None;
    }
    Some(Auth {
        asks_for: route.guard.asks_for().map(ToString::to_string).collect(),
        asks: text::asks(&route.guard),
        consumer: x.consumer.as_ref().map(|consumer| consumer.name().to_owned()),
        admitted: !denied,
        reason: if pending { Some("auth_pending") } else { x.detail.filter(|_| denied) },
        observed: x.observed,
    })
}

/// What a request is counted at, once it is let in; nothing if something else refused it before.
fn limits(x: &Exchange, decision: &Result<Decision, Rejection>) -> Vec<Limit> {
    let (Some(route), Some(_), Ok(_)) = (&x.route, &x.permit, decision) else { return Vec::new() };
    let shared = route.limits.as_ref().is_some_and(|limits| limits.are_shared());
    let rules = route.limits.iter();
    let rules = rules.flat_map(|limits| limits.rules(x.consumer.as_deref(), &x.line.method));
    let rules =
        rules.map(|rule| Limit { at: rule.name().to_string(), says: rule.sentence(), shared });
    let quotas = route.limits.as_ref().and_then(|limits| limits.quotas());
    let quota = quotas.zip(x.consumer.as_deref()).and_then(|(quotas, who)| quotas.of(who));
    let quota = quota.map(|rule| Limit {
        at: rule.name().to_string(),
        says: rule.sentence(),
        shared: false,
    });
    let own = route.caps.iter().filter_map(|caps| caps.of_plan(x.consumer.as_deref()));
    let own = own.map(|(at, says)| Limit { at: at.to_string(), says, shared: false });
    let upstream = route.upstream().and_then(|upstream| upstream.known_gate());
    let gates = route.caps.iter().filter_map(Caps::gate).chain(upstream);
    let gates = gates.map(|gate| Limit {
        at: gate.place().to_string(),
        says: gate.sentence(),
        shared: false,
    });
    rules.chain(quota).chain(own).chain(gates).collect()
}

/// Holds a request that is to be sent on to what its service documents.
fn held(
    decision: Result<Decision, Rejection>,
    head: &RequestHeader,
    x: &mut Exchange,
) -> (Result<Decision, Rejection>, Option<Validation>) {
    let validation = x.route.as_deref().and_then(|route| route.validation.clone());
    let (Ok(Decision::Forward), Some(validation)) = (&decision, validation) else {
        return (decision, None);
    };
    let found = intake::operation(&validation, &head.method, x);
    let told = Validation {
        document: validation.file().display().to_string(),
        operation: found.as_ref().map(|found| found.name().to_owned()),
        takes: found.as_ref().and_then(|found| found.accepted()).map(str::to_owned),
        observe: validation.observe,
    };
    let decision = intake::validate(head, None, x).map(|_| Decision::Forward);
    (decision, Some(told))
}

fn answer(
    decision: &Result<Decision, Rejection>,
    arriving: &Arriving<'_>,
    x: &Exchange,
    mask: &Mask<'_>,
) -> Option<Answer> {
    let headers = &arriving.head.headers;
    let (reply, code, detail) = match decision {
        Ok(Decision::Forward | Decision::Wait(_)) => return None,
        Ok(Decision::Answer(reply)) => {
            // Only a listener answers before there is a route.
            let door = arriving.facts.filter(|_| x.route.is_none()).map(|facts| &facts.door.name);
            let detail = door.map(|name| format!("the listener {name} sends clients to https"));
            (reply.clone(), None, detail)
        }
        Ok(Decision::Portal(ask)) => {
            let detail = "served by the portal".to_owned();
            (ask.clone().answer(), None, Some(detail))
        }
        Ok(Decision::Health) => {
            let detail = "while it stops, the gateway answers 503 here".to_owned();
            (intake::health(false), None, Some(detail))
        }
        Err(rejection) => {
            let reply = rejection.reply(crate::reply::Wanted::Json, NEW_ID);
            (reply, Some(rejection.code()), Some(rejection.detail().to_owned()))
        }
    };
    let reply = match x.policy() {
        Some(policy) => policy.dress(reply, headers, x.is_secure(headers)),
        None => reply,
    };
    let headers = self::headers(&reply, mask);
    Some(Answer { status: reply.status.as_u16(), code, detail, headers })
}

fn headers(reply: &Reply, mask: &Mask<'_>) -> Vec<(String, String)> {
    let told = |(name, value): &(http::HeaderName, http::HeaderValue)| {
        (name.to_string(), mask.value(name, value))
    };
    reply.headers.iter().map(told).collect()
}

/// The upstream's name, if the route forwards.
fn upstream_of(route: &Route) -> Option<&str> {
    match &route.action {
        Action::Forward(forward) => Some(forward.upstream.name()),
        Action::Respond(_) | Action::Redirect(_) | Action::Health | Action::Portal(_) => None,
    }
}

#[cfg(test)]
mod tests;
