//! The parts of an upstream's configuration that are written either as one word or as a map.
//!
//! Each is read by a visitor of its own: an untagged enum would answer every mistake with "did not
//! match any variant", and would hide which key was wrong.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Check;
use crate::diagnostic::did_you_mean;

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
                    _ => {
                        Err(de::Error::custom("one thing is hashed (keep either header or cookie)"))
                    }
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
                "properties": { (what): { "type": "string" } },
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

/// A status, or a range of them with both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

impl Expected {
    /// Whether `status` is meant.
    #[must_use]
    pub fn holds(self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = |part: &str| {
            part.parse::<u16>().ok().filter(|c| part.len() == 3 && (200..=599).contains(c))
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (code(from), code(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err(format!(
                "{text:?} is neither a status from 200 to 599 nor a range of them (write a code such \
                 as 204, or a range such as 200-299)"
            )),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from)?;
        if self.from == self.to { Ok(()) } else { write!(f, "-{}", self.to) }
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Expected;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 200, or a range such as 200-299")
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<Expected, E> {
                self.visit_str(&code.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expected, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.from == self.to {
            serializer.serialize_u16(self.from)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl JsonSchema for Expected {
    fn schema_name() -> Cow<'static, str> {
        "Expected".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status such as 200, or a range such as 200-299.",
            "oneOf": [
                { "type": "integer", "minimum": 200, "maximum": 599 },
                { "type": "string", "pattern": "^[2-5][0-9]{2}(-[2-5][0-9]{2})?$" },
            ],
        })
    }
}
