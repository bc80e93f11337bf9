//! A [`Spec`]: what a service says of itself, read from whatever version of `OpenAPI` it says it in.

mod clean;
mod finder;
mod fix;
mod operations;
mod refs;
mod swagger;
mod upgrade;
mod variants;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::tree::{self, SpecError};
use clean::Cleaner;
use finder::Finder;

pub(super) use clean::{component_name, plain};
pub(super) use operations::Operation;
pub(crate) use operations::base;
pub(crate) use refs::Target;
pub(super) use refs::{component, to};
pub(crate) use upgrade::schema as upgrade;

/// The longest path, in bytes. The gateway takes no longer target than four times that.
const LONGEST_PATH: usize = 2 << 10;

/// What a service says of itself, in the words of 3.1 and clean: every reference leads to one of its components.
#[derive(Debug, PartialEq)]
pub struct Spec {
    /// Its name for itself.
    pub title: String,
    /// What it says of itself, in harmless Markdown.
    pub description: String,
    /// What it can do, by path, then in the order of methods.
    pub(super) operations: Vec<Operation>,
    /// By section and name.
    pub(super) components: BTreeMap<&'static str, Map<String, Value>>,
    finder: Finder,
    /// References that led nowhere.
    pub lost: usize,
}

impl Spec {
    /// Reads a document in JSON or YAML: `OpenAPI` 3.1 or 3.0, or Swagger 2.
    ///
    /// # Errors
    /// It is none of these, or goes beyond the bounds.
    pub fn read(text: &[u8]) -> Result<Self, SpecError> {
        let Value::Object(mut document) = tree::parse(text)? else {
            return Err(SpecError::NotOpenApi("it is no object".to_owned()));
        };
        let version = |key: &str| match document.get(key) {
            Some(Value::String(version)) => Some(version.clone()),
            // Who forgot the quotes meant the text.
            Some(Value::Number(version)) => Some(version.to_string()),
            _ => None,
        };
        let old = match (version("openapi"), version("swagger")) {
            (Some(version), _) if is(&version, "3.1") => false,
            (Some(version), _) if is(&version, "3.0") => true,
            (None, Some(version)) if is(&version, "2.0") => {
                document = swagger::upgrade(document);
                true
            }
            (Some(version), _) | (None, Some(version)) => {
                let known = "versions 3.1, 3.0 and 2.0 are read";
                let version: String = version.chars().take(20).collect();
                return Err(SpecError::NotOpenApi(format!("its version is {version:?}; {known}")));
            }
            (None, None) => {
                let what = "neither `openapi` nor `swagger` says its version";
                return Err(SpecError::NotOpenApi(what.to_owned()));
            }
        };
        if !document.get("paths").is_some_and(Value::is_object) {
            return Err(SpecError::NotOpenApi("it has no `paths`".to_owned()));
        }
        Ok(Self::clean(&Value::Object(document), old))
    }

    fn clean(document: &Value, old: bool) -> Self {
        let mut cleaner = Cleaner::new(document, old);
        let mut components = BTreeMap::new();
        for (section, entries) in cleaner.components() {
            if let (Some((section, _)), Value::Object(entries)) =
                (super::shape::SECTIONS.iter().find(|(known, _)| *known == section), entries)
            {
                components.insert(*section, entries);
            }
        }
        let mut items = Vec::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            // What stands behind one of these is no part of a path.
            let is_path = path.starts_with('/') && !path.contains(['?', '#']);
            if is_path && path.len() <= LONGEST_PATH {
                items.extend(cleaner.path_item(item).map(|item| (path.as_str(), item)));
            }
        }
        let text = |key: &str| document["info"][key].as_str().unwrap_or_default();
        let operations = operations::all(items, &document["servers"], &components);
        Self {
            title: text("title").to_owned(),
            description: plain(text("description")).into_owned(),
            finder: Finder::new(&operations),
            operations,
            components,
            lost: cleaner.lost,
        }
    }

    /// The number of the operation that a request is for, by its method and the path that the service sees.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<usize> {
        self.finder.find(method, path)
    }

    /// Whether an operation says that it answers with this status.
    pub(super) fn answers_with(&self, operation: usize, status: u16) -> bool {
        self.operations.get(operation).is_some_and(|operation| operation.answers_with(status))
    }

    /// How many operations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

fn is(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
