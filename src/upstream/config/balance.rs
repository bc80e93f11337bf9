//! How a target is chosen, a word or a map.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::diagnostic::did_you_mean;

/// How a target is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn, smoothly by weight.
    #[default]
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The same key goes to the same target (ketama).
    Hash(HashBy),
}

/// What a request's hash key is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
    /// The client's address.
    ClientIp,
    /// The request's path.
    Path,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "balance", deny_unknown_fields)]
struct BalanceMap {
    hash: HashBy,
}

#[derive(Deserialize)]
#[serde(rename = "hash", deny_unknown_fields)]
struct HashMapForm {
    header: Option<String>,
    cookie: Option<String>,
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Balance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("round_robin, random, or a map such as { hash: client_ip }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Balance, E> {
                match word {
                    "round_robin" => Ok(Balance::RoundRobin),
                    "random" => Ok(Balance::Random),
                    "hash" => Err(E::custom(
                        "hash by what? (write { hash: client_ip }, { hash: path }, { hash: { header: X-User } } \
                         or { hash: { cookie: session } })",
                    )),
                    other => Err(E::custom(format!(
                        "no way of balancing is called {other:?} ({})",
                        did_you_mean(other, ["round_robin", "random", "hash"])
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Balance, A::Error> {
                BalanceMap::deserialize(MapAccessDeserializer::new(map))
                    .map(|form| Balance::Hash(form.hash))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::RoundRobin => serializer.serialize_str("round_robin"),
            Self::Random => serializer.serialize_str("random"),
            Self::Hash(by) => BalanceMap { hash: by.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HashBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = HashBy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("client_ip, path, { header: X } or { cookie: name }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<HashBy, E> {
                match word {
                    "client_ip" => Ok(HashBy::ClientIp),
                    "path" => Ok(HashBy::Path),
                    "header" | "cookie" => {
                        Err(E::custom(format!("which {word}? (write {{ {word}: its-name }})")))
                    }
                    other => Err(E::custom(format!(
                        "nothing to hash by is called {other:?} ({})",
                        did_you_mean(other, ["client_ip", "path", "header", "cookie"])
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<HashBy, A::Error> {
                let form = HashMapForm::deserialize(MapAccessDeserializer::new(map))?;
                match (form.header, form.cookie) {
                    (Some(header), None) => Ok(HashBy::Header(header)),
                    (None, Some(cookie)) => Ok(HashBy::Cookie(cookie)),
                    _ => Err(de::Error::custom(
                        "`hash` takes exactly one of header and cookie (write { header: X-User } or \
                         { cookie: session })",
                    )),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for HashBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, name) = match self {
            Self::ClientIp => return serializer.serialize_str("client_ip"),
            Self::Path => return serializer.serialize_str("path"),
            Self::Header(name) => ("header", name),
            Self::Cookie(name) => ("cookie", name),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, name)?;
        map.end()
    }
}

impl JsonSchema for Balance {
    fn schema_name() -> Cow<'static, str> {
        "Balance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let named = |what: &str| {
            serde_json::json!({
                "type": "object",
                "properties": {
                    (what): { "type": "string", "description": format!("The name of the {what}.") },
                },
                "required": [what],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "How a target is chosen.",
            "oneOf": [
                { "enum": ["round_robin", "random"] },
                {
                    "type": "object",
                    "properties": {
                        "hash": {
                            "description": "The same key goes to the same target.",
                            "oneOf": [
                                { "enum": ["client_ip", "path"] }, named("header"), named("cookie"),
                            ],
                        },
                    },
                    "required": ["hash"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
