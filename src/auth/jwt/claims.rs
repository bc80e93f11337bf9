//! What a token says, and what of it is checked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a verified token says of its bearer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims(pub(super) Map<String, Value>);

impl From<&BTreeMap<String, Value>> for Claims {
    fn from(claims: &BTreeMap<String, Value>) -> Self {
        Self(claims.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl Claims {
    /// These, and of others what is not among them.
    pub(in crate::auth) fn and(&self, others: &Self) -> Self {
        let all = others.0.iter().chain(&self.0);
        Self(all.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The claim of this name; if there is none, the one that the name's parts lead to, separated by dots.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let first = self.0.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.as_object()?.get(part))
    }

    /// Whether a claim holds this word: it is the word, a list with it, or, for `scope` and `scp`, a text with it
    /// between spaces.
    #[must_use]
    pub fn holds(&self, name: &str, word: &str) -> bool {
        match self.get(name) {
            Some(Value::String(text)) if matches!(name, "scope" | "scp") => {
                text.split(' ').any(|scope| scope == word)
            }
            Some(Value::Array(list)) => list.iter().any(|value| is(value, word)),
            Some(value) => is(value, word),
            None => false,
        }
    }

    /// Appends a claim as text: words as they are, numbers and truth values as JSON has them, lists of these
    /// separated by commas. What has a control character in it, and what is none of these, is nothing.
    pub fn write(&self, name: &str, out: &mut Vec<u8>) {
        let before = out.len();
        let done = match self.get(name) {
            Some(Value::Array(list)) => list.iter().enumerate().all(|(index, value)| {
                if index > 0 {
                    out.push(b',');
                }
                write(value, out)
            }),
            Some(value) => write(value, out),
            None => true,
        };
        if !done || out[before..].iter().any(u8::is_ascii_control) {
            out.truncate(before);
        }
    }
}

fn is(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text == word,
        Value::Bool(true) => word == "true",
        Value::Bool(false) => word == "false",
        Value::Number(number) => number.to_string() == word,
        _ => false,
    }
}

fn write(value: &Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bool(_) | Value::Number(_) => out.extend_from_slice(value.to_string().as_bytes()),
        _ => return false,
    }
    true
}
