//! An [`Exchange`] is the record of one request: what was decided about it, and what became of it.
//!
//! Pingora hands it from phase to phase (its CTX). It pins the request's route, so that a change of
//! configuration meanwhile does not touch the request, and it owns what the phases need of the request
//! line, since the head itself is lent to them only by turns.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::auth::{BodyCheck, Claims, Consumer, Permit, Settled};
use crate::compress::Encoder;
use crate::concurrency::Seats;
use crate::grpc_web::Bridge;
use crate::hygiene::clean_host;
use crate::limit::quota::Left;
use crate::limit::{RATE_LIMIT, RATE_LIMIT_POLICY, Standing};
use crate::listen::{ClientCertificate, Room, TlsVersion};
use crate::observe::metrics::Observed;
use crate::reject::Rejection;
use crate::rewrite::Trace;
use crate::route::{Captures, Prefixes};
use crate::snapshot::{Policy, Route};
use crate::template::{Fill, Variable};
use crate::upstream::{Attempt, Switch, Target};
use crate::validate::Reading;

/// The name of the header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who is at the other end, and what may be believed of it.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The socket's other end.
    pub peer: SocketAddr,
    /// The client's own address: the peer's, or the one that trusted proxies vouch for.
    pub address: IpAddr,
    /// Whether the peer is one of the trusted proxies.
    pub trusted: bool,
    /// The port on which the request came in.
    pub local_port: u16,
    /// The version of TLS between the peer and us; none without TLS.
    pub tls: Option<TlsVersion>,
}

impl Client {
    /// The scheme of the connection.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// The request line and the Host, as the client sent them.
#[derive(Debug, Default)]
pub struct Line {
    /// The method.
    pub method: Method,
    /// The Host as sent, or empty.
    pub host: Box<str>,
    /// The path, normalised, percent-encoded; before that is known, as sent.
    pub path: Box<str>,
    /// The path as sent, where that was not clean already; for the log.
    pub raw: Option<Box<str>>,
    /// The query without its `?`.
    pub query: Option<Box<str>>,
    /// `HTTP/1.1` and the like.
    pub protocol: &'static str,
}

/// What is sent on, and how the answer's paths are mapped back.
#[derive(Debug, Default)]
pub struct Onward {
    /// Path and query for the upstream, if they differ from what the client sent.
    pub target: Option<Box<str>>,
    /// The Host that the upstream was sent.
    pub host: Option<HeaderValue>,
    /// The way back for `Location` and cookie paths, if the path was changed.
    pub prefixes: Option<Prefixes>,
}

/// When what happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Marks {
    /// From the start of the request to its first try.
    pub first_try: Option<Duration>,
    /// When the last try began.
    pub try_started: Option<Instant>,
    /// How long the last try took to get a connection.
    pub connect: Option<Duration>,
    /// When the last try had its connection.
    pub connected: Option<Instant>,
    /// From that connection to the head of the upstream's final answer.
    pub first_byte: Option<Duration>,
    /// The whole request, once it is over and noted.
    pub total: Option<Duration>,
}

/// The record of one request.
pub struct Exchange {
    /// When it began.
    pub started: Instant,
    /// When it began, by the wall clock.
    pub time: SystemTime,
    /// Its id.
    pub id: HeaderValue,
    /// The trace that it belongs to, if that has another id.
    pub trace: Option<Box<Trace>>,
    /// Who sent it.
    pub client: Client,
    /// The certificate that the peer showed, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Its request line.
    pub line: Line,
    /// Its route, once matched; set by [`Exchange::enter`].
    pub route: Option<Arc<Route>>,
    /// What holds for the answer where no route is known.
    pub unrouted: Option<Arc<Policy>>,
    /// What the route's captures caught, in their order.
    pub captures: Captures,
    /// The proof that it may pass.
    pub permit: Option<Permit>,
    /// Who sent it, if that is known, let in or not.
    pub consumer: Option<Arc<Consumer>>,
    /// What had to be waited for to find that out.
    pub settled: Vec<Settled>,
    /// What a rule or a limit that only observes would have refused it for.
    pub observed: Option<&'static str>,
    /// What is sent on.
    pub onward: Onward,
    /// The try under way.
    pub attempt: Option<Attempt>,
    /// The targets tried before.
    pub tried: Vec<Arc<Target>>,
    /// The target of the last try that ended.
    pub last: Option<Arc<Target>>,
    /// Tries so far, the one under way included.
    pub tries: u8,
    /// Those of them that got no connection.
    pub unsent: u8,
    /// Whether a try met a pooled connection that the upstream had closed meanwhile.
    pub met_stale: bool,
    /// When all of it must be done.
    pub deadline: Option<Instant>,
    /// Set if it asks for a `WebSocket`: whether the target has switched.
    pub switch: Option<Switch>,
    /// What the answer's body goes through, if it is compressed.
    pub encoder: Option<Box<Encoder>>,
    /// What its body is held against, if it was signed.
    pub signed: Option<Box<BodyCheck>>,
    /// What stands between client and upstream, if it is a call of gRPC-Web.
    pub grpc_web: Option<Box<Bridge>>,
    /// What its head takes of its connection's room, where streams share one.
    pub room: Option<Room>,
    /// How its body is read to be checked.
    pub reading: Reading,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// The status that the client was sent.
    pub status: u16,
    /// Whether all of the answer has been handed over for the client.
    pub answered: bool,
    /// Whether the client's connection was to be kept when an interim (1xx) answer passed.
    pub kept_before_interim: bool,
    /// The word for why we answered by ourselves.
    pub why: Option<&'static str>,
    /// More about it, for the log only.
    pub detail: Option<&'static str>,
    /// What is left to the caller, where it is limited.
    pub standing: Option<Standing>,
    /// What is left of its quota, where that is less.
    pub quota: Option<Left>,
    /// The limit that refused it or held it up, or would have.
    pub limit: Option<Arc<str>>,
    /// Where it is written how many may be at once, if that has turned it away, or would have.
    pub cap: Option<Arc<str>>,
    /// Its places among as many as may be at once.
    pub seats: Seats,
    /// A cause that a phase ended with, until it is answered.
    pub rejection: Option<Rejection>,
    /// When what happened.
    pub marks: Marks,
    /// Whether it comes from a client.
    pub kind: Kind,
}

/// Whether a request comes from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It does.
    Real,
    /// It is only asked about, and not counted.
    Asked,
}

impl Exchange {
    /// A request that begins now.
    #[must_use]
    pub fn begin() -> Self {
        let started = Instant::now();
        Self {
            started,
            time: wall_clock(started),
            id: new_id(),
            trace: None,
            client: Client {
                peer: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                trusted: false,
                local_port: 0,
                tls: None,
            },
            certificate: None,
            line: Line::default(),
            route: None,
            unrouted: None,
            captures: Captures::default(),
            permit: None,
            consumer: None,
            settled: Vec::new(),
            observed: None,
            onward: Onward::default(),
            attempt: None,
            tried: Vec::new(),
            last: None,
            standing: None,
            quota: None,
            limit: None,
            cap: None,
            seats: Seats::default(),
            rejection: None,
            tries: 0,
            unsent: 0,
            met_stale: false,
            deadline: None,
            switch: None,
            encoder: None,
            signed: None,
            grpc_web: None,
            room: None,
            reading: Reading::Not,
            bytes_in: 0,
            status: 0,
            answered: false,
            kept_before_interim: false,
            why: None,
            detail: None,
            marks: Marks::default(),
            kind: Kind::Real,
        }
    }

    /// Pins the route; from now on, and until this is dropped, the request is in flight there.
    pub fn enter(&mut self, route: Arc<Route>) {
        if self.kind == Kind::Real {
            route.meter.enter();
        }
        self.route = Some(route);
    }

    /// Notes what a rule that only observes would have refused it for.
    pub fn observe(&mut self, rule: Observed, reason: &'static str) {
        self.observed.get_or_insert(reason);
        if let Some(route) = self.route.as_ref().filter(|_| self.kind == Kind::Real) {
            route.meter.observe(rule);
        }
    }

    /// Forgets the route, so that it can be found anew.
    pub fn leave(&mut self) {
        if let Some(route) = self.route.take().filter(|_| self.kind == Kind::Real) {
            route.meter.leave();
        }
    }

    /// What the caller's token says.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.permit.as_ref().and_then(Permit::claims)
    }

    /// What the route says of browsers, compression and maintenance, or the defaults where none is known.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        match &self.route {
            Some(route) => route.policy.as_deref(),
            None => self.unrouted.as_deref(),
        }
    }

    /// Whether the client came by TLS, as far as that is known; `headers` are the client's.
    #[must_use]
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        self.fill(headers).scheme() == "https"
    }

    /// The request's id as text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// The id of the trace that it belongs to.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.trace.as_deref().map_or_else(|| self.id(), Trace::id)
    }

    /// What the caller is told of its limits: the tightest.
    #[must_use]
    pub fn what_is_left(&self) -> Option<[(HeaderName, HeaderValue); 2]> {
        match (&self.quota, &self.standing) {
            (Some(quota), _) => {
                let [policy, left] = quota.values()?;
                Some([(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)])
            }
            (None, Some(standing)) => self.route.as_ref()?.limits.as_ref()?.fields(standing),
            (None, None) => None,
        }
    }

    /// What is left of the time for the whole request; `None` without a bound.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Whether the time for the whole request is over.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether it has become a `WebSocket`, on which no body and no time of a request is counted any more.
    #[must_use]
    pub fn has_switched(&self) -> bool {
        self.switch.as_ref().is_some_and(Switch::is_done)
    }

    /// The values of this request for templates; `headers` are the client's.
    #[must_use]
    pub fn fill<'a>(&'a self, headers: &'a HeaderMap) -> Values<'a> {
        Values { exchange: self, headers }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The name of an HTTP version in logs.
#[must_use]
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// The values of one request, for templates.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    exchange: &'a Exchange,
    headers: &'a HeaderMap,
}

impl<'a> Values<'a> {
    /// The Host that the client wrote: a trusted peer's word for it, or the one of the request.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.vouched("x-forwarded-host")
            .filter(|host| clean_host(host).is_ok())
            .unwrap_or(&self.exchange.line.host)
    }

    /// The scheme that the client used, known in the same way.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self.vouched("x-forwarded-proto") {
            Some(vouched) if vouched.eq_ignore_ascii_case("https") => "https",
            Some(_) => "http",
            None => self.exchange.client.scheme(),
        }
    }

    /// A part of the certificate that the peer showed.
    fn certificate(&self, part: impl FnOnce(&ClientCertificate) -> &str) -> &str {
        self.exchange.certificate.as_deref().map_or("", part)
    }

    /// The first value of a header that only a trusted peer may set: the one nearest to the client.
    fn vouched(&self, name: &str) -> Option<&'a str> {
        if !self.exchange.client.trusted {
            return None;
        }
        self.headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
    }
}

impl Fill for Values<'_> {
    fn fill(&self, variable: &Variable, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let x = self.exchange;
        let text = match variable {
            // Writing to a Vec cannot fail.
            Variable::ClientIp => return write!(out, "{}", x.client.address).unwrap_or(()),
            Variable::ClientPort => return write!(out, "{}", x.client.peer.port()).unwrap_or(()),
            Variable::RequestId => x.id(),
            Variable::TraceId => x.trace_id(),
            Variable::RequestMethod => x.line.method.as_str(),
            Variable::RequestHost => self.host(),
            Variable::RequestPath => &x.line.path,
            Variable::RequestQuery => x.line.query.as_deref().unwrap_or_default(),
            Variable::RequestScheme => self.scheme(),
            Variable::CertificateSubject => self.certificate(ClientCertificate::subject),
            Variable::CertificateSan => self.certificate(ClientCertificate::sans),
            Variable::CertificateFingerprint => self.certificate(ClientCertificate::fingerprint),
            Variable::ConsumerName => x.consumer.as_ref().map_or("", |consumer| consumer.name()),
            Variable::RouteName => x.route.as_deref().map_or("", |route| &route.name),
            Variable::UpstreamName => {
                x.route.as_deref().and_then(Route::upstream).map_or("", |upstream| upstream.name())
            }
            Variable::Path(index) => {
                x.captures.nth(usize::from(*index), &x.line.path).unwrap_or_default()
            }
            Variable::Claim(name) => {
                return x.claims().into_iter().for_each(|claims| claims.write(name, out));
            }
            Variable::Header(name) => {
                let value = self.headers.get(name).map(HeaderValue::as_bytes);
                return out.extend_from_slice(value.unwrap_or_default());
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// How long one reading of the wall clock serves.
const READING: Duration = Duration::from_millis(100);

thread_local! {
    /// The wall clock, and when it was read.
    static WALL_CLOCK: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
}

/// What the wall clock says at `now`, which was just read. Both clocks go on alike, and reading one is not for nothing;
/// a wall clock that was set is noticed a tenth of a second later.
fn wall_clock(now: Instant) -> SystemTime {
    let read = WALL_CLOCK.get().filter(|(at, _)| now.saturating_duration_since(*at) < READING);
    let (at, time) = read.unwrap_or_else(|| (now, SystemTime::now()));
    WALL_CLOCK.set(Some((at, time)));
    time + now.saturating_duration_since(at)
}

thread_local! {
    /// The state of the generator of ids: no secret hangs from them, so speed counts, and no two threads share it.
    static ID_STATE: Cell<u64> = Cell::new(seed());
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Without randomness from the system ids could repeat after a restart; the hasher's own keys are a
    // second source, for the moment in which the first is not there.
    getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(SystemTime::now()))
}

/// One step of the generator `SplitMix64`.
fn next(state: &Cell<u64>) -> u64 {
    let step = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    state.set(step);
    let mut z = step;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 64 bits that nobody has seen before.
#[must_use]
pub fn random() -> u64 {
    ID_STATE.with(next)
}

/// A new id: 128 bits in 32 hexadecimal digits, the form that W3C trace ids have.
#[must_use]
pub fn new_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (high, low) = ID_STATE.with(|state| (next(state), next(state)));
    let mut digits = [0u8; 32];
    for (half, chunk) in [high, low].into_iter().zip(digits.chunks_exact_mut(16)) {
        for (byte, pair) in half.to_be_bytes().into_iter().zip(chunk.chunks_exact_mut(2)) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
    }
    // Hexadecimal digits are always a valid header value.
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_long_and_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn the_wall_clock_goes_on_between_two_readings_and_is_read_again() {
        let now = Instant::now();
        let first = wall_clock(now);
        assert_eq!(wall_clock(now + READING / 2), first + READING / 2);
        // The clock itself has not gone on as far by then.
        let hour = Duration::from_secs(3600);
        assert!(wall_clock(now + hour) < first + hour);
    }

    #[test]
    fn the_time_left_never_goes_below_nothing() {
        let mut exchange = Exchange::begin();
        assert_eq!(exchange.remaining(exchange.started), None);
        exchange.deadline = Some(exchange.started);
        assert_eq!(exchange.remaining(exchange.started), Some(Duration::ZERO));
        assert!(exchange.is_overdue(exchange.started));
    }
}
