//! One entry of `upstreams:` as the file has it. [`compile`](super::Upstream::compile) makes it usable.
//!
//! What can be written as one word or as a map is read by a visitor of its own: an untagged enum would
//! answer every mistake with "did not match any variant", and would hide which key was wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::concurrency::UpstreamCap;
use crate::units::{Period, Secret, Statuses};

mod balance;
mod openapi;
mod target;
mod words;

pub use balance::{Balance, HashBy};
pub use openapi::OpenApi;
pub use target::TargetSpec;
pub use words::{Health, HostHeader};

/// A group of interchangeable addresses that requests are forwarded to.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { targets: [ \"127.0.0.1:8001\" ] }", deny_unknown_fields)]
pub struct Config {
    /// The addresses, at least one: `10.0.0.1:8001`, `[::1]:80`, `users.internal:8001`,
    /// `https://users.internal`, `unix:/run/users.sock`, or a map with `url` and `weight`.
    pub targets: Vec<TargetSpec>,
    /// How a target is chosen: `round_robin` (default, weighted), `random`, or `hash` by something.
    #[serde(default)]
    pub balance: Balance,
    /// How targets are probed. Left out, a TCP connection is tried every 5s; with a `path`, an HTTP
    /// request is sent; `none` turns probing off.
    #[serde(default)]
    pub health: Health,
    /// A header that proves to the targets that a request came through the gateway. It always
    /// overwrites what the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_secret: Option<GatewaySecret>,
    /// Where its `OpenAPI` document comes from, for the portal: a path at the targets such as `/openapi.json`, or
    /// `{ file: users.yaml }`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<OpenApi>,
    /// The Host header that targets see: `preserve` (default, the client's), `target` (the target's
    /// own), or a name.
    #[serde(default)]
    pub host: HostHeader,
    /// TLS towards `https://` targets.
    #[serde(default)]
    pub tls: Tls,
    /// The HTTP version spoken to targets: `http1` (default) or `h2`.
    #[serde(default)]
    pub protocol: Protocol,
    /// How long each part of a request may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What is tried again when a target fails.
    #[serde(default)]
    pub retries: Retries,
    /// How many requests may be in flight: a number, `adaptive` to have it found out, or a map with more. Default: as
    /// many as come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<UpstreamCap>,
    /// What happens when no target is usable: `unavailable` (default, a 503 with Retry-After) or
    /// `try_anyway`.
    #[serde(default)]
    pub when_all_down: WhenAllDown,
}

impl Config {
    /// These targets, and the default for everything else.
    #[must_use]
    pub fn to(targets: Vec<TargetSpec>) -> Self {
        Self {
            targets,
            balance: Balance::default(),
            health: Health::default(),
            gateway_secret: None,
            openapi: None,
            host: HostHeader::default(),
            tls: Tls::default(),
            protocol: Protocol::default(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            concurrency: None,
            when_all_down: WhenAllDown::default(),
        }
    }
}

/// How targets are probed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// The path to GET, such as `/healthz`. Left out, only a TCP connection is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The time between two probes of a target, give or take 10 %. Default 5s, at least 100ms.
    pub every: Period,
    /// The time one probe may take from connecting to the end of the answer's head. Default 2s.
    pub timeout: Period,
    /// The statuses of a healthy target: codes such as `200`, ranges such as `200-299` (default) or `2xx`.
    pub expect: Vec<Statuses>,
    /// How many probes in a row must succeed before an unhealthy target is used again. Default 2.
    pub healthy_after: u32,
    /// How many probes in a row must fail before a healthy target is left out. Default 3.
    pub unhealthy_after: u32,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            path: None,
            every: Period::secs(5),
            timeout: Period::secs(2),
            expect: vec![Statuses { from: 200, to: 299 }],
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

/// A header that only the gateway can set.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { value: \"${env:GATEWAY_SECRET}\" }", deny_unknown_fields)]
pub struct GatewaySecret {
    /// The header's name. Default `x-api-key`.
    #[serde(default = "GatewaySecret::default_header")]
    pub header: String,
    /// The secret itself.
    pub value: Secret,
}

impl GatewaySecret {
    fn default_header() -> String {
        "x-api-key".to_owned()
    }
}

/// TLS towards `https://` targets.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { ca: ca.pem }", default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the authorities that may sign the targets' certificates, instead of those
    /// of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The server name that is asked for and verified. Default: the target's own host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Whether the targets' certificates are verified. Default true.
    pub verify: bool,
    /// The certificate with which the gateway shows who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { ca: None, sni: None, verify: true, client_certificate: None }
    }
}

/// A certificate and its key, as files.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { cert: gateway.pem, key: gateway.key }", deny_unknown_fields)]
pub struct ClientCertificate {
    /// A PEM file with the certificate, and after it those between it and the authority.
    pub cert: String,
    /// A PEM file with the certificate's private key.
    pub key: String,
}

/// The HTTP version spoken to targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on by ALPN over TLS, by prior knowledge (h2c) without.
    H2,
}

/// How long each part of a request may take.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { connect: 2s }", default, deny_unknown_fields)]
pub struct Timeouts {
    /// Connecting, with the TLS handshake. Default 2s, which leaves room for one lost packet.
    pub connect: Period,
    /// Waiting for the answer to begin, and between two pieces of it. Default 30s.
    pub read: Period,
    /// Waiting for the target to take a piece of the request. Default 30s.
    pub write: Period,
    /// How long an unused connection is kept. Default 4s, below the 5s after which uvicorn and
    /// Node close theirs.
    pub idle: Period,
    /// The whole request, with all its tries, to the last byte of the answer. Default 5m; give more to an
    /// upstream with long downloads or event streams.
    pub total: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Period::secs(2),
            read: Period::secs(30),
            write: Period::secs(30),
            idle: Period::secs(4),
            total: Period::secs(300),
        }
    }
}

/// What is tried again when a target fails.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { max: 1 }", default, deny_unknown_fields)]
pub struct Retries {
    /// Tries after the first that a target may have seen, 0 to 10. Where nothing could be sent, a request goes
    /// on to targets that were not tried yet, unless this is 0. Default 1.
    pub max: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 1 }
    }
}

/// What happens when no target is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenAllDown {
    /// The client gets a 503 with Retry-After at once.
    #[default]
    Unavailable,
    /// A target is tried as if all were usable.
    TryAnyway,
}

#[cfg(test)]
mod tests;
