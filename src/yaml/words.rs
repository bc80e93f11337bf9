//! From an error to the sentence and the help that a person reads.

use super::error::{Fault, Spot};
use super::node::{Kind, NodeId, Scalar, Tree, Typed};
use crate::diagnostic::{Step, did_you_mean};

/// What is wrong, and how to mend it.
pub(super) fn tell(tree: &Tree, spot: Spot, fault: &Fault) -> (String, String) {
    match fault {
        Fault::UnknownKey { key, known } => unknown_key(key, known),
        Fault::MissingKey(key) => missing_key(tree, spot.node(), key),
        Fault::WrongType { expected } => {
            let expected = plain_words(expected);
            if let (Spot::Key(_), Some(entry)) = (spot, tree.entry(spot.node())) {
                return (
                    format!("the key \"{}\" is not accepted: expected {expected}", entry.key),
                    format!("write {expected} as the key"),
                );
            }
            (
                format!("expected {expected}, found {}", found(tree, spot, &expected)),
                type_help(tree, spot, &expected),
            )
        }
        Fault::WrongValue { found, expected } => {
            let expected = plain_words(expected);
            if expected.ends_with("or more")
                && found.bytes().all(|b| b.is_ascii_digit())
                && found != "0"
            {
                return (format!("{found} is too large"), "write a smaller number".to_owned());
            }
            let number = found.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            let what = if number { "out of range" } else { "not accepted" };
            (format!("{found} is {what}: expected {expected}"), format!("write {expected} here"))
        }
        Fault::WrongLength { length, expected } => {
            let expected = plain_words(expected);
            (format!("expected {expected}, found {length}"), "add or remove items".to_owned())
        }
        Fault::UnknownVariant { found, known } => {
            let thing = if matches!(spot, Spot::Key(_)) { "key" } else { "value" };
            (format!("unknown {thing} \"{found}\""), did_you_mean(found, known.iter().copied()))
        }
        Fault::Custom(text) => split(text),
        Fault::Reported => (String::new(), String::new()),
    }
}

/// A key that the map does not know.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> (String, String) {
    let help = if known.is_empty() {
        "remove it: no keys may stand here".to_owned()
    } else {
        did_you_mean(key, known.iter().copied())
    };
    (format!("unknown key \"{key}\""), help)
}

fn missing_key(tree: &Tree, id: NodeId, key: &str) -> (String, String) {
    let help = match tree.at(id).steps().last() {
        None => format!("add \"{key}: ...\" to the file"),
        Some(Step::Key(parent)) => format!("add \"{key}: ...\" below \"{parent}\""),
        Some(Step::Index(_)) => format!("add \"{key}: ...\" to this item"),
    };
    (format!("the key \"{key}\" is missing"), help)
}

/// `what (help)` in its two parts.
fn split(text: &str) -> (String, String) {
    match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((what, help)) => (what.to_owned(), help.to_owned()),
        None => (text.to_owned(), "correct the value, or remove the key".to_owned()),
    }
}

/// Rust's and serde's words for types in the words of the documentation.
fn plain_words(expected: &str) -> String {
    let (nonzero, name) = match expected.strip_prefix("a nonzero ") {
        Some(name) => (true, name),
        None => (false, expected),
    };
    let from = if nonzero { "1" } else { "0" };
    let bounded = |most: u64| format!("a whole number from {from} to {most}");
    match name {
        "u8" => bounded(u8::MAX.into()),
        "u16" => bounded(u16::MAX.into()),
        // Nobody recognises the largest of these.
        "u32" | "u64" | "u128" | "usize" => format!("a whole number, {from} or more"),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "path string" => "a path".to_owned(),
        "unit" => "nothing".to_owned(),
        _ if name.starts_with("struct ") => "a map".to_owned(),
        _ if name.starts_with("enum ") => "one of its words".to_owned(),
        _ => {
            let size = name
                .strip_prefix("a tuple of size ")
                .or_else(|| name.strip_prefix("an array of length "))
                .or_else(|| name.strip_prefix("an array of size "));
            size.map_or_else(|| expected.to_owned(), |size| format!("a list of {size} items"))
        }
    }
}

/// What stands there; never the text itself, which may be a secret in the wrong place.
fn found(tree: &Tree, spot: Spot, expected: &str) -> String {
    match &tree.get(spot.node()).kind {
        Kind::Map(_) => "a map".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Scalar(Scalar { origin: Some(origin), .. }) => {
            format!("the value of {}", origin.names)
        }
        Kind::Scalar(scalar) => match scalar.typed {
            Typed::Null => "nothing",
            Typed::Bool(true) => "true",
            Typed::Bool(false) => "false",
            Typed::Float(_) if expected.contains("whole") => {
                "a number that is not whole, or too large"
            }
            Typed::Unsigned(_) | Typed::Signed(_) | Typed::Float(_) => "a number",
            Typed::Text => "text",
        }
        .to_owned(),
    }
}

fn type_help(tree: &Tree, spot: Spot, expected: &str) -> String {
    let other = || format!("write {expected} here");
    let number = expected.contains("number");
    let kind = &tree.get(spot.node()).kind;
    match (expected, kind) {
        (_, Kind::Scalar(Scalar { origin: Some(origin), .. })) => {
            format!("check what {} holds; this message does not show it", origin.names)
        }
        (_, Kind::Scalar(Scalar { typed: Typed::Null, plain: true, .. })) => {
            "write a value, or remove the key".to_owned()
        }
        ("true or false", Kind::Scalar(s)) if switch(&s.text) => "write true or false".to_owned(),
        ("true or false", Kind::Scalar(s)) if !s.plain && boolean(&s.text).is_some() => {
            "remove the quotes".to_owned()
        }
        (_, Kind::Scalar(s)) if number && !s.plain && s.text.parse::<f64>().is_ok() => {
            "remove the quotes".to_owned()
        }
        ("a list", Kind::Scalar(_)) => "write it as a list: [ value ]".to_owned(),
        ("a list", Kind::Map(_)) => "begin each item with \"- \"".to_owned(),
        ("a map", Kind::List(_)) => {
            "write \"name: value\" instead of \"- value\": what stands here has names".to_owned()
        }
        ("a map", _) => "write \"key: value\" on the lines below, or { key: value }".to_owned(),
        ("text", Kind::List(_) | Kind::Map(_)) => {
            "write one value; put it in quotes if it begins with { or [".to_owned()
        }
        _ if number => format!("write {expected}, such as 10"),
        _ => other(),
    }
}

/// Words that older YAML took for booleans.
fn switch(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// YAML's spellings of booleans.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
