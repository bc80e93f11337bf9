//! A setting that is `true`, `false`, or a map that says how.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Whether something is on, and if so, how. `true` stands for the map with its defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Toggle<C> {
    /// It is not.
    #[default]
    Off,
    /// It is, like this.
    On(C),
}

/// The words of a [`Toggle`], or of an [`OrNone`](super::OrNone).
pub trait Toggled {
    /// Its name in the schema.
    const NAME: &'static str;
    /// What it says, for the schema.
    const SAYS: &'static str;
    /// A map as it might be written.
    const EXAMPLE: &'static str;
    /// What a single word other than those that are known does not say, where there is more to tell than that.
    const UNSAID: Option<&'static str> = None;
}

impl<C> Toggle<C> {
    /// Whether it is off.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// How, if it is on.
    #[must_use]
    pub const fn on(&self) -> Option<&C> {
        match self {
            Self::Off => None,
            Self::On(how) => Some(how),
        }
    }
}

impl<'de, C: Toggled + Default + Deserialize<'de>> Deserialize<'de> for Toggle<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<C>(PhantomData<C>);

        impl<'de, C: Toggled + Default + Deserialize<'de>> de::Visitor<'de> for Visitor<C> {
            type Value = Toggle<C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "true, false, or a map such as {}", C::EXAMPLE)
            }

            fn visit_bool<E>(self, on: bool) -> Result<Toggle<C>, E> {
                Ok(if on { Toggle::On(C::default()) } else { Toggle::Off })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Toggle<C>, A::Error> {
                C::deserialize(MapAccessDeserializer::new(map)).map(Toggle::On)
            }
        }

        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

impl<C: Default + PartialEq + Serialize> Serialize for Toggle<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On(how) if *how == C::default() => serializer.serialize_bool(true),
            Self::On(how) => how.serialize(serializer),
        }
    }
}

impl<C: Toggled + JsonSchema> JsonSchema for Toggle<C> {
    fn schema_name() -> Cow<'static, str> {
        C::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let how = generator.subschema_for::<C>();
        json_schema!({ "description": C::SAYS, "oneOf": [{ "type": "boolean" }, how] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
    #[serde(default, deny_unknown_fields)]
    struct How {
        size: u8,
    }

    impl Toggled for How {
        const NAME: &'static str = "How";
        const SAYS: &'static str = "How it is.";
        const EXAMPLE: &'static str = "{ size: 1 }";
    }

    #[test]
    fn it_is_read_and_written_in_its_shortest_form() {
        for (text, setting, written) in [
            ("true", Toggle::On(How { size: 0 }), "true\n"),
            ("{ size: 0 }", Toggle::On(How { size: 0 }), "true\n"),
            ("{ size: 7 }", Toggle::On(How { size: 7 }), "size: 7\n"),
            ("false", Toggle::Off, "false\n"),
        ] {
            let read: Toggle<How> = serde_yaml::from_str(text).expect(text);
            assert_eq!(read, setting);
            assert_eq!(serde_yaml::to_string(&read).expect("text"), written);
        }
        let error = serde_yaml::from_str::<Toggle<How>>("yes").expect_err("a word");
        let told = error.to_string();
        assert!(told.contains("true, false, or a map such as { size: 1 }"), "{told}");
        assert!(serde_yaml::from_str::<Toggle<How>>("{ sise: 1 }").is_err());
    }
}
