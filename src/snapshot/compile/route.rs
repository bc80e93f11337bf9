//! From one entry of `routes:` to a rule and a [`Route`].

mod destination;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::policy;
use crate::auth::{Auth, Guard, RouteAuth};
use crate::concurrency::{Callers, Caps, Gates};
use crate::config::{self, Config, RouteConfig};
use crate::diagnostic::{At, Diagnostics, did_you_mean};
use crate::observe::access_log::Sampling;
use crate::observe::metrics::RouteMeter;
use crate::portal::{self, Portal};
use crate::rewrite::{Direction, HeaderOps};
use crate::route::{Conditions, Forwarding, PathPattern, Rule};
use crate::snapshot::{Action, Escape, Forward, Policy, Redirect, Respond, RespondBody, Route};
use crate::template::{Template, Variable};
use crate::upstream::Upstream;
use crate::validate::{Documents, Validation};
use crate::yaml::Sources;
use crate::{limit, maintenance};

/// What one route is built from.
pub(super) struct RouteBuilder<'a, 'b> {
    pub(super) config: &'a Config,
    pub(super) route: &'a RouteConfig,
    pub(super) upstreams: &'a BTreeMap<String, Option<Arc<Upstream>>>,
    pub(super) auth: Option<&'a Auth>,
    pub(super) callers: &'a Arc<Callers>,
    /// What holds for a route that no rule names.
    pub(super) sampling: &'a Sampling,
    pub(super) limits: &'a mut limit::Builder<'b>,
    pub(super) gates: &'a mut Gates,
    pub(super) documents: &'a Documents<'a>,
    pub(super) sources: &'a dyn Sources,
    pub(super) at: &'a At,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl RouteBuilder<'_, '_> {
    pub(super) fn build(&mut self, name: &str) -> Option<(Rule, Arc<Route>)> {
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
        let policy = self.policy(name, guard.as_deref());
        let limits = self.limits(name, guard.as_deref());
        let caps = self.caps(name, guard.as_deref());
        let validation = self.validation(name);
        let body_limit = route.body_limit.unwrap_or(defaults.body_limit).bytes();
        let compiled = Route {
            name: name.into(),
            guard: guard?,
            action: action?,
            request_headers: request_headers?,
            response_headers: response_headers?,
            body_limit,
            policy: policy?,
            limits: limits?,
            caps: caps?,
            validation: validation?,
            sampling: self.sampling(name),
            meter: RouteMeter::default(),
            drift: OnceLock::new(),
        };
        Some((rule?, Arc::new(compiled)))
    }

    /// What holds of browsers, compression and maintenance. A route that tells its health tells it always.
    #[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
    fn policy(&mut self, name: &str, guard: Option<&Guard>) -> Option<Option<Arc<Policy>>> {
        let route = self.route;
        let uses = self.at.key("use");
        policy::check_use(self.config, &route.policies.0, &uses, self.diagnostics);
        if route.health && matches!(route.maintenance, Some(maintenance::Setting::On(_))) {
            self.diagnostics.error(
                self.at.key("maintenance"),
                "a route with `health: true` tells whether the gateway is ready, in maintenance too",
                "take `maintenance` out here",
            );
        }
        let mut layers = self.config.policy_layers(Some((name, route)));
        if route.health {
            for (_, keys) in &mut layers {
                keys.maintenance = None;
            }
        }
        let credentials: Vec<_> =
            guard.map(Guard::asks_for).into_iter().flatten().cloned().collect();
        policy::compile(&layers, &credentials, self.diagnostics)
    }

    /// How often callers may call. Who asks for its health may ask always, unless the route says otherwise itself.
    #[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
    fn limits(&mut self, name: &str, guard: Option<&Guard>) -> Option<Option<Arc<limit::Limits>>> {
        let mut layers = self.config.policy_layers(Some((name, self.route)));
        if self.route.health {
            layers.truncate(1);
        }
        let own = policy::limit_rules(&layers, self.limits, self.diagnostics)?;
        // Where nobody says who it is, nobody has a plan.
        let has_plans = !self.route.health && guard.is_some_and(|guard| !guard.is_open());
        Some(self.limits.limits(own, has_plans))
    }

    /// How many may be at once. Who asks for its health is no bought request, and finds no gate that others fill.
    #[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
    fn caps(&mut self, name: &str, guard: Option<&Guard>) -> Option<Option<Caps>> {
        let route = self.route;
        let mut layers = self.config.policy_layers(Some((name, route)));
        if route.health {
            layers.truncate(1);
        }
        let gate = policy::gate(&layers, self.gates, self.diagnostics)?;
        let has_name = !route.health && guard.is_some_and(|guard| !guard.is_open());
        let to = route.to.as_ref().and_then(|to| self.config.upstreams.get(to));
        let is_shared = to.is_some_and(|upstream| upstream.concurrency.is_some());
        Some(self.callers.caps(gate, is_shared || (has_name && self.callers.have_caps())))
    }

    /// What its requests are held to, if a service takes them.
    #[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
    fn validation(&mut self, name: &str) -> Option<Option<Arc<Validation>>> {
        if self.route.to.is_some() {
            let layers = self.config.policy_layers(Some((name, self.route)));
            return policy::validation(&layers, self.documents, self.diagnostics);
        }
        if self.route.validate.as_ref().is_some_and(|said| said.on().is_some()) {
            self.diagnostics.error(
                self.at.key("validate"),
                "no service takes the requests of this route, so there is nothing to hold them to",
                "leave `validate` out",
            );
        }
        Some(None)
    }

    /// How many of the route's requests are logged; a route that no rule names shares the answer with others.
    fn sampling(&self, name: &str) -> Sampling {
        let rules = &self.config.logs.sample;
        if rules.iter().any(|rule| rule.route.as_deref() == Some(name)) {
            Sampling::of(rules, Some(name))
        } else {
            self.sampling.clone()
        }
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
            ("portal", !route.portal.is_off()),
        ];
        let chosen: Vec<&str> = chosen.iter().filter(|(_, on)| *on).map(|(key, _)| *key).collect();
        match chosen[..] {
            [] => {
                self.diagnostics.error(
                    self.at.clone(),
                    "the route does not say what is done with its requests",
                    "add `to: UPSTREAM`, or one of `respond`, `redirect`, `health: true` and `portal: true`",
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
        if let portal::Config::On(settings) = &route.portal {
            return self.portal(settings).map(Action::Portal);
        }
        Some(Action::Health)
    }

    fn portal(&mut self, settings: &portal::Settings) -> Option<Arc<Portal>> {
        if self.route.exact {
            self.diagnostics.error(
                self.at.key("exact"),
                "the portal's files and its document are below its path",
                "leave `exact` out",
            );
        }
        let auth = self.route.auth.as_ref().or(self.config.defaults.auth.as_ref());
        let is_open = auth == Some(&RouteAuth::None);
        let credentials = self.auth.map(Auth::credential_headers).unwrap_or_default();
        let read_file = |path: &Path| self.sources.data(path);
        let at = self.at.key("portal");
        Portal::compile(settings, is_open, credentials, &at, &read_file, self.diagnostics)
            .map(Arc::new)
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
            None => RespondBody::Filled(template, Escape::of(&respond.content_type)),
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
        let to = self.template(&redirect.to, captures, &at.key("to"))?;
        if let Err(doubt) = destination::judge(&to) {
            self.diagnostics.error(at.key("to"), doubt.what(&redirect.to), doubt.help());
            return None;
        }
        Some(Redirect { status: status?, to })
    }
}
