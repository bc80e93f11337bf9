//! Doubts about a file that can be served: what is open to everybody, and what nobody uses.
//!
//! Other doubts are told where they arise: a trusted proxy that is anyone by [`crate::rewrite`], a route
//! that another one shadows by [`crate::route`], a secret in the file by [`crate::yaml`].

use std::collections::BTreeSet;

use crate::auth::RouteAuth;
use crate::config::Config;
use crate::diagnostic::{At, Diagnostics};

/// Adds the doubts as warnings.
pub(super) fn lint(config: &Config, diagnostics: &mut Diagnostics) {
    open_routes(config, diagnostics);
    unused_upstreams(config, diagnostics);
    keyless_consumers(config, diagnostics);
}

/// Routes that send everybody on. One that answers by itself has nothing to protect.
fn open_routes(config: &Config, diagnostics: &mut Diagnostics) {
    for (name, route) in config.routes.iter().filter(|(_, route)| route.to.is_some()) {
        let at = At::root().key("routes").key(name);
        let everybody = "everybody can call this route and reaches its upstream";
        let help = "take it out to ask for a key; if the upstream itself checks who calls, or the route \
                    is public, leave it";
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

fn unused_upstreams(config: &Config, diagnostics: &mut Diagnostics) {
    let used: BTreeSet<&String> =
        config.routes.values().filter_map(|route| route.to.as_ref()).collect();
    if used.iter().any(|name| !config.upstreams.contains_key(*name)) {
        // A name is misspelt, so nobody can tell which upstream was meant.
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
