//! What portals show: the specs of all upstreams, and the routes that lead to them.

use std::sync::Arc;

use super::Parts;
use crate::auth::Auth;
use crate::config::{Config, RouteConfig};
use crate::diagnostic::{At, Diagnostics};
use crate::portal::{self, Landscape, Library, Place, Source};
use crate::route::Rule;
use crate::snapshot::{Action, Route, Snapshot};

/// Whether there is anything to show, or somebody to show it.
pub(super) fn is_wanted(config: &Config) -> bool {
    config.upstreams.values().any(|upstream| upstream.openapi.is_some()) || has_portal(config)
}

fn has_portal(config: &Config) -> bool {
    config.routes.values().any(|route| !route.portal.is_off())
}

/// Where the specs come from.
pub(super) fn sources(
    parts: &Parts<'_>,
    previous: Option<&Snapshot>,
    diagnostics: &mut Diagnostics,
) -> Vec<Arc<Source>> {
    let before = previous.and_then(|previous| previous.library.as_ref());
    let before = before.map_or(&[][..], |library| library.sources());
    let read_file = |path: &std::path::Path| parts.sources.data(path);
    let found = portal::sources(parts.upstreams, before, &read_file, diagnostics);
    let any = parts.config.upstreams.values().any(|upstream| upstream.openapi.is_some());
    for (name, _) in parts.config.routes.iter().filter(|(_, route)| !route.portal.is_off() && !any)
    {
        diagnostics.warning(
            At::root().key("routes").key(name).key("portal"),
            "the portal has nothing to show: no upstream says where its OpenAPI document is",
            "add `openapi: /openapi.json` to an upstream, or `openapi: { file: users.yaml }`",
        );
    }
    found
}

/// A route that forwards, as portals see it.
pub(super) fn place(
    config: &Config,
    written: &RouteConfig,
    rule: &Rule,
    route: &Route,
    auth: &Auth,
) -> Option<Place> {
    let Action::Forward(forward) = &route.action else { return None };
    let changed = written.request_headers.over(&config.defaults.request_headers);
    Some(Place {
        route: Arc::clone(&route.name),
        upstream: Arc::clone(forward.upstream.name()),
        path: rule.path().clone(),
        forwarding: forward.path.clone(),
        hosts: written.host.0.clone(),
        headers: written.headers.clone(),
        query: written.query.clone(),
        schemes: auth.schemes(written.auth.as_ref().or(config.defaults.auth.as_ref())),
        restricted: written.allow.is_some(),
        limited: route.limits.as_ref().is_some_and(|limits| limits.may_refuse()),
        validated: route.validation.as_ref().is_some_and(|validation| !validation.observe),
        guard: Arc::clone(&route.guard),
        set_headers: changed.set.into_keys().chain(changed.remove).collect(),
        secret_header: forward.upstream.secret_header().cloned(),
    })
}

/// Puts it together, and gives it to the portals and the routes.
pub(super) fn library(
    config: &Config,
    landscape: Landscape,
    sources: Vec<Arc<Source>>,
    previous: Option<&Snapshot>,
    routes: &[Arc<Route>],
) -> Arc<Library> {
    let before = previous.and_then(|previous| previous.library.as_deref());
    let shown = has_portal(config);
    let library = Arc::new(Library::new(landscape, sources, shown, before));
    for route in routes {
        if let Action::Portal(portal) = &route.action {
            portal.furnish(&library);
        }
        if shown && let Some(drift) = library.drifts().of(&route.name) {
            let _ = route.drift.set(Arc::clone(drift));
        }
    }
    library
}
