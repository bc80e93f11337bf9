//! The configuration file as it is written: the stations' own slices, put together.
//!
//! These types mirror the file and hold nothing resolved: names are names, templates are text. What they
//! become is in [`crate::snapshot`]. Maps are keyed by name, so that the order of the file means nothing.

mod admin;
mod expectation;
mod policy;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

pub use admin::{AdminAddress, AdminConfig};

use crate::auth::{Allow, ConsumersConfig, MethodsConfig, RouteAuth};
use crate::rewrite::{HeadersConfig, cors, security};
use crate::route::StripPrefix;
use crate::units::{OneOrMany, Period, Size};
use crate::{
    compress, concurrency, ip, limit, listen, maintenance, observe, portal, store, upstream,
    validate,
};

pub use expectation::{Expect, Expectation, With};
pub use policy::{PolicyConfig, PolicyKeys, nearest};

/// The one configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["version", "listeners", "routes"]))]
pub struct Config {
    /// The version of this format: 1. It must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Version")]
    pub version: Option<Version>,

    /// Threads that serve requests. Default: one for each core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<NonZeroUsize>,

    /// The addresses on which clients are served, by name. At least one.
    #[serde(default)]
    pub listeners: BTreeMap<String, listen::Config>,

    /// How many connections from clients there may be at once, on all listeners together.
    #[serde(default)]
    pub connections: listen::ConnectionsConfig,

    /// The operators' own listener: health, state, metrics, reload. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminConfig>,

    /// Networks (CIDR) and addresses of proxies in front of this one, whose `X-Forwarded-*` headers are
    /// believed. Default: nobody.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,

    /// Whether the upstream is also sent the `Forwarded` header (RFC 7239) beside `X-Forwarded-*`.
    /// Default: false.
    #[serde(default)]
    pub forwarded_header: bool,

    /// How long a stop waits for requests in flight. Default: 30s.
    #[serde(default = "default_drain")]
    pub drain: Period,

    /// The services behind the gateway, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, upstream::Config>,

    /// The ways in which a caller can prove who it is, by name.
    /// Default: `key`, an API key in `x-api-key`.
    #[serde(default)]
    pub auth: MethodsConfig,

    /// The callers, by name.
    #[serde(default)]
    pub consumers: ConsumersConfig,

    /// What consumers have bought, by name: how often they may call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, limit::PlanConfig>,

    /// The file in which the quotas of plans outlive the process. It is made if it is not there; no other gateway can
    /// have it open. No default: a plan with a `quota` needs it, or a `store`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_file: Option<String>,

    /// How often credentials from one address may be refused before no more of them are looked up, or `none`.
    /// Default: `60/min burst 100`.
    #[serde(default)]
    pub failed_credentials: limit::FailedCredentials,

    /// A Redis or Valkey in which several gateways keep their limits and quotas together. Default: none, each has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<store::Config>,

    /// Bundles of settings, by name, which routes and `defaults` take over with `use`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, PolicyConfig>,

    /// What every route has unless it says otherwise.
    #[serde(default)]
    pub defaults: Defaults,

    /// Which request goes where, by name. At least one.
    #[serde(default)]
    pub routes: BTreeMap<String, RouteConfig>,

    /// The access log.
    #[serde(default)]
    pub logs: observe::access_log::Config,

    /// What this file shall do, tried by `portcullis check` and whenever it is loaded: if one does not hold,
    /// the file is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<Expectation>,
}

fn default_drain() -> Period {
    Period::secs(30)
}

/// The version of the format: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("const" = 1))]
pub struct Version(u32);

impl Version {
    /// The version that this program reads.
    pub const CURRENT: Self = Self(1);
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;

        impl de::Visitor<'_> for VersionVisitor {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Version, E> {
                if number == 1 {
                    return Ok(Version::CURRENT);
                }
                Err(E::custom(format!(
                    "this program does not read version {number} of the format (write version: 1, or \
                     take the program that the file was written for)"
                )))
            }
        }

        deserializer.deserialize_u64(VersionVisitor)
    }
}

/// A status as written. Whether it fits is a question for later; a number that is none is told here.
fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    struct StatusVisitor;

    impl de::Visitor<'_> for StatusVisitor {
        type Value = u16;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a status, such as 200")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<u16, E> {
            u16::try_from(number)
                .map_err(|_| E::custom(format!("{number} is no status (write one such as 200)")))
        }
    }

    deserializer.deserialize_u16(StatusVisitor)
}

/// What every route has unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { body_limit: 10MiB }", deny_unknown_fields, default)]
pub struct Defaults {
    /// Who may pass: names of methods under `auth`, any of which will do, `{ all: [...] }`, or `none`.
    /// Default: all methods under `auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<RouteAuth>,

    /// Changes to the headers of requests, before the upstream sees them.
    pub request_headers: HeadersConfig,

    /// Changes to the headers of answers, before the client sees them.
    pub response_headers: HeadersConfig,

    /// The largest request body. Default: 10MiB.
    pub body_limit: Size,

    /// Names of `policies` whose settings hold here. Default: none.
    #[serde(rename = "use", skip_serializing_if = "OneOrMany::is_empty")]
    pub policies: OneOrMany,

    /// Which web pages of other origins may call from a browser; `none`: nobody's. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<cors::Setting>,

    /// Security headers of answers: `basic`, `strict`, `none`, or a map. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_headers: Option<security::Setting>,

    /// Whether answers are compressed for clients that accept it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<compress::Setting>,

    /// Whether requests are answered with 503 and told to come back later. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<maintenance::Setting>,

    /// Which addresses may call; `none`: all. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<ip::Setting>,

    /// How often callers may call; `none`: as often as they like. Default: as often as they like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<limit::Setting>,

    /// How many requests may be in flight on all routes that have it from here; `none`: as many as come. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<concurrency::Setting>,

    /// Whether requests are held to the `OpenAPI` document of the service; `none`: they are not. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<validate::Setting>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            auth: None,
            request_headers: HeadersConfig::default(),
            response_headers: HeadersConfig::default(),
            body_limit: Size::mib(10),
            policies: OneOrMany::default(),
            cors: None,
            security_headers: None,
            compress: None,
            maintenance: None,
            ip: None,
            limits: None,
            concurrency: None,
            validate: None,
        }
    }
}

/// Which requests a route takes, who may pass, and what is done with them.
///
/// Exactly one of `to`, `respond`, `redirect`, `health` and `portal` says what is done.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { path: /users, to: users }", deny_unknown_fields, default)]
pub struct RouteConfig {
    /// Host names it is for: `api.example.com`, or `*.example.com` for every name below. Default: any host.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub host: OneOrMany,

    /// The path it is for. `/users` means `/users` and everything below it; `{id}` takes one segment.
    pub path: String,

    /// Whether only the path itself is meant, and nothing below it. Default: false.
    #[serde(skip_serializing_if = "is_false")]
    pub exact: bool,

    /// Methods it is for; GET allows HEAD. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,

    /// Headers the request must have, with their values; `"*"` means any value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,

    /// Query parameters the request must have, with their values; `"*"` means any value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,

    /// The upstream that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,

    /// Takes the matched path (`true`), or the leading part named, off what the upstream sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<StripPrefix>,

    /// Puts this path in the place of the matched one; what follows is appended.
    /// `${path.id}` stands for a captured segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,

    /// Who may pass: names of methods under `auth`, any of which will do, `{ all: [...] }`, or `none`.
    /// Default: `defaults.auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<RouteAuth>,

    /// Which of the known callers may pass. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,

    /// Changes to the headers of requests, over those of `defaults`.
    #[serde(skip_serializing_if = "HeadersConfig::is_empty")]
    pub request_headers: HeadersConfig,

    /// Changes to the headers of answers, over those of `defaults`.
    #[serde(skip_serializing_if = "HeadersConfig::is_empty")]
    pub response_headers: HeadersConfig,

    /// The largest request body. Default: `defaults.body_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<Size>,

    /// Names of `policies` whose settings hold here, unless the route says otherwise itself. Default: none.
    #[serde(rename = "use", skip_serializing_if = "OneOrMany::is_empty")]
    pub policies: OneOrMany,

    /// Which web pages of other origins may call from a browser; `none`: nobody's. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<cors::Setting>,

    /// Security headers of answers: `basic`, `strict`, `none`, or a map. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_headers: Option<security::Setting>,

    /// Whether answers are compressed for clients that accept it. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<compress::Setting>,

    /// Whether requests are answered with 503 and told to come back later. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<maintenance::Setting>,

    /// Which addresses may call; `none`: all. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<ip::Setting>,

    /// How often callers may call; `none`: as often as they like. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<limit::Setting>,

    /// How many of its requests may be in flight, while more wait a moment or are turned away; `none`: as many as come.
    /// Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<concurrency::Setting>,

    /// Whether requests are held to the `OpenAPI` document of the service; `none`: they are not. Default: as in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<validate::Setting>,

    /// Answers by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,

    /// Sends the client elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,

    /// Answers whether this gateway is ready, for a load balancer in front of it: 200, or 503 while it stops.
    #[serde(skip_serializing_if = "is_false")]
    pub health: bool,

    /// Serves the portal, a page with all APIs: `true`, or a map with its title and more. Default: false.
    #[serde(skip_serializing_if = "portal::Config::is_off")]
    pub portal: portal::Config,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { status: 404 }", deny_unknown_fields)]
pub struct Respond {
    /// The status, from 200 to 599.
    #[serde(deserialize_with = "status")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,

    /// The body; templates such as `${request.id}` are filled in. Default: empty.
    #[serde(default)]
    pub body: String,

    /// The body's media type. Default: `text/plain; charset=utf-8`.
    #[serde(default = "default_content_type")]
    pub content_type: String,
}

fn default_content_type() -> String {
    "text/plain; charset=utf-8".to_owned()
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { to: /new }", deny_unknown_fields)]
pub struct Redirect {
    /// Where to: a URL or an absolute path, with templates such as `https://${request.host}${request.path}`.
    pub to: String,

    /// The status: 301, 302, 303, 307 or 308. Default: 307.
    #[serde(default = "default_redirect_status", deserialize_with = "status")]
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
}

fn default_redirect_status() -> u16 {
    307
}

/// The JSON Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}
