//! One operation as it stands in the merged document.

use std::collections::{BTreeMap, HashSet};

use http::HeaderName;
use serde_json::{Map, Value, json};

use super::components::{self, Parts};
use super::{About, Entry, Targets, answers};
use crate::portal::bounds::Budget;
use crate::portal::landscape::Place;
use crate::portal::shape::{Kind, OPERATION, RESPONSE, Shape, What, walk};
use crate::portal::spec::{Spec, component, component_name};
use crate::route::parameters;

/// Headers that begin like this tell who called, which only the gateway says.
const CONSUMER: &str = "X-Consumer-";

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
        value["responses"][status.as_str()] = answer;
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
    let ours = |name: &str| is_ours(place, name);
    let mut seen = HashSet::new();
    let mut open: Vec<&str> =
        parameters(&entry.public.path).filter(|name| seen.insert(*name)).collect();
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
            let known = one["name"].as_str().unwrap_or_default();
            one["in"] == kind
                && if kind == "header" { known.eq_ignore_ascii_case(name) } else { known == name }
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

/// Whether the gateway takes a header off, or sets it itself, so that what a caller sends there reaches nobody.
fn is_ours(place: &Place, name: &str) -> bool {
    let of_consumer = name.get(..CONSUMER.len()).is_some_and(|b| b.eq_ignore_ascii_case(CONSUMER));
    let secret = place.secret_header.iter().chain(place.guard.credential_headers());
    let mut ours =
        secret.map(HeaderName::as_str).chain(place.set_headers.iter().map(String::as_str));
    of_consumer || ours.any(|known| known.eq_ignore_ascii_case(name))
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
) -> Vec<(String, Value)> {
    let nothing = Map::new();
    let said = entry.operation.value.get("responses").and_then(Value::as_object);
    let said = said.unwrap_or(&nothing);
    let has_body = entry.operation.value.contains_key("requestBody");
    let mut all = Vec::new();
    for (status, answer) in answers::of(entry.place, has_body, said.keys().map(String::as_str)) {
        let class = format!("{}XX", status.get(..1).unwrap_or_default());
        let theirs = [status, &class, "default"].into_iter().find_map(|key| said.get(key));
        let theirs = theirs.map(|theirs| whole(entry.spec, theirs));
        let written = match theirs {
            // Many that refer to a large one would make a huge document.
            Some(theirs) if budget.take(theirs) => {
                let mut theirs = theirs.clone();
                own_headers(entry.spec, &mut theirs, budget);
                walk(&mut theirs, Kind::Object(&RESPONSE), lead);
                answer.beside(theirs)
            }
            _ => answer.reference(),
        };
        all.push((status.to_owned(), written));
    }
    all
}

/// Puts the headers that a response refers to into it, so that they can be told otherwise than elsewhere.
fn own_headers(spec: &Spec, response: &mut Value, budget: &mut Budget) {
    let headers = response.get_mut("headers").and_then(Value::as_object_mut);
    for header in headers.into_iter().flat_map(Map::values_mut) {
        let found = whole(spec, header);
        if header.get("$ref").is_some() && budget.take(found) {
            *header = found.clone();
        }
    }
}

/// What a response or a header is, if that stands elsewhere.
fn whole<'s>(spec: &'s Spec, mut part: &'s Value) -> &'s Value {
    // No circle is left in a clean spec.
    while let Some(to) = part.get("$ref").and_then(Value::as_str) {
        let found =
            component(to).and_then(|(section, name)| spec.components.get(section)?.get(name));
        part = found.unwrap_or(&Value::Null);
    }
    part
}

/// `$request.path.NAME` in a link means a parameter of this operation.
fn rename_expressions(object: &mut Map<String, Value>, what: What, entry: &Entry<'_>) {
    if what != What::Link || entry.renamed.is_empty() && entry.public.fixed.is_empty() {
        return;
    }
    let parameters = object.get_mut("parameters").and_then(Value::as_object_mut);
    let Some(parameters) = parameters else { return };
    parameters.retain(|_, value| {
        let name = value.as_str().and_then(|text| text.strip_prefix("$request.path."));
        let Some(name) = name else { return true };
        // What the route has fixed stands in no request.
        let is_sent = !entry.public.fixed.iter().any(|fixed| fixed == name);
        *value = format!("$request.path.{}", entry.renamed(name)).into();
        is_sent
    });
}

fn security(entry: &Entry<'_>) -> Value {
    let one =
        |name: &String| Value::Object([(component_name(name), json!([]))].into_iter().collect());
    let names = entry.place.schemes.iter().map(|(name, _)| name);
    if entry.place.guard.demands_all() {
        let each = names.map(|name| (component_name(name), json!([]))).collect();
        return Value::Array(vec![Value::Object(each)]);
    }
    names.map(one).collect()
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
