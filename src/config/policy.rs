//! Policies: settings that may stand at a route, in `defaults`, or in a bundle with a name.
//!
//! The nearest word holds, key by key and as a whole: nothing of one `cors` is mixed with another.
//!
//! 1. what the route says itself,
//! 2. the policies that the route uses,
//! 3. what `defaults` say themselves,
//! 4. the policies that `defaults` use.
//!
//! Of two policies in one `use` neither is nearer, so both may not set the same key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, Defaults, RouteConfig};
use crate::diagnostic::At;
use crate::rewrite::{cors, security};
use crate::{compress, concurrency, ip, limit, maintenance, validate};

/// A bundle of settings, which routes and `defaults` take over with `use`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { security_headers: basic }", deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Which web pages of other origins may call from a browser; `none`: nobody's. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<cors::Setting>,

    /// Security headers of answers: `basic`, `strict`, `none`, or a map. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_headers: Option<security::Setting>,

    /// Whether answers are compressed for clients that accept it. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<compress::Setting>,

    /// Whether requests are answered with 503 and told to come back later. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<maintenance::Setting>,

    /// Which addresses may call; `none`: all. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<ip::Setting>,

    /// How often callers may call; `none`: as often as they like. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<limit::Setting>,

    /// How many requests may be in flight on all routes that have it from here; `none`: as many as come. Default: not said
    /// here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<concurrency::Setting>,

    /// Whether requests are held to the `OpenAPI` document of the service; `none`: they are not. Default: not said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<validate::Setting>,
}

/// Writes once which keys may stand in a policy: what one place says of them, and how it is asked.
macro_rules! policy_keys {
    ($($key:ident: $setting:ty,)*) => {
        /// What one place says of the keys that may stand in a policy.
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub struct PolicyKeys<'a> {
            $(#[doc = concat!("`", stringify!($key), "`")] pub $key: Option<&'a $setting>,)*
        }

        impl PolicyKeys<'_> {
            /// The names of the keys that are written.
            pub fn names(&self) -> impl Iterator<Item = &'static str> {
                let all = [$((stringify!($key), self.$key.is_some()),)*];
                all.into_iter().filter(|(_, written)| *written).map(|(name, _)| name)
            }
        }

        policy_keys!(of PolicyConfig: $($key)*);
        policy_keys!(of RouteConfig: $($key)*);
        policy_keys!(of Defaults: $($key)*);
    };
    (of $place:ty: $($key:ident)*) => {
        impl $place {
            /// What stands here itself.
            #[must_use]
            pub const fn policy_keys(&self) -> PolicyKeys<'_> {
                PolicyKeys { $($key: self.$key.as_ref(),)* }
            }
        }
    };
}

policy_keys! {
    cors: cors::Setting,
    security_headers: security::Setting,
    compress: compress::Setting,
    maintenance: maintenance::Setting,
    ip: ip::Setting,
    limits: limit::Setting,
    concurrency: concurrency::Setting,
    validate: validate::Setting,
}

impl Config {
    /// What holds for a route, or where there is none, with its places: the nearest first. Names of policies that
    /// are not there are left out.
    #[must_use]
    pub fn policy_layers<'c>(
        &'c self,
        route: Option<(&str, &'c RouteConfig)>,
    ) -> Vec<(At, PolicyKeys<'c>)> {
        let used = |names: &'c [String]| {
            let policies = names.iter().filter_map(|name| self.policies.get_key_value(name));
            policies
                .map(|(name, policy)| (At::root().key("policies").key(name), policy.policy_keys()))
        };
        let mut layers = Vec::new();
        if let Some((name, route)) = route {
            layers.push((At::root().key("routes").key(name), route.policy_keys()));
            layers.extend(used(&route.policies.0));
        }
        layers.push((At::root().key("defaults"), self.defaults.policy_keys()));
        layers.extend(used(&self.defaults.policies.0));
        layers
    }
}

/// The nearest that is said of one key, and where.
pub fn nearest<'c, T>(
    layers: &[(At, PolicyKeys<'c>)],
    key: &str,
    of: impl Fn(&PolicyKeys<'c>) -> Option<&'c T>,
) -> Option<(At, &'c T)> {
    layers.iter().find_map(|(at, keys)| Some((at.key(key), of(keys)?)))
}
