//! What nothing refers to any more once the operations are written is left out.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::portal::spec::component;

/// Leaves out the components to which neither the paths lead, nor a component that they lead to.
pub(super) fn prune(components: &mut Map<String, Value>, paths: &Map<String, Value>) {
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut open = Vec::new();
    paths.values().for_each(|item| references(item, &mut open));
    while let Some((section, name)) = open.pop() {
        if let Some(value) = components.get(section).and_then(|entries| entries.get(name))
            && used.insert((section, name))
        {
            references(value, &mut open);
        }
    }
    let used: BTreeSet<(String, String)> =
        used.into_iter().map(|(section, name)| (section.to_owned(), name.to_owned())).collect();
    components.retain(|section, entries| {
        let Some(entries) = entries.as_object_mut() else { return false };
        entries.retain(|name, _| used.contains(&(section.clone(), name.clone())));
        !entries.is_empty()
    });
}

/// All that a value refers to. Data holds no references: they were taken out of it.
fn references<'v>(value: &'v Value, found: &mut Vec<(&'v str, &'v str)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(to) if name == "$ref" => found.extend(component(to)),
                    Value::Object(mapping) if name == "mapping" => {
                        let to = mapping.values().filter_map(Value::as_str);
                        found.extend(to.filter_map(component));
                        references(field, found);
                    }
                    _ => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_led_to_stays() {
        let to = |name: &str| format!("#/components/schemas/{name}");
        let mut components = json!({
            "schemas": {
                "A": { "items": { "$ref": to("B") } },
                "B": { "discriminator": { "mapping": { "c": to("C") } }, "not": { "$ref": to("A") } },
                "C": {},
                "D": { "$ref": to("E") },
                "E": { "$ref": to("D") },
                // A property of this name is no mapping, whatever its schema.
                "mapping": {},
            },
            "headers": { "H": {} },
        });
        let components = components.as_object_mut().unwrap();
        let paths =
            json!({ "/a": [{ "$ref": to("A") }, { "mapping": { "$ref": to("mapping") } }] });
        prune(components, paths.as_object().unwrap());
        let left: Vec<_> = components["schemas"].as_object().unwrap().keys().collect();
        assert_eq!(left, ["A", "B", "C", "mapping"]);
        assert!(!components.contains_key("headers"));
    }
}
