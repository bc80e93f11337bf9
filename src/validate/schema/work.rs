//! How much it can take to look for every fault of a value. Each branch of each alternative is gone through at each
//! level, so where a schema leads back to itself there may be twice as much to do for every further level.
//!
//! So a schema is unfolded, in numbers alone: how many schemas there are for a value of so many levels and all that is in
//! it. Each is held against each value once at most, and what is noted of a fault has the value in it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::gather::{ALONE, BY_NAME, IN_A_LIST, number_of};

/// So many schemas, each against one value, may be tried where all faults are looked for.
const MOST: u64 = 250_000;
/// So many levels of a value are reckoned with.
const MOST_LEVELS: usize = 32;
/// A text counts as one value, and as one more for so many bytes.
const BYTES: usize = 64;
/// What is below the value itself, and not beside it.
const BELOW: [&str; 9] = [
    "properties",
    "patternProperties",
    "prefixItems",
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// How many schemas there are for values of no, one, two and more levels.
#[derive(Debug)]
pub(super) struct Work {
    counts: Vec<u64>,
    /// Whether there are no more for values of still more levels.
    ends: bool,
}

/// How many schemas there are, and whether there are no more for values of more levels.
#[derive(Debug, Clone, Copy)]
struct Count(u64, bool);

impl Work {
    /// Of a schema that refers to nothing outside itself.
    pub(super) fn of(schema: &Value) -> Self {
        let none = Map::new();
        let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&none);
        let mut unfold = Unfold { definitions, known: Vec::new() };
        let (mut counts, mut ends) = (Vec::new(), false);
        while counts.len() < MOST_LEVELS && !ends && counts.last().is_none_or(|last| *last <= MOST)
        {
            let levels = counts.len();
            unfold.known.push(HashMap::new());
            let Count(count, end) = unfold.schema(schema, levels);
            counts.push(count);
            ends = end;
        }
        Self { counts, ends }
    }

    /// Whether every fault of a value may be looked for.
    pub(super) fn is_little(&self, value: &Value) -> bool {
        let mut size = 0;
        let levels = measure(value, &mut size);
        let last = self.counts.last().filter(|_| self.ends);
        let count = self.counts.get(levels).or(last);
        count.is_some_and(|count| count.saturating_mul(size) <= MOST)
    }
}

/// The levels of a value, and its size.
fn measure(value: &Value, size: &mut u64) -> usize {
    *size += 1;
    let text = |text: &str| u64::try_from(text.len() / BYTES).unwrap_or(u64::MAX);
    match value {
        Value::String(value) => {
            *size += text(value);
            0
        }
        Value::Array(items) => 1 + items.iter().map(|item| measure(item, size)).max().unwrap_or(0),
        Value::Object(members) => {
            let below = members.iter().map(|(name, member)| {
                *size += text(name);
                measure(member, size)
            });
            1 + below.max().unwrap_or(0)
        }
        _ => 0,
    }
}

struct Unfold<'s> {
    definitions: &'s Map<String, Value>,
    /// Of each definition, for values of so many levels; none while that is being found out.
    known: Vec<HashMap<&'s str, Option<Count>>>,
}

impl<'s> Unfold<'s> {
    fn schema(&mut self, schema: &'s Value, levels: usize) -> Count {
        let mut sum = Count(1, true);
        let Value::Object(members) = schema else { return sum };
        for (key, value) in members {
            let key = key.as_str();
            if key == "$ref" {
                let count = self.definition(value, levels);
                sum.add(count);
                continue;
            }
            let at = if BELOW.contains(&key) { levels.checked_sub(1) } else { Some(levels) };
            match value {
                Value::Object(named) if BY_NAME.contains(&key) => {
                    for one in named.values() {
                        sum.add(self.at(one, at));
                    }
                }
                Value::Array(listed) if IN_A_LIST.contains(&key) => {
                    for one in listed {
                        sum.add(self.at(one, at));
                    }
                }
                one if ALONE.contains(&key) => sum.add(self.at(one, at)),
                _ => {}
            }
        }
        sum
    }

    /// One below another; none are where the value ends.
    fn at(&mut self, schema: &'s Value, levels: Option<usize>) -> Count {
        levels.map_or(Count(0, false), |levels| self.schema(schema, levels))
    }

    fn definition(&mut self, reference: &'s Value, levels: usize) -> Count {
        let found = number_of(reference).and_then(|number| self.definitions.get_key_value(number));
        let Some((number, schema)) = found else { return Count(0, true) };
        match self.known[levels].get(number.as_str()) {
            Some(Some(count)) => *count,
            // It leads back to itself for the very same value.
            Some(None) => Count(u64::MAX, false),
            None => {
                self.known[levels].insert(number, None);
                let count = self.schema(schema, levels);
                self.known[levels].insert(number, Some(count));
                count
            }
        }
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
        self.1 &= other.1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_unfolded_as_far_as_a_value_goes() {
        let count = |schema: Value| Work::of(&schema);
        let flat = count(
            json!({ "type": "object", "properties": { "a": { "type": "integer" }, "b": true } }),
        );
        assert_eq!((&flat.counts[..], flat.ends), (&[1, 3][..], true));
        let tree = json!({ "type": "array", "items": { "$ref": "#/$defs/0" } });
        let tree = count(json!({ "$ref": "#/$defs/0", "$defs": { "0": tree } }));
        assert_eq!((&tree.counts[..4], tree.ends), (&[2, 4, 6, 8][..], false));
        let two = json!({ "anyOf": [{ "items": { "$ref": "#/$defs/0" } }, { "items": { "$ref": "#/$defs/0" } }] });
        let two = count(json!({ "$ref": "#/$defs/0", "$defs": { "0": two } }));
        assert_eq!(two.counts[..4], [4, 12, 28, 60]);
        assert!(two.counts.last().is_some_and(|last| *last > MOST) && !two.ends);
        let itself = json!({ "anyOf": [{ "$ref": "#/$defs/0" }, { "type": "string" }] });
        let itself = count(json!({ "$ref": "#/$defs/0", "$defs": { "0": itself } }));
        assert!(!itself.is_little(&json!(1)));
    }

    #[test]
    fn so_much_is_looked_for_and_no_more() {
        let schema = Work { counts: vec![10, 100, 1000], ends: true };
        assert!(schema.is_little(&json!([[vec![0; 240]]])));
        assert!(!schema.is_little(&json!([[vec![0; 260]]])));
        assert!(!schema.is_little(&json!([["x".repeat(64 * 260)]])));
        let endless = Work { counts: vec![10, 100, 1000], ends: false };
        assert!(endless.is_little(&json!([vec![0; 200]])));
        assert!(!endless.is_little(&json!([[[0]]])));
    }
}
