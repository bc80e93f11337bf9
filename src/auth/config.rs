//! `auth` and `consumers` as they stand in the file, and a route's `auth` and `allow`.
//!
//! Whatever stands where a digest should is read by visitors of our own: a key that was put there by
//! mistake is never part of an error's text, and is forgotten at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::basic::{BasicConfig, UserConfig};
use super::jwt::JwtConfig;
use super::key::{Digest, InvalidDigest};
use super::service::ForwardAuthConfig;
use super::signature::{SignatureConfig, SignatureKeyConfig};
use crate::units::OneOrMany;

/// The ways in which a client can prove who it is, by name. Default: one API key method named `key`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MethodsConfig(pub BTreeMap<String, MethodConfig>);

impl Default for MethodsConfig {
    fn default() -> Self {
        let key =
            MethodConfig { api_key: Some(ApiKeyConfig::default()), ..MethodConfig::default() };
        Self(BTreeMap::from([("key".to_owned(), key)]))
    }
}

/// One way to prove who one is. Exactly one kind must be given, such as `api_key: {}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { api_key: {} }", deny_unknown_fields)]
pub struct MethodConfig {
    /// A key in a header of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyConfig>,
    /// The certificate that the client shows when it connects: `{}`. The listener must ask for it, by
    /// `tls.client_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MtlsConfig>,
    /// A signed token, of an issuer such as an identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
    /// A user name and a password, in `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicConfig>,
    /// A signature of the request itself, by a key of the consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureConfig>,
    /// A service that is asked whether a request may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<ForwardAuthConfig>,
}

impl MethodsConfig {
    /// The files that they name.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.0.values().flat_map(|method| {
            let keys = method.api_key.iter().filter_map(|method| method.keys_file.clone());
            keys.chain(method.jwt.iter().flat_map(JwtConfig::files))
        })
    }
}

/// The certificate that the client shows when it connects. Consumers say which are theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "an empty map, {}", deny_unknown_fields)]
pub struct MtlsConfig {}

/// A key in a header of the request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { header: x-api-key }", deny_unknown_fields, default)]
pub struct ApiKeyConfig {
    /// The header that holds the key. It is removed before the upstream sees the request. Default:
    /// `x-api-key`.
    pub header: String,
    /// A file with more keys, one in a line: `sha256:<64 hex digits> CONSUMER [expires=TIME]
    /// [disabled] [plan=NAME] [groups=NAME,NAME]`. Blank lines and what follows a `#` are skipped. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
}

impl Default for ApiKeyConfig {
    fn default() -> Self {
        Self { header: "x-api-key".to_owned(), keys_file: None }
    }
}

/// Who may call, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ConsumersConfig(pub BTreeMap<String, ConsumerConfig>);

/// Somebody who may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { api_keys: [ \"sha256:...\" ] }", deny_unknown_fields, default)]
pub struct ConsumerConfig {
    /// The digests of its keys. `portcullis key new` makes a key. Default: none.
    pub api_keys: ApiKeysConfig,
    /// Its certificates, by `sha256:FINGERPRINT`, `subject:CN=...,O=...`, `cn:NAME`, or an alternative name such as
    /// `dns:NAME` or `uri:URI`. Default: none.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub certificates: OneOrMany,
    /// Its user name and the digest of its password. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<UserConfig>,
    /// The keys that it signs requests with. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signature_keys: Vec<SignatureKeyConfig>,
    /// The groups it belongs to, for `allow`. Default: none.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub groups: OneOrMany,
    /// Whether all its keys are refused. Default: false.
    pub disabled: bool,
    /// The name of its plan, which says how often it may call. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

impl ConsumerConfig {
    /// Whether it says how the consumer could prove who it is.
    #[must_use]
    pub fn has_credential(&self) -> bool {
        let Self { api_keys, certificates, basic, signature_keys, .. } = self;
        let keys = api_keys.0.is_empty() && signature_keys.is_empty();
        !keys || !certificates.is_empty() || basic.is_some()
    }
}

/// A list of keys; a single one may stand without the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ApiKeysConfig(pub Vec<KeyConfig>);

/// One key: its digest, or a map with its digest and more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyConfig {
    /// The digest, or why what stands there is none.
    pub digest: Result<Digest, InvalidDigest>,
    /// From when on the key is refused (RFC 3339). Default: never.
    pub expires: Option<String>,
    /// Whether the key is refused. Default: false.
    pub disabled: bool,
}

impl KeyConfig {
    fn bare(digest: Result<Digest, InvalidDigest>) -> Self {
        Self { digest, expires: None, disabled: false }
    }
}

/// What a route demands of who calls it: `none`, the name of a method, or a list of names of which
/// one suffices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAuth {
    /// Everybody may call.
    None,
    /// Whoever is known to one of these methods may call.
    AnyOf(Vec<String>),
    /// Whoever is known to each of these methods may call.
    AllOf(Vec<String>),
}

/// Who of those that are known may call a route. Whoever is named by `consumers` or `groups`, if one of these is
/// there, and whose token says what `require` demands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { consumers: [ partner ] }", deny_unknown_fields, default)]
pub struct Allow {
    /// The names of consumers. Default: all, or those of `groups`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<OneOrMany>,
    /// Names of groups, whose consumers may call. Default: all, or those of `consumers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<OneOrMany>,
    /// What the caller's token must say: claims with a word that each must hold, or a list of words of which it must
    /// hold one, such as `{ scope: orders:write }`. Default: nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, OneOrMany>,
    /// Whether all this is only found out and told, and nobody refused. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
}

impl Allow {
    /// Who is named: consumers, and groups after the word `group`; none if nobody is.
    #[must_use]
    pub fn callers(&self) -> Option<Vec<String>> {
        if self.consumers.is_none() && self.groups.is_none() {
            return None;
        }
        let consumers = self.consumers.iter().flat_map(|names| names.0.iter().cloned());
        let groups = self.groups.iter().flat_map(|names| &names.0);
        Some(consumers.chain(groups.map(|name| format!("group {name}"))).collect())
    }
}

/// Takes the digest's place whatever was written, so that serde has no value to complain about.
struct DigestVisitor;

impl de::Visitor<'_> for DigestVisitor {
    type Value = Result<Digest, InvalidDigest>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest, `sha256:` and 64 hexadecimal digits")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.parse())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Err(InvalidDigest::Plaintext))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Err(InvalidDigest::Plaintext))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Err(InvalidDigest::Plaintext))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Self::Value, E> {
        Ok(Err(InvalidDigest::Plaintext))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Err(InvalidDigest::Plaintext))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err(InvalidDigest::Plaintext))
    }
}

/// A [`DigestVisitor`] as a seed.
struct WrittenDigest;

impl<'de> de::DeserializeSeed<'de> for WrittenDigest {
    type Value = Result<Digest, InvalidDigest>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(DigestVisitor)
    }
}

/// Reads a bare digest or a map around it.
struct KeyVisitor;

macro_rules! bare_scalars {
    ($value:ty, $wrap:expr) => {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<$value, E> {
            DigestVisitor.visit_str(text).map($wrap)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<$value, E> {
            DigestVisitor.visit_u64(number).map($wrap)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<$value, E> {
            DigestVisitor.visit_i64(number).map($wrap)
        }

        fn visit_u128<E: de::Error>(self, number: u128) -> Result<$value, E> {
            DigestVisitor.visit_u128(number).map($wrap)
        }

        fn visit_i128<E: de::Error>(self, number: i128) -> Result<$value, E> {
            DigestVisitor.visit_i128(number).map($wrap)
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<$value, E> {
            DigestVisitor.visit_f64(number).map($wrap)
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<$value, E> {
            DigestVisitor.visit_bool(value).map($wrap)
        }
    };
}

impl<'de> de::Visitor<'de> for KeyVisitor {
    type Value = KeyConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest, or a map with `digest`, `expires` and `disabled`")
    }

    bare_scalars!(KeyConfig, KeyConfig::bare);

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<KeyConfig, A::Error> {
        let mut digest = None;
        let mut key = KeyConfig::bare(Err(InvalidDigest::Plaintext));
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "digest" => digest = Some(map.next_value_seed(WrittenDigest)?),
                "expires" => key.expires = map.next_value()?,
                "disabled" => key.disabled = map.next_value()?,
                // The name is not repeated: it may be a key that slipped into its place.
                _ => {
                    return Err(de::Error::custom(
                        "there is an unknown key beside the digest (known here: digest, disabled, expires)",
                    ));
                }
            }
        }
        key.digest = digest.ok_or_else(|| de::Error::missing_field("digest"))?;
        Ok(key)
    }
}

impl<'de> Deserialize<'de> for KeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

impl Serialize for KeyConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let digest = self.digest.map_or_else(|_| "***".to_owned(), |digest| digest.to_string());
        if self.expires.is_none() && !self.disabled {
            return serializer.serialize_str(&digest);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("digest", &digest)?;
        if let Some(expires) = &self.expires {
            map.serialize_entry("expires", expires)?;
        }
        if self.disabled {
            map.serialize_entry("disabled", &true)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ApiKeysConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> de::Visitor<'de> for KeysVisitor {
            type Value = ApiKeysConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of digests")
            }

            bare_scalars!(ApiKeysConfig, |digest| ApiKeysConfig(vec![KeyConfig::bare(digest)]));

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<ApiKeysConfig, A::Error> {
                let list = de::value::SeqAccessDeserializer::new(seq);
                Vec::deserialize(list).map(ApiKeysConfig)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ApiKeysConfig, A::Error> {
                KeyVisitor.visit_map(map).map(|key| ApiKeysConfig(vec![key]))
            }
        }

        deserializer.deserialize_any(KeysVisitor)
    }
}

/// `{ all: [ key, cert ] }`
#[derive(Deserialize, Serialize)]
#[serde(expecting = "a map such as { all: [ key, cert ] }", deny_unknown_fields)]
struct AllOf {
    all: Vec<String>,
}

impl<'de> Deserialize<'de> for RouteAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AuthVisitor;

        impl<'de> de::Visitor<'de> for AuthVisitor {
            type Value = RouteAuth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`none`, the name of an auth method, a list of them, or { all: [ ... ] }",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RouteAuth, E> {
                Ok(match text {
                    "none" => RouteAuth::None,
                    name => RouteAuth::AnyOf(vec![name.to_owned()]),
                })
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<RouteAuth, A::Error> {
                let list = de::value::SeqAccessDeserializer::new(seq);
                Vec::deserialize(list).map(RouteAuth::AnyOf)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<RouteAuth, A::Error> {
                let map = de::value::MapAccessDeserializer::new(map);
                AllOf::deserialize(map).map(|all| RouteAuth::AllOf(all.all))
            }
        }

        deserializer.deserialize_any(AuthVisitor)
    }
}

impl Serialize for RouteAuth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::AnyOf(names) => match &**names {
                [one] if one != "none" => serializer.serialize_str(one),
                names => names.serialize(serializer),
            },
            Self::AllOf(names) => AllOf { all: names.clone() }.serialize(serializer),
        }
    }
}

impl JsonSchema for RouteAuth {
    fn schema_name() -> Cow<'static, str> {
        "RouteAuth".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Who may call: `none` for everybody, the name of an auth method, a list of names \
                            of which one suffices, or `all` with a list of names that each must know the caller.",
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["all"],
                    "properties": { "all": { "description": "The names.", "type": "array", "items": { "type": "string" }, "minItems": 1 } },
                },
            ],
            "examples": ["none", "key"],
        })
    }
}

impl JsonSchema for KeyConfig {
    fn schema_name() -> Cow<'static, str> {
        "KeyConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let digest = || {
            json_schema!({
                "type": "string",
                "description": "The SHA-256 digest of a key, as `portcullis key new` prints it.",
                "pattern": "^sha256:[0-9a-fA-F]{64}$",
            })
        };
        json_schema!({
            "description": "The digest of a key, or a map with the digest and when it ends.",
            "oneOf": [
                digest(),
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["digest"],
                    "properties": {
                        "digest": digest(),
                        "expires": {
                            "type": "string",
                            "format": "date-time",
                            "description": "From when on the key is refused. Default: never.",
                        },
                        "disabled": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether the key is refused. Default: false.",
                        },
                    },
                },
            ],
        })
    }
}

impl JsonSchema for ApiKeysConfig {
    fn schema_name() -> Cow<'static, str> {
        "ApiKeysConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<KeyConfig>();
        json_schema!({
            "description": "The digests of keys; a single one may stand without the list.",
            "anyOf": [key.clone(), { "type": "array", "items": key }],
        })
    }
}

#[cfg(test)]
mod tests;
