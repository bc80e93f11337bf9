//! From the file to what is served: names are resolved, templates parsed, and every mistake is collected.

mod route;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::gaps::Gaps;
use super::{Compiled, Route, Snapshot};
use crate::auth::{self, Auth};
use crate::config::Config;
use crate::diagnostic::{At, Diagnostics};
use crate::rewrite::TrustedProxies;
use crate::route::Table;
use crate::upstream::Upstream;
use crate::yaml::Sources;
use route::RouteBuilder;

/// Resolves a configuration. `None` if a mistake refuses it; all mistakes are among the diagnostics.
pub fn compile(
    config: &Config,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    compile_with(config, &Gaps::default(), sources, diagnostics)
}

/// The same for a configuration that is not all that stands in the file.
pub(super) fn compile_with(
    config: &Config,
    gaps: &Gaps,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let root = At::root();
    if config.version.is_none() {
        diagnostics.error(
            root.clone(),
            "the key \"version\" is missing",
            "begin the file with \"version: 1\"",
        );
    }
    let listeners = compile_listeners(config, gaps, diagnostics);
    let admin = compile_admin(config, &listeners, diagnostics);
    let trusted =
        TrustedProxies::compile(&config.trusted_proxies, &root.key("trusted_proxies"), diagnostics);
    let mut upstreams = compile_upstreams(config, sources, diagnostics);
    upstreams.extend(gaps.upstreams.iter().map(|name| (name.clone(), None)));
    let read_keys = |path: &Path| {
        let text = String::from_utf8(sources.data(path)?);
        text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a text in UTF-8"))
    };
    let auth = auth::compile(&config.auth, &config.consumers, &read_keys, diagnostics);
    let auth = auth.filter(|_| !gaps.auth);
    let routes = compile_routes(config, gaps, &upstreams, auth.as_ref(), diagnostics);

    let workers = config.workers.or_else(|| std::thread::available_parallelism().ok());
    Some(Compiled {
        snapshot: Snapshot {
            routes: routes?,
            upstreams: upstreams.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
            trusted: trusted?,
            auth: auth?,
        },
        listeners,
        admin: admin?,
        workers: workers.map_or(1, usize::from),
        drain: config.drain.get(),
        logs: config.logs.clone(),
    })
    .filter(|_| !diagnostics.has_errors())
}

fn compile_listeners(
    config: &Config,
    gaps: &Gaps,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, SocketAddr)> {
    let at = At::root().key("listeners");
    if config.listeners.is_empty() && !gaps.listeners {
        diagnostics.error(
            at.clone(),
            "there is no listener, so nobody could be served",
            "add one: public: { address: \"0.0.0.0:8080\" }",
        );
    }
    let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
    for (name, listener) in &config.listeners {
        let at = at.key(name);
        let Some(address) = listener.compile(&at, diagnostics) else { continue };
        refuse_taken(address, &listeners, &at, diagnostics);
        listeners.push((name.clone(), address));
    }
    listeners
}

/// Of two sockets for one address the second could not be opened.
fn refuse_taken(
    address: SocketAddr,
    listeners: &[(String, SocketAddr)],
    at: &At,
    diagnostics: &mut Diagnostics,
) {
    if let Some((other, its)) = listeners.iter().find(|(_, its)| overlap(address, *its)) {
        let what = if address == *its {
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
    listeners: &[(String, SocketAddr)],
    diagnostics: &mut Diagnostics,
) -> Option<Option<SocketAddr>> {
    let Some(admin) = &config.admin else { return Some(None) };
    let at = At::root().key("admin");
    let address = admin.compile(&at, diagnostics)?;
    refuse_taken(address, listeners, &at, diagnostics);
    if !address.ip().to_canonical().is_loopback() {
        diagnostics.warning(
            at.key("address"),
            format!("the operators' listener is open to the network at {address}"),
            "listen on a loopback address, such as 127.0.0.1:9901",
        );
    }
    Some(Some(address))
}

/// All upstreams by name; one with a mistake is there without a value, so that its name is still known.
fn compile_upstreams(
    config: &Config,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Option<Arc<Upstream>>> {
    let read_file = |path: &Path| sources.data(path);
    let at = At::root().key("upstreams");
    let compile = |(name, upstream): (&String, &crate::upstream::Config)| {
        let compiled = Upstream::compile(name, upstream, &at.key(name), &read_file, diagnostics);
        (name.clone(), compiled)
    };
    config.upstreams.iter().map(compile).collect()
}

fn compile_routes(
    config: &Config,
    gaps: &Gaps,
    upstreams: &BTreeMap<String, Option<Arc<Upstream>>>,
    auth: Option<&Auth>,
    diagnostics: &mut Diagnostics,
) -> Option<Table<Arc<Route>>> {
    let at = At::root().key("routes");
    if config.routes.is_empty() && !gaps.routes {
        diagnostics.error(
            at.clone(),
            "there is no route, so every request would be answered with 404",
            "add one: users: { path: /users, to: users }",
        );
    }
    let mut compiled = Vec::with_capacity(config.routes.len());
    for (name, route) in &config.routes {
        let at = at.key(name);
        let mut builder = RouteBuilder { config, route, upstreams, auth, at: &at, diagnostics };
        if let Some((rule, route)) = builder.build(name) {
            compiled.push((route.name.clone(), rule, route));
        }
    }
    match Table::build(compiled) {
        Ok(table) => {
            for shadow in table.shadows() {
                diagnostics.warning(at.key(&*shadow.shadowed), shadow.to_string(), shadow.help());
            }
            Some(table)
        }
        Err(clashes) => {
            for clash in clashes {
                diagnostics.error(at.key(&*clash.second), clash.to_string(), clash.help());
            }
            None
        }
    }
}
