//! What is logged of each request, and where, as it stands in the configuration.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::sample::SampleRule;
use crate::diagnostic::{At, Diagnostics, did_you_mean};

/// What is logged of each request, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { access: stdout, format: json }", default, deny_unknown_fields)]
#[schemars(rename = "Logs")]
pub struct Config {
    /// Where the access log goes: `stdout` (the default), `journald`, `off`, or the path of a file, which is
    /// appended to.
    pub access: Access,
    /// How a line looks: `json` (the default), `text` or `combined`. The journal gets fields, and no lines.
    pub format: Format,
    /// Of which requests only a share is logged: the first rule that matches decides, and what none matches is
    /// logged. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<SampleRule>,
}

impl Config {
    /// Looks for mistakes. `routes` are the names of all routes, if all are known.
    pub fn check<'a>(
        &self,
        routes: Option<impl Iterator<Item = &'a str> + Clone>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) {
        if self.access == Access::Journald && self.format != Format::Json {
            diagnostics.error(
                at.key("format"),
                "the journal gets entries, and no lines in a format",
                "leave `format` out, or send the log elsewhere",
            );
        }
        let Some(routes) = routes else { return };
        for (index, rule) in self.sample.iter().enumerate() {
            if let Some(name) = &rule.route
                && !routes.clone().any(|route| route == name)
            {
                diagnostics.error(
                    at.key("sample").index(index).key("route"),
                    format!("no route {name:?}"),
                    did_you_mean(name, routes.clone()),
                );
            }
        }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// To standard output.
    #[default]
    Stdout,
    /// To systemd's journal, by its native protocol.
    Journald,
    /// Nowhere.
    Off,
    /// To the end of a file.
    File(PathBuf),
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LogFormat")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// Words for people.
    Text,
    /// Apache's Combined Log Format, for the programs that read it.
    Combined,
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AccessVisitor;

        impl de::Visitor<'_> for AccessVisitor {
            type Value = Access;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("stdout, journald, off, or the path of a file")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Access, E> {
                match text {
                    "stdout" => Ok(Access::Stdout),
                    "journald" => Ok(Access::Journald),
                    "off" => Ok(Access::Off),
                    // A word without a slash is sooner a slip of the pen than a file's name.
                    path if path.contains('/') => Ok(Access::File(PathBuf::from(path))),
                    other => Err(E::custom(format_args!(
                        "{other:?} is no place for the access log (write stdout, journald, off, \
                         or the path of a file, such as /var/log/portcullis/access.log)"
                    ))),
                }
            }
        }

        deserializer.deserialize_str(AccessVisitor)
    }
}

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stdout => serializer.serialize_str("stdout"),
            Self::Journald => serializer.serialize_str("journald"),
            Self::Off => serializer.serialize_str("off"),
            Self::File(path) => path.serialize(serializer),
        }
    }
}

impl JsonSchema for Access {
    fn schema_name() -> Cow<'static, str> {
        "LogPlace".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Where the access log goes: stdout, journald, off, or the path of a file.",
            "pattern": "^(stdout|journald|off|.*/.*)$",
            "examples": ["stdout", "journald", "off", "/var/log/portcullis/access.log"],
        })
    }
}
