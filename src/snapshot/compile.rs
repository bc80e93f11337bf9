//! From the file to what is served: names are resolved, templates parsed, and every mistake is collected.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::fixed;
use super::gaps::Gaps;
use super::record::{Mark, Record};
use super::{Action, Admin, Compiled, Forward, Redirect, Respond, RespondBody, Route, Snapshot};
use crate::auth::{self, Auth};
use crate::config::{self, Config, RouteConfig};
use crate::diagnostic::{At, Diagnostics, did_you_mean};
use crate::rewrite::{Direction, HeaderOps, TrustedProxies};
use crate::route::{Conditions, Forwarding, PathPattern, Rule, Table};
use crate::template::{Template, Variable};
use crate::upstream::Upstream;
use crate::yaml::Sources;

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
    let listeners = compile_listeners(config, gaps, diagnostics);
    let admin = compile_admin(config, diagnostics);
    let trusted =
        TrustedProxies::compile(&config.trusted_proxies, &root.key("trusted_proxies"), diagnostics);
    let mut upstreams = compile_upstreams(config, previous, sources, diagnostics);
    upstreams.extend(gaps.upstreams.iter().map(|name| (name.clone(), None)));
    let auth = compile_auth(config, previous, sources, diagnostics).filter(|_| !gaps.auth);
    let routes = compile_routes(config, gaps, &upstreams, auth.as_deref(), diagnostics);

    let workers = config.workers.or_else(|| std::thread::available_parallelism().ok());
    Some(Compiled {
        snapshot: Snapshot {
            routes: routes?,
            upstreams: upstreams.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
            trusted: trusted?,
            auth: auth?,
            config: Arc::clone(config),
            record: Record::default(),
        },
        listeners,
        admin: admin?,
        workers: workers.map_or(1, usize::from),
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
    if config.listeners.is_empty() && !gaps.any {
        diagnostics.error(
            at.clone(),
            "there is no listener, so nobody could be served",
            "add one: public: { address: \"0.0.0.0:8080\" }",
        );
    }
    let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::new();
    let mut listeners = Vec::new();
    for (name, listener) in &config.listeners {
        let at = at.key(name);
        let Some(address) = listener.compile(&at, diagnostics) else { continue };
        // Port 0 is another port each time.
        if let Some(other) = taken.insert(address, name).filter(|_| address.port() != 0) {
            diagnostics.error(
                at.key("address"),
                format!("{address} is the address of the listener {other:?} too"),
                "give each listener an address of its own",
            );
        }
        listeners.push((name.clone(), address));
    }
    listeners
}

#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
fn compile_admin(config: &Config, diagnostics: &mut Diagnostics) -> Option<Option<Admin>> {
    let Some(admin) = &config.admin else { return Some(None) };
    let address = admin.compile(&At::root().key("admin"), diagnostics)?;
    Some(Some(Admin { address, token: admin.token.clone() }))
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
        && keys_files(config).all(|path| {
            let now = sources.data(path).ok().map(|data| Mark::of(&data));
            now.is_some() && now == previous.record.files.get(path).copied()
        })
    {
        return Some(Arc::clone(&previous.auth));
    }
    let read_keys = |path: &Path| {
        let text = String::from_utf8(sources.data(path)?);
        text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a text in UTF-8"))
    };
    auth::compile(&config.auth, &config.consumers, &read_keys, diagnostics).map(Arc::new)
}

fn keys_files(config: &Config) -> impl Iterator<Item = &Path> {
    let methods = config.auth.0.values().filter_map(|method| method.api_key.as_ref());
    methods.filter_map(|method| method.keys_file.as_deref())
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

fn compile_routes(
    config: &Config,
    gaps: &Gaps,
    upstreams: &BTreeMap<String, Option<Arc<Upstream>>>,
    auth: Option<&Auth>,
    diagnostics: &mut Diagnostics,
) -> Option<Table<Arc<Route>>> {
    let at = At::root().key("routes");
    if config.routes.is_empty() && !gaps.any {
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

/// What one route is built from.
struct RouteBuilder<'a> {
    config: &'a Config,
    route: &'a RouteConfig,
    upstreams: &'a BTreeMap<String, Option<Arc<Upstream>>>,
    auth: Option<&'a Auth>,
    at: &'a At,
    diagnostics: &'a mut Diagnostics,
}

impl RouteBuilder<'_> {
    fn build(&mut self, name: &str) -> Option<(Rule, Arc<Route>)> {
        let route = self.route;
        let conditions = Conditions {
            hosts: &route.host.0,
            path: &route.path,
            exact: route.exact,
            methods: &route.methods,
            headers: &route.headers,
            query: &route.query,
        };
        let rule = if route.path.is_empty() {
            self.diagnostics.error(
                self.at.clone(),
                "the key \"path\" is missing",
                "say which requests the route takes, such as path: /users (or path: / for all)",
            );
            None
        } else {
            conditions.compile(self.at, self.diagnostics)
        };
        // A mistake in the host must not hide those in what is made of the path.
        let path = rule.as_ref().map(|rule| rule.path().clone()).or_else(|| {
            PathPattern::compile(&route.path, route.exact, self.at, &mut Diagnostics::new())
        });
        let captures: Option<Vec<String>> =
            path.as_ref().map(|path| path.captures().map(str::to_owned).collect());
        let captures = captures.as_deref();
        let action = self.action(path.as_ref(), captures);
        let defaults = &self.config.defaults;
        let guard = self.auth.and_then(|auth| {
            let wanted = route.auth.as_ref().or(defaults.auth.as_ref());
            auth.guard(wanted, route.allow.as_ref(), self.at, self.diagnostics)
        });
        let request_headers = self.headers(Direction::Request, captures);
        let response_headers = self.headers(Direction::Response, captures);
        let body_limit = route.body_limit.unwrap_or(defaults.body_limit).bytes();
        let compiled = Route {
            name: name.into(),
            guard: guard?,
            action: action?,
            request_headers: request_headers?,
            response_headers: response_headers?,
            body_limit,
        };
        Some((rule?, Arc::new(compiled)))
    }

    /// The operations of the route over those of the defaults. A mistake in a default that no route of its
    /// own repeats is told once, since equal diagnostics are merged.
    fn headers(&mut self, direction: Direction, captures: Option<&[String]>) -> Option<HeaderOps> {
        let captures = captures?;
        let defaults = &self.config.defaults;
        let (own, default, key) = match direction {
            Direction::Request => {
                (&self.route.request_headers, &defaults.request_headers, "request_headers")
            }
            Direction::Response => {
                (&self.route.response_headers, &defaults.response_headers, "response_headers")
            }
        };
        let default_at = At::root().key("defaults").key(key);
        HeaderOps::compile(default, captures, direction, &default_at, self.diagnostics)?;
        HeaderOps::compile(own, captures, direction, &self.at.key(key), self.diagnostics)?;
        let merged = own.over(default);
        let at = self.at.key(key);
        let ops = HeaderOps::compile(&merged, captures, direction, &at, self.diagnostics)?;
        self.refuse_credentials(ops.variables(), &at);
        Some(ops)
    }

    /// A credential ends at the gate: no template may carry it on.
    fn refuse_credentials<'v>(&mut self, variables: impl Iterator<Item = &'v Variable>, at: &At) {
        let credentials = self.auth.map(Auth::credential_headers).unwrap_or_default();
        for variable in variables {
            if let Variable::Header(name) = variable
                && credentials.contains(name)
            {
                self.diagnostics.error(
                    at.clone(),
                    format!(
                        "`${{header.{name}}}` would pass on a credential, which ends at the gate"
                    ),
                    "`${consumer.name}` says who called",
                );
            }
        }
    }

    fn action(
        &mut self,
        path: Option<&PathPattern>,
        captures: Option<&[String]>,
    ) -> Option<Action> {
        let route = self.route;
        let chosen = [
            ("to", route.to.is_some()),
            ("respond", route.respond.is_some()),
            ("redirect", route.redirect.is_some()),
            ("health", route.health),
        ];
        let chosen: Vec<&str> = chosen.iter().filter(|(_, on)| *on).map(|(key, _)| *key).collect();
        match chosen[..] {
            [] => {
                self.diagnostics.error(
                    self.at.clone(),
                    "the route does not say what is done with its requests",
                    "add `to: UPSTREAM`, or one of `respond`, `redirect` and `health: true`",
                );
                None
            }
            [one] => {
                if one != "to" {
                    self.refuse_path_changes(one);
                }
                self.compile_action(path, captures)
            }
            _ => {
                let told = chosen.join("` and `");
                self.diagnostics.error(
                    self.at.clone(),
                    format!("`{told}` stand side by side, but a route does one thing"),
                    "keep one of them, and make a route of its own for the other",
                );
                None
            }
        }
    }

    fn refuse_path_changes(&mut self, action: &str) {
        let keys = [
            ("strip_prefix", self.route.strip_prefix.is_some()),
            ("rewrite", self.route.rewrite.is_some()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, on)| *on) {
            self.diagnostics.error(
                self.at.key(key),
                format!("changes what an upstream sees, but `{action}` asks none"),
                format!("leave `{key}` out"),
            );
        }
    }

    fn compile_action(
        &mut self,
        path: Option<&PathPattern>,
        captures: Option<&[String]>,
    ) -> Option<Action> {
        let route = self.route;
        if let Some(to) = &route.to {
            let upstream = self.upstream(to);
            let forwarding = path.and_then(|path| {
                Forwarding::compile(
                    route.strip_prefix.as_ref(),
                    route.rewrite.as_deref(),
                    path,
                    self.at,
                    self.diagnostics,
                )
            });
            return Some(Action::Forward(Forward {
                upstream: upstream?,
                path: forwarding?,
                forwarded_header: self.config.forwarded_header,
            }));
        }
        if let Some(respond) = &route.respond {
            return self.respond(respond, captures).map(Action::Respond);
        }
        if let Some(redirect) = &route.redirect {
            return self.redirect(redirect, captures).map(Action::Redirect);
        }
        Some(Action::Health)
    }

    fn upstream(&mut self, name: &str) -> Option<Arc<Upstream>> {
        if let Some(upstream) = self.upstreams.get(name) {
            return upstream.clone();
        }
        self.diagnostics.error(
            self.at.key("to"),
            format!("no upstream {name:?}"),
            did_you_mean(name, self.upstreams.keys().map(String::as_str)),
        );
        None
    }

    fn template(&mut self, text: &str, captures: Option<&[String]>, at: &At) -> Option<Template> {
        let template = Template::parse(text, captures?)
            .map_err(|error| self.diagnostics.error(at.clone(), error.what(), error.help()))
            .ok()?;
        self.refuse_credentials(template.variables(), at);
        Some(template)
    }

    fn respond(
        &mut self,
        respond: &config::Respond,
        captures: Option<&[String]>,
    ) -> Option<Respond> {
        let at = self.at.key("respond");
        let status = StatusCode::from_u16(respond.status)
            .ok()
            .filter(|status| (200..=599).contains(&status.as_u16()));
        if status.is_none() {
            self.diagnostics.error(
                at.key("status"),
                format!("{} is not a status that an answer can have", respond.status),
                "write one from 200 to 599",
            );
        }
        let content_type = HeaderValue::from_str(&respond.content_type).ok();
        if content_type.is_none() {
            self.diagnostics.error(
                at.key("content_type"),
                format!(
                    "{:?} cannot be written in the header {CONTENT_TYPE}",
                    respond.content_type
                ),
                "write a media type, such as application/json",
            );
        }
        let template = self.template(&respond.body, captures, &at.key("body"))?;
        let body = match template.literal() {
            Some(text) => RespondBody::Fixed(Bytes::copy_from_slice(text.as_bytes())),
            None => RespondBody::Filled(template),
        };
        Some(Respond { status: status?, content_type: content_type?, body })
    }

    fn redirect(
        &mut self,
        redirect: &config::Redirect,
        captures: Option<&[String]>,
    ) -> Option<Redirect> {
        let at = self.at.key("redirect");
        let status = matches!(redirect.status, 301 | 302 | 303 | 307 | 308)
            .then(|| StatusCode::from_u16(redirect.status).ok())
            .flatten();
        if status.is_none() {
            self.diagnostics.error(
                at.key("status"),
                format!("{} is not a redirect", redirect.status),
                "write 301, 302, 303, 307 or 308",
            );
        }
        let to = self.template(&redirect.to, captures, &at.key("to"));
        let absolute = redirect.to.starts_with("http://") || redirect.to.starts_with("https://");
        // `//host` would be read as a host by every browser.
        let path = redirect.to.starts_with('/') && !redirect.to.starts_with("//");
        if !absolute && !path {
            self.diagnostics.error(
                at.key("to"),
                format!("{:?} is neither a URL nor an absolute path", redirect.to),
                "begin it with https://, http:// or a single /",
            );
            return None;
        }
        Some(Redirect { status: status?, to: to? })
    }
}
