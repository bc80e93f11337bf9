//! Mistakes of the text hide none of the meaning, and make none up.

use std::path::Path;

use portcullis::diagnostic::{At, Diagnostics, Severity, Step};
use portcullis::loading;
use serde_json::{Value, json};

use super::{folder, yaml_files};
use crate::support::gateway::TestSources;

fn load(value: &Value, base: &Path) -> Diagnostics {
    let env =
        ["GATEWAY_SECRET", "DEMO_GATEWAY_SECRET"].map(|name| (name.to_owned(), "x".to_owned()));
    let sources = TestSources { env: env.into(), base: base.to_owned() };
    loading::load_text(&serde_yaml::to_string(value).unwrap(), &sources).diagnostics
}

/// All paths of a tree but the root, and but claims: whatever stands there is one.
fn paths(node: &Value, at: &At, found: &mut Vec<At>) {
    for (key, value) in node.as_object().into_iter().flatten() {
        found.push(at.key(key));
        if key != "claims" {
            paths(value, &at.key(key), found);
        }
    }
    for (index, value) in node.as_array().into_iter().flatten().enumerate() {
        found.push(at.index(index));
        paths(value, &at.index(index), found);
    }
}

fn find<'v>(value: &'v mut Value, steps: &[Step]) -> &'v mut Value {
    steps.iter().fold(value, |node, step| match step {
        Step::Key(key) => &mut node[key.as_str()],
        Step::Index(index) => &mut node[*index],
    })
}

/// Whether the names of this map are the user's choice.
fn names_are_free(map: &[Step]) -> bool {
    let sections = ["listeners", "upstreams", "auth", "consumers", "policies", "plans", "routes"];
    match map {
        [Step::Key(section)] => sections.contains(&section.as_str()),
        [.., Step::Key(key)] => {
            ["set", "add", "rename", "headers", "query", "require"].contains(&key.as_str())
        }
        _ => false,
    }
}

fn assert_told_there(broken: &Value, at: &At, file: &Path) {
    let found = load(broken, file.parent().unwrap());
    let file = file.file_name().unwrap().to_str().unwrap();
    let errors: Vec<_> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(!errors.is_empty(), "{file}: {at} is wrong and nobody says so");
    for error in errors {
        let there = error.at.leads_to(at) || at.leads_to(&error.at);
        assert!(there, "{file}: {at} is wrong, and this is made up:\n{}", found.render(file));
    }
}

#[test]
fn one_wrong_value_is_one_mistake() {
    let mut files = yaml_files("conf/examples");
    files.extend(yaml_files("conf"));
    let mut tried = 0;
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let good: Value = serde_yaml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(!load(&good, file.parent().unwrap()).has_errors(), "{name}");
        let mut all = Vec::new();
        paths(&good, &At::root(), &mut all);
        for at in all {
            let mut broken = good.clone();
            let node = find(&mut broken, at.steps());
            *node = if node.is_array() { json!({ "?": 1 }) } else { json!([[7]]) };
            assert_told_there(&broken, &at, &file);
            tried += 1;
            let (last, map) = at.steps().split_last().unwrap();
            if let Step::Key(key) = last
                && !names_are_free(map)
            {
                let mut broken = good.clone();
                let entries = find(&mut broken, map).as_object_mut().unwrap();
                let value = entries.remove(key).unwrap();
                let misspelt = format!("{key}x");
                entries.insert(misspelt.clone(), value);
                let at = map.iter().fold(At::root(), |at, step| match step {
                    Step::Key(key) => at.key(key),
                    Step::Index(index) => at.index(*index),
                });
                assert_told_there(&broken, &at.key(misspelt), &file);
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "only {tried}");
}

/// Two mistakes, one of the text and one of the meaning, are told together.
#[test]
fn a_mistake_of_the_text_hides_none_of_the_meaning() {
    let good: Value =
        serde_yaml::from_str(&std::fs::read_to_string(folder("conf/examples/hosts.yaml")).unwrap())
            .unwrap();
    for (text, meaning) in [
        (("upstreams.users", "balanse"), ("routes.tenants", "to")),
        (("routes.users", "hots"), ("routes.tenants", "path")),
        (("consumers.me", "plam"), ("routes.users", "host")),
        (("listeners.public", "tls"), ("routes.users", "auth")),
    ] {
        let mut broken = good.clone();
        let pointer = |path: &str| format!("/{}", path.replace('.', "/"));
        broken.pointer_mut(&pointer(text.0)).unwrap()[text.1] = json!("x");
        broken.pointer_mut(&pointer(meaning.0)).unwrap()[meaning.1] = json!("not?this");
        let found = load(&broken, &folder("conf/examples"));
        let at: Vec<String> = found.iter().map(|d| d.at.to_string()).collect();
        for (path, key) in [text, meaning] {
            let wanted = format!("{path}.{key}");
            assert!(at.contains(&wanted), "{wanted} is hidden:\n{}", found.render("it"));
        }
    }
}
