//! `listeners.NAME` as it stands in the file.

use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::pace::Timeouts;
use super::tls::TlsConfig;
use crate::diagnostic::{At, Diagnostics};
use crate::units::Size;

/// One address on which clients are served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { address: \"0.0.0.0:8080\" }", deny_unknown_fields)]
pub struct Config {
    /// IP address and port, such as `0.0.0.0:8080` or `[::]:8080` (IPv4 and IPv6 at once). Port 0 lets
    /// the system choose.
    pub address: String,
    /// TLS. Default: none; HTTP/1.1 and HTTP/2 are spoken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Whether each connection begins with a PROXY header (version 1 or 2), which trusted proxies alone may
    /// send. Default: false.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Whether every request is sent to `https://` at the same host: `true`, or the port there. Default: false.
    #[serde(default)]
    pub redirect_to_https: RedirectToHttps,

    /// How long clients may take.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// The lowest rate, a second, at which a body is waited for and an answer is given out. Who is slower is cut once
    /// it is behind by `timeouts.stall`. Default: 1KiB.
    #[serde(default = "min_rate")]
    pub min_rate: Size,

    /// The most requests on one connection; the last one's answer says so. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<NonZeroU32>,
}

fn min_rate() -> Size {
    super::pace::MIN_RATE
}

impl Config {
    /// Reports what clients can't be asked for.
    pub(super) fn check_pace(&self, at: &At, diagnostics: &mut Diagnostics) {
        self.timeouts.check(&at.key("timeouts"), diagnostics);
        if self.min_rate.bytes() == 0 {
            diagnostics.error(
                at.key("min_rate"),
                "a client that sends nothing would be fast enough",
                "leave it out for 1KiB, or write the lowest rate that makes sense, such as 100B",
            );
        }
    }
}

/// Where clients without TLS are sent: nowhere (`false`), to the usual port (`true`), or to another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RedirectToHttps {
    /// They are served.
    #[default]
    No,
    /// They are sent to this port.
    ToPort(u16),
}

/// The port of `https`.
pub(super) const HTTPS: u16 = 443;

impl Serialize for RedirectToHttps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::No => serializer.serialize_bool(false),
            Self::ToPort(HTTPS) => serializer.serialize_bool(true),
            Self::ToPort(port) => serializer.serialize_u16(port),
        }
    }
}

impl<'de> Deserialize<'de> for RedirectToHttps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = RedirectToHttps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a port such as 8443")
            }

            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<RedirectToHttps, E> {
                Ok(if yes { RedirectToHttps::ToPort(HTTPS) } else { RedirectToHttps::No })
            }

            fn visit_u64<E: de::Error>(self, port: u64) -> Result<RedirectToHttps, E> {
                let port = u16::try_from(port).ok().filter(|port| *port > 0);
                port.map(RedirectToHttps::ToPort).ok_or_else(|| {
                    E::custom("no port (write one from 1 to 65535, or true for 443)")
                })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for RedirectToHttps {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RedirectToHttps".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "boolean" }, { "type": "integer", "minimum": 1, "maximum": 65535 }]
        })
    }
}
