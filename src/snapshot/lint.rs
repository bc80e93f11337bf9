//! Doubts about a file that can be served: what is open to everybody, and what nobody uses.
//!
//! Other doubts are told where they arise: a trusted proxy that is anyone by [`crate::rewrite`], a route
//! that another one shadows by [`crate::route`], a secret in the file by [`crate::yaml`].

use std::collections::BTreeSet;

use crate::auth::RouteAuth;
use crate::config::{Config, RouteConfig};
use crate::diagnostic::{At, Diagnostics};

/// Adds the doubts as warnings.
pub(super) fn lint(config: &Config, diagnostics: &mut Diagnostics) {
    open_routes(config, diagnostics);
    unused_upstreams(config, diagnostics);
    keyless_consumers(config, diagnostics);
}

/// Routes that send everybody on. One that answers by itself has nothing to protect.
fn open_routes(config: &Config, diagnostics: &mut Diagnostics) {
    for (name, route) in config.routes.iter().filter(|(_, route)| forwards(route)) {
        let at = At::root().key("routes").key(name);
        let everybody = "everybody can call this route and reaches its upstream";
        let help = "take `auth: none` out to ask for a key; leave it if the route is public, or if the \
                    upstream itself checks who calls";
        match (&route.auth, &config.defaults.auth) {
            (Some(RouteAuth::None), _) => diagnostics.warning(at.key("auth"), everybody, help),
            (None, Some(RouteAuth::None)) => diagnostics.warning(
                at,
                format!("{everybody}, since `defaults.auth` is none"),
                "take `auth: none` out of `defaults`, and write it at the routes that are meant to be open",
            ),
            _ => {}
        }
    }
}

/// Whether an upstream answers. What is `allow`ed contradicts `auth: none`, which is a mistake of its own.
fn forwards(route: &RouteConfig) -> bool {
    route.to.is_some() && route.allow.is_none()
}

fn unused_upstreams(config: &Config, diagnostics: &mut Diagnostics) {
    let used: BTreeSet<&String> =
        config.routes.values().filter_map(|route| route.to.as_ref()).collect();
    let idle = |route: &RouteConfig| {
        !(route.health || route.to.is_some() || route.respond.is_some() || route.redirect.is_some())
    };
    let misspelt = used.iter().any(|name| !config.upstreams.contains_key(*name));
    if misspelt || config.routes.is_empty() || config.routes.values().any(idle) {
        // That is a mistake of its own, and once it is mended the upstream may be used.
        return;
    }
    for name in config.upstreams.keys().filter(|name| !used.contains(name)) {
        diagnostics.warning(
            At::root().key("upstreams").key(name),
            "no route sends anything to this upstream",
            format!("add a route with `to: {name}`, or take the upstream out"),
        );
    }
}

fn keyless_consumers(config: &Config, diagnostics: &mut Diagnostics) {
    let methods = || config.auth.0.values().filter_map(|method| method.api_key.as_ref());
    if methods().any(|method| method.keys_file.is_some()) {
        // Its keys may stand there.
        return;
    }
    for (name, consumer) in &config.consumers.0 {
        if consumer.api_keys.0.is_empty() {
            diagnostics.warning(
                At::root().key("consumers").key(name),
                "this consumer has no key, so it can call nothing",
                "make one with `portcullis key new` and put its digest into `api_keys`",
            );
        }
    }
}
