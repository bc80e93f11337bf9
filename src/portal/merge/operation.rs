//! One operation as it stands in the merged document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::components::{self, Parts};
use super::{About, Entry, Targets, answers};
use crate::portal::bounds::Budget;
use crate::portal::shape::{Kind, OPERATION, RESPONSE, Shape, What, walk};
use crate::portal::spec::{Spec, component, component_name};
use crate::route::parameters;

/// Writes an operation, its keys in one order.
pub(super) fn write(
    entry: &Entry<'_>,
    targets: &Targets<'_, '_>,
    parts: &Parts<'_>,
    about: &About,
    budget: &mut Budget,
) -> Map<String, Value> {
    let said = &entry.operation.value;
    let mut new = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            new.insert(key.to_owned(), value);
        }
    };
    put("tags", Some(json!([&**entry.upstream])));
    put("summary", said.get("summary").cloned());
    put("description", description(entry));
    put("externalDocs", said.get("externalDocs").cloned());
    put("operationId", entry.id.clone().map(Value::from));
    put("deprecated", said.get("deprecated").cloned());
    let mut value = json!({
        "parameters": self::parameters_of(entry),
        "requestBody": said.get("requestBody"),
        "responses": responses(entry),
    });
    let mut lead = |object: &mut Map<String, Value>, shape: &'static Shape| {
        components::relink(entry.upstream, Some(&entry.place.route), object, shape, targets);
        rename_expressions(object, shape.what, entry);
        parts.point(entry.upstream, object, shape);
    };
    walk(&mut value, Kind::Object(&OPERATION), &mut lead);
    for (status, answer) in own_answers(entry, budget, &mut lead) {
        value["responses"][status] = answer;
    }
    if let Some(Value::Object(responses)) = value.get_mut("responses") {
        responses.sort_keys();
    }
    let full = |value: &Value| !value.is_null() && value.as_array().is_none_or(|a| !a.is_empty());
    for key in ["parameters", "requestBody", "responses"] {
        put(key, value.get_mut(key).map(Value::take).filter(full));
    }
    put("security", Some(security(entry)));
    put("servers", servers(entry, about));
    new
}

fn description(entry: &Entry<'_>) -> Option<Value> {
    let said = entry.operation.value.get("description").and_then(Value::as_str);
    let mut text = said.unwrap_or_default().to_owned();
    for beside in &entry.beside {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(beside);
    }
    (!text.is_empty()).then(|| text.into())
}

/// The parameters of the public path, and those of the spec that a caller can still send.
fn parameters_of(entry: &Entry<'_>) -> Vec<Value> {
    let place = entry.place;
    let ours = |name: &str| {
        let secret = place.secret_header.iter().chain(place.guard.credential_headers());
        secret.into_iter().any(|known| known.as_str().eq_ignore_ascii_case(name))
    };
    let mut open: Vec<&str> = parameters(&entry.public.path).collect();
    open.dedup();
    let mut all = Vec::new();
    let written = entry.operation.value.get("parameters").and_then(Value::as_array);
    for parameter in written.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let mut parameter = parameter.clone();
        match parameter["in"].as_str() {
            Some("path") => {
                let name = entry.renamed(name).to_owned();
                let Some(at) = open.iter().position(|open| *open == name) else { continue };
                open.remove(at);
                parameter["name"] = name.into();
            }
            // The gateway takes these off, or sets them itself.
            Some("header") if ours(name) => continue,
            _ => {}
        }
        all.push(parameter);
    }
    for name in open {
        let schema = json!({ "type": "string" });
        all.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    let conditions = place.headers.keys().map(|name| ("header", name));
    for (kind, name) in conditions.chain(place.query.keys().map(|name| ("query", name))) {
        let known = all.iter_mut().find(|one| {
            one["in"] == kind
                && one["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name))
        });
        let elsewhere = ["accept", "content-type", "authorization"];
        match known {
            Some(known) => known["required"] = true.into(),
            None if kind == "header"
                && (ours(name) || elsewhere.contains(&name.to_ascii_lowercase().as_str())) => {}
            None => {
                let schema = json!({ "type": "string" });
                let description = "Without it the request is for another route.";
                all.push(json!({
                    "name": name, "in": kind, "description": description, "required": true,
                    "schema": schema,
                }));
            }
        }
    }
    all
}

impl Entry<'_> {
    /// What a parameter of its path is called in the document.
    fn renamed<'n>(&'n self, name: &'n str) -> &'n str {
        self.renamed.iter().find(|(from, _)| from == name).map_or(name, |(_, to)| to)
    }
}

/// What the service answers, as its spec has it.
fn responses(entry: &Entry<'_>) -> Value {
    entry.operation.value.get("responses").cloned().unwrap_or_else(|| json!({}))
}

/// The gateway's answers, alone or together with those that the service gives with the same status.
fn own_answers(
    entry: &Entry<'_>,
    budget: &mut Budget,
    lead: &mut dyn FnMut(&mut Map<String, Value>, &'static Shape),
) -> Vec<(&'static str, Value)> {
    let said = entry.operation.value.get("responses").unwrap_or(&Value::Null);
    let has_body = entry.operation.value.contains_key("requestBody");
    let mut all = Vec::new();
    for answer in answers::of(entry.place, has_body) {
        let class = format!("{}XX", answer.status.get(..1).unwrap_or_default());
        let theirs = [answer.status, &class, "default"].into_iter().find_map(|key| said.get(key));
        let written = match theirs {
            None => answer.reference(),
            // Many that refer to a large one would make a huge document.
            Some(theirs) if !budget.take(whole(entry.spec, theirs)) => answer.reference(),
            Some(theirs) => {
                let mut theirs = whole(entry.spec, theirs).clone();
                walk(&mut theirs, Kind::Object(&RESPONSE), lead);
                answer.beside(theirs)
            }
        };
        all.push((answer.status, written));
    }
    all
}

/// What a response is, if that stands elsewhere.
fn whole<'s>(spec: &'s Spec, mut response: &'s Value) -> &'s Value {
    // No circle is left in a clean spec.
    while let Some(to) = response.get("$ref").and_then(Value::as_str) {
        let found =
            component(to).and_then(|(section, name)| spec.components.get(section)?.get(name));
        response = found.unwrap_or(&Value::Null);
    }
    response
}

/// `$request.path.NAME` in a link means a parameter of this operation.
fn rename_expressions(object: &mut Map<String, Value>, what: What, entry: &Entry<'_>) {
    if what != What::Link || entry.renamed.is_empty() {
        return;
    }
    let parameters = object.get_mut("parameters").and_then(Value::as_object_mut);
    for value in parameters.into_iter().flat_map(Map::values_mut) {
        if let Some(name) = value.as_str().and_then(|text| text.strip_prefix("$request.path.")) {
            *value = format!("$request.path.{}", entry.renamed(name)).into();
        }
    }
}

fn security(entry: &Entry<'_>) -> Value {
    let one =
        |name: &String| Value::Object([(component_name(name), json!([]))].into_iter().collect());
    entry.place.schemes.iter().map(|(name, _)| one(name)).collect()
}

/// The hosts of a route that is not for all.
fn servers(entry: &Entry<'_>, about: &About) -> Option<Value> {
    let (scheme, port) = match about.url.as_deref().and_then(|url| url.split_once("//")) {
        Some((scheme, rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
            (scheme, port.map_or_else(String::new, |(_, port)| format!(":{port}")))
        }
        None => ("", String::new()),
    };
    let server = |host: &String| match host.strip_prefix("*.") {
        None => json!({ "url": format!("{scheme}//{host}{port}") }),
        Some(under) => json!({
            "url": format!("{scheme}//{{name}}.{under}{port}"),
            "variables": BTreeMap::from([("name", json!({ "default": "www" }))]),
        }),
    };
    (!entry.hosts.is_empty()).then(|| entry.hosts.iter().map(server).collect())
}
