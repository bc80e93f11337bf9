//! Each folder in tests/portal/ is a configuration with the specs of its upstreams, and the document that becomes of
//! them.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::loading::{self, Loaded};
use serde_json::Value;

use super::mistakes;

/// Set, the documents are written instead of compared: `UPDATE_EXPECTED=1 cargo test --test gateway golden`, then
/// read the difference.
const UPDATE: &str = "UPDATE_EXPECTED";

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/portal");
    let mut found: Vec<_> = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn merged(folder: &Path) -> Value {
    let Loaded { compiled, diagnostics, .. } = loading::load(&folder.join("config.yaml"));
    let Some(compiled) = compiled else { panic!("{}", diagnostics.render("config.yaml")) };
    let library = compiled.snapshot.library.as_ref().unwrap();
    library.document(&compiled.snapshot.about())
}

#[test]
fn every_merge_is_as_expected_and_valid() {
    let folders = folders();
    assert!(folders.len() >= 30, "only {} merges", folders.len());
    let mut differences = Vec::new();
    let mut documents = Vec::new();
    for folder in &folders {
        let document = merged(folder);
        let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
        assert_eq!(merged(folder), document, "the same twice");
        let file = folder.join("expected.json");
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&file, &text).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if text != expected {
            differences.push(format!("{}\n{text}", folder.display()));
        }
        for never in ["evil.test/s.json", "<script", "<img", "<iframe", "<style", "<svg", "![x]("] {
            assert!(!text.contains(never), "{}: {never}", folder.display());
        }
        assert!(!text.contains("secret-condition"), "{}", folder.display());
        documents.push(document);
    }
    assert!(differences.is_empty(), "{}\n(see {UPDATE})", differences.join("\n"));
    for (folder, found) in folders.iter().zip(mistakes(&documents)) {
        assert!(found.is_empty(), "{}: {}", folder.display(), found.join("\n"));
    }
}
