//! What is wrong with a value, in short words that never repeat the value.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use super::schema::escaped;
use crate::reply::{Fault, MOST_FAULTS};

/// The longest list of allowed values, or pattern, that is told, in bytes.
const LONGEST: usize = 120;
/// So deep are alternatives looked into.
const DEEPEST: usize = 8;

/// What the value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'p> {
    /// The body.
    Body,
    /// A parameter: where it stands, and its name.
    Parameter(&'static str, &'p str),
}

/// What is wrong with one request, as far as it is told.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, of: &Of<'_>, pointer: &str, detail: impl Into<Box<str>>) {
        if self.is_full() {
            return;
        }
        let parameter = match of {
            Of::Body => None,
            Of::Parameter(place, name) => Some((*place, (*name).into())),
        };
        let fault = Fault { parameter, pointer: pointer.into(), detail: detail.into() };
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST_FAULTS
    }

    pub(super) fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

/// Tells what a validator found.
pub(super) fn tell(error: &ValidationError<'_>, of: &Of<'_>, faults: &mut Faults) {
    tell_deep(error, of, faults, 0);
}

fn tell_deep(error: &ValidationError<'_>, of: &Of<'_>, faults: &mut Faults, depth: usize) {
    if faults.is_full() {
        return;
    }
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } if depth < DEEPEST => {
            match meant(context, at) {
                Meant::Types(names) => faults.add(of, at, format!("is not of type {names}")),
                Meant::One(errors) => {
                    for error in errors {
                        tell_deep(error, of, faults, depth + 1);
                    }
                }
                Meant::Unclear => faults.add(of, at, words(error.kind())),
            }
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            faults.add(of, &below(at, name), "is missing");
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                faults.add(of, &below(at, name), "is not known here");
            }
        }
        kind => faults.add(of, at, words(kind)),
    }
}

/// Which of several alternatives was meant.
enum Meant<'e> {
    /// None of them, since the value is of none of their types.
    Types(String),
    /// The only one that is of the value's type.
    One(&'e [ValidationError<'static>]),
    /// That cannot be said.
    Unclear,
}

fn meant<'e>(context: &'e [Vec<ValidationError<'static>>], at: &str) -> Meant<'e> {
    let of_type = |errors: &[ValidationError<'static>]| {
        errors.iter().find_map(|error| match error.kind() {
            Kind::Type { kind } if error.instance_path().as_str() == at => Some(types(kind)),
            _ => None,
        })
    };
    let mut close = context.iter().filter(|errors| of_type(errors).is_none());
    match (close.next(), close.next()) {
        (None, _) => {
            let names: Vec<String> = context.iter().filter_map(|errors| of_type(errors)).collect();
            Meant::Types(names.join(" or "))
        }
        (Some(only), None) => Meant::One(only),
        _ => Meant::Unclear,
    }
}

/// The pointer to a member.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", escaped(name))
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(many) => {
            let mut names: Vec<&str> = many.iter().map(jsonschema::JsonType::as_str).collect();
            names.sort_by_key(|name| *name == "null");
            names.join(" or ")
        }
    }
}

/// What is wrong, for a sentence about it.
pub(super) fn of(kind: &Kind) -> String {
    words(kind)
}

fn words(kind: &Kind) -> String {
    let counted = |what: &str, limit: u64, one: &str, many: &str| {
        format!("has {what} {limit} {}", if limit == 1 { one } else { many })
    };
    match kind {
        Kind::Type { kind } => format!("is not of type {}", types(kind)),
        Kind::Enum { options } => listed("is none of", options),
        Kind::Constant { expected_value } => listed("is not", expected_value),
        Kind::Minimum { limit } => format!("is less than {limit}"),
        Kind::Maximum { limit } => format!("is more than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("is not more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("is not less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("is not a multiple of {multiple_of}"),
        Kind::MinLength { limit } => counted("fewer than", *limit, "character", "characters"),
        Kind::MaxLength { limit } => counted("more than", *limit, "character", "characters"),
        Kind::MinItems { limit } => counted("fewer than", *limit, "item", "items"),
        Kind::MaxItems { limit } => counted("more than", *limit, "item", "items"),
        Kind::AdditionalItems { limit } => counted("more than", *limit as u64, "item", "items"),
        Kind::MinProperties { limit } => counted("fewer than", *limit, "member", "members"),
        Kind::MaxProperties { limit } => counted("more than", *limit, "member", "members"),
        Kind::Pattern { pattern } if pattern.len() <= LONGEST => {
            format!("does not match the pattern {pattern}")
        }
        Kind::Pattern { .. } => "does not match the pattern".to_owned(),
        Kind::Format { format } => format!("is no {format}"),
        Kind::UniqueItems => "has an item twice".to_owned(),
        Kind::Contains => "has not the items that it must have".to_owned(),
        Kind::FalseSchema => "may not be there".to_owned(),
        Kind::Required { property } => {
            format!("has no member {}", property.as_str().unwrap_or_default())
        }
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => {
            "has members that are not known here".to_owned()
        }
        Kind::UnevaluatedItems { .. } => "has items that are not known here".to_owned(),
        Kind::PropertyNames { .. } => "has a member whose name does not fit".to_owned(),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            "fits none of the alternatives".to_owned()
        }
        Kind::OneOfMultipleValid { .. } => "fits more than one of the alternatives".to_owned(),
        Kind::Not { .. } => "is what it may not be".to_owned(),
        _ => "does not fit its schema".to_owned(),
    }
}

/// The values that would do, if they are few and short.
fn listed(before: &str, values: &Value) -> String {
    let text = match values {
        Value::Array(all) => all.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
        one => one.to_string(),
    };
    if text.len() <= LONGEST {
        format!("{before} {text}")
    } else {
        format!("{before} what it may be")
    }
}
