//! A setting that is `none`, or a map that says how.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Toggled;

/// Whether something holds, and if so, how. Other than with a [`Toggle`](super::Toggle), there is no way to say it
/// without the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrNone<C> {
    /// It does not, whatever stands further away.
    None,
    /// It does, like this.
    On(C),
}

impl<C> OrNone<C> {
    /// How, if it holds.
    #[must_use]
    pub const fn on(&self) -> Option<&C> {
        match self {
            Self::None => None,
            Self::On(how) => Some(how),
        }
    }
}

impl<'de, C: Toggled + Deserialize<'de>> Deserialize<'de> for OrNone<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<C>(PhantomData<C>);

        impl<'de, C: Toggled + Deserialize<'de>> de::Visitor<'de> for Visitor<C> {
            type Value = OrNone<C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "none, or a map such as {}", C::EXAMPLE)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<OrNone<C>, E> {
                match (word, C::UNSAID) {
                    ("none", _) => Ok(OrNone::None),
                    (other, Some(unsaid)) => {
                        let example = C::EXAMPLE;
                        Err(E::custom(format!(
                            "{other:?} does not say {unsaid} (write {example}, or none)"
                        )))
                    }
                    (other, None) => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<OrNone<C>, A::Error> {
                C::deserialize(MapAccessDeserializer::new(map)).map(OrNone::On)
            }
        }

        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

impl<C: Serialize> Serialize for OrNone<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::On(how) => how.serialize(serializer),
        }
    }
}

impl<C: Toggled + JsonSchema> JsonSchema for OrNone<C> {
    fn schema_name() -> Cow<'static, str> {
        C::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let how = generator.subschema_for::<C>();
        json_schema!({ "description": C::SAYS, "oneOf": [{ "const": "none" }, how] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct How {
        size: u8,
    }

    impl Toggled for How {
        const NAME: &'static str = "How";
        const SAYS: &'static str = "How it is.";
        const EXAMPLE: &'static str = "{ size: 1 }";
    }

    #[derive(Debug, Deserialize)]
    struct Told;

    impl Toggled for Told {
        const NAME: &'static str = "Told";
        const SAYS: &'static str = "What is told.";
        const EXAMPLE: &'static str = "{ a: b }";
        const UNSAID: Option<&'static str> = Some("to whom");
    }

    #[test]
    fn it_is_none_or_a_map_and_nothing_else() {
        for (text, setting, written) in [
            ("none", OrNone::None, "none\n"),
            ("{ size: 7 }", OrNone::On(How { size: 7 }), "size: 7\n"),
        ] {
            let read: OrNone<How> = serde_yaml::from_str(text).expect(text);
            assert_eq!(read, setting);
            assert_eq!(serde_yaml::to_string(&read).expect("text"), written);
        }
        for text in ["no", "true", "{}", "{ sise: 1 }"] {
            assert!(serde_yaml::from_str::<OrNone<How>>(text).is_err(), "{text}");
        }
        let told = serde_yaml::from_str::<OrNone<How>>("no").expect_err("a word").to_string();
        assert!(told.contains("none, or a map such as { size: 1 }"), "{told}");
        let told = serde_yaml::from_str::<OrNone<Told>>("no").expect_err("a word").to_string();
        assert!(told.contains("\"no\" does not say to whom (write { a: b }, or none)"), "{told}");
    }
}
