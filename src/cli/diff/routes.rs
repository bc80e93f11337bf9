//! What changes about routes, by name. Routes that change in the same way are told together.

use std::collections::{BTreeMap, BTreeSet};

use super::Change;
use crate::auth::{Allow, RouteAuth};
use crate::config::{Config, PolicyKeys, RouteConfig, nearest};
use crate::diagnostic::At;
use crate::rewrite::{HeadersConfig, cors, security};
use crate::snapshot::Snapshot;
use crate::units::OneOrMany;

/// One way in: the methods that are demanded together.
type Way<'a> = BTreeSet<&'a str>;

/// The ways of which one lets in; `None` on an open route.
pub(super) fn auth<'a>(
    config: &'a Config,
    route: &'a RouteConfig,
) -> Option<BTreeSet<BTreeSet<&'a str>>> {
    let one = |name: &'a String| BTreeSet::from([name.as_str()]);
    match route.auth.as_ref().or(config.defaults.auth.as_ref()) {
        Some(RouteAuth::None) => None,
        Some(RouteAuth::AnyOf(names)) => Some(names.iter().map(one).collect()),
        Some(RouteAuth::AllOf(names)) => {
            Some(BTreeSet::from([names.iter().map(String::as_str).collect()]))
        }
        None => Some(config.auth.0.keys().map(one).collect()),
    }
}

pub(super) fn compare(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let mut groups: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
    let (before, after) = (&old.config.routes, &new.config.routes);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let mut notes = Notes::default();
        match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) => notes.changed((old, was), (new, is)),
            (Some(was), None) => notes.note(format!("is gone ({})", matches(old, was))),
            (None, Some(is)) => {
                let auth = words(auth(&new.config, is));
                notes.note(format!("is new: {}, {}, auth {auth}", matches(new, is), action(is)));
            }
            (None, None) => {}
        }
        for note in notes.0 {
            groups.entry(note).or_default().push(name.clone());
        }
    }
    let change = |((what, weaker_auth), names)| Change { about: "route", names, what, weaker_auth };
    groups.into_iter().map(change).collect()
}

/// What is said of a route in the end, the nearest first.
type Layers<'a> = [(At, PolicyKeys<'a>)];

fn word(preset: security::Preset) -> String {
    serde_json::to_string(&preset).unwrap_or_default().replace('"', "")
}

fn words(auth: Option<BTreeSet<Way<'_>>>) -> String {
    let way = |way: Way<'_>| way.into_iter().collect::<Vec<_>>().join(" and ");
    let ways = |ways: BTreeSet<Way<'_>>| ways.into_iter().map(way).collect::<Vec<_>>().join(" or ");
    auth.map_or("none".to_owned(), ways)
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "any".to_owned() } else { words.join(", ") }
}

/// A text of a configuration as it may be shown.
fn shown(snapshot: &Snapshot, text: &str) -> String {
    snapshot.record.mask(text)
}

/// What it takes, in short.
fn matches(snapshot: &Snapshot, route: &RouteConfig) -> String {
    let mut text = String::new();
    if !route.methods.is_empty() {
        text = format!("{} ", list(&route.methods));
    }
    if !route.host.is_empty() {
        text.push_str(&shown(snapshot, &list(&route.host.0)));
    }
    text + &shown(snapshot, &route.path)
}

fn action(route: &RouteConfig) -> String {
    match route {
        RouteConfig { to: Some(to), .. } => format!("to {to}"),
        RouteConfig { respond: Some(respond), .. } => format!("answers {}", respond.status),
        RouteConfig { redirect: Some(_), .. } => "redirects".to_owned(),
        route if !route.portal.is_off() => "serves the portal".to_owned(),
        _ => "tells its health".to_owned(),
    }
}

fn body_limit(config: &Config, route: &RouteConfig) -> String {
    route.body_limit.unwrap_or(config.defaults.body_limit).to_string()
}

/// What is noted of one route, and whether it lets somebody in.
#[derive(Default)]
struct Notes(Vec<(String, bool)>);

impl Notes {
    fn note(&mut self, what: impl Into<String>) {
        self.0.push((what.into(), false));
    }

    fn weaker(&mut self, what: impl Into<String>) {
        self.0.push((what.into(), true));
    }

    fn differs(&mut self, what: &str, was: &str, is: &str) {
        if was != is {
            self.note(format!("{what} {was} -> {is}"));
        }
    }

    /// What is told without its values.
    fn rest(&mut self, was: &RouteConfig, is: &RouteConfig) {
        for (what, changes) in [
            ("the headers it asks for change", was.headers != is.headers),
            ("the parameters it asks for change", was.query != is.query),
            (
                "the fixed answer changes",
                was.respond.is_some() && was.respond != is.respond && is.respond.is_some(),
            ),
            (
                "the portal changes",
                !was.portal.is_off() && was.portal != is.portal && !is.portal.is_off(),
            ),
            (
                "the redirect changes",
                was.redirect.is_some() && was.redirect != is.redirect && is.redirect.is_some(),
            ),
        ] {
            if changes {
                self.note(what);
            }
        }
    }

    fn changed(
        &mut self,
        (before, was): (&Snapshot, &RouteConfig),
        (after, is): (&Snapshot, &RouteConfig),
    ) {
        let (old, new) = (&*before.config, &*after.config);
        self.auth(auth(old, was), auth(new, is));
        self.allow(was, is);
        self.differs("path", &shown(before, &was.path), &shown(after, &is.path));
        let hosts = |of: &Snapshot, route: &RouteConfig| shown(of, &list(&route.host.0));
        self.differs("host", &hosts(before, was), &hosts(after, is));
        self.differs("methods", &list(&was.methods), &list(&is.methods));
        if was.exact != is.exact {
            self.note(if is.exact {
                "takes its path alone"
            } else {
                "takes what is below its path too"
            });
        }
        self.rest(was, is);
        match (&was.to, &is.to) {
            (Some(from), Some(to)) if from != to => self.note(format!("moves from {from} to {to}")),
            _ => self.differs("does something else:", &action(was), &action(is)),
        }
        let strip = |route: &RouteConfig| {
            route.strip_prefix.as_ref().and_then(|strip| serde_json::to_string(strip).ok())
        };
        let none = || "none".to_owned();
        self.differs(
            "strip_prefix",
            &strip(was).unwrap_or_else(none),
            &strip(is).unwrap_or_else(none),
        );
        let rewrite = |of: &Snapshot, route: &RouteConfig| {
            route.rewrite.as_ref().map_or_else(none, |text| shown(of, text))
        };
        self.differs("rewrite", &rewrite(before, was), &rewrite(after, is));
        self.differs("body_limit", &body_limit(old, was), &body_limit(new, is));
        self.policy(&old.policy_layers(Some(("", was))), &new.policy_layers(Some(("", is))));
        self.headers(
            "request",
            &was.request_headers.over(&old.defaults.request_headers),
            &is.request_headers.over(&new.defaults.request_headers),
        );
        self.headers(
            "response",
            &was.response_headers.over(&old.defaults.response_headers),
            &is.response_headers.over(&new.defaults.response_headers),
        );
    }

    fn auth(&mut self, was: Option<BTreeSet<Way<'_>>>, is: Option<BTreeSet<Way<'_>>>) {
        if was == is {
            return;
        }
        let told = format!("({} -> {})", words(was.clone()), words(is.clone()));
        match (was, is) {
            (Some(_), None) => self.weaker(format!("loses auth {told}")),
            (None, _) => self.note(format!("asks for auth {told}")),
            // Whoever has a way in now had one before.
            (Some(was), Some(is))
                if is.iter().all(|new| was.iter().any(|old| old.is_subset(new))) =>
            {
                self.note(format!("fewer ways to prove who one is {told}"));
            }
            _ => self.weaker(format!("other ways to prove who one is {told}")),
        }
    }

    fn allow(&mut self, was: &RouteConfig, is: &RouteConfig) {
        let names = |route: &RouteConfig| {
            let callers = route.allow.as_ref().and_then(Allow::callers);
            callers.map(|callers| callers.into_iter().collect::<BTreeSet<_>>())
        };
        let required = |route: &RouteConfig| {
            route.allow.as_ref().map(|allow| allow.require.clone()).unwrap_or_default()
        };
        let (was_required, is_required) = (required(was), required(is));
        if was_required != is_required {
            let kept =
                was_required.iter().all(|(claim, words)| is_required.get(claim) == Some(words));
            let what = "`allow.require` demands other claims";
            if kept { self.note(what) } else { self.weaker(what) }
        }
        let observes =
            |route: &RouteConfig| route.allow.as_ref().is_some_and(|allow| allow.observe);
        match (observes(was), observes(is)) {
            (false, true) => self.weaker("`allow` only observes"),
            (true, false) => self.note("`allow` refuses, and no longer only observes"),
            _ => {}
        }
        let listed = |names: Vec<&String>| {
            names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        match (names(was), names(is)) {
            (Some(_), None) => self.weaker("`allow` is gone: every known consumer may pass"),
            (None, Some(is)) => {
                self.note(format!("only {} may pass", listed(is.iter().collect())));
            }
            (Some(was), Some(is)) => {
                let (more, less) = (is.difference(&was), was.difference(&is));
                let (more, less) = (listed(more.collect()), listed(less.collect()));
                if !more.is_empty() {
                    self.weaker(format!("`allow` widens: {more} may pass too"));
                }
                if !less.is_empty() {
                    self.note(format!("`allow` narrows: {less} may not pass any more"));
                }
            }
            (None, None) => {}
        }
    }

    /// What holds of browsers, compression, limits, maintenance and addresses in the end, wherever it is written.
    fn policy(&mut self, was: &Layers<'_>, is: &Layers<'_>) {
        let layers = [was, is];
        let [ip_was, ip_is] =
            layers.map(|layers| nearest(layers, "", |keys| keys.ip).and_then(|(_, s)| s.on()));
        match (ip_was, ip_is) {
            (None, Some(_)) => self.note("is for some addresses only"),
            (Some(_), None) => self.weaker("is for all addresses"),
            (Some(was), Some(is)) if was != is => self.weaker("is for other addresses (`ip`)"),
            _ => {}
        }
        let [cors_was, cors_is] =
            layers.map(|layers| nearest(layers, "", |keys| keys.cors).and_then(|(_, s)| s.on()));
        self.cors(cors_was, cors_is);
        let maintenance = layers
            .map(|layers| nearest(layers, "", |keys| keys.maintenance).and_then(|(_, s)| s.on()));
        let words = [
            "goes into maintenance: 503 for its clients",
            "comes out of maintenance",
            "its maintenance changes",
        ];
        self.setting(maintenance, words);
        let limits =
            layers.map(|layers| nearest(layers, "", |keys| keys.limits).and_then(|(_, s)| s.on()));
        self.setting(limits, ["is limited", "is not limited any more", "its limits change"]);
        let caps = layers
            .map(|layers| nearest(layers, "", |keys| keys.concurrency).and_then(|(_, s)| s.on()));
        let words = [
            "has so many requests at once",
            "has as many requests at once as come",
            "has another number at once",
        ];
        self.setting(caps, words);
        let compress = layers
            .map(|layers| nearest(layers, "", |keys| keys.compress).and_then(|(_, s)| s.on()));
        let words = [
            "answers are compressed",
            "answers are not compressed any more",
            "answers are compressed otherwise",
        ];
        self.setting(compress, words);
        self.security(was, is);
    }

    fn security(&mut self, was: &Layers<'_>, is: &Layers<'_>) {
        let security = |layers: &Layers<'_>| {
            let setting = nearest(layers, "", |keys| keys.security_headers);
            setting.map_or_else(
                || "none".to_owned(),
                |(_, setting)| match setting {
                    security::Setting::Preset(preset) => word(*preset),
                    security::Setting::Config(config) => {
                        format!("{} with changes", word(config.preset))
                    }
                },
            )
        };
        let changed = nearest(was, "", |keys| keys.security_headers).map(|(_, setting)| setting)
            != nearest(is, "", |keys| keys.security_headers).map(|(_, setting)| setting);
        let (was, is) = (security(was), security(is));
        if was != is {
            self.note(format!("security headers {was} -> {is}"));
        } else if changed && was != "none" {
            self.note("its security headers change");
        }
    }

    /// Notes what became of a setting: it is on, off, or otherwise.
    fn setting<T: PartialEq>(&mut self, [was, is]: [Option<T>; 2], words: [&'static str; 3]) {
        let [on, off, otherwise] = words;
        match (was, is) {
            (None, Some(_)) => self.note(on),
            (Some(_), None) => self.note(off),
            (Some(was), Some(is)) if was != is => self.note(otherwise),
            _ => {}
        }
    }

    fn cors(&mut self, was: Option<&cors::Config>, is: Option<&cors::Config>) {
        let origins = |config: Option<&cors::Config>| -> BTreeSet<String> {
            config.into_iter().flat_map(|config| config.origins.0.iter().cloned()).collect()
        };
        let (before, after) = (origins(was), origins(is));
        for origin in after.difference(&before) {
            self.note(format!("pages of {origin} may call it from a browser (cors)"));
        }
        for origin in before.difference(&after) {
            self.note(format!("pages of {origin} may not call it any more (cors)"));
        }
        let (Some(was), Some(is)) = (was, is) else { return };
        if was.credentials != is.credentials {
            let word = if is.credentials { "with" } else { "without" };
            self.note(format!("pages call it {word} the browser's cookies (cors)"));
        }
        let rest = |config: &cors::Config| cors::Config {
            origins: OneOrMany::default(),
            credentials: false,
            ..config.clone()
        };
        if rest(was) != rest(is) {
            self.note("what pages may send and read changes (cors)");
        }
    }

    /// Names only: a value may be a credential.
    fn headers(&mut self, side: &str, was: &HeadersConfig, is: &HeadersConfig) {
        fn compared<V: PartialEq>(
            was: &BTreeMap<String, V>,
            is: &BTreeMap<String, V>,
        ) -> Vec<String> {
            let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            let word = |name: &String| match (was.get(name), is.get(name)) {
                (Some(_), None) => Some(format!("{name} no more")),
                (None, Some(_)) => Some(name.clone()),
                (a, b) if a != b => Some(format!("{name} otherwise")),
                _ => None,
            };
            names.into_iter().filter_map(word).collect()
        }
        let removed = |config: &HeadersConfig| -> BTreeMap<String, String> {
            config.remove.iter().map(|name| (name.to_ascii_lowercase(), String::new())).collect()
        };
        for (verb, changes) in [
            ("set", compared(&was.set, &is.set)),
            ("add", compared(&was.add, &is.add)),
            ("remove", compared(&removed(was), &removed(is))),
            ("rename", compared(&was.rename, &is.rename)),
        ] {
            for name in changes {
                self.note(format!("{side} headers: {verb} {name}"));
            }
        }
    }
}
