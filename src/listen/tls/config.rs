//! `tls` of a listener, as it stands in the file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Period;

/// TLS on a listener: HTTP/2 and HTTP/1.1 over TLS 1.3 and 1.2.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    expecting = "a map such as { certificates: [ { cert: api.pem, key: api.key } ] }",
    deny_unknown_fields
)]
pub struct TlsConfig {
    /// The certificates, each with its key. A client gets one whose names cover the name it asks for (SNI).
    pub certificates: Vec<CertificateConfig>,
    /// What becomes of clients that ask for a name that no certificate covers, or for none: they get the first
    /// certificate (`default`), or no connection (`refuse`). Default: default.
    #[serde(default)]
    pub unknown_names: UnknownNames,
    /// Certificates of clients. Default: clients are not asked for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuthConfig>,
    /// How long a handshake may take. Default: 10s.
    #[serde(default = "default_timeout")]
    pub handshake_timeout: Period,
}

fn default_timeout() -> Period {
    Period::secs(10)
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { cert: api.pem, key: api.key }", deny_unknown_fields)]
pub struct CertificateConfig {
    /// A PEM file with the certificate, followed by those of the authorities in between.
    pub cert: PathBuf,
    /// A PEM file with its key.
    pub key: PathBuf,
}

/// What becomes of clients that ask for a name that no certificate covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownNames {
    /// They get the first certificate.
    #[default]
    Default,
    /// They get no connection.
    Refuse,
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { ca: clients.pem }", deny_unknown_fields)]
pub struct ClientAuthConfig {
    /// A PEM file with the authorities whose certificates are believed.
    pub ca: PathBuf,
    /// A PEM file with their lists of revoked certificates. Default: none, so nothing is taken as revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Whether a client without a certificate gets no connection; otherwise routes decide. Default: true.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}
