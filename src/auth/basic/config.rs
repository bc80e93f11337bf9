//! `basic` as it stands in the file, at a method and at a consumer.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::password::{InvalidPassword, PasswordDigest};

/// A user name and a password (HTTP basic). Consumers say which are theirs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { realm: orders }", deny_unknown_fields, default)]
pub struct BasicConfig {
    /// What users are told that the password is for. Default: `api`.
    pub realm: String,
}

impl Default for BasicConfig {
    fn default() -> Self {
        Self { realm: "api".to_owned() }
    }
}

/// A user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { password: \"$argon2id$...\" }", deny_unknown_fields)]
pub struct UserConfig {
    /// The user name. Default: the consumer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The digest of the password, by argon2id or bcrypt. `portcullis key password` makes one.
    pub password: PasswordConfig,
}

/// The digest of a password, as it was written. It is never shown: passwords can be guessed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordConfig(String);

impl PasswordConfig {
    pub(super) fn read(&self) -> Result<PasswordDigest, InvalidPassword> {
        self.0.parse()
    }
}

impl fmt::Debug for PasswordConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for PasswordConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// Takes whatever was written, so that serde has no value to complain about, which may be a password.
struct Written;

impl de::Visitor<'_> for Written {
    type Value = PasswordConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the digest of a password, such as \"$argon2id$...\"")
    }

    fn visit_str<E>(self, text: &str) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(String::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(String::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(String::new()))
    }

    fn visit_u128<E>(self, _: u128) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(String::new()))
    }

    fn visit_i128<E>(self, _: i128) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(String::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<PasswordConfig, E> {
        Ok(PasswordConfig(String::new()))
    }
}

impl<'de> Deserialize<'de> for PasswordConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for PasswordConfig {
    fn schema_name() -> Cow<'static, str> {
        "PasswordConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The digest of a password, by argon2id or bcrypt, as `portcullis key password` prints it.",
            "pattern": "^\\$(argon2id|2[aby])\\$",
        })
    }
}
