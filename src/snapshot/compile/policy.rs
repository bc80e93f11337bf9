//! From `policies`, `use` and the keys of routes and `defaults` to a [`Policy`].

use std::sync::Arc;

use http::HeaderName;

use crate::compress::Compress;
use crate::concurrency::{Gate, Gates};
use crate::config::{Config, PolicyKeys, nearest};
use crate::diagnostic::{At, Diagnostics, did_you_mean};
use crate::ip::AddressRule;
use crate::limit;
use crate::maintenance::Maintenance;
use crate::rewrite::cors::Cors;
use crate::rewrite::security::SecurityHeaders;
use crate::snapshot::Policy;
use crate::validate::{Documents, Validation};

/// Judges the policies themselves, whether or not a route uses them, and the `use` of `defaults`.
pub(super) fn check(
    config: &Config,
    limits: &mut limit::Builder<'_>,
    gates: &mut Gates,
    documents: &Documents<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (name, policy) in &config.policies {
        let layers = [(At::root().key("policies").key(name), policy.policy_keys())];
        compile(&layers, &[], diagnostics);
        limit_rules(&layers, limits, diagnostics);
        gate(&layers, gates, diagnostics);
        validation(&layers, documents, diagnostics);
    }
    limit_rules(&config.policy_layers(None), limits, diagnostics);
    gate(&config.policy_layers(None), gates, diagnostics);
    validation(&config.policy_layers(None), documents, diagnostics);
    let at = At::root().key("defaults").key("use");
    check_use(config, &config.defaults.policies.0, &at, diagnostics);
    compile(&config.policy_layers(None), &[], diagnostics);
}

/// Judges the names in one `use`.
pub(super) fn check_use(config: &Config, names: &[String], at: &At, diagnostics: &mut Diagnostics) {
    let mut said: Vec<(&str, &str)> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = at.index(index);
        let Some(policy) = config.policies.get(name) else {
            let known = config.policies.keys().map(String::as_str);
            diagnostics.error(at, format!("no policy {name:?}"), did_you_mean(name, known));
            continue;
        };
        if names[..index].contains(name) {
            diagnostics.error(at, format!("the policy {name:?} stands here twice"), "take one out");
            continue;
        }
        for key in policy.policy_keys().names() {
            match said.iter().find(|(known, _)| *known == key) {
                Some((_, other)) => diagnostics.error(
                    at.clone(),
                    format!("the policies {other:?} and {name:?} both set `{key}`"),
                    format!(
                        "use one of them, or write `{key}` here itself, and take it out of one"
                    ),
                ),
                None => said.push((key, name)),
            }
        }
    }
}

/// What the layers come to, the nearest first. `credentials` are the headers in which the route looks for one.
/// Outer none: there is a mistake; inner none: nothing is said.
#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
pub(super) fn compile(
    layers: &[(At, PolicyKeys<'_>)],
    credentials: &[HeaderName],
    diagnostics: &mut Diagnostics,
) -> Option<Option<Arc<Policy>>> {
    let cors = nearest(layers, "cors", |keys| keys.cors)
        .and_then(|(at, setting)| Some((at, setting.on()?)))
        .map(|(at, config)| Cors::compile(config, credentials.iter(), &at, diagnostics));
    let security = nearest(layers, "security_headers", |keys| keys.security_headers)
        .map(|(at, setting)| SecurityHeaders::compile(setting, &at, diagnostics));
    let compress = nearest(layers, "compress", |keys| keys.compress)
        .and_then(|(at, setting)| Some((at, setting.on()?)))
        .map(|(at, config)| Compress::compile(config, &at, diagnostics));
    let maintenance = nearest(layers, "maintenance", |keys| keys.maintenance)
        .and_then(|(at, setting)| Some((at, setting.on()?)))
        .map(|(at, config)| Maintenance::compile(config, &at, diagnostics));
    let ip = nearest(layers, "ip", |keys| keys.ip)
        .and_then(|(at, setting)| Some((at, setting.on()?)))
        .map(|(at, config)| AddressRule::compile(config, &at, diagnostics));
    let policy = Policy {
        cors: sound(cors)?,
        security: sound(security)?.filter(|headers| !headers.is_empty()),
        compress: sound(compress)?,
        maintenance: sound(maintenance)?,
        ip: sound(ip)?,
    };
    let is_empty = policy.cors.is_none()
        && policy.security.is_none()
        && policy.compress.is_none()
        && policy.maintenance.is_none()
        && policy.ip.is_none();
    Some((!is_empty).then(|| Arc::new(policy)))
}

/// The rules of the nearest limits; none if there is a mistake.
pub(super) fn limit_rules(
    layers: &[(At, PolicyKeys<'_>)],
    limits: &mut limit::Builder<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[Arc<limit::Rule>]>> {
    match nearest(layers, "limits", |keys| keys.limits) {
        Some((at, setting)) => limits.rules(setting, &at, diagnostics),
        None => Some(Box::default()),
    }
}

/// The gate of the nearest `concurrency`. Outer none: there is a mistake; inner none: as many may be as come.
#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
pub(super) fn gate(
    layers: &[(At, PolicyKeys<'_>)],
    gates: &mut Gates,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Arc<Gate>>> {
    let said = nearest(layers, "concurrency", |keys| keys.concurrency);
    let said = said.and_then(|(at, setting)| Some((at, setting.on()?)));
    sound(said.map(|(at, cap)| gates.at(cap, &at, diagnostics)))
}

/// What the nearest `validate` holds requests to. Outer none: there is a mistake; inner none: nothing is said.
#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
pub(super) fn validation(
    layers: &[(At, PolicyKeys<'_>)],
    documents: &Documents<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Arc<Validation>>> {
    let said = nearest(layers, "validate", |keys| keys.validate);
    let said = said.and_then(|(at, setting)| Some((at, setting.on()?)));
    sound(said.map(|(at, config)| documents.compile(config, &at, diagnostics)))
}

/// What was said and compiled; none if it did not compile.
#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
fn sound<T>(compiled: Option<Option<T>>) -> Option<Option<T>> {
    match compiled {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}
