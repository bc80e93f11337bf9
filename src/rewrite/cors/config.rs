//! `cors` as it stands in the file.

use std::fmt;

use http::{HeaderName, HeaderValue, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::diagnostic::{At, Diagnostics};
use crate::units::{OneOrMany, Period};

/// Which web pages may call from a browser, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    expecting = "a map such as { origins: [ \"https://app.example.com\" ] }",
    deny_unknown_fields
)]
pub struct Config {
    /// The origins of the pages: `https://app.example.com`, `https://*.example.com` for every name below, or
    /// `"*"` for every page there is.
    pub origins: OneOrMany,

    /// The methods they may use; `"*"` means any. Default: those of the route.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub methods: OneOrMany,

    /// The headers they may send, beside `Authorization`, `Content-Type` and those in which the route looks for a
    /// credential; `"*"` means any. Default: none.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub headers: OneOrMany,

    /// The headers of answers that they may read, beside `X-Request-Id`, `Retry-After`, `RateLimit` and
    /// `RateLimit-Policy`; `"*"` means any. Default: none.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub expose: OneOrMany,

    /// Whether their requests may carry the browser's cookies. Default: false.
    #[serde(default)]
    pub credentials: bool,

    /// How long a browser may remember what it was told before a request. Default: 10m.
    #[serde(default = "default_max_age")]
    pub max_age: Period,
}

fn default_max_age() -> Period {
    Period::secs(600)
}

/// Whether pages of other origins may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// They may not, whatever stands further away.
    None,
    /// They may, like this.
    On(Config),
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("none, or a map such as { origins: [ \"https://app.example.com\" ] }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Setting, E> {
                match word {
                    "none" => Ok(Setting::None),
                    other => Err(E::custom(format!(
                        "{other:?} does not say which pages may call (write {{ origins: [ \
                         \"https://app.example.com\" ] }}, or none)"
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Setting, A::Error> {
                Config::deserialize(MapAccessDeserializer::new(map)).map(Setting::On)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::On(config) => config.serialize(serializer),
        }
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cors".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let config = generator.subschema_for::<Config>();
        json_schema!({
            "description": "Which web pages may call from a browser; `none`: of this origin only.",
            "oneOf": [{ "const": "none" }, config],
        })
    }
}

/// The names of headers; `*` is none of them.
pub(super) fn names(written: &[String], at: &At, diagnostics: &mut Diagnostics) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate().filter(|(_, text)| *text != "*") {
        match HeaderName::try_from(text.as_str()) {
            Ok(name) => names.push(name),
            Err(_) => diagnostics.error(
                at.index(index),
                format!("{text:?} is not a header name"),
                "write a name like X-Version, or \"*\" for any",
            ),
        }
    }
    names
}

/// The value that lists the methods; none for those of the route.
pub(super) fn methods(
    written: &OneOrMany,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<HeaderValue> {
    for (index, text) in written.0.iter().enumerate() {
        let upper = text.to_ascii_uppercase();
        let (what, help) = match Method::from_bytes(text.as_bytes()) {
            _ if text == "*" => continue,
            Ok(Method::CONNECT | Method::TRACE) => {
                (format!("{text} is never forwarded"), "remove it".to_owned())
            }
            Ok(_) if upper == *text => continue,
            Ok(_) => (
                format!("{text:?} is not a method"),
                format!("methods are written in upper case: {upper}"),
            ),
            Err(_) => (
                format!("{text:?} is not a method"),
                "write a method like GET, POST or PURGE".to_owned(),
            ),
        };
        diagnostics.error(at.index(index), what, help);
    }
    // Any method that the route takes is told by its name, which no browser misunderstands.
    if written.0.is_empty() || written.0.iter().any(|method| method == "*") {
        return None;
    }
    HeaderValue::from_str(&written.0.join(", ")).ok()
}
