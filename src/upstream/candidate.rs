//! A [`Candidate`] is a target as the configuration has it, before anybody has resolved or tried it: what can
//! be told of an upstream without a network.

use std::sync::Arc;

use http::HeaderValue;

use super::balance::Policy;
use super::ejection::Role;
use super::origin::{Origin, Place};
use super::{HashKey, Upstream};

/// One target of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As written.
    pub label: String,
    /// Its share in relation to the others.
    pub weight: u32,
    /// Its own Host.
    pub authority: HeaderValue,
    /// Whether it is a host name, which stands for the addresses that it has at the moment.
    pub named: bool,
}

impl Upstream {
    /// The targets of the configuration, in its order.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        let candidate = |target: &super::config::TargetSpec| {
            // All of them were read once already.
            let origin = Origin::parse(&target.url).ok()?;
            Some(Candidate {
                label: target.url.clone(),
                weight: target.weight,
                authority: HeaderValue::try_from(origin.authority()).ok()?,
                named: matches!(origin.place, Place::Name { .. }),
            })
        };
        self.config.targets.iter().filter_map(candidate).collect()
    }

    /// The policy by which a target is chosen, as the configuration calls it.
    #[must_use]
    pub fn policy(&self) -> &'static str {
        match Policy::from(&self.config.balance) {
            Policy::RoundRobin => "round_robin",
            Policy::Random => "random",
            Policy::Ketama => "hash",
        }
    }

    /// The target that a hash policy would send this key to if all were healthy, among those that are known
    /// without a resolver. None for the other policies, and without a key. It changes no position and
    /// counts nothing.
    #[must_use]
    pub fn preferred(&self, key: HashKey<'_>) -> Option<Arc<str>> {
        self.hash_key_source()?;
        let (target, _) = self.pick(key.0?, |_, _| Some(Role::Normal))?;
        Some(Arc::clone(target.label()))
    }
}
