//! A `jwt` method as it stands in the file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use crate::units::{OneOrMany, Period, Secret};

/// A signed token (JWT, RFC 7519). Who signs, for whom and with which keys must be said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    expecting = "a map such as { issuer: \"https://id.example.com/\", audience: api, jwks: auto }",
    deny_unknown_fields,
    default
)]
pub struct JwtConfig {
    /// Who issues the tokens: the claim `iss`, letter by letter, one of these. Required; `none`: whatever it is.
    pub issuer: OneOrMany,
    /// For whom they are: one of these must be in the claim `aud`. Required; `none`: whatever it is.
    pub audience: OneOrMany,
    /// Where the keys are: `auto` (where the issuer's discovery document says), a URL, or a file. Default: in `keys`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// Keys that stand here. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<JwtKeyConfig>,
    /// The algorithms of keys that do not say theirs: `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`,
    /// `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`. Default: those of the kind of the key; `HS256` for secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// The header that holds the token; in `Authorization` it follows `Bearer`. Default: `authorization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The cookie that holds the token, in place of a header. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The claim that names a consumer. Default: none does, and a caller is `METHOD:` and the claim `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// How far clocks may differ. Default: 60s.
    pub leeway: Period,
    /// Whether upstreams get the token too. Default: false.
    pub forward: bool,
    /// Whether keys may be fetched by plain HTTP from another machine. Default: false.
    pub allow_http: bool,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            issuer: OneOrMany::default(),
            audience: OneOrMany::default(),
            jwks: None,
            keys: Vec::new(),
            algorithms: Vec::new(),
            header: None,
            cookie: None,
            consumer: None,
            leeway: Period::secs(60),
            forward: false,
            allow_http: false,
        }
    }
}

/// A key: one of `pem`, `file` and `secret`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { file: issuer.pem }", deny_unknown_fields, default)]
pub struct JwtKeyConfig {
    /// A public key or certificate in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// A file with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A secret that issuer and gateway share, at least as long as the hash: 32 bytes for `HS256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Its name in the tokens' header `kid`. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// What it may be used for. Default: as the method says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
}
