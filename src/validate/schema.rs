//! From the schemas of a document to validators: 3.0 in the words of 3.1, which are those of JSON Schema 2020-12.
//!
//! What a schema refers to is gathered beside it, so that the validator sees one schema that refers to nothing outside
//! itself, and every part of it is held to the meta-schema. Nothing is ever fetched. Patterns are matched in linear
//! time, or the document is refused.

mod gather;
mod types;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::{Draft, PatternCache, PatternOptions, Validator};
use serde_json::Value;

use super::words::{self, Faults, Of};
pub(super) use gather::{Pointer, escaped, is_known_dialect, resolve};
pub(super) use types::{Shape, Type, Types};

use super::document::Mistakes;
use gather::Gather;
use work::Work;

/// The largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// The schemas of one document.
pub(super) struct Schemas<'d> {
    document: &'d Value,
    /// Whether the words are those of 3.0.
    old: bool,
    patterns: PatternCache,
    /// What was compiled already, by the place that it was referred to.
    known: HashMap<Pointer, Option<Arc<Schema>>>,
}

/// A schema that values are held to.
pub(super) struct Schema {
    validator: Validator,
    /// What a text may stand for.
    pub(super) shape: Shape,
    /// What it takes to look for every fault of a value.
    work: Work,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl<'d> Schemas<'d> {
    pub(super) fn new(document: &'d Value, old: bool) -> Self {
        Self { document, old, patterns: PatternCache::new(), known: HashMap::new() }
    }

    /// The schema at a place. None if it has a mistake, which is told.
    pub(super) fn compile(
        &mut self,
        schema: &Value,
        at: &Pointer,
        mistakes: &mut Mistakes,
    ) -> Option<Arc<Schema>> {
        // Most are nothing but the name of a component, which many operations share.
        let name = schema.get("$ref").and_then(Value::as_str);
        let (schema, at) = match name.and_then(|name| resolve(self.document, name)) {
            Some((place, target)) if self.old || is_bare(schema) => (target, place),
            _ => (schema, at.clone()),
        };
        if let Some(known) = self.known.get(&at) {
            return known.clone();
        }
        let compiled = self.build(schema, &at, mistakes).map(Arc::new);
        self.known.insert(at, compiled.clone());
        compiled
    }

    fn build(&self, schema: &Value, at: &Pointer, mistakes: &mut Mistakes) -> Option<Schema> {
        let before = mistakes.len();
        let gathered = Gather::new(self.document, self.old, mistakes).whole(schema, at);
        if mistakes.len() > before {
            return None;
        }
        let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN);
        let built = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .with_pattern_cache(self.patterns.clone())
            .should_validate_formats(true)
            .build(&gathered.schema);
        match built {
            Ok(validator) => Some(Schema {
                validator,
                shape: Shape::of(&gathered.schema),
                work: Work::of(&gathered.schema),
            }),
            Err(error) => {
                let place = gathered.place(error.instance_path().as_str());
                let is_pattern =
                    place.ends_with("/pattern") || place.contains("/patternProperties");
                if is_pattern {
                    mistakes.add(
                        place,
                        "the pattern cannot be matched in linear time, or is none",
                        "write it without look-around and back-references, and with fewer repetitions",
                    );
                } else {
                    let what = format!("the value of this keyword {}", words::of(error.kind()));
                    mistakes.add(place, what, "write what JSON Schema has for this keyword");
                }
                None
            }
        }
    }
}

/// Whether a schema is a reference and nothing else that holds values to anything.
fn is_bare(schema: &Value) -> bool {
    schema
        .as_object()
        .is_some_and(|schema| schema.keys().all(|key| key == "$ref" || gather::is_annotation(key)))
}

impl Schema {
    /// Whether a value fits.
    pub(super) fn fits(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// What is wrong with a value, if anything is.
    pub(super) fn judge(&self, value: &Value, of: &Of<'_>, faults: &mut Faults) {
        if self.validator.is_valid(value) {
            return;
        }
        if !self.work.is_little(value) {
            faults.add(of, "", "does not fit its schema");
            return;
        }
        let before = faults.len();
        for error in self.validator.iter_errors(value) {
            words::tell(&error, of, faults);
        }
        if faults.len() == before && !faults.is_full() {
            faults.add(of, "", "does not fit its schema");
        }
    }
}
