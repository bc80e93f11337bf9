//! A `forward_auth` method as it stands in the file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{OneOrMany, Period};

/// A service that is asked about requests, and says by the status of its answer whether they may pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    expecting = "a map such as { url: \"http://127.0.0.1:9000/check\" }",
    deny_unknown_fields,
    default
)]
pub struct ForwardAuthConfig {
    /// Where it is asked, by GET. Required.
    pub url: String,
    /// The headers that carry the credentials: these of a request it is sent. A request with none of them is refused
    /// without being asked about. They are removed before the upstream sees the request, but for `cookie`. Default:
    /// `authorization`.
    pub send: OneOrMany,
    /// The headers of its answer that upstreams are sent. From clients they are removed. Default: none.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub take: OneOrMany,
    /// The header of its answer that names the caller. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Whether it is told what is asked for, in `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`. Without, its
    /// word holds for whatever comes with the same credentials. Default: true.
    pub request: bool,
    /// How long its answer may take. Default: 1s.
    pub timeout: Period,
    /// How long its word holds for a request that would ask it the same; `0s`: not at all. Default: 10s.
    pub cache: Period,
    /// Whether upstreams get the credentials too. Default: false.
    pub forward: bool,
    /// Whether it may be asked by plain HTTP on another machine. Default: false.
    pub allow_http: bool,
}

impl Default for ForwardAuthConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            send: OneOrMany(vec!["authorization".to_owned()]),
            take: OneOrMany::default(),
            consumer: None,
            request: true,
            timeout: Period::secs(1),
            cache: Period::secs(10),
            forward: false,
            allow_http: false,
        }
    }
}
