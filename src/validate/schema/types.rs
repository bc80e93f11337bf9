//! What a text may stand for, by the schema that it is held to.

use serde_json::Value;

/// So deep are references and alternatives looked into.
const DEEPEST: usize = 16;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::validate) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// Kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::validate) struct Types(u8);

impl Types {
    pub(in crate::validate) const ALL: Self = Self(0x7F);
    const NONE: Self = Self(0);

    const fn one(kind: Type) -> Self {
        Self(1 << kind as u8)
    }

    /// Whether a kind is one of them.
    pub(in crate::validate) const fn has(self, kind: Type) -> bool {
        self.0 & Self::one(kind).0 != 0
    }

    fn named(name: &Value) -> Self {
        match name.as_str() {
            Some("null") => Self::one(Type::Null),
            Some("boolean") => Self::one(Type::Boolean),
            Some("integer") => Self::one(Type::Integer),
            Some("number") => Self(Self::one(Type::Number).0 | Self::one(Type::Integer).0),
            Some("string") => Self::one(Type::String),
            Some("array") => Self::one(Type::Array),
            Some("object") => Self::one(Type::Object),
            _ => Self::NONE,
        }
    }

    fn of_value(value: &Value) -> Self {
        Self::named(&Value::from(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }))
    }
}

/// What a text may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::validate) struct Shape {
    /// The kinds of values that may fit.
    pub(in crate::validate) types: Types,
    /// Those of a list's items.
    pub(in crate::validate) items: Types,
    /// Those of a map's members, by their names.
    pub(in crate::validate) members: Vec<(Box<str>, Shape)>,
}

impl Shape {
    /// The shape of a schema whose references lead to its own definitions.
    pub(super) fn of(schema: &Value) -> Self {
        let reader = Reader { root: schema };
        let mut shape = reader.shape(schema, 0);
        let mut members = Vec::new();
        reader.members(schema, 0, &mut members);
        shape.members = members;
        shape
    }

    /// The shape of a member.
    pub(in crate::validate) fn member(&self, name: &str) -> Option<&Self> {
        self.members.iter().find(|(known, _)| **known == *name).map(|(_, shape)| shape)
    }
}

struct Reader<'s> {
    root: &'s Value,
}

impl<'s> Reader<'s> {
    fn shape(&self, schema: &'s Value, depth: usize) -> Shape {
        let types = self.types(schema, depth);
        let items = self.first(schema, "items", depth);
        let items = items.map_or(Types::ALL, |items| self.types(items, depth + 1));
        Shape { types, items, members: Vec::new() }
    }

    fn target(&self, schema: &'s Value) -> Option<&'s Value> {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }

    /// The parts of a schema that hold the same value.
    fn parts(schema: &'s Value, key: &str) -> impl Iterator<Item = &'s Value> + use<'s> {
        schema.get(key).and_then(Value::as_array).into_iter().flatten()
    }

    fn types(&self, schema: &'s Value, depth: usize) -> Types {
        if depth > DEEPEST {
            return Types::ALL;
        }
        let mut types = match schema.get("type") {
            Some(Value::Array(names)) => {
                names.iter().fold(Types::NONE, |all, name| Types(all.0 | Types::named(name).0))
            }
            Some(name) => Types::named(name),
            None => Types::ALL,
        };
        if let Some(Value::Array(values)) = schema.get("enum") {
            let of = values.iter().fold(0, |all, value| all | Types::of_value(value).0);
            types.0 &= of;
        }
        if let Some(value) = schema.get("const") {
            types.0 &= Types::of_value(value).0;
        }
        if let Some(target) = self.target(schema) {
            types.0 &= self.types(target, depth + 1).0;
        }
        for part in Self::parts(schema, "allOf") {
            types.0 &= self.types(part, depth + 1).0;
        }
        for key in ["anyOf", "oneOf"] {
            if schema.get(key).is_some() {
                let any = Self::parts(schema, key);
                types.0 &= any.fold(0, |all, part| all | self.types(part, depth + 1).0);
            }
        }
        types
    }

    /// What stands below a key, here or in a part.
    fn first(&self, schema: &'s Value, key: &str, depth: usize) -> Option<&'s Value> {
        if depth > DEEPEST {
            return None;
        }
        let here = schema.get(key).or_else(|| self.first(self.target(schema)?, key, depth + 1));
        here.or_else(|| {
            let mut parts = ["allOf", "anyOf", "oneOf"].into_iter();
            parts.find_map(|list| {
                Self::parts(schema, list).find_map(|part| self.first(part, key, depth + 1))
            })
        })
    }

    fn members(&self, schema: &'s Value, depth: usize, found: &mut Vec<(Box<str>, Shape)>) {
        if depth > DEEPEST {
            return;
        }
        for (name, member) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            if !found.iter().any(|(known, _)| **known == **name) {
                found.push((name.as_str().into(), self.shape(member, depth + 1)));
            }
        }
        if let Some(target) = self.target(schema) {
            self.members(target, depth + 1, found);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for part in Self::parts(schema, key) {
                self.members(part, depth + 1, found);
            }
        }
    }
}
