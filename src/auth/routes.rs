//! From a route's `auth` and `allow` to its guard.

use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashSet;
use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;

use super::basic::Booth;
use super::config::{Allow, RouteAuth};
use super::consumer::{Consumer, Registry};
use super::guard::{Demand, Guard, Scheme};
use super::jwt::{Fetched, KeySetStatus, Wish};
use super::method::{Halt, Method};
use super::place::Places;
use super::presented::Presented;
use super::roll::Roll;
use super::rules::{Required, Rules};
use super::signature::Signatures;
use super::wait::{Settled, Wait};
use crate::diagnostic::{At, Diagnostics, did_you_mean};

/// So many names are looked through for a "did you mean"; a file of keys may have a million.
const MOST_SUGGESTIONS: usize = 1000;

/// All methods and consumers of one configuration. Guards are made from it.
#[derive(Debug)]
pub struct Auth {
    methods: Box<[(String, Arc<Method>)]>,
    consumers: Arc<Registry>,
    /// Their plans and groups.
    roll: Roll,
    /// Where passwords are verified.
    pub(super) booth: Arc<Booth>,
    /// Where credentials are that end at the gate.
    credentials: Arc<Places>,
    /// Where any are, whether or not upstreams get them too.
    secrets: Places,
    /// Whether all keys could be read.
    sound: bool,
}

impl Auth {
    pub(super) fn new(
        methods: Vec<(String, Arc<Method>)>,
        consumers: Arc<Registry>,
        roll: Roll,
        booth: Arc<Booth>,
        sound: bool,
    ) -> Self {
        Self {
            credentials: Arc::new(Places::of(methods.iter().map(|(_, one)| one.stripped()))),
            secrets: Places::of(methods.iter().map(|(_, one)| one.places()))
                .signed(methods.iter().any(|(_, one)| matches!(**one, Method::Signature(_)))),
            methods: methods.into(),
            consumers,
            roll,
            booth,
            sound,
        }
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
        let guard = |demand, rules| Some(Arc::new(Guard::new(demand, rules, &self.credentials)));
        if auth == Some(&RouteAuth::None) {
            if allow.is_some() {
                diagnostics.error(
                    at.key("allow"),
                    "`allow` needs to know who calls, and `auth: none` does not ask",
                    "take out `allow`, or name an auth method",
                );
                return None;
            }
            return guard(Demand::Nothing, None);
        }
        let methods = self.methods(auth, at, diagnostics);
        let rules = match allow {
            Some(allow) => self.rules(allow, &at.key("allow"), diagnostics).map(Some),
            None => Some(None),
        };
        let (methods, rules) = (methods?, rules?);
        if self.sound && methods.iter().all(|method| method.admits_nobody()) {
            diagnostics.warning(
                at.clone(),
                "nobody can call this route: no consumer has a key",
                "give a consumer a key (`portcullis key new`), or open the route with `auth: none`",
            );
        }
        let tells = |method: &Arc<Method>| matches!(**method, Method::Jwt(_));
        if rules.as_ref().is_some_and(|rules| !rules.require.is_empty())
            && !methods.iter().any(tells)
        {
            diagnostics.error(
                at.key("allow").key("require"),
                "no method of this route knows tokens, so nobody could have a claim",
                "name a `jwt` method in `auth`, or take out `require`",
            );
            return None;
        }
        let all = matches!(auth, Some(RouteAuth::AllOf(_)));
        let methods = methods.into();
        guard(if all { Demand::AllOf(methods) } else { Demand::AnyOf(methods) }, rules)
    }

    /// Begins to fetch what methods need, on this runtime.
    pub fn start(&self, handle: &Handle) {
        self.all_fetched().for_each(|fetched| fetched.start(handle));
    }

    /// Until the first fetches are over, or have taken too long.
    pub async fn ready(&self) {
        futures::future::join_all(self.all_fetched().map(|fetched| fetched.ready())).await;
    }

    /// The sets of keys that are fetched.
    #[must_use]
    pub fn key_sets(&self, now: SystemTime) -> Vec<KeySetStatus> {
        self.all_fetched().map(|fetched| fetched.status(now)).collect()
    }

    /// What is fetched already for such a method.
    pub(super) fn fetched(&self, method: &str, wish: &Wish) -> Option<Arc<Fetched>> {
        self.all_fetched().find(|fetched| fetched.is_for(method, wish)).cloned()
    }

    /// The method for signatures, of which there is one at most.
    pub(super) fn signatures(&self) -> Option<&Signatures> {
        self.methods.iter().find_map(|(_, method)| match &**method {
            Method::Signature(method) => Some(&**method),
            _ => None,
        })
    }

    fn all_fetched(&self) -> impl Iterator<Item = &Arc<Fetched>> {
        self.methods.iter().filter_map(|(_, method)| match &**method {
            Method::Jwt(jwt) => jwt.fetched.as_ref(),
            _ => None,
        })
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

    /// Every consumer that has a plan, with the plan's name.
    pub fn buyers(&self) -> impl Iterator<Item = (&Arc<Consumer>, &str)> {
        self.roll.buyers().map(|(id, plan)| (self.consumers.get(id), plan))
    }

    /// The plans that files of keys name, with the place of the file and the line.
    pub fn plans_in_files(&self) -> impl Iterator<Item = (&str, &At, &str)> {
        self.roll.named_in_files()
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
            Some(RouteAuth::AnyOf(names) | RouteAuth::AllOf(names)) => names.contains(name),
        };
        let methods = self.methods.iter().filter(|(name, _)| demanded(name));
        methods.map(|(name, method)| (name.clone(), method.scheme())).collect()
    }

    /// The headers that carry credentials which end at the gate, of all methods.
    #[must_use]
    pub fn credential_headers(&self) -> &[HeaderName] {
        &self.credentials.headers
    }

    /// The cookies that do.
    #[must_use]
    pub fn credential_cookies(&self) -> &[Box<str>] {
        &self.credentials.cookies
    }

    /// The headers that carry credentials, whether or not they end at the gate.
    #[must_use]
    pub fn secret_headers(&self) -> &[HeaderName] {
        &self.secrets.headers
    }

    /// What a request presents to any of the methods.
    pub fn shown<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h [u8]> {
        self.secrets.values(headers)
    }

    /// What every method makes of a request, for several guards to judge it by.
    ///
    /// # Errors
    /// Something has to be waited for first.
    pub fn judge(&self, presented: &Presented<'_>, now: SystemTime) -> Result<Vec<Settled>, Wait> {
        let mut all = Vec::with_capacity(self.methods.len());
        for (_, method) in &self.methods {
            let outcome = match method.identify(presented, now) {
                Ok(identity) => Ok(identity),
                Err(Halt::Refused(refused)) => Err(refused),
                Err(Halt::Wait(wait)) => return Err(wait),
            };
            all.push(Settled::new(method, outcome));
        }
        Ok(all)
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
        self.methods.iter().filter_map(|(_, method)| method.keys()).sum()
    }

    fn methods(
        &self,
        auth: Option<&RouteAuth>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Arc<Method>>> {
        let Some(RouteAuth::AnyOf(names) | RouteAuth::AllOf(names)) = auth else {
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
        let at = match auth {
            Some(RouteAuth::AllOf(_)) => at.key("auth").key("all"),
            _ => at.key("auth"),
        };
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

    fn rules(&self, allow: &Allow, at: &At, diagnostics: &mut Diagnostics) -> Option<Rules> {
        let Allow { consumers, groups, require, observe } = allow;
        if consumers.is_none() && groups.is_none() && require.is_empty() {
            diagnostics.error(
                at.clone(),
                "`allow` names nobody, so it would leave nobody out",
                "add `consumers`, `groups` or `require`, or take it out",
            );
            return None;
        }
        let before = diagnostics.len();
        let mut ids = HashSet::new();
        if let Some(names) = consumers {
            self.named(&names.0, &at.key("consumers"), &mut ids, diagnostics);
        }
        if let Some(names) = groups {
            self.grouped(&names.0, &at.key("groups"), &mut ids, diagnostics);
        }
        for (claim, words) in require {
            if claim.is_empty() || words.is_empty() || words.0.iter().any(String::is_empty) {
                diagnostics.error(
                    at.key("require").key(claim),
                    "this says no word that the claim must hold",
                    "write one, such as `scope: orders:write`, or a list of which one suffices",
                );
            }
        }
        let required = |(claim, words): (&String, &crate::units::OneOrMany)| Required {
            claim: claim.clone(),
            words: words.0.clone().into(),
        };
        let sound = diagnostics.len() == before;
        sound.then(|| Rules {
            consumers: (consumers.is_some() || groups.is_some()).then_some(ids),
            require: require.iter().map(required).collect(),
            observe: *observe,
        })
    }

    fn named(
        &self,
        names: &[String],
        at: &At,
        ids: &mut HashSet<u32>,
        diagnostics: &mut Diagnostics,
    ) {
        if names.is_empty() {
            diagnostics.error(
                at.clone(),
                "the list of consumers is empty, so nobody could call the route",
                "name those who may, or take out `allow` for all that are known",
            );
        }
        for (index, name) in names.iter().enumerate() {
            if let Some(id) = self.consumer(name).and_then(|consumer| consumer.id()) {
                ids.insert(id);
            } else {
                let known = self.consumers().iter().take(MOST_SUGGESTIONS).map(|c| c.name());
                diagnostics.error(
                    at.index(index),
                    format!("no consumer \"{name}\""),
                    did_you_mean(name, known),
                );
            }
        }
    }

    fn grouped(
        &self,
        names: &[String],
        at: &At,
        ids: &mut HashSet<u32>,
        diagnostics: &mut Diagnostics,
    ) {
        if names.is_empty() {
            diagnostics.error(
                at.clone(),
                "the list of groups is empty",
                "name those who may, or take it out",
            );
        }
        for (index, name) in names.iter().enumerate() {
            match self.roll.groups().get(name) {
                Some(members) => ids.extend(members),
                None => diagnostics.error(
                    at.index(index),
                    format!("no consumer is in a group \"{name}\""),
                    did_you_mean(name, self.roll.groups().keys().map(String::as_str)),
                ),
            }
        }
    }
}
