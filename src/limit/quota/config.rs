//! `quota` as it stands in a plan.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::Quota;

/// How much a consumer may use in a window of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(
    expecting = "a quota such as 1000/day, or a map such as { rate: 1000/day, timezone: Europe/Zurich }",
    deny_unknown_fields
)]
pub struct QuotaConfig {
    /// How much, and in what.
    pub rate: Quota,
    /// Where the clock hangs, by its IANA name. Default: UTC.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Whether it only looks on. Default: false.
    #[serde(default)]
    pub observe: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// One quota or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotasConfig(pub Vec<QuotaConfig>);

impl QuotasConfig {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A quota in either form.
struct Either(QuotaConfig);

impl<'de> Deserialize<'de> for Either {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Either;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a quota such as 1000/day, or a map such as { rate: 1000/day, timezone: Europe/Zurich }",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Either, E> {
                let rate = text.parse().map_err(E::custom)?;
                Ok(Either(QuotaConfig { rate, timezone: utc(), observe: false }))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Either, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Either, A::Error> {
                QuotaConfig::deserialize(MapAccessDeserializer::new(map)).map(Either)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for QuotasConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = QuotasConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quota such as 1000/day, a map with more, or a list of these")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<QuotasConfig, E> {
                let text = de::value::StrDeserializer::<E>::new(text);
                Either::deserialize(text).map(|one| QuotasConfig(vec![one.0]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<QuotasConfig, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<QuotasConfig, A::Error> {
                let one = Either::deserialize(MapAccessDeserializer::new(map))?;
                Ok(QuotasConfig(vec![one.0]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<QuotasConfig, A::Error> {
                let all: Vec<Either> = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(QuotasConfig(all.into_iter().map(|one| one.0).collect()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for QuotasConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] if one.timezone == utc() && !one.observe => one.rate.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

impl JsonSchema for QuotasConfig {
    fn schema_name() -> Cow<'static, str> {
        "Quotas".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Quota>();
        let map = json_schema!({
            "type": "object",
            "additionalProperties": false,
            "required": ["rate"],
            "properties": {
                "rate": rate,
                "timezone": {
                    "type": "string",
                    "default": "UTC",
                    "description": "Where the clock hangs, by its IANA name. Default: UTC.",
                    "examples": ["Europe/Zurich"],
                },
                "observe": {
                    "type": "boolean",
                    "default": false,
                    "description": "Whether it only looks on. Default: false.",
                },
            },
        });
        let one = json_schema!({ "anyOf": [rate, map] });
        json_schema!({
            "description": "A quota such as 1000/day, a map with more, or a list of these that all hold.",
            "anyOf": [rate, map, { "type": "array", "items": one }],
        })
    }
}
