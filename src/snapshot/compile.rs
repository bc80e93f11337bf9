//! From the file to what is served: names are resolved, templates parsed, and every mistake is collected.

mod policy;
mod portal;
mod route;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::fixed;
use super::gaps::Gaps;
use super::record::{Mark, Record};
use super::{Admin, Compiled, Route, Snapshot};
use crate::auth::{self, Auth};
use crate::concurrency::{Callers, Gates, Wish};
use crate::config::{AdminAddress, Config};
use crate::diagnostic::{At, Diagnostics};
use crate::limit::{self, quota};
use crate::listen::Door;
use crate::observe::access_log::Sampling;
use crate::portal::{Landscape, Library};
use crate::rewrite::TrustedProxies;
use crate::route::Table;
use crate::store::Store;
use crate::upstream::Upstream;
use crate::validate::Documents;
use crate::yaml::Sources;
use route::RouteBuilder;

/// Resolves a configuration. `None` if a mistake refuses it; all mistakes are among the diagnostics.
///
/// What a `previous` configuration has and this one leaves as it is goes on living in this one.
pub fn compile(
    config: &Arc<Config>,
    previous: Option<&Snapshot>,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    compile_with(config, &Gaps::default(), previous, sources, diagnostics)
}

/// The same for a configuration that is not all that stands in the file.
#[expect(clippy::too_many_lines, reason = "part after part, in the order of the file")]
pub(super) fn compile_with(
    config: &Arc<Config>,
    gaps: &Gaps,
    previous: Option<&Snapshot>,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let root = At::root();
    if let Some(previous) = previous {
        fixed::refuse_changes(&previous.config, config, diagnostics);
    }
    refuse_missing_version(config, diagnostics);
    let doors = compile_listeners(config, gaps, previous, sources, diagnostics);
    let listeners: Vec<_> = doors.iter().map(|(name, door)| (name.clone(), door.address)).collect();
    let connections = config.connections.compile(&root.key("connections"), diagnostics);
    let admin = compile_admin(config, &doors, diagnostics);
    let trusted =
        TrustedProxies::compile(&config.trusted_proxies, &root.key("trusted_proxies"), diagnostics);
    let mut upstreams = compile_upstreams(config, previous, sources, diagnostics);
    upstreams.extend(gaps.upstreams.iter().map(|name| (name.clone(), None)));
    let auth = compile_auth(config, previous, sources, diagnostics).filter(|_| !gaps.auth);
    refuse_unasked_certificates(config, gaps, diagnostics);
    let store = compile_store(config, previous, sources, diagnostics);
    let mut limits = begin_limits(previous, store.clone().flatten());
    let places = quota::Places {
        file: config.quota_file.as_deref(),
        has_store: config.store.is_some(),
        store: store.as_ref().and_then(Option::as_ref),
    };
    let buyers = auth.as_deref().filter(|_| !gaps.plans);
    limits.plans(&config.plans, &config.consumers, buyers, places, diagnostics);
    let callers = Arc::new(compile_callers(config, auth.as_deref(), previous, diagnostics));
    let read_file = |path: &Path| sources.data(path);
    let documents = Documents::new(&read_file);
    let mut gates = Gates::default();
    policy::check(config, &mut limits, &mut gates, &documents, diagnostics);
    let unrouted = policy::compile(&config.policy_layers(None), &[], diagnostics);
    let sampling = Sampling::of(&config.logs.sample, None);
    let names = config.routes.keys().map(String::as_str);
    config.logs.check((!gaps.routes).then_some(names), &root.key("logs"), diagnostics);
    let parts = Parts {
        config,
        upstreams: &upstreams,
        auth: auth.as_deref(),
        callers: &callers,
        sampling: &sampling,
        documents: &documents,
        sources,
    };
    let routes = compile_routes(&parts, gaps, &mut limits, &mut gates, previous, diagnostics);

    let (table, library) = routes?;
    Some(Compiled {
        snapshot: Snapshot {
            routes: table,
            library,
            unrouted: unrouted?,
            sampling,
            upstreams: upstreams.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
            doors,
            connections,
            trusted: trusted?,
            auth: auth?,
            store: store?,
            callers,
            limiter: Arc::new(limits.finish(config.failed_credentials.0)),
            config: Arc::clone(config),
            record: Record::default(),
        },
        listeners,
        admin: admin?,
        workers: workers(config),
        logs: config.logs.clone(),
    })
    .filter(|_| !diagnostics.has_errors())
}

fn refuse_missing_version(config: &Config, diagnostics: &mut Diagnostics) {
    if config.version.is_none() {
        diagnostics.error(
            At::root(),
            "the key \"version\" is missing",
            "begin the file with \"version: 1\"",
        );
    }
}

/// The listeners by name; one with a mistake is left out.
fn compile_listeners(
    config: &Config,
    gaps: &Gaps,
    previous: Option<&Snapshot>,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Arc<Door>> {
    let at = At::root().key("listeners");
    if config.listeners.is_empty() && !gaps.listeners {
        diagnostics.error(
            at.clone(),
            "there is no listener, so nobody could be served",
            "add one: public: { address: \"0.0.0.0:8080\" }",
        );
    }
    let read_file = |path: &Path| sources.data(path);
    let mut doors: BTreeMap<String, Arc<Door>> = BTreeMap::new();
    for (name, listener) in &config.listeners {
        let at = at.key(name);
        let before = previous.and_then(|previous| previous.doors.get(name)).map(Arc::as_ref);
        let Some(door) = Door::compile(name, listener, before, &at, &read_file, diagnostics) else {
            continue;
        };
        refuse_taken(door.address, &doors, &at, diagnostics);
        if door.proxy_protocol && config.trusted_proxies.is_empty() && !gaps.trusted {
            diagnostics.error(
                at.key("proxy_protocol"),
                "no proxy is trusted, so no connection could be served",
                "name the proxies that send the header in `trusted_proxies`",
            );
        }
        doors.insert(name.clone(), Arc::new(door));
    }
    doors
}

/// Of two sockets for one address the second could not be opened.
fn refuse_taken(
    address: SocketAddr,
    doors: &BTreeMap<String, Arc<Door>>,
    at: &At,
    diagnostics: &mut Diagnostics,
) {
    let mut bound = doors.iter().map(|(name, door)| (name, door.address));
    if let Some((other, its)) = bound.find(|(_, its)| overlap(address, *its)) {
        let what = if address == its {
            format!("{address} is the address of the listener {other:?} too")
        } else {
            format!("{address} overlaps with {its}, the address of the listener {other:?}")
        };
        diagnostics.error(at.key("address"), what, "give each listener an address of its own");
    }
}

/// Whether both take connections to one address. `[::]` takes those of IPv4 too. Port 0 is another port
/// each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |all: SocketAddr, other: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || other.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
fn compile_admin(
    config: &Config,
    doors: &BTreeMap<String, Arc<Door>>,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Admin>> {
    let Some(admin) = &config.admin else { return Some(None) };
    let at = At::root().key("admin");
    let address = admin.compile(&at, diagnostics)?;
    if let AdminAddress::Tcp(address) = &address {
        refuse_taken(*address, doors, &at, diagnostics);
    }
    Some(Some(Admin { address, token: admin.token.clone() }))
}

/// The shared store, if there is to be one.
#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
fn compile_store(
    config: &Config,
    previous: Option<&Snapshot>,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Arc<Store>>> {
    let Some(store) = &config.store else { return Some(None) };
    let previous = previous.and_then(|previous| previous.store.as_ref());
    let read_file = |path: &Path| sources.data(path);
    Store::compile(store, previous, &At::root().key("store"), &read_file, diagnostics).map(Some)
}

/// Limits that go on from those of the previous configuration, and are kept in the store if there is one.
fn begin_limits(previous: Option<&Snapshot>, store: Option<Arc<Store>>) -> limit::Builder<'_> {
    limit::Builder::new(previous.map(|previous| &*previous.limiter)).sharing(store)
}

/// How many threads serve.
fn workers(config: &Config) -> usize {
    let workers = config.workers.or_else(|| std::thread::available_parallelism().ok());
    workers.map_or(1, usize::from)
}

/// The methods and consumers: those of the previous configuration if nothing about them changed, since
/// sorting a million keys anew takes time, and everything counted by consumer hangs on them.
fn compile_auth(
    config: &Config,
    previous: Option<&Snapshot>,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Auth>> {
    if let Some(previous) = previous
        && previous.config.auth == config.auth
        && previous.config.consumers == config.consumers
        && config.auth.files().chain(config.consumers.files()).all(|path| {
            let now = sources.data(&path).ok().map(|data| Mark::of(&data));
            now.is_some() && now == previous.record.files.get(&path).copied()
        })
    {
        return Some(Arc::clone(&previous.auth));
    }
    let read_keys = |path: &Path| {
        let text = String::from_utf8(sources.data(path)?);
        text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a text in UTF-8"))
    };
    let before = previous.map(|previous| &*previous.auth);
    let auth = auth::compile(&config.auth, &config.consumers, before, &read_keys, diagnostics);
    auth.map(Arc::new)
}

/// How many requests each caller may have in flight, and who goes first.
fn compile_callers(
    config: &Config,
    auth: Option<&Auth>,
    previous: Option<&Snapshot>,
    diagnostics: &mut Diagnostics,
) -> Callers {
    let wish = |plan: &limit::PlanConfig| Wish { priority: plan.priority, most: plan.concurrency };
    let plans = config.plans.iter().map(|(name, plan)| (name.as_str(), wish(plan))).collect();
    let previous = previous.map(|previous| (&*previous.callers, &*previous.auth));
    Callers::compile(&plans, auth, previous, diagnostics)
}

/// A method that no connection can satisfy.
fn refuse_unasked_certificates(config: &Config, gaps: &Gaps, diagnostics: &mut Diagnostics) {
    let asks = |listener: &crate::listen::Config| {
        listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some())
    };
    if gaps.listeners || config.listeners.values().any(asks) {
        return;
    }
    for (name, _) in config.auth.0.iter().filter(|(_, method)| method.mtls.is_some()) {
        diagnostics.error(
            At::root().key("auth").key(name).key("mtls"),
            "no listener asks clients for a certificate, so nobody could have one",
            "add `client_auth: { ca: clients.pem }` to the `tls` of a listener",
        );
    }
}

/// All upstreams by name; one with a mistake is there without a value, so that its name is still known.
fn compile_upstreams(
    config: &Config,
    previous: Option<&Snapshot>,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Option<Arc<Upstream>>> {
    let read_file = |path: &Path| sources.data(path);
    let at = At::root().key("upstreams");
    let compile = |(name, upstream): (&String, &crate::upstream::Config)| {
        let compiled = Upstream::compile(name, upstream, &at.key(name), &read_file, diagnostics);
        // It is compiled all the same, so that the doubts about it are told again.
        let kept = previous.and_then(|previous| previous.upstreams.get(name));
        let kept = kept.filter(|kept| kept.is_still(upstream, &read_file)).cloned();
        (name.clone(), compiled.map(|new| kept.unwrap_or(new)))
    };
    config.upstreams.iter().map(compile).collect()
}

/// What routes are compiled from.
struct Parts<'a> {
    config: &'a Config,
    upstreams: &'a BTreeMap<String, Option<Arc<Upstream>>>,
    auth: Option<&'a Auth>,
    callers: &'a Arc<Callers>,
    sampling: &'a Sampling,
    documents: &'a Documents<'a>,
    sources: &'a dyn Sources,
}

/// The routes, and what portals show of them.
type Routes = (Table<Arc<Route>>, Option<Arc<Library>>);

fn compile_routes(
    parts: &Parts<'_>,
    gaps: &Gaps,
    limits: &mut limit::Builder<'_>,
    gates: &mut Gates,
    previous: Option<&Snapshot>,
    diagnostics: &mut Diagnostics,
) -> Option<Routes> {
    let at = At::root().key("routes");
    let Parts { config, upstreams, auth, callers, sampling, documents, sources } = *parts;
    if config.routes.is_empty() && !gaps.routes {
        diagnostics.error(
            at.clone(),
            "there is no route, so every request would be answered with 404",
            "add one: users: { path: /users, to: users }",
        );
    }
    let mut compiled = Vec::with_capacity(config.routes.len());
    let wanted = portal::is_wanted(config);
    let specs = if wanted { portal::sources(parts, previous, diagnostics) } else { Vec::new() };
    let mut seen = Vec::new();
    for (name, written) in &config.routes {
        let at = at.key(name);
        let mut builder = RouteBuilder {
            config,
            route: written,
            upstreams,
            auth,
            callers,
            sampling,
            limits,
            gates,
            documents,
            sources,
            at: &at,
            diagnostics,
        };
        let Some((rule, route)) = builder.build(name) else { continue };
        if wanted && let Some(auth) = auth {
            let place = portal::place(config, written, &rule, &route, auth);
            seen.push((route.name.clone(), rule.clone(), place));
        }
        compiled.push((route.name.clone(), rule, route));
    }
    let routes: Vec<Arc<Route>> = compiled.iter().map(|(.., route)| Arc::clone(route)).collect();
    match Table::build(compiled) {
        Ok(table) => {
            for shadow in table.shadows() {
                diagnostics.warning(at.key(&*shadow.shadowed), shadow.to_string(), shadow.help());
            }
            let landscape = Landscape::new(seen).ok().filter(|_| wanted);
            let library = landscape
                .map(|landscape| portal::library(config, landscape, specs, previous, &routes));
            Some((table, library))
        }
        Err(clashes) => {
            for clash in clashes {
                diagnostics.error(at.key(&*clash.second), clash.to_string(), clash.help());
            }
            None
        }
    }
}
