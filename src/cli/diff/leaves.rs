//! A part of the configuration as its single settings, so that two can be compared one by one.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::snapshot::Record;

/// Settings by their path, such as `timeouts.read`, with their values as shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaves(BTreeMap<String, String>);

impl Leaves {
    /// The settings of a part, without these keys at its top. Secrets show themselves as `***`, and what
    /// came from outside as its reference.
    pub fn of<T: Serialize>(part: &T, record: &Record, without: &[&str]) -> Self {
        let mut leaves = BTreeMap::new();
        if let Ok(Value::Object(fields)) = serde_json::to_value(part) {
            for (key, value) in fields.iter().filter(|(key, _)| !without.contains(&key.as_str())) {
                walk(key, value, record, &mut leaves);
            }
        }
        Self(leaves)
    }

    /// What changes until it is the other one.
    pub fn until(&self, other: &Self) -> Vec<String> {
        let changed = self.0.iter().filter_map(|(path, was)| match other.0.get(path) {
            None => Some(format!("{path} is gone (was {was})")),
            Some(is) if is != was => Some(format!("{path} {was} -> {is}")),
            Some(_) => None,
        });
        let new = other.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        changed.chain(new.map(|(path, is)| format!("{path} is {is}"))).collect()
    }
}

fn walk(path: &str, value: &Value, record: &Record, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                walk(&format!("{path}.{key}"), value, record, leaves);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            leaves.insert(path.to_owned(), record.mask(text));
        }
        other => {
            let text = record.mask(&other.to_string());
            leaves.insert(path.to_owned(), text);
        }
    }
}
