//! From a route's `auth` and `allow` to its guard.

use std::sync::Arc;

use hashbrown::HashSet;
use http::HeaderName;

use super::config::{Allow, RouteAuth};
use super::consumer::{Consumer, Registry};
use super::guard::{Demand, Guard, Method, Scheme};
use crate::diagnostic::{At, Diagnostics, did_you_mean};

/// So many names are looked through for a "did you mean"; a file of keys may have a million.
const MOST_SUGGESTIONS: usize = 1000;

/// All methods and consumers of one configuration. Guards are made from it.
#[derive(Debug)]
pub struct Auth {
    methods: Box<[(String, Arc<Method>)]>,
    consumers: Arc<Registry>,
    credentials: Arc<[HeaderName]>,
    /// Whether all keys could be read.
    sound: bool,
}

impl Auth {
    pub(super) fn new(
        methods: Vec<(String, Arc<Method>)>,
        consumers: Arc<Registry>,
        sound: bool,
    ) -> Self {
        let headers = methods.iter().filter_map(|(_, method)| method.credential_header().cloned());
        Self { credentials: headers.collect(), methods: methods.into(), consumers, sound }
    }

    /// The guard of one route. `auth` is what the route or the defaults demand, none for all methods;
    /// `at` is the route's own place. None if there is a mistake, and it is among the diagnostics.
    pub fn guard(
        &self,
        auth: Option<&RouteAuth>,
        allow: Option<&Allow>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Guard>> {
        let guard = |demand| Some(Arc::new(Guard::new(demand, &self.credentials)));
        if auth == Some(&RouteAuth::None) {
            if allow.is_some() {
                diagnostics.error(
                    at.key("allow"),
                    "`allow` needs to know who calls, and `auth: none` does not ask",
                    "take out `allow`, or name an auth method",
                );
                return None;
            }
            return guard(Demand::Nothing);
        }
        let methods = self.methods(auth, at, diagnostics);
        let allowed = match allow {
            Some(allow) => self.allowed(allow, at, diagnostics).map(Some),
            None => Some(None),
        };
        let (methods, allowed) = (methods?, allowed?);
        if self.sound && methods.iter().all(|method| method.admits_nobody()) {
            diagnostics.warning(
                at.clone(),
                "nobody can call this route: no consumer has a key",
                "give a consumer a key (`portcullis key new`), or open the route with `auth: none`",
            );
        }
        guard(Demand::AnyOf { methods: methods.into(), allowed })
    }

    /// The consumer of this name.
    #[must_use]
    pub fn consumer(&self, name: &str) -> Option<&Arc<Consumer>> {
        self.consumers.find(name)
    }

    /// All consumers, those of the configuration first.
    #[must_use]
    pub fn consumers(&self) -> &[Arc<Consumer>] {
        self.consumers.all()
    }

    /// The names of all methods.
    pub fn method_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.methods.iter().map(|(name, _)| name.as_str())
    }

    /// The methods of which one lets a caller in, by name, for a route (or the defaults) that demands this; none if
    /// everybody may pass.
    #[must_use]
    pub fn schemes(&self, auth: Option<&RouteAuth>) -> Vec<(String, Scheme)> {
        let demanded = |name: &String| match auth {
            None => true,
            Some(RouteAuth::None) => false,
            Some(RouteAuth::AnyOf(names)) => names.contains(name),
        };
        let methods = self.methods.iter().filter(|(name, _)| demanded(name));
        methods.map(|(name, method)| (name.clone(), method.scheme())).collect()
    }

    /// The headers that carry credentials, of all methods.
    #[must_use]
    pub fn credential_headers(&self) -> &[HeaderName] {
        &self.credentials
    }

    /// Whether no guard uses these methods any more, so that dropping them frees them.
    #[must_use]
    pub fn is_unused(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
            && self.methods.iter().all(|(_, method)| Arc::strong_count(method) == 1)
    }

    /// How many keys there are. One that is good for several methods counts once for each.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.methods.iter().map(|(_, method)| method.keys()).sum()
    }

    fn methods(
        &self,
        auth: Option<&RouteAuth>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Arc<Method>>> {
        let Some(RouteAuth::AnyOf(names)) = auth else {
            if self.methods.is_empty() {
                diagnostics.error(
                    at.clone(),
                    "the route is guarded, but no auth method is declared",
                    "declare `auth: { key: { api_key: {} } }`, or open the route with `auth: none`",
                );
                return None;
            }
            return Some(self.methods.iter().map(|(_, method)| Arc::clone(method)).collect());
        };
        let at = at.key("auth");
        if names.is_empty() {
            diagnostics.error(
                at,
                "the list of auth methods is empty",
                "name one, or write `auth: none`",
            );
            return None;
        }
        let mut sound = true;
        let mut methods: Vec<Arc<Method>> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let at = if names.len() == 1 { at.clone() } else { at.index(index) };
            if let Some((_, method)) = self.methods.iter().find(|(known, _)| known == name) {
                if !methods.iter().any(|known| Arc::ptr_eq(known, method)) {
                    methods.push(Arc::clone(method));
                }
                continue;
            }
            sound = false;
            if name == "none" {
                diagnostics.error(
                    at,
                    "`none` can't stand in a list",
                    "write `auth: none` to open the route",
                );
            } else {
                let help = did_you_mean(name, self.method_names());
                diagnostics.error(at, format!("no auth method \"{name}\""), help);
            }
        }
        sound.then_some(methods)
    }

    fn allowed(
        &self,
        allow: &Allow,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<HashSet<u32>> {
        let at = at.key("allow").key("consumers");
        if allow.consumers.is_empty() {
            diagnostics.error(
                at,
                "the list of consumers is empty, so nobody could call the route",
                "name those who may, or take out `allow` for all that are known",
            );
            return None;
        }
        let mut sound = true;
        let mut ids = HashSet::with_capacity(allow.consumers.len());
        for (index, name) in allow.consumers.iter().enumerate() {
            if let Some(consumer) = self.consumer(name) {
                ids.insert(consumer.id());
            } else {
                sound = false;
                let known = self.consumers().iter().take(MOST_SUGGESTIONS).map(|c| c.name());
                diagnostics.error(
                    at.index(index),
                    format!("no consumer \"{name}\""),
                    did_you_mean(name, known),
                );
            }
        }
        sound.then_some(ids)
    }
}
