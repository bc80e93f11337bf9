//! From the text of a spec to a tree, within bounds: a spec comes from a service, and must not take the gateway
//! down, whatever it holds.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The longest text, in bytes.
pub const MOST_BYTES: usize = 10 << 20;
/// The most values in a tree, those that YAML's aliases repeat included.
pub const MOST_NODES: usize = 500_000;
/// The deepest nesting.
pub const MOST_DEPTH: usize = 100;

/// Why a text is no spec. The words are for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// More text than is read.
    #[error("it is larger than {} MiB", MOST_BYTES >> 20)]
    TooLarge,
    /// More values than are kept.
    #[error("it has more than {MOST_NODES} values")]
    TooManyNodes,
    /// Nested too deeply.
    #[error("it is nested more than {MOST_DEPTH} levels deep")]
    TooDeep,
    /// Neither JSON nor YAML.
    #[error("it is neither JSON nor YAML: {0}")]
    Syntax(String),
    /// A tree, but not of an API.
    #[error("it is no OpenAPI document: {0}")]
    NotOpenApi(String),
}

/// The tree of a text in JSON or YAML.
pub fn parse(text: &[u8]) -> Result<Value, SpecError> {
    if text.len() > MOST_BYTES {
        return Err(SpecError::TooLarge);
    }
    let text = std::str::from_utf8(text)
        .map_err(|_| SpecError::Syntax("it is not text in UTF-8".to_owned()))?;
    let text = text.trim_start_matches('\u{feff}');
    let budget = Budget::default();
    let seed = Node { budget: &budget, depth: 0 };
    let read = if text.trim_start().starts_with(['{', '[']) {
        let mut reader = serde_json::Deserializer::from_str(text);
        // The bound is our own, and told in our words.
        let tree = seed.deserialize(&mut reader);
        tree.and_then(|tree| reader.end().map(|()| tree)).map_err(|error| error.to_string())
    } else {
        seed.deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| error.to_string())
    };
    read.map_err(|error| {
        if error.contains("recursion limit") {
            return SpecError::TooDeep;
        }
        if error.contains("repetition limit") {
            return SpecError::TooManyNodes;
        }
        budget.exceeded.take().unwrap_or(SpecError::Syntax(error))
    })
}

/// What is left of the bounds.
#[derive(Default)]
struct Budget {
    nodes: Cell<usize>,
    exceeded: Cell<Option<SpecError>>,
}

/// A value to be read.
#[derive(Clone, Copy)]
struct Node<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl Node<'_> {
    fn enter<E: serde::de::Error>(self) -> Result<Self, E> {
        let nodes = self.budget.nodes.get() + 1;
        self.budget.nodes.set(nodes);
        let exceeded = if nodes > MOST_NODES {
            SpecError::TooManyNodes
        } else if self.depth > MOST_DEPTH {
            SpecError::TooDeep
        } else {
            return Ok(Self { depth: self.depth + 1, ..self });
        };
        let error = E::custom(&exceeded);
        self.budget.exceeded.set(Some(exceeded));
        Err(error)
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self.enter()?)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
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

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no infinity; the text is what is left of it.
        Ok(Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(self)? {
            // A status code is a number in YAML.
            let key = match key {
                Value::String(key) => key,
                Value::Number(_) | Value::Bool(_) => key.to_string(),
                _ => return Err(A::Error::custom("a key of a map is no text")),
            };
            map.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_yaml_are_told_apart() {
        let tree = json!({ "a": [1, null, true, "x"] });
        assert_eq!(parse(br#"{"a": [1, null, true, "x"]}"#), Ok(tree.clone()));
        assert_eq!(parse(b"a:\n  - 1\n  - null\n  - true\n  - x\n"), Ok(tree.clone()));
        assert_eq!(parse("\u{feff}{\"a\": [1, null, true, \"x\"]}".as_bytes()), Ok(tree));
        assert_eq!(parse(b"200: { no: yes }"), Ok(json!({ "200": { "no": "yes" } })));
        assert!(matches!(parse(b"{\"a\": 1} x"), Err(SpecError::Syntax(_))));
        assert!(matches!(parse(b"a: !tag x"), Err(SpecError::Syntax(_))));
        assert!(matches!(parse(b"\xff"), Err(SpecError::Syntax(_))));
        assert!(matches!(parse(b"<html><body>"), Ok(Value::String(_))));
    }

    #[test]
    fn what_is_too_much_ends_with_its_cause() {
        assert_eq!(parse(&vec![b' '; MOST_BYTES + 1]), Err(SpecError::TooLarge));
        let deep = "[".repeat(110) + &"]".repeat(110);
        assert_eq!(parse(deep.as_bytes()), Err(SpecError::TooDeep));
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), Err(SpecError::TooDeep));
        let deep = "- ".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), Err(SpecError::TooDeep));
        let wide = format!("[{}1]", "1,".repeat(MOST_NODES));
        assert_eq!(parse(wide.as_bytes()), Err(SpecError::TooManyNodes));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let line = format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
            bomb.push_str(&line);
        }
        assert_eq!(parse(bomb.as_bytes()), Err(SpecError::TooManyNodes));
        assert!(matches!(parse(b"a: &a [*a]"), Err(SpecError::Syntax(_) | SpecError::TooDeep)));
    }
}
