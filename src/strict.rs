//! JSON in which every member of an object has a name of its own.
//!
//! Of two members of one name some readers take the first and some the last (RFC 8259, section 4), so a token or a
//! body with two could say one thing here and another behind us.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What is said of two members of one name, to be told apart from what else can be wrong.
const TWICE: &str = "two members of one name";

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is no JSON, or has a number that is too large for every reader to hold.
    Syntax,
    /// Two members of one object have one name.
    Twice,
    /// Its values lie in one another more than 127 deep.
    Deep,
}

/// The value that a text is.
pub(crate) fn value(text: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice(text).map(|Strict(value)| value).map_err(|error| {
        let told = error.to_string();
        if told.starts_with(TWICE) {
            Unreadable::Twice
        } else if told.starts_with("recursion limit") {
            Unreadable::Deep
        } else {
            Unreadable::Syntax
        }
    })
}

/// A value without doubled members, at any depth.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrictVisitor;

        impl<'de> Visitor<'de> for StrictVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
                Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Strict(value)) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Value::Array(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut object = Map::new();
                while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
                    if object.insert(name, value).is_some() {
                        return Err(de::Error::custom(TWICE));
                    }
                }
                Ok(Value::Object(object))
            }
        }

        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

/// The object that a text is; none if it is anything else.
pub(crate) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match value(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_why_a_text_is_not_read() {
        for (text, why) in [
            ("{\"a\":1,\"a\":1}".to_owned(), Unreadable::Twice),
            ("[1,{\"\\u0061\":1,\"a\":2}]".to_owned(), Unreadable::Twice),
            ("[".repeat(128) + &"]".repeat(128), Unreadable::Deep),
            ("[1".to_owned(), Unreadable::Syntax),
            ("1e999".to_owned(), Unreadable::Syntax),
            ("\"\\ud800\"".to_owned(), Unreadable::Syntax),
            ("\u{feff}1".to_owned(), Unreadable::Syntax),
            (String::new(), Unreadable::Syntax),
        ] {
            assert_eq!(value(text.as_bytes()), Err(why), "{text}");
        }
        let deep = "[".repeat(127) + &"]".repeat(127);
        assert!(value(deep.as_bytes()).is_ok() && value(b" 18446744073709551615 ").is_ok());
    }

    #[test]
    fn members_are_told_apart_at_every_depth() {
        for text in [
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1,\"b\":2}}",
            "{\"a\":[{\"b\":1,\"\\u0062\":2}]}",
            "[]",
            "1",
            "{\"a\":1} x",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":1e999}",
            "",
        ] {
            assert!(object(text.as_bytes()).is_none(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_none());
        assert!(object("[".repeat(100_000).as_bytes()).is_none());
        let nested =
            object(b" {\"a\":[1,-2,0.5,null,true,{\"b\":\"c\"}],\"b\":{}} ").expect("sound");
        assert_eq!(
            Value::Object(nested).to_string(),
            "{\"a\":[1,-2,0.5,null,true,{\"b\":\"c\"}],\"b\":{}}"
        );
    }
}
