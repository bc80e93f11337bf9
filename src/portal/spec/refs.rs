//! References inside a document: `#/components/schemas/User` and the like (RFC 6901).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Where a reference leads, in the same document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(Vec<String>);

impl Target {
    /// None if it leads to another document, or is no JSON pointer.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let pointer = text.strip_prefix("#/")?;
        let step = |step: &str| {
            let bytes = crate::hygiene::decode(step);
            let step = String::from_utf8_lossy(&bytes).into_owned();
            step.replace("~1", "/").replace("~0", "~")
        };
        let mut steps: Vec<String> = pointer.split('/').map(step).collect();
        // Swagger 2 keeps its components elsewhere.
        let old = match (steps.len(), steps[0].as_str()) {
            (2.., "definitions") => Some("schemas"),
            (2.., "responses") => Some("responses"),
            (2.., "parameters") => Some("parameters"),
            _ => None,
        };
        if let Some(section) = old {
            steps.splice(0..1, ["components".to_owned(), section.to_owned()]);
        }
        Some(Self(steps))
    }

    /// The name of the component of this section that it leads to, if it does.
    pub(in crate::portal) fn component(&self, section: &str) -> Option<&str> {
        match &self.0[..] {
            [first, second, name] if first == "components" && second == section => Some(name),
            _ => None,
        }
    }

    /// Path and method, if it leads to an operation.
    pub(in crate::portal) fn operation(&self) -> Option<(&str, &str)> {
        match &self.0[..] {
            [first, path, method] if first == "paths" => Some((path, method)),
            _ => None,
        }
    }

    /// What stands there.
    pub(crate) fn find<'d>(&self, document: &'d Value) -> Option<&'d Value> {
        self.0.iter().try_fold(document, |value, step| match value {
            Value::Object(object) => object.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// A reference to a component, whose name needs no escaping.
pub(in crate::portal) fn to(section: &str, name: &str) -> String {
    format!("#/components/{section}/{name}")
}

/// Section and name of a component that a clean reference leads to.
pub(in crate::portal) fn component(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("#/components/")?.split_once('/')
}

/// Components that are nothing but references to one another in a circle have no content: `replace` gives them one.
pub(super) fn break_circles(
    section: &str,
    entries: &mut Map<String, Value>,
    replace: impl Fn(&mut Value),
) {
    let next = |entries: &Map<String, Value>, name: &str| {
        let text = entries.get(name)?.get("$ref")?.as_str()?;
        component(text).filter(|(other, _)| *other == section).map(|(_, name)| name.to_owned())
    };
    let mut sound = BTreeSet::new();
    let names: Vec<String> = entries.keys().cloned().collect();
    for name in names {
        let (mut seen, mut at) = (BTreeSet::new(), Some(name));
        while let Some(name) = at.take_if(|name| !sound.contains(name)) {
            if !seen.insert(name.clone()) {
                entries.get_mut(&name).into_iter().for_each(&replace);
                break;
            }
            at = next(entries, &name);
        }
        sound.extend(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pointers_are_read() {
        let target = Target::parse("#/paths/~1users~1%7Bid%7D/get").unwrap();
        assert_eq!(target.operation(), Some(("/users/{id}", "get")));
        let document = json!({ "paths": { "/users/{id}": { "get": 1 } }, "list": [1, 2] });
        assert_eq!(target.find(&document), Some(&json!(1)));
        assert_eq!(Target::parse("#/list/1").unwrap().find(&document), Some(&json!(2)));
        assert_eq!(Target::parse("#/list/x").unwrap().find(&document), None);
        assert_eq!(Target::parse("#/definitions/A").unwrap().component("schemas"), Some("A"));
        assert_eq!(Target::parse("other.json#/A"), None);
        assert_eq!(Target::parse("#anchor"), None);
    }

    #[test]
    fn circles_get_a_content() {
        let to = |name: &str| json!({ "$ref": to("schemas", name) });
        let mut entries = json!({
            "A": to("B"), "B": to("C"), "C": to("A"), "D": to("A"), "E": to("F"), "F": {}, "G": to("G")
        });
        let entries = entries.as_object_mut().unwrap();
        break_circles("schemas", entries, |value| *value = json!({ "broken": true }));
        let broken: Vec<_> =
            entries.iter().filter(|(_, v)| v.get("broken").is_some()).map(|(k, _)| k).collect();
        assert_eq!(broken, ["A", "G"]);
    }
}
