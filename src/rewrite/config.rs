//! `request_headers` and `response_headers` as they stand in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Changes to the headers of a message. They are applied in this order: remove, rename, set, add.
/// Values may hold `${...}`, such as `${client.ip}`, `${path.id}` or `${header.user-agent}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { set: { X-Gateway: \"True\" } }", deny_unknown_fields, default)]
pub struct HeadersConfig {
    /// Headers that get exactly this value, whatever was there. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Values that are added to those that are there: one, or a list of them. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, HeaderValues>,
    /// Headers that are taken away. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Headers that get another name, as `OLD: NEW`. If OLD is there, its values replace those of NEW;
    /// if not, nothing happens. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
}

impl HeadersConfig {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.add.is_empty()
            && self.remove.is_empty()
            && self.rename.is_empty()
    }

    /// These changes on top of the defaults. A header that is named here, in whatever operation and
    /// case, is none of the defaults' business any more: their operations on it are left out.
    #[must_use]
    pub fn over(&self, defaults: &Self) -> Self {
        let ours: BTreeSet<String> = self.names().map(str::to_ascii_lowercase).collect();
        let free = |name: &str| !ours.contains(&name.to_ascii_lowercase());
        let mut merged = self.clone();
        merged.set.extend(entries(&defaults.set, |name, _| free(name)));
        merged.add.extend(entries(&defaults.add, |name, _| free(name)));
        merged.rename.extend(entries(&defaults.rename, |old, new| free(old) && free(new)));
        merged.remove.extend(defaults.remove.iter().filter(|name| free(name)).cloned());
        merged
    }

    /// All names that any operation speaks of, as written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let renamed = self.rename.iter().flat_map(|(old, new)| [old, new]);
        let written = self.set.keys().chain(self.add.keys());
        written.chain(&self.remove).chain(renamed).map(String::as_str)
    }
}

fn entries<V: Clone>(
    map: &BTreeMap<String, V>,
    keep: impl Fn(&str, &V) -> bool,
) -> Vec<(String, V)> {
    let kept = map.iter().filter(|(name, value)| keep(name, value));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// One value, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderValues(pub Vec<String>);

impl<'de> Deserialize<'de> for HeaderValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = HeaderValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in quotes, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderValues, E> {
                Ok(HeaderValues(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<HeaderValues, A::Error> {
                let list = de::value::SeqAccessDeserializer::new(seq);
                Vec::deserialize(list).map(HeaderValues)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for HeaderValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] => serializer.serialize_str(one),
            many => many.serialize(serializer),
        }
    }
}

impl JsonSchema for HeaderValues {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HeaderValues".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One value, or a list of them.",
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> HeadersConfig {
        serde_yaml::from_str(yaml).expect(yaml)
    }

    #[test]
    fn one_value_and_a_list_are_both_read_and_written_back() {
        for yaml in ["add:\n  X-A: a\n", "add:\n  X-A:\n  - a\n  - b\n"] {
            assert_eq!(serde_yaml::to_string(&read(yaml)).expect("yaml"), yaml);
        }
        assert!(serde_yaml::from_str::<HeadersConfig>("add: { X-A: 1 }").is_err());
        assert!(serde_yaml::from_str::<HeadersConfig>("put: { X-A: a }").is_err());
    }

    #[test]
    fn a_route_has_the_last_word_on_a_header_it_names() {
        let defaults = "{ set: { X-Gateway: \"True\", X-B: b }, add: { X-C: c }, \
                        remove: [ X-D ], rename: { X-E: X-F } }";
        for (route, merged) in [
            ("{}", defaults),
            (
                "{ set: { x-gateway: no } }",
                "{ set: { x-gateway: no, X-B: b }, add: { X-C: c }, remove: [ X-D ], rename: { X-E: X-F } }",
            ),
            (
                "{ remove: [ x-gateway, X-C ] }",
                "{ set: { X-B: b }, remove: [ x-gateway, X-C, X-D ], rename: { X-E: X-F } }",
            ),
            (
                "{ add: { x-d: d }, set: { x-f: f } }",
                "{ set: { X-Gateway: \"True\", X-B: b, x-f: f }, add: { X-C: c, x-d: d } }",
            ),
            (
                "{ rename: { X-B: X-Gateway } }",
                "{ add: { X-C: c }, remove: [ X-D ], rename: { X-B: X-Gateway, X-E: X-F } }",
            ),
        ] {
            assert_eq!(read(route).over(&read(defaults)), read(merged), "{route}");
        }
    }
}
