//! `portal` as it stands in a route, and `openapi` in an upstream's place is in [`crate::upstream::config`].

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Whether a route serves the portal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Config {
    /// It does not.
    #[default]
    Off,
    /// It does, like this.
    On(Box<Settings>),
}

impl Config {
    /// Whether it does not.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }
}

/// How the portal looks, and who sees what of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "true, or a map such as { title: Our APIs }", default, deny_unknown_fields)]
pub struct Settings {
    /// The title of the page and of the document. Default: `APIs`.
    pub title: String,
    /// The version of the document. Default: `1`.
    pub version: String,
    /// What it is, in a sentence. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What readers should know first, in Markdown; `${file:intro.md}` takes it from a file. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introduction: Option<String>,
    /// A picture for the top of the page: a file ending in .svg, .png, .jpg or .webp. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<PathBuf>,
    /// Where clients reach the gateway, such as `https://api.example.com`. Default: where they found the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What is shown: `all` (default) to everybody whom the route's `auth` lets in, or `allowed`, to each caller what
    /// that caller may call.
    pub show: Show,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: "APIs".to_owned(),
            version: "1".to_owned(),
            description: None,
            introduction: None,
            logo: None,
            url: None,
            show: Show::All,
        }
    }
}

/// What is shown to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// Everything, to everybody whom the route lets in.
    #[default]
    All,
    /// To each caller what that caller may call.
    Allowed,
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or a map such as { title: Our APIs }")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Config, E> {
                Ok(if on { Config::On(Box::default()) } else { Config::Off })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
                let settings = Settings::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Config::On(Box::new(settings)))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On(settings) => settings.serialize(serializer),
        }
    }
}

impl JsonSchema for Config {
    fn schema_name() -> Cow<'static, str> {
        "Portal".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<Settings>();
        json_schema!({
            "description": "Whether the route serves the portal, and how that looks.",
            "oneOf": [{ "type": "boolean" }, settings],
        })
    }
}
