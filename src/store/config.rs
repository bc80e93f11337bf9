//! `store` as it stands in the file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::diagnostic::{At, Diagnostics};
use crate::units::{Period, SECRET_URL_TOKEN, Secret};

/// The longest deadline: a request waits that long at most for a store that hangs.
const LONGEST_DEADLINE: u64 = 10;
/// The longest time for which a gateway takes units ahead.
const LONGEST_LEASE: u64 = 10;
/// The shortest secret, in bytes.
const SHORTEST_SECRET: usize = 16;

/// What several gateways know together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    rename = "store",
    expecting = "a map such as { redis: \"${env:REDIS_URL}\" }",
    deny_unknown_fields
)]
pub struct Config {
    /// The URL of a Redis or Valkey: `redis://[user:password@]host[:6379][/database]`, `rediss://` for TLS, or
    /// `redis+unix:///path`.
    pub redis: SecretUrl,

    /// A PEM file with the authorities that may sign its certificate. Default: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,

    /// How long a request waits for it at most. Default: 5ms.
    #[serde(default = "default_deadline")]
    pub deadline: Period,

    /// What becomes of limits while it does not answer: each gateway counts by itself (`local`), nobody is limited
    /// (`allow`), or nobody is let through (`deny`). Default: local.
    #[serde(default)]
    pub on_error: OnError,

    /// For how long a gateway may take units of limits ahead, so that most requests need not ask. Default: it asks for
    /// every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,

    /// What the names in it are digested with, the same for all gateways that share it. Default: nothing secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

fn default_deadline() -> Period {
    Period::millis(5)
}

/// A URL that may hold a password, and is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretUrl;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as redis://10.0.0.5:6379, or ${env:REDIS_URL}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretUrl, E> {
                Ok(SecretUrl(Secret::new(text)))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<SecretUrl, D::Error> {
                String::deserialize(deserializer).map(|text| SecretUrl(Secret::new(text)))
            }
        }

        deserializer.deserialize_newtype_struct(SECRET_URL_TOKEN, Visitor)
    }
}

impl JsonSchema for SecretUrl {
    fn schema_name() -> Cow<'static, str> {
        "SecretUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A URL; if it holds a password: ${env:NAME} or ${file:/path}.",
            "examples": ["${env:REDIS_URL}", "redis://10.0.0.5:6379"],
        })
    }
}

/// What becomes of limits while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Each gateway counts by itself.
    #[default]
    Local,
    /// Nobody is limited.
    Allow,
    /// Nobody is let through.
    Deny,
}

impl OnError {
    /// What that means, for the log.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Local => "limits are counted by this gateway alone",
            Self::Allow => "nobody is limited",
            Self::Deny => "requests with a limit are answered with 503",
        }
    }
}

impl Config {
    pub(super) fn check(&self, at: &At, diagnostics: &mut Diagnostics) {
        let deadline = self.deadline.get();
        if deadline.is_zero() || deadline.as_secs() > LONGEST_DEADLINE {
            diagnostics.error(
                at.key("deadline"),
                format!("{} is no time to wait for an answer", self.deadline),
                format!("write one such as 5ms, up to {LONGEST_DEADLINE}s"),
            );
        }
        if let Some(lease) = self.lease
            && (lease.get().is_zero() || lease.get().as_secs() > LONGEST_LEASE)
        {
            diagnostics.error(
                at.key("lease"),
                format!("{lease} is no time to take units ahead for"),
                format!("write one such as 100ms, up to {LONGEST_LEASE}s, or leave it out"),
            );
        }
        if let Some(secret) = &self.secret
            && secret.expose().len() < SHORTEST_SECRET
        {
            diagnostics.error(
                at.key("secret"),
                "the secret is short enough to be guessed",
                format!("take one of {SHORTEST_SECRET} bytes or more, such as `openssl rand -hex 32` gives"),
            );
        }
    }
}
