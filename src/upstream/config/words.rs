//! Health and Host: written as one word, or as something longer.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Check;

/// Whether and how targets are probed.
#[derive(Debug, Clone, PartialEq)]
pub enum Health {
    /// They are not.
    None,
    /// Like this.
    Check(Check),
}

impl Default for Health {
    fn default() -> Self {
        Self::Check(Check::default())
    }
}

impl<'de> Deserialize<'de> for Health {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Health;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("none, or a map such as { path: /healthz, every: 5s }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Health, E> {
                match word {
                    "none" => Ok(Health::None),
                    path if path.starts_with('/') => Err(E::custom(format!(
                        "a path alone says too little (write {{ path: {path} }})"
                    ))),
                    other => Err(E::custom(format!(
                        "{other:?} is no way of probing (write none to turn it off, or a map such as \
                         {{ path: /healthz, every: 5s }})"
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Health, A::Error> {
                Check::deserialize(MapAccessDeserializer::new(map)).map(Health::Check)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Check(check) => check.serialize(serializer),
        }
    }
}

impl JsonSchema for Health {
    fn schema_name() -> Cow<'static, str> {
        "Health".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let check = generator.subschema_for::<Check>();
        json_schema!({
            "description": "How targets are probed; `none` turns it off.",
            "oneOf": [{ "const": "none" }, check],
        })
    }
}

/// The Host header that targets see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The client's goes on.
    #[default]
    Preserve,
    /// The target's own host and port.
    Target,
    /// This name.
    Name(String),
}

impl<'de> Deserialize<'de> for HostHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(match word.as_str() {
            "preserve" => Self::Preserve,
            "target" => Self::Target,
            _ => Self::Name(word),
        })
    }
}

impl Serialize for HostHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Preserve => "preserve",
            Self::Target => "target",
            Self::Name(name) => name,
        })
    }
}

impl JsonSchema for HostHeader {
    fn schema_name() -> Cow<'static, str> {
        "HostHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The Host header that targets see: preserve, target, or a name.",
            "examples": ["preserve", "target", "users.internal"],
        })
    }
}
