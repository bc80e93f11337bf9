//! What a configuration says of itself: requests, and what shall become of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Size;

/// One test: a request, and what shall become of it. It is asked of this file alone: nothing is sent.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The request: a method, a space, and a path or a URL, such as `GET /users/7`.
    pub when: String,

    /// The consumer that calls, whose key need not be known. Default: nobody, unless `with` brings a key.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,

    /// More about the request.
    #[serde(default, skip_serializing_if = "With::is_empty")]
    pub with: With,

    /// What shall become of it. At least one key.
    pub expect: Expect,
}

/// More about the request of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct With {
    /// Its headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,

    /// What the caller's token says, which need not be there: claims such as `{ sub: alice, scope: orders:read }`.
    /// Default: it has none, unless `headers` bring one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, serde_json::Value>,

    /// Its host, unless `when` has one. Default: `localhost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,

    /// The size of its body, such as `11MiB`. Default: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size: Option<Size>,

    /// The address that it comes from. Default: `127.0.0.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
}

impl With {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What shall become of the request of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The gateway answers by itself, with this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,

    /// The gateway refuses, with this word, such as `no_route` or `unauthorized`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,

    /// The route that takes it, whether or not the caller may pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,

    /// The upstream that it is sent on to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,

    /// The path that the upstream sees; with the query, if it is written with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,

    /// Headers that the upstream sees or, if the gateway answers by itself, the client: `"*"` for any value,
    /// `null` for a header that shall not be there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
}
