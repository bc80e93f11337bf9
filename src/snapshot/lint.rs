//! Doubts about a file that can be served: what is open to everybody, and what nobody uses.
//!
//! Other doubts are told where they arise: a trusted proxy that is anyone by [`crate::rewrite`], a route
//! that another one shadows by [`crate::route`], a key's value in the file by [`crate::yaml`].

use std::collections::BTreeSet;

use crate::auth::MethodConfig;
use crate::auth::{RouteAuth, names_a_credential};
use crate::config::{Config, RouteConfig};
use crate::diagnostic::{At, Diagnostics};
use crate::yaml::Places;

/// Adds the doubts as warnings.
pub(super) fn lint(config: &Config, places: &Places, diagnostics: &mut Diagnostics) {
    open_routes(config, diagnostics);
    unused_upstreams(config, diagnostics);
    unused_policies(config, diagnostics);
    keyless_consumers(config, diagnostics);
    plain_credentials(config, places, diagnostics);
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
        !(route.health
            || !route.portal.is_off()
            || route.to.is_some()
            || route.respond.is_some()
            || route.redirect.is_some())
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

fn unused_policies(config: &Config, diagnostics: &mut Diagnostics) {
    let in_routes = config.routes.values().flat_map(|route| &route.policies.0);
    let used: BTreeSet<&String> = in_routes.chain(&config.defaults.policies.0).collect();
    if used.iter().any(|name| !config.policies.contains_key(*name)) {
        // That is a mistake of its own, and once it is mended the policy may be used.
        return;
    }
    for name in config.policies.keys().filter(|name| !used.contains(name)) {
        diagnostics.warning(
            At::root().key("policies").key(name),
            "nobody uses this policy",
            format!("add `use: [ {name} ]` to a route or to `defaults`, or take the policy out"),
        );
    }
}

fn keyless_consumers(config: &Config, diagnostics: &mut Diagnostics) {
    let elsewhere = |method: &MethodConfig| {
        let MethodConfig { api_key, jwt, forward_auth, .. } = method;
        api_key.as_ref().is_some_and(|method| method.keys_file.is_some())
            || jwt.as_ref().is_some_and(|method| method.consumer.is_some())
            || forward_auth.as_ref().is_some_and(|method| method.consumer.is_some())
    };
    if config.auth.0.values().any(elsewhere) {
        // Its keys may stand in a file, or somebody else says who it is.
        return;
    }
    for (name, consumer) in &config.consumers.0 {
        if !consumer.has_credential() {
            diagnostics.warning(
                At::root().key("consumers").key(name),
                "this consumer has no key, so it can call nothing",
                "make one with `portcullis key new` and put its digest into `api_keys`",
            );
        }
    }
}

/// Headers for upstreams whose names say that their values are credentials, and whose values everybody who reads
/// the file can read.
fn plain_credentials(config: &Config, places: &Places, diagnostics: &mut Diagnostics) {
    let routes = At::root().key("routes");
    let of_routes =
        config.routes.iter().map(|(name, route)| (routes.key(name), &route.request_headers));
    let of_defaults = (At::root().key("defaults"), &config.defaults.request_headers);
    for (at, headers) in std::iter::once(of_defaults).chain(of_routes) {
        let at = at.key("request_headers");
        let set = headers.set.iter().map(|(name, value)| (at.key("set").key(name), name, value));
        let added = headers.add.iter().flat_map(|(name, values)| {
            let at = at.key("add").key(name);
            let many = values.0.len() > 1;
            values.0.iter().enumerate().map(move |(index, value)| {
                (if many { at.index(index) } else { at.clone() }, name, value)
            })
        });
        for (at, name, value) in set.chain(added) {
            if names_a_credential(name)
                && !value.is_empty()
                && !value.contains("${")
                && !places.is_outside(&at)
            {
                diagnostics.warning(
                    at,
                    "a secret stands in the file",
                    "keep it outside: write ${env:NAME} or ${file:/path} here",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use crate::yaml::Sources;

    struct Outside;

    impl Sources for Outside {
        fn env(&self, name: &str) -> Option<String> {
            (name == "TOKEN").then(|| "Bearer outside".to_owned())
        }

        fn file(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn data(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn a_credential_for_an_upstream_belongs_outside_the_file() {
        let warned = |headers: &str| {
            let text = format!(
                "version: 1\nlisteners: {{ a: {{ address: \"127.0.0.1:0\" }} }}\n\
                 upstreams: {{ a: {{ targets: [ \"127.0.0.1:1\" ] }} }}\n\
                 consumers: {{ c: {{ api_keys: [ \"sha256:{}\" ] }} }}\n\
                 routes: {{ a: {{ path: /a, to: a, request_headers: {headers} }} }}\n",
                "12".repeat(32)
            );
            let loaded = crate::snapshot::draft(&text, &Outside, None);
            assert!(loaded.compiled.is_some(), "{}", loaded.diagnostics.render("f"));
            loaded.diagnostics.render("f").matches("a secret stands in the file").count()
        };
        for (count, headers) in [
            (1, "{ set: { Authorization: Bearer abc } }"),
            (1, "{ set: { cookie: a=b } }"),
            (1, "{ set: { X-Backend-Token: abc } }"),
            (1, "{ add: { X_API_KEY: abc } }"),
            (2, "{ add: { My-Secret: [ abc, def ] } }"),
            (1, "{ set: { Authorization: \"${env:NONE:-Bearer abc}\" } }"),
            (0, "{ set: { Authorization: \"${env:TOKEN}\" } }"),
            (0, "{ add: { Authorization: [ \"${env:TOKEN}\", \"${env:TOKEN}\" ] } }"),
            (0, "{ set: { X-Copy-Token: \"${header.x-csrf}\" } }"),
            (0, "{ set: { X-Gateway: \"True\", X-Keyboard: us } }"),
            (0, "{ remove: [ Authorization ] }"),
        ] {
            assert_eq!(warned(headers), count, "{headers}");
        }
    }
}
