//! The operations of a spec, each whole in itself: what stands at its path or at the document is put into it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::refs;
use crate::portal::bounds::{Budget, values};
use crate::portal::shape::METHODS;

/// So many values may the parameters of all operations have, each counted where it is used.
const MOST_COPIED: usize = 1_000_000;

/// Something that a service can do.
#[derive(Debug, PartialEq)]
pub(in crate::portal) struct Operation {
    /// Its path as the spec has it, below [`base`](Self::base).
    pub(in crate::portal) path: String,
    /// The path of the server that it stands under, without a slash at its end.
    pub(in crate::portal) base: String,
    /// Its method, in lower case.
    pub(in crate::portal) method: &'static str,
    /// What is said of it. Its parameters are no references.
    pub(in crate::portal) value: Map<String, Value>,
    /// How many values that is.
    pub(in crate::portal) nodes: usize,
}

impl Operation {
    /// Whether it says that it answers with this status.
    pub(in crate::portal) fn answers_with(&self, status: u16) -> bool {
        let Some(known) = self.value.get("responses").and_then(Value::as_object) else {
            return false;
        };
        known.keys().any(|key| match key.as_bytes() {
            b"default" => true,
            [class, b'X', b'X'] => u16::from(class - b'0') == status / 100,
            digits => digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')) == status,
        })
    }

    /// Its id in the spec.
    pub(in crate::portal) fn id(&self) -> Option<&str> {
        self.value.get("operationId").and_then(Value::as_str).filter(|id| !id.is_empty())
    }
}

pub(super) fn all(
    mut items: Vec<(&str, Value)>,
    servers: &Value,
    components: &BTreeMap<&'static str, Map<String, Value>>,
) -> Vec<Operation> {
    items.sort_by_key(|(path, _)| *path);
    let mut all = Vec::new();
    let mut budget = Budget::of(MOST_COPIED);
    for (path, mut item) in items {
        let shared = parameters(item.get_mut("parameters"), components, &mut budget);
        let at_path = item.get("servers").cloned().unwrap_or_default();
        let says: [Option<Value>; 2] = ["summary", "description"].map(|key| item.get(key).cloned());
        for method in METHODS {
            let Some(Value::Object(mut value)) = item.get_mut(method).map(Value::take) else {
                continue;
            };
            let mut own = parameters(value.get_mut("parameters"), components, &mut budget);
            let known: HashSet<_> = own.iter().map(place).collect();
            own.extend(shared.iter().filter(|one| !known.contains(&place(one))).cloned());
            value.remove("parameters");
            if !own.is_empty() {
                value.insert("parameters".to_owned(), own.into());
            }
            for (key, said) in ["summary", "description"].into_iter().zip(&says) {
                if let Some(said) = said
                    && !value.contains_key(key)
                {
                    value.insert(key.to_owned(), said.clone());
                }
            }
            let at_operation = value.remove("servers").unwrap_or_default();
            let base = [&at_operation, &at_path, servers].into_iter().find_map(base);
            let (path, base) = (path.to_owned(), base.unwrap_or_default());
            let nodes = value.values().map(values).sum();
            all.push(Operation { path, base, method, value, nodes });
        }
    }
    all
}

/// Where a parameter stands, and its name; of headers the case does not count.
fn place(parameter: &Value) -> (String, String) {
    let text = |key: &str| parameter[key].as_str().unwrap_or_default().to_owned();
    let place = text("in");
    let name = if place == "header" { text("name").to_ascii_lowercase() } else { text("name") };
    (place, name)
}

/// A list of parameters, each once, with those that are referred to in the references' place.
fn parameters(
    list: Option<&mut Value>,
    components: &BTreeMap<&'static str, Map<String, Value>>,
    budget: &mut Budget,
) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut known = HashSet::new();
    let items = list.map(Value::take);
    for item in items.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let mut item = item;
        for _ in 0..8 {
            let Some(to) = item.get("$ref").and_then(Value::as_str) else { break };
            let component =
                refs::component(to).and_then(|(section, name)| components.get(section)?.get(name));
            item = component.unwrap_or(&Value::Null);
        }
        let whole = item.get("name").is_some();
        if whole && known.insert(place(item)) && budget.take(item) {
            found.push(item.clone());
        }
    }
    found
}

/// The path of the first server; none if there is no server.
pub(crate) fn base(servers: &Value) -> Option<String> {
    let server = servers.as_array()?.first()?;
    let mut url = server["url"].as_str()?.to_owned();
    for (name, variable) in server["variables"].as_object().into_iter().flatten() {
        url = url.replace(&format!("{{{name}}}"), variable["default"].as_str().unwrap_or_default());
    }
    let path = match url.split_once("//") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => &url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let path = path.strip_prefix('.').unwrap_or(path);
    Some(if path.is_empty() || path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_base_is_the_path_of_the_first_server() {
        for (servers, path) in [
            (json!([]), None),
            (Value::Null, None),
            (json!([{ "url": "/" }]), Some("")),
            (json!([{ "url": "https://api.example.com" }]), Some("")),
            (json!([{ "url": "https://api.example.com/v1/" }, { "url": "/v2" }]), Some("/v1")),
            (json!([{ "url": "/api" }]), Some("/api")),
            (json!([{ "url": "api" }]), Some("/api")),
            (json!([{ "url": "./" }]), Some("")),
            (
                json!([{ "url": "https://{host}/{v}", "variables": { "v": { "default": "v3" } } }]),
                Some("/v3"),
            ),
        ] {
            assert_eq!(base(&servers).as_deref(), path, "{servers}");
        }
    }
}
