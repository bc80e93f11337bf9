//! What the three services hold: the names and types of their fields, and the data they start with.

use serde_json::{Map, Value, json};

/// One of the demo's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users at `/`, for a route that strips its prefix.
    Users,
    /// Orders at `/`, for a route that strips its prefix.
    Orders,
    /// Products at `/products`, for a route that strips what stands before.
    Products,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    /// A whole number of at least one.
    Count,
    /// A number of at least zero.
    Amount,
}

impl Type {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Count => value.as_u64().is_some_and(|number| number > 0),
            Self::Amount => value.as_f64().is_some_and(|number| number >= 0.0),
        }
    }

    /// What a field of this type must be, in words.
    const fn rule(self) -> &'static str {
        match self {
            Self::Text => "must be a string that is not empty",
            Self::Count => "must be a whole number of at least 1",
            Self::Amount => "must be a number of at least 0",
        }
    }

    /// The type in JSON Schema.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string", "minLength": 1 }),
            Self::Count => json!({ "type": "integer", "minimum": 1 }),
            Self::Amount => json!({ "type": "number", "minimum": 0 }),
        }
    }
}

impl Kind {
    /// What one of them is called.
    pub(super) const fn one(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Orders => "order",
            Self::Products => "product",
        }
    }

    /// What many of them are called.
    pub(super) const fn many(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Orders => "orders",
            Self::Products => "products",
        }
    }

    /// The path before `/` and `/{id}`.
    pub(super) const fn base(self) -> &'static str {
        match self {
            Self::Users | Self::Orders => "",
            Self::Products => "/products",
        }
    }

    /// The fields, all of them required.
    pub(super) const fn fields(self) -> &'static [(&'static str, Type)] {
        match self {
            Self::Users => &[("name", Type::Text), ("email", Type::Text)],
            Self::Orders => {
                &[("user", Type::Count), ("product", Type::Count), ("quantity", Type::Count)]
            }
            Self::Products => &[("name", Type::Text), ("price", Type::Amount)],
        }
    }

    /// The data to start with; ids count from 1.
    pub(super) fn seed(self) -> Vec<Value> {
        match self {
            Self::Users => vec![
                json!({ "name": "Ada Lovelace", "email": "ada@example.com" }),
                json!({ "name": "Alan Turing", "email": "alan@example.com" }),
                json!({ "name": "Grace Hopper", "email": "grace@example.com" }),
            ],
            Self::Orders => vec![
                json!({ "user": 1, "product": 2, "quantity": 1 }),
                json!({ "user": 2, "product": 1, "quantity": 3 }),
                json!({ "user": 1, "product": 3, "quantity": 2 }),
            ],
            Self::Products => vec![
                json!({ "name": "Portable drawbridge", "price": 1499.0 }),
                json!({ "name": "Iron chain, 10 m", "price": 89.5 }),
                json!({ "name": "Oak gate", "price": 640.0 }),
            ],
        }
    }

    /// The fields out of `value`, in their order, or what is wrong with them. Others are left aside.
    pub(super) fn parse(self, value: &Value) -> Result<Map<String, Value>, Vec<Value>> {
        let mut fields = Map::new();
        let mut wrong = Vec::new();
        for (name, kind) in self.fields() {
            match value.get(name) {
                Some(field) if kind.admits(field) => {
                    fields.insert((*name).to_owned(), field.clone());
                }
                Some(_) => wrong.push(json!({ "field": name, "problem": kind.rule() })),
                None => wrong.push(json!({ "field": name, "problem": "is required" })),
            }
        }
        if wrong.is_empty() { Ok(fields) } else { Err(wrong) }
    }
}
