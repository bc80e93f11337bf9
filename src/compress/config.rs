//! `compress` as it stands in the file.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::Size;

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Zstandard (RFC 8878): the least work for its size.
    Zstd,
    /// Brotli (RFC 7932): the smallest.
    Br,
    /// RFC 1952: known to everybody.
    Gzip,
}

impl Algorithm {
    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// What is compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { min_size: 1KiB }", deny_unknown_fields, default)]
pub struct Config {
    /// The media types that are compressed, such as `application/json`, `text/*` or `application/*+json`.
    /// Default: text, JSON, XML, scripts and the like.
    pub types: Vec<String>,

    /// Answers known to be smaller are left alone. Default: 1KiB.
    pub min_size: Size,

    /// The codings, the best first; one that the client likes better comes before. Default: zstd, br, gzip.
    pub algorithms: Vec<Algorithm>,
}

impl Default for Config {
    fn default() -> Self {
        const TYPES: [&str; 12] = [
            "text/*",
            "application/json",
            "application/*+json",
            "application/x-ndjson",
            "application/xml",
            "application/*+xml",
            "application/javascript",
            "application/wasm",
            "application/vnd.ms-fontobject",
            "font/ttf",
            "font/otf",
            "image/svg+xml",
        ];
        Self {
            types: TYPES.map(str::to_owned).to_vec(),
            min_size: Size(1 << 10),
            algorithms: vec![Algorithm::Zstd, Algorithm::Br, Algorithm::Gzip],
        }
    }
}

/// Whether answers are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// They are not.
    Off,
    /// They are, like this.
    On(Config),
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a map such as { min_size: 1KiB }")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Setting, E> {
                Ok(if on { Setting::On(Config::default()) } else { Setting::Off })
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
            Self::Off => serializer.serialize_bool(false),
            Self::On(config) if *config == Config::default() => serializer.serialize_bool(true),
            Self::On(config) => config.serialize(serializer),
        }
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Compress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let config = generator.subschema_for::<Config>();
        json_schema!({
            "description": "Whether answers are compressed for clients that accept it.",
            "oneOf": [{ "type": "boolean" }, config],
        })
    }
}
