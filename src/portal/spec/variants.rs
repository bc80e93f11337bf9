//! The schemas among which a discriminator chooses by their names alone, without a mapping (`OpenAPI` 3.1,
//! Discriminator Object). In a merged document names may change, so each of them is put into the mapping.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::refs::Target;

/// So many schemas are put into the mappings of one document, since each may stand in many.
const MOST: usize = 20_000;

/// Of every schema those that extend it, all by their names in the document.
#[derive(Debug, Default)]
pub(super) struct Variants {
    heirs: BTreeMap<String, Vec<String>>,
    named: usize,
}

impl Variants {
    pub(super) fn new(document: &Value) -> Self {
        let mut heirs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let schemas = document["components"]["schemas"].as_object();
        for (name, schema) in schemas.into_iter().flatten() {
            for parent in schemas_in(schema.get("allOf")) {
                heirs.entry(parent).or_default().push(name.clone());
            }
        }
        Self { heirs, named: 0 }
    }

    /// Those that extend this schema, and those that extend them.
    pub(super) fn of(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::from([name]);
        let mut open = vec![name];
        while let Some(heirs) = open.pop().map(|name| self.heirs.get(name)) {
            for heir in heirs.into_iter().flatten() {
                if found.len() + self.named < MOST && seen.insert(heir) {
                    found.push(heir.clone());
                    open.push(heir);
                }
            }
        }
        found.sort();
        found
    }

    /// Puts schemas into the mapping of a schema's discriminator, by their names. `to` tells what refers to one. Those
    /// that are in it under another name are known by that one.
    pub(super) fn name(
        &mut self,
        schema: &mut Map<String, Value>,
        variants: Vec<String>,
        to: impl Fn(&str) -> Option<String>,
    ) {
        let Some(Value::Object(discriminator)) = schema.get_mut("discriminator") else { return };
        let written = discriminator.get("mapping").and_then(Value::as_object);
        let known: BTreeSet<&str> =
            written.into_iter().flat_map(Map::values).filter_map(Value::as_str).collect();
        let added: Vec<(String, String)> = variants
            .into_iter()
            .filter_map(|name| to(&name).map(|to| (name, to)))
            .filter(|(_, to)| !known.contains(to.as_str()))
            .take(MOST.saturating_sub(self.named))
            .collect();
        if added.is_empty() {
            return;
        }
        self.named += added.len();
        if let Some(mapping) =
            discriminator.entry("mapping").or_insert_with(|| json!({})).as_object_mut()
        {
            for (name, to) in added {
                mapping.entry(name).or_insert_with(|| to.into());
            }
        }
    }
}

/// The schemas of which one is chosen, if a schema has a discriminator.
pub(super) fn chosen_from(schema: &Map<String, Value>) -> Vec<String> {
    if !schema.contains_key("discriminator") {
        return Vec::new();
    }
    ["oneOf", "anyOf"].iter().flat_map(|key| schemas_in(schema.get(*key))).collect()
}

/// The names of the schemas to which the items of a list refer.
fn schemas_in(list: Option<&Value>) -> impl Iterator<Item = String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| {
        Target::parse(item.get("$ref")?.as_str()?)?.component("schemas").map(str::to_owned)
    })
}
