//! [`StripPrefix`] as written: `true`, or a path such as `/api`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What is cut off the front of a path before it is forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StripPrefix {
    /// Nothing: `false`.
    #[default]
    Nothing,
    /// All that the route's path takes: `true`.
    Whole,
    /// Its leading part: a path such as `/api`.
    Part(String),
}

struct StripVisitor;

impl de::Visitor<'_> for StripVisitor {
    type Value = StripPrefix;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a path such as /api")
    }

    fn visit_bool<E: de::Error>(self, whole: bool) -> Result<StripPrefix, E> {
        Ok(if whole { StripPrefix::Whole } else { StripPrefix::Nothing })
    }

    fn visit_str<E: de::Error>(self, part: &str) -> Result<StripPrefix, E> {
        Ok(StripPrefix::Part(part.to_owned()))
    }
}

impl<'de> Deserialize<'de> for StripPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StripVisitor)
    }
}

impl Serialize for StripPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_bool(false),
            Self::Whole => serializer.serialize_bool(true),
            Self::Part(part) => serializer.serialize_str(part),
        }
    }
}

impl JsonSchema for StripPrefix {
    fn schema_name() -> Cow<'static, str> {
        "StripPrefix".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is cut off the front of a path before it is forwarded: true for all \
                            that the route's path takes, or the leading part of it, such as /api.",
            "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "^/" }],
            "examples": [true, "/api"],
        })
    }
}
