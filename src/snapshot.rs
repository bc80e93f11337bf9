//! A [`Snapshot`] is a configuration with everything resolved: what requests are served by.
//!
//! No name is looked up in it. A route holds its guard, its upstream and its header operations themselves; so
//! a request that has its [`Route`] needs nothing else, and serves to its end by the configuration it began with.

mod compile;
mod fixed;
mod gaps;
mod lint;
mod policy;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

pub use compile::compile;
pub use policy::Policy;
pub use record::{Mark, Record};

use crate::auth::{Auth, Guard};
use crate::concurrency::{Callers, Caps, Gate};
use crate::config::{AdminAddress, Config};
use crate::diagnostic::{At, Diagnostics, Severity};
use crate::limit::{self, Limiter};
use crate::listen::{Door, Limits};
use crate::observe::access_log::{self, Sampling};
use crate::observe::metrics::{RouteMeter, View};
use crate::portal::{About, Drift, Library, Portal};
use crate::reply::{html, json};
use crate::rewrite::{HeaderOps, TrustedProxies};
use crate::route::{Forwarding, Table};
use crate::store::Store;
use crate::template::Template;
use crate::units::Secret;
use crate::upstream::Upstream;
use crate::validate::Validation;
use crate::yaml;
use gaps::Gaps;
use record::Recorder;

/// Everything that serving a request needs.
pub struct Snapshot {
    /// Which request goes where.
    pub routes: Table<Arc<Route>>,
    /// What `defaults` say of answers for which no route is known, if they say anything.
    pub unrouted: Option<Arc<Policy>>,
    /// The upstreams, for those who look after them; requests reach them through their routes.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// What holds for the connections of each listener, by its name.
    pub doors: BTreeMap<String, Arc<Door>>,
    /// How many connections there may be.
    pub connections: Limits,
    /// How many of the requests that no route took are logged.
    pub sampling: Sampling,
    /// Who may speak for other clients.
    pub trusted: TrustedProxies,
    /// The methods and consumers; requests reach them through the guards of their routes.
    pub auth: Arc<Auth>,
    /// The store that it shares with other gateways, if there is one.
    pub store: Option<Arc<Store>>,
    /// How often callers may call; requests reach it through their routes.
    pub limiter: Arc<Limiter>,
    /// How many requests callers may have in flight; requests reach it through their routes.
    pub callers: Arc<Callers>,
    /// The file as written, with what came from outside put in.
    pub config: Arc<Config>,
    /// What came from outside.
    pub record: Record,
    /// What services say of themselves, if some do.
    pub library: Option<Arc<Library>>,
}

impl Snapshot {
    /// Goes on with the counts of the configuration that this one replaces, by the names of routes, upstreams
    /// and targets: to be called before it is in force.
    pub fn carry_on(&self, previous: &Self) {
        let meters: HashMap<_, _> =
            previous.routes.iter().map(|(name, route)| (name, &route.meter)).collect();
        for (name, route) in self.routes.iter() {
            if let Some(meter) = meters.get(name) {
                route.meter.carry_on(meter);
            }
        }
        self.carry_gates_on(previous);
        for (name, upstream) in &self.upstreams {
            if let Some(other) = previous.upstreams.get(name) {
                upstream.carry_on(other);
            }
        }
    }

    /// Goes on with who is in flight on routes that may not have as many as come.
    fn carry_gates_on(&self, previous: &Self) {
        let known = previous.gates();
        for (place, gate) in self.gates() {
            if let Some(known) = known.get(place) {
                gate.carry_on(known);
            }
        }
    }

    /// The gates before routes, each once, by the places where they are written.
    fn gates(&self) -> BTreeMap<&str, &Gate> {
        let gates = self.routes.iter().filter_map(|(_, route)| route.caps.as_ref()?.gate());
        gates.map(|gate| (&**gate.place(), gate)).collect()
    }

    /// The listener that most requests may be thought of to come by: the first that speaks TLS, since others may
    /// only send clients there; or else the first.
    #[must_use]
    pub fn usual_door(&self) -> Option<&Arc<Door>> {
        self.door_for(true)
    }

    /// The listener that a request with or without TLS may be thought of to come by: the first for such requests, or
    /// else the first. Of those without TLS one that sends clients to `https` comes first: it is there for clients.
    #[must_use]
    pub fn door_for(&self, tls: bool) -> Option<&Arc<Door>> {
        let all = || self.doors.values().filter(|door| door.tls.is_some() == tls);
        let sends_away = || all().find(|door| door.redirect_to_https.is_some());
        sends_away().or_else(|| all().next()).or_else(|| self.doors.values().next())
    }

    /// The port of that listener in the configuration.
    #[must_use]
    pub fn usual_port(&self) -> u16 {
        self.usual_door().map_or(0, |door| door.address.port())
    }

    /// What the first of its portals says of the whole, or what one without words of its own would say.
    #[must_use]
    pub fn about(&self) -> About {
        let mut portals = self.routes.iter().filter_map(|(_, route)| match &route.action {
            Action::Portal(portal) => Some(portal.about().clone()),
            _ => None,
        });
        portals.next().unwrap_or_default()
    }

    /// What metrics show of it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            routes: self.routes.iter().map(|(name, route)| (&**name, &route.meter)).collect(),
            upstreams: self.upstreams.values().map(Arc::as_ref).collect(),
            limits: self.limiter.said(),
            store: self.store.as_ref().map(|store| store.status()),
            limit_keys: self.limiter.local.keys() as u64,
            quotas_unsaved: self.limiter.quotas_unsaved(),
            gates: self
                .gates()
                .into_values()
                .chain(self.upstreams.values().filter_map(|upstream| upstream.known_gate()))
                .collect(),
            capped_plans: self.callers.capped().collect(),
            tls: self
                .doors
                .values()
                .filter_map(|door| Some((&*door.name, door.tls.as_deref()?)))
                .collect(),
            key_sets: self.auth.key_sets(std::time::SystemTime::now()),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}

/// What is done with the requests of one route.
#[derive(Debug)]
pub struct Route {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Who may pass.
    pub guard: Arc<Guard>,
    /// What is done.
    pub action: Action,
    /// Changes to the request's head.
    pub request_headers: HeaderOps,
    /// Changes to the answer's head.
    pub response_headers: HeaderOps,
    /// The largest request body, in bytes.
    pub body_limit: u64,
    /// What it says of browsers, compression and maintenance, if it says anything.
    pub policy: Option<Arc<Policy>>,
    /// How often callers may call, if anybody is limited.
    pub limits: Option<Arc<limit::Limits>>,
    /// How many may be at once, if that is bounded for its requests.
    pub caps: Option<Caps>,
    /// What its requests are held to, if to anything.
    pub validation: Option<Arc<Validation>>,
    /// How many of its requests are logged.
    pub sampling: Sampling,
    /// Its requests, in numbers.
    pub meter: RouteMeter,
    /// How its calls differ from what its upstream documents, where somebody wants to know.
    pub drift: OnceLock<Arc<Drift>>,
}

impl Route {
    /// The upstream that answers, if one does.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.action {
            Action::Forward(forward) => Some(&forward.upstream),
            Action::Respond(_) | Action::Redirect(_) | Action::Health | Action::Portal(_) => None,
        }
    }
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Sends the request on.
    Forward(Forward),
    /// Answers by itself.
    Respond(Respond),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers whether the gateway is ready.
    Health,
    /// Serves the page with all APIs.
    Portal(Arc<Portal>),
}

/// How a request is sent on.
#[derive(Debug)]
pub struct Forward {
    /// Who answers.
    pub upstream: Arc<Upstream>,
    /// What becomes of the path.
    pub path: Forwarding,
    /// Whether `Forwarded` is sent beside `X-Forwarded-*`.
    pub forwarded_header: bool,
}

/// A fixed answer.
#[derive(Debug)]
pub struct Respond {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: HeaderValue,
    /// Its body.
    pub body: RespondBody,
}

/// The body of a fixed answer.
#[derive(Debug)]
pub enum RespondBody {
    /// The same for everybody.
    Fixed(Bytes),
    /// Filled in for each request.
    Filled(Template, Escape),
}

/// How a value is kept from being more than text in the body it is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// It can only be text there.
    Plain,
    /// As inside a JSON string.
    Json,
    /// As text, or inside quotes, of HTML or XML.
    Html,
}

impl Escape {
    /// What a body of this media type asks for.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let is = |subtype: &str| {
            media_type.rsplit(['/', '+']).next().is_some_and(|last| last == subtype)
        };
        if is("html") || is("xhtml") || is("xml") {
            Self::Html
        } else if is("json") || is("javascript") {
            Self::Json
        } else {
            Self::Plain
        }
    }

    /// Appends a value.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(value),
            Self::Json => json::escape(out, &String::from_utf8_lossy(value)),
            Self::Html => html::escape(out, &String::from_utf8_lossy(value)),
        }
    }
}

/// A redirect.
#[derive(Debug)]
pub struct Redirect {
    /// Its status.
    pub status: StatusCode,
    /// Where to.
    pub to: Template,
}

/// A configuration that can be served: the snapshot, and what is set up once at the start.
#[derive(Debug)]
pub struct Compiled {
    /// What requests are served by.
    pub snapshot: Snapshot,
    /// The addresses to serve on, by name.
    pub listeners: Vec<(String, SocketAddr)>,
    /// The operators' listener.
    pub admin: Option<Admin>,
    /// Threads that serve.
    pub workers: usize,
    /// The access log.
    pub logs: access_log::Config,
}

/// The operators' listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens.
    pub address: AdminAddress,
    /// What callers must show; always there if others than this machine can reach the address.
    pub token: Option<Secret>,
}

/// A text that was read, before anybody has asked whether its own tests hold.
#[derive(Debug)]
pub struct Draft {
    /// The configuration, unless a mistake refused it.
    pub compiled: Option<Compiled>,
    /// The file as written, unless its text has mistakes.
    pub config: Option<Arc<Config>>,
    /// Where its paths stand in the text.
    pub places: yaml::Places,
    /// Mistakes and doubts, as they were found.
    pub diagnostics: Diagnostics,
    /// What it took from outside, whether or not it was refused.
    pub record: Record,
}

/// Reads and compiles the text of a configuration; files it names are read from `sources`. What is to be
/// served comes from [`crate::loading`], which holds it to its tests too.
///
/// If there is a `previous` configuration in force, what did not change is taken over with all it knows, and
/// a change to what cannot change while the process runs is a mistake.
#[must_use]
pub fn draft(text: &str, sources: &dyn yaml::Sources, previous: Option<&Snapshot>) -> Draft {
    let mut diagnostics = Diagnostics::new();
    let recorder = Recorder::new(sources);
    let yaml::Read { value, wrong, places } =
        yaml::read::<Config>(text, &recorder, &mut diagnostics);
    let (compiled, config) = match value {
        Some(config) if wrong.is_empty() => {
            let config = Arc::new(config);
            lint::lint(&config, &places, &mut diagnostics);
            let compiled = compile(&config, previous, &recorder, &mut diagnostics);
            (compiled, Some(config))
        }
        Some(config) => {
            look_for_more(config, &wrong, &recorder, &mut diagnostics);
            (None, None)
        }
        None => (None, None),
    };
    let record = recorder.record();
    let compiled = compiled.filter(|_| !diagnostics.has_errors()).map(|mut compiled| {
        compiled.snapshot.record = record.clone();
        compiled
    });
    Draft { compiled, config, places, diagnostics, record }
}

/// Adds the mistakes in the meaning of a file whose text has mistakes too.
fn look_for_more(
    mut config: Config,
    wrong: &[At],
    sources: &dyn yaml::Sources,
    diagnostics: &mut Diagnostics,
) {
    let Some(gaps) = Gaps::leave_out(&mut config, wrong) else { return };
    let mut more = Diagnostics::new();
    compile::compile_with(&Arc::new(config), &gaps, None, sources, &mut more);
    for mistake in more.iter().filter(|found| found.severity == Severity::Error) {
        diagnostics.add(mistake.clone());
    }
}
