//! What can still be judged of a file of which parts could not be read.
//!
//! A person who mends a file wants all its mistakes at once, those of its text and those of its meaning.
//! But a part that was left out must not make other mistakes up: a route to an upstream that could not be
//! read is no route to nowhere. So the meaning of a broken file is judged by these rules:
//!
//! - A listener, upstream, consumer, plan, auth method, policy or route that holds a mistake of the text is left out as a
//!   whole; its name is still known to the others. The same for `admin` and `trusted_proxies`.
//! - If the mistake is in `auth` or `defaults`, or `consumers` could not be read at all, nobody says who
//!   may call which route; if `upstreams` could not be read at all, nothing is said of routes.
//! - A section that is not there counts as unreadable if a key beside it is wrong: it may be that section,
//!   misspelt.
//! - Nothing is said of a section that may be incomplete, that it is empty; and there are no warnings until
//!   the text is right.

use std::collections::BTreeSet;

use crate::auth::{ConsumerConfig, MethodsConfig};
use crate::config::{Config, Defaults, PolicyConfig, Version};
use crate::diagnostic::{At, Step};
use crate::limit::PlanConfig;

/// What is not there although the file has it. Of a file that was read well, nothing.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked by itself")]
pub(super) struct Gaps {
    /// Some listener is missing, or all of them.
    pub listeners: bool,
    /// Some route is missing, or all of them.
    pub routes: bool,
    /// Upstreams that stand in the file and could not be read.
    pub upstreams: BTreeSet<String>,
    /// It is not known who may speak for others.
    pub trusted: bool,
    /// It is not known who may call.
    pub auth: bool,
    /// It is not known which plans there are.
    pub plans: bool,
}

impl Gaps {
    /// Leaves out of a configuration what cannot be judged. `wrong` are the paths of the mistakes of the
    /// text. `None` if nothing can be judged.
    pub(super) fn leave_out(config: &mut Config, wrong: &[At]) -> Option<Self> {
        let wrong = Wrong(wrong);
        // Another version may mean other things by the same words.
        if wrong.0.iter().any(|at| at.steps().is_empty()) || wrong.touches("version") {
            return None;
        }
        if wrong.lost("version", config.version.is_none()) {
            config.version = Some(Version::CURRENT);
        }
        let listeners = wrong.reaches("listeners", config.listeners.is_empty());
        let mut routes = wrong.reaches("routes", config.routes.is_empty());
        let names = wrong.names("listeners");
        config.listeners.retain(|name, _| !names.contains(name));
        if wrong.touches("admin") {
            config.admin = None;
        }
        let trusted = wrong.reaches("trusted_proxies", config.trusted_proxies.is_empty());
        if wrong.touches("trusted_proxies") {
            config.trusted_proxies.clear();
        }
        let upstreams = wrong.names("upstreams");
        let names = wrong.names("routes");
        config.routes.retain(|name, _| !names.contains(name));
        if wrong.lost("upstreams", config.upstreams.is_empty()) {
            config.routes.clear();
            routes = true;
        }
        config.upstreams.retain(|name, _| !upstreams.contains(name));
        let auth = wrong.reaches("auth", config.auth == MethodsConfig::default())
            || wrong.reaches("defaults", config.defaults == Defaults::default())
            || wrong.lost("consumers", config.consumers.0.is_empty())
            // Somebody who could not be read may be all of a group.
            || (!wrong.names("consumers").is_empty() && names_groups(config));
        let methods = wrong.names("auth");
        config.auth.0.retain(|name, _| !methods.contains(name));
        if wrong.lost("policies", config.policies.is_empty()) {
            config.routes.values_mut().for_each(|route| route.policies.0.clear());
            config.defaults.policies.0.clear();
        }
        // Without its settings a policy is nothing but a name.
        for name in wrong.names("policies") {
            config.policies.insert(name, PolicyConfig::default());
        }
        // Without its limits a plan is nothing but a name; nor is there more to a plan that may be one of them.
        let plans = wrong.lost("plans", config.plans.is_empty());
        if plans {
            config.consumers.0.values_mut().for_each(|consumer| consumer.plan = None);
        }
        for name in wrong.names("plans") {
            config.plans.insert(name, PlanConfig::default());
        }
        // Where a quota is kept cannot be missed while that cannot be read.
        let nowhere = config.quota_file.is_none() && config.store.is_none();
        if wrong.lost("quota_file", nowhere) || nowhere && wrong.touches("store") {
            config.plans.values_mut().for_each(|plan| plan.quota.0.clear());
        }
        // Without a key of its own a consumer is nothing but a name.
        let names = wrong.names("consumers").into_iter();
        config.consumers.0.extend(names.map(|name| (name, ConsumerConfig::default())));
        Some(Self { listeners, routes, upstreams, trusted, auth, plans })
    }
}

/// Whether a route is for groups.
fn names_groups(config: &Config) -> bool {
    let mut allows = config.routes.values().filter_map(|route| route.allow.as_ref());
    allows.any(|allow| allow.groups.is_some())
}

/// The paths of the mistakes of the text.
struct Wrong<'a>(&'a [At]);

impl Wrong<'_> {
    /// Whether a mistake stands at or in this section.
    fn touches(&self, section: &str) -> bool {
        let section = At::root().key(section);
        self.0.iter().any(|wrong| section.leads_to(wrong))
    }

    /// Whether a section as a whole may be another one in truth: it could not be read, or it came out
    /// `empty` and a key beside it is wrong.
    fn lost(&self, section: &str, empty: bool) -> bool {
        let section = At::root().key(section);
        self.0.iter().any(|wrong| *wrong == section || empty && wrong.steps().len() == 1)
    }

    /// Whether anything in this section may be missing.
    fn reaches(&self, section: &str, empty: bool) -> bool {
        self.touches(section) || self.lost(section, empty)
    }

    /// The names in a section below which a mistake stands.
    fn names(&self, section: &str) -> BTreeSet<String> {
        let name = |wrong: &At| match wrong.steps() {
            [Step::Key(first), Step::Key(name), ..] if first == section => Some(name.clone()),
            _ => None,
        };
        self.0.iter().filter_map(name).collect()
    }
}
