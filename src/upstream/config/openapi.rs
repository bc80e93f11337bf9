//! Where an upstream's `OpenAPI` document comes from: a path at its targets, or a file.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where an upstream's `OpenAPI` document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenApi {
    /// From this path at its targets.
    Path(String),
    /// From this file.
    File(PathBuf),
}

/// The document in a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { file: users.yaml }", deny_unknown_fields)]
struct InFile {
    /// A file with the document, in JSON or YAML.
    file: PathBuf,
}

impl<'de> Deserialize<'de> for OpenApi {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OpenApi;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path at the targets such as /openapi.json, or { file: users.yaml }")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<OpenApi, E> {
                if path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok() {
                    return Ok(OpenApi::Path(path.to_owned()));
                }
                Err(E::custom(format!(
                    "{path:?} is no path at the targets (write one like /openapi.json, or {{ file: {path} }} \
                     for a file here)"
                )))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<OpenApi, A::Error> {
                let found = InFile::deserialize(MapAccessDeserializer::new(map))?;
                Ok(OpenApi::File(found.file))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for OpenApi {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => serializer.serialize_str(path),
            Self::File(file) => InFile { file: file.clone() }.serialize(serializer),
        }
    }
}

impl JsonSchema for OpenApi {
    fn schema_name() -> Cow<'static, str> {
        "OpenApi".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let file = generator.subschema_for::<InFile>();
        json_schema!({
            "description": "Where the document comes from: a path at the targets, or a file.",
            "oneOf": [{ "type": "string", "pattern": "^/" }, file],
            "examples": ["/openapi.json", { "file": "users.yaml" }],
        })
    }
}
