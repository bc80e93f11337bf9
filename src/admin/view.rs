//! What operators are shown, as JSON. Its shape is a promise: docs/admin-openapi.yaml has it.

use std::time::{Instant, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};

use crate::auth::{Allow, RouteAuth, names_a_credential};
use crate::config::{Config, RouteConfig};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::reload::{Outcome, Status};
use crate::snapshot::{Record, Snapshot};
use crate::store;
use crate::upstream::{TargetStatus, Upstream};

/// What stands for a text that is not shown.
const MASKED: &str = "***";
/// A time as RFC 3339 has it, in milliseconds.
pub(super) fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Whether it serves, and by what.
pub(super) fn ready(status: &Status, store: Option<&store::Status>, stopping: bool) -> Value {
    let refusal = status.standing_refusal.as_ref().map(|outcome| {
        json!({
            "at": time(outcome.at),
            "trigger": outcome.trigger.as_str(),
            "mistake": outcome.first_mistake().map(diagnostic),
        })
    });
    json!({
        "status": if stopping { "stopping" } else { "ready" },
        "config": {
            "since": time(status.since),
            "reloads": status.accepted,
            "refused": status.refused,
        },
        "last_reload": status.last.as_ref().map(|outcome| {
            json!({
                "at": time(outcome.at),
                "trigger": outcome.trigger.as_str(),
                "accepted": outcome.accepted,
            })
        }),
        "refused_reload": refusal,
        "store": store.map(|store| {
            json!({
                "address": store.address,
                "up": store.is_up(),
                "connections": store.connections,
                "trouble": store.trouble,
                "on_error": store.on_error,
            })
        }),
    })
}

/// What became of a reload.
pub(super) fn outcome(outcome: &Outcome) -> Value {
    json!({
        "accepted": outcome.accepted,
        "at": time(outcome.at),
        "took_ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
        "diagnostics": diagnostics(&outcome.diagnostics),
        "report": outcome.report,
    })
}

fn diagnostics(all: &Diagnostics) -> Vec<Value> {
    all.iter().map(diagnostic).collect()
}

fn diagnostic(found: &Diagnostic) -> Value {
    json!({
        "severity": match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "at": found.at.to_string(),
        "line": found.place.map(|place| place.line),
        "column": found.place.map(|place| place.column),
        "what": found.what,
        "help": found.help,
    })
}

/// The configuration in force: secrets, keys' digests and what came from outside are not in it.
pub(super) fn config(snapshot: &Snapshot) -> Value {
    let mut value = serde_json::to_value(&*snapshot.config).unwrap_or_default();
    mask_keys(&mut value);
    mask(&mut value, &snapshot.record, false);
    value
}

/// A digest is no secret, but whoever has none needs no list of them.
fn mask_keys(config: &mut Value) {
    let consumers = config.get_mut("consumers").and_then(Value::as_object_mut);
    for consumer in consumers.into_iter().flat_map(|all| all.values_mut()) {
        for key in consumer["api_keys"].as_array_mut().into_iter().flatten() {
            match key {
                Value::Object(key) => drop(key.insert("digest".to_owned(), MASKED.into())),
                other => *other = MASKED.into(),
            }
        }
    }
}

/// Masks what came from outside, and the values of headers and parameters that carry credentials.
fn mask(value: &mut Value, record: &Record, credential: bool) {
    match value {
        Value::String(text) if credential => MASKED.clone_into(text),
        Value::String(text) => *text = record.mask(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, record, credential)),
        Value::Object(fields) => {
            for (name, field) in fields {
                // `gateway_secret.header` and the like are names; only texts below such a name are masked.
                let inside = credential
                    || !field.is_object() && name != "api_keys" && names_a_credential(name);
                mask(field, record, inside);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One route in a list.
#[derive(Serialize)]
struct RouteView<'a> {
    name: &'a str,
    host: Vec<String>,
    path: String,
    exact: bool,
    methods: &'a [String],
    /// The names of headers and parameters that must be there.
    headers: Vec<&'a String>,
    query: Vec<&'a String>,
    action: &'static str,
    to: Option<String>,
    auth: Vec<&'a str>,
    auth_all: bool,
    allow: Option<Vec<String>>,
    require: Vec<&'a String>,
    body_limit: u64,
}

/// All routes, in the order of their names.
pub(super) fn routes(snapshot: &Snapshot) -> Value {
    let config = &snapshot.config;
    let show = |text: &String| snapshot.record.mask(text);
    let routes: Vec<RouteView<'_>> = config
        .routes
        .iter()
        .map(|(name, route)| RouteView {
            name,
            host: route.host.0.iter().map(show).collect(),
            path: show(&route.path),
            exact: route.exact,
            methods: &route.methods,
            headers: route.headers.keys().collect(),
            query: route.query.keys().collect(),
            action: action(route),
            to: route.to.as_ref().map(show),
            auth: auth_of(config, route),
            auth_all: matches!(
                route.auth.as_ref().or(config.defaults.auth.as_ref()),
                Some(RouteAuth::AllOf(_))
            ),
            allow: route.allow.as_ref().and_then(Allow::callers),
            require: route.allow.iter().flat_map(|allow| allow.require.keys()).collect(),
            body_limit: route.body_limit.unwrap_or(config.defaults.body_limit).bytes(),
        })
        .collect();
    json!({ "routes": routes })
}

fn action(route: &RouteConfig) -> &'static str {
    match route {
        RouteConfig { to: Some(_), .. } => "forward",
        RouteConfig { respond: Some(_), .. } => "respond",
        RouteConfig { redirect: Some(_), .. } => "redirect",
        route if !route.portal.is_off() => "portal",
        _ => "health",
    }
}

/// The methods of which one lets in, or all are demanded; none on an open route.
fn auth_of<'a>(config: &'a Config, route: &'a RouteConfig) -> Vec<&'a str> {
    match route.auth.as_ref().or(config.defaults.auth.as_ref()) {
        Some(RouteAuth::None) => Vec::new(),
        Some(RouteAuth::AnyOf(names) | RouteAuth::AllOf(names)) => {
            names.iter().map(String::as_str).collect()
        }
        None => config.auth.0.keys().map(String::as_str).collect(),
    }
}

/// All upstreams with their targets, as they are now.
pub(super) fn upstreams_now(snapshot: &Snapshot) -> Value {
    upstreams(snapshot, Instant::now(), SystemTime::now())
}

fn upstreams(snapshot: &Snapshot, now: Instant, wall: SystemTime) -> Value {
    let one = |upstream: &Upstream| {
        let targets: Vec<Value> =
            upstream.targets().iter().map(|found| target(found, now, wall)).collect();
        json!({ "name": &**upstream.name(), "targets": targets })
    };
    json!({ "upstreams": snapshot.upstreams.values().map(|up| one(up)).collect::<Vec<_>>() })
}

fn target(status: &TargetStatus, now: Instant, wall: SystemTime) -> Value {
    // One whose time is over is tried by the next request, and not back before that went well.
    let ejected = status.ejected_until.map(|until| wall + until.saturating_duration_since(now));
    let reasons = [
        (status.drained, "drained", "an operator has taken it out of service"),
        (!status.healthy, "unhealthy", "it does not answer its probes"),
        (ejected.is_some(), "ejected", "it failed requests, and is tried again at the time told"),
    ];
    let found: Vec<_> = reasons.iter().filter(|(holds, ..)| *holds).collect();
    json!({
        "label": &*status.label,
        "address": status.address.to_string(),
        "state": found.first().map_or("in_rotation", |(_, state, _)| state),
        "reasons": found.iter().map(|(_, _, why)| why).collect::<Vec<_>>(),
        "healthy": status.healthy,
        "drained": status.drained,
        "ejected_until": ejected.map(time),
        "in_flight": status.in_flight,
        "weight": status.weight,
    })
}
