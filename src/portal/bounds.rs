//! What keeps the work with hostile documents small: a budget of values, and names that are made unique at once.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// How many values a tree has.
pub(super) fn values(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(values).sum(),
        _ => 0,
    }
}

/// Values that may still be copied.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) const fn of(values: usize) -> Self {
        Self(values)
    }

    /// Takes what a copy of this value costs. Whether there was enough; if not, nothing is left.
    pub(super) fn take(&mut self, value: &Value) -> bool {
        let enough = Self::count(value, &mut self.0);
        if !enough {
            self.0 = 0;
        }
        enough
    }

    fn count(value: &Value, left: &mut usize) -> bool {
        let Some(less) = left.checked_sub(1) else { return false };
        *left = less;
        match value {
            Value::Array(items) => items.iter().all(|item| Self::count(item, left)),
            Value::Object(fields) => fields.values().all(|field| Self::count(field, left)),
            _ => true,
        }
    }
}

/// Names of which no two are the same.
#[derive(Debug, Default)]
pub(super) struct Unique {
    taken: HashSet<String>,
    next: HashMap<String, usize>,
}

impl Unique {
    /// Keeps a name for itself.
    pub(super) fn keep(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// The name, with a number behind it if it is taken.
    pub(super) fn name(&mut self, wanted: String) -> String {
        if self.taken.insert(wanted.clone()) {
            return wanted;
        }
        // Counted on for each name, so that a thousand of one name need no million tries.
        let next = self.next.entry(wanted.clone()).or_insert(1);
        loop {
            *next += 1;
            let name = format!("{wanted}_{next}");
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_is_spent_once() {
        let mut budget = Budget::of(10);
        assert!(budget.take(&json!({ "a": [1, 2] })));
        assert!(budget.take(&json!([1, 2, 3, 4, 5])));
        assert!(!budget.take(&json!(1)));
        let mut budget = Budget::of(10);
        assert!(!budget.take(&json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])));
        assert!(!budget.take(&json!(1)), "what was too much ends it");
    }

    #[test]
    fn names_get_numbers() {
        let mut unique = Unique::default();
        unique.keep("a_3");
        let names: Vec<_> = (0..4).map(|_| unique.name("a".to_owned())).collect();
        assert_eq!(names, ["a", "a_2", "a_4", "a_5"]);
    }
}
