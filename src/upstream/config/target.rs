//! One entry of `targets:`, a word or a map.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One target as written: its address, and its share of the traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    /// The address or origin URL, as written.
    pub url: String,
    /// Its share in relation to the other targets, 1 to 1000.
    pub weight: u32,
}

/// The long form of a target.
#[derive(Serialize, Deserialize)]
#[serde(rename = "target", deny_unknown_fields)]
struct TargetMap {
    url: String,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

impl<'de> Deserialize<'de> for TargetSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = TargetSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target such as 10.0.0.1:8001, or a map with url and weight")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetSpec, E> {
                Ok(TargetSpec { url: text.to_owned(), weight: 1 })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TargetSpec, A::Error> {
                let TargetMap { url, weight } =
                    TargetMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TargetSpec { url, weight })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for TargetSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.weight == 1 {
            return serializer.serialize_str(&self.url);
        }
        TargetMap { url: self.url.clone(), weight: self.weight }.serialize(serializer)
    }
}

impl JsonSchema for TargetSpec {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One address of an upstream.",
            "oneOf": [
                {
                    "type": "string",
                    "description": "IP:port, host:port, http:// or https:// origin, or unix:/path.",
                    "examples": ["10.0.0.1:8001", "https://users.internal", "unix:/run/app.sock"],
                },
                {
                    "type": "object",
                    "properties": {
                        "url": { "type": "string", "description": "The address." },
                        "weight": {
                            "type": "integer", "minimum": 1, "maximum": 1000, "default": 1,
                            "description": "Its share in relation to the other targets.",
                        },
                    },
                    "required": ["url"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
