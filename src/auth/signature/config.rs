//! `signature` as it stands in the file, at a method, and the keys of a consumer.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{OneOrMany, Period, Secret};

/// A signature of the request itself (RFC 9421). Consumers say which keys are theirs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { cover: x-tenant }", deny_unknown_fields, default)]
pub struct SignatureConfig {
    /// The headers that it must cover, beside method, target and body. Default: none.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub cover: OneOrMany,
    /// How long ago it may have been made. Default: 5m.
    pub max_age: Period,
    /// Whether each signature lets in one request only: it must have a `nonce`, and one that its key has not used before.
    /// Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

impl Default for SignatureConfig {
    fn default() -> Self {
        Self { cover: OneOrMany::default(), max_age: Period::secs(300), once: false }
    }
}

/// A key that requests are signed with: its name, and one of `pem`, `file` and `secret`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { keyid: partner-1, file: partner.pem }", deny_unknown_fields)]
pub struct SignatureKeyConfig {
    /// Its name, `keyid` in signatures.
    pub keyid: String,
    /// A public key in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// A file with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A secret that both share, of at least 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}
