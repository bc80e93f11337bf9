//! `security_headers` as it stands in the file.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A set of headers with values that suit many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// What breaks nearly no site.
    #[default]
    Basic,
    /// What suits an API, or a site that is made for it.
    Strict,
    /// No header.
    None,
}

/// A preset, and what is said otherwise. Each value is that of the header; `none` leaves the header out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    expecting = "a map such as { preset: basic, frame_options: none }",
    deny_unknown_fields,
    default
)]
pub struct Config {
    /// Where to begin: `basic`, `strict` or `none`. Default: basic.
    pub preset: Preset,

    /// `Strict-Transport-Security`, which is sent over TLS only. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<String>,

    /// `X-Content-Type-Options`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type_options: Option<String>,

    /// `Referrer-Policy`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer_policy: Option<String>,

    /// `X-Frame-Options`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_options: Option<String>,

    /// `Content-Security-Policy`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_security_policy: Option<String>,

    /// `Permissions-Policy`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions_policy: Option<String>,

    /// `Cross-Origin-Opener-Policy`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_origin_opener_policy: Option<String>,

    /// `Cross-Origin-Resource-Policy`. Default: that of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_origin_resource_policy: Option<String>,

    /// `Cross-Origin-Embedder-Policy`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_origin_embedder_policy: Option<String>,
}

impl Config {
    /// What is written under a key.
    pub(super) fn written(&self, key: &str) -> Option<&str> {
        match key {
            "hsts" => self.hsts.as_deref(),
            "content_type_options" => self.content_type_options.as_deref(),
            "referrer_policy" => self.referrer_policy.as_deref(),
            "frame_options" => self.frame_options.as_deref(),
            "content_security_policy" => self.content_security_policy.as_deref(),
            "permissions_policy" => self.permissions_policy.as_deref(),
            "cross_origin_opener_policy" => self.cross_origin_opener_policy.as_deref(),
            "cross_origin_resource_policy" => self.cross_origin_resource_policy.as_deref(),
            "cross_origin_embedder_policy" => self.cross_origin_embedder_policy.as_deref(),
            _ => None,
        }
    }
}

/// A preset alone, or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// A preset as it is.
    Preset(Preset),
    /// A preset with changes.
    Config(Box<Config>),
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("basic, strict, none, or a map such as { preset: basic, hsts: none }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Setting, E> {
                Ok(Setting::Preset(match word {
                    "basic" => Preset::Basic,
                    "strict" => Preset::Strict,
                    "none" => Preset::None,
                    other => {
                        return Err(E::custom(format!(
                            "there is no preset {other:?} (write basic, strict or none)"
                        )));
                    }
                }))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Setting, A::Error> {
                let config = Config::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Setting::Config(Box::new(config)))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Preset(preset) => preset.serialize(serializer),
            Self::Config(config) => config.serialize(serializer),
        }
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecurityHeaders".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let config = generator.subschema_for::<Config>();
        json_schema!({
            "description": "Security headers of answers: a preset, or a map that changes single ones.",
            "oneOf": [{ "enum": ["basic", "strict", "none"] }, config],
        })
    }
}
