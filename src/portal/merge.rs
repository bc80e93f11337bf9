//! One document of many: every operation of every spec that a route reaches, under the path and the rules of the
//! gateway.
//!
//! - A path goes back through its route's rules ([`Landscape`]). An operation that two routes reach appears twice;
//!   one that none reaches is left out, and so is what is then referred to by nothing.
//! - Tags are the upstreams. Ids of operations and names of components stay as they are where they are clear, and
//!   get their route's or upstream's name in front where two differ; so another upstream's change renames nothing
//!   that it does not meet.
//! - Who may call, and what the gateway itself answers, is said by the gateway alone.
//! - The order is that of paths, methods and names, so that a difference between two documents means something.

mod answers;
mod components;
mod operation;
mod prune;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::HeaderName;
use serde_json::{Map, Value, json};

use super::bounds::{Budget, Unique};
use super::config::Settings;
use super::landscape::{Landscape, Place};
use super::shape::METHODS;
use super::spec::{Operation, Spec, Target};
use crate::auth::Scheme;
use crate::route::{Public, parameters};

/// The most operations in a document.
const MOST_OPERATIONS: usize = 10_000;
/// The most values in all its operations.
const MOST_NODES: usize = 2_000_000;
/// So many operations are led back through the rules of routes.
pub(super) const MOST_TRIES: usize = 1_000_000;

/// What a document says of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its title.
    pub title: String,
    /// Its version.
    pub version: String,
    /// A sentence.
    pub description: Option<String>,
    /// More, in Markdown.
    pub introduction: Option<String>,
    /// Where clients reach the gateway, without a slash at its end; none: where they found the document.
    pub url: Option<String>,
}

impl Default for About {
    /// What a portal without words of its own says.
    fn default() -> Self {
        Settings::default().into()
    }
}

impl From<Settings> for About {
    fn from(settings: Settings) -> Self {
        let Settings { title, version, description, introduction, url, .. } = settings;
        Self { title, version, description, introduction, url }
    }
}

/// What is known of an upstream's spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The last one that was good.
    pub spec: Option<Arc<Spec>>,
    /// How the last look at it ended.
    pub state: State,
}

/// How the last look at a spec ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There was none yet.
    Waiting,
    /// With a good one.
    Good,
    /// With nothing, or a broken one.
    Broken,
}

/// The specs of upstreams, by name.
pub type Specs = BTreeMap<Arc<str>, Known>;

/// One operation at its place in the document.
struct Entry<'m> {
    place: &'m Place,
    upstream: &'m Arc<str>,
    spec: &'m Spec,
    operation: &'m Operation,
    public: Public,
    hosts: Vec<String>,
    /// The names of its path's parameters in the document, by those of its spec.
    renamed: Vec<(String, String)>,
    /// Its id in the document.
    id: Option<String>,
    /// Others that would stand at the same place.
    beside: Vec<String>,
}

/// Merges the specs of all upstreams for a reader to whom these places are shown.
#[must_use]
pub fn merge(
    about: &About,
    landscape: &Landscape,
    specs: &Specs,
    shown: &dyn Fn(usize) -> bool,
) -> Value {
    let (mut entries, whole) = entries(landscape, specs, shown);
    one_name_a_place(&mut entries);
    unique_ids(&mut entries);
    let parts = components::gather(&entries);
    let targets = Targets::new(&entries);
    let mut budget = Budget::of(MOST_NODES);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for entry in &entries {
        let value = operation::write(entry, &targets, &parts, about, &mut budget);
        let item = paths.entry(&entry.public.path).or_default();
        item.insert(entry.operation.method.to_owned(), Value::Object(value));
    }
    let paths: Map<String, Value> =
        paths.into_iter().map(|(path, item)| (path.to_owned(), Value::Object(item))).collect();
    let mut components = parts.write(&targets);
    answers::add(&mut components, &paths);
    prune::prune(&mut components, &paths);
    components.insert("securitySchemes".to_owned(), schemes(landscape));
    let mut document = Map::new();
    document.insert("openapi".to_owned(), "3.1.0".into());
    document.insert("info".to_owned(), info(about, whole));
    let url = about.url.as_deref().map_or_else(|| "/".to_owned(), str::to_owned);
    document.insert("servers".to_owned(), json!([{ "url": url }]));
    document.insert("tags".to_owned(), tags(landscape, specs, shown));
    document.insert("paths".to_owned(), Value::Object(paths));
    document.insert("components".to_owned(), Value::Object(components));
    Value::Object(document)
}

/// The operations that are reached, each place once; and whether that is all of them.
fn entries<'m>(
    landscape: &'m Landscape,
    specs: &'m Specs,
    shown: &dyn Fn(usize) -> bool,
) -> (Vec<Entry<'m>>, bool) {
    let mut entries = Vec::new();
    let (mut nodes, mut tries) = (0, 0);
    for (index, place) in landscape.places().iter().enumerate() {
        let Some((upstream, known)) = specs.get_key_value(&place.upstream) else { continue };
        let Some(spec) = known.spec.as_deref() else { continue };
        if !shown(index) {
            continue;
        }
        for operation in &spec.operations {
            tries += 1;
            if entries.len() >= MOST_OPERATIONS || nodes > MOST_NODES || tries > MOST_TRIES {
                return (entries, false);
            }
            let templates = templates(place, operation);
            let Some((public, hosts)) = landscape.reach(index, operation.method, &templates) else {
                continue;
            };
            nodes += operation.nodes;
            let (renamed, beside) = (Vec::new(), Vec::new());
            let id = operation.id().map(str::to_owned);
            entries.push(Entry {
                place,
                upstream,
                spec,
                operation,
                public,
                hosts,
                renamed,
                id,
                beside,
            });
        }
    }
    (entries, true)
}

/// The paths that an operation may have at the upstream.
///
/// A server's path in a spec comes before the paths, unless it is what the route takes off: then the service was told
/// of the prefix under which clients find it, and its paths are those that it sees.
pub(super) fn templates(place: &Place, operation: &Operation) -> Vec<String> {
    let (base, path) = (&operation.base, &operation.path);
    if base.is_empty() || !place.forwarding.keeps() && place.path.as_str() == base {
        return vec![path.clone()];
    }
    let below = if path == "/" { base.clone() } else { format!("{base}{path}") };
    vec![below, path.clone()]
}

/// Paths that differ in their parameters' names only are one path; and of one path and method there is one
/// operation: that of the route with the fewest conditions.
fn one_name_a_place(entries: &mut Vec<Entry<'_>>) {
    let conditions = |entry: &Entry<'_>| {
        entry.place.hosts.len() + entry.place.headers.len() + entry.place.query.len()
    };
    entries.sort_by_cached_key(|entry| {
        let method = METHODS.iter().position(|known| *known == entry.operation.method);
        (nameless(&entry.public.path), method, conditions(entry))
    });
    let mut kept: Vec<Entry<'_>> = Vec::with_capacity(entries.len());
    for mut entry in entries.drain(..) {
        let first = kept.last_mut();
        if let Some(first) =
            first.filter(|first| nameless(&first.public.path) == nameless(&entry.public.path))
        {
            if first.operation.method == entry.operation.method {
                first.beside.push(differs(&entry));
                continue;
            }
            let names = parameters(&entry.public.path).map(str::to_owned);
            entry.renamed = names.zip(parameters(&first.public.path).map(str::to_owned)).collect();
            entry.renamed.retain(|(from, to)| from != to);
            entry.public.path.clone_from(&first.public.path);
        }
        kept.push(entry);
    }
    *entries = kept;
}

/// A path without its parameters' names.
fn nameless(path: &str) -> String {
    path.split('{')
        .map(|piece| piece.split_once('}').map_or(piece, |(_, after)| after))
        .collect::<Vec<_>>()
        .join("{}")
}

/// What of a request sends it to another upstream than its path alone.
fn differs(entry: &Entry<'_>) -> String {
    let mut by: Vec<String> = entry.hosts.iter().map(|host| format!("the host `{host}`")).collect();
    by.extend(entry.place.headers.keys().map(|name| format!("the header `{name}`")));
    by.extend(entry.place.query.keys().map(|name| format!("the parameter `{name}`")));
    let by = if by.is_empty() { String::new() } else { format!(", for {}", by.join(" and ")) };
    format!("`{}` answers here too{by}.", entry.upstream)
}

/// An id that stands at two operations gets the route's name in front, at each of them.
fn unique_ids(entries: &mut [Entry<'_>]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for id in entries.iter().filter_map(|entry| entry.id.clone()) {
        *count.entry(id).or_default() += 1;
    }
    for entry in entries.iter_mut() {
        if let Some(id) = &mut entry.id
            && count.get(id).is_some_and(|count| *count > 1)
        {
            *id = format!("{}_{id}", entry.place.route);
        }
    }
    // A spec may have an id twice, or one that looks like another's with its route.
    let mut unique = Unique::default();
    for id in entries.iter_mut().filter_map(|entry| entry.id.as_mut()) {
        *id = unique.name(std::mem::take(id));
    }
}

/// The operations to which links may lead, by upstream and by id or by path and method.
struct Targets<'e, 'm> {
    by_id: HashMap<(&'e str, &'e str), Vec<&'e Entry<'m>>>,
    by_place: HashMap<(&'e str, &'e str, &'e str), Vec<&'e Entry<'m>>>,
}

impl<'e, 'm> Targets<'e, 'm> {
    fn new(entries: &'e [Entry<'m>]) -> Self {
        let mut targets = Self { by_id: HashMap::new(), by_place: HashMap::new() };
        for entry in entries {
            let upstream = &**entry.upstream;
            if let Some(id) = entry.operation.id() {
                targets.by_id.entry((upstream, id)).or_default().push(entry);
            }
            let place = (upstream, entry.operation.path.as_str(), entry.operation.method);
            targets.by_place.entry(place).or_default().push(entry);
        }
        targets
    }

    /// The operation that a link of this upstream means: that of the link's own route if that has it.
    fn find(
        &self,
        upstream: &str,
        route: Option<&Arc<str>>,
        link: &Map<String, Value>,
    ) -> Option<&'e Entry<'m>> {
        let text = |key: &str| link.get(key).and_then(Value::as_str);
        let own = |found: &Vec<&'e Entry<'m>>| {
            let own = found.iter().find(|entry| route == Some(&entry.place.route));
            own.or_else(|| found.first()).copied()
        };
        if let Some(id) = text("operationId") {
            return self.by_id.get(&(upstream, id)).and_then(own);
        }
        let target = Target::parse(text("operationRef")?)?;
        let (path, method) = target.operation()?;
        self.by_place.get(&(upstream, path, method)).and_then(own)
    }
}

fn info(about: &About, whole: bool) -> Value {
    let mut info = Map::new();
    info.insert("title".to_owned(), about.title.as_str().into());
    info.insert("version".to_owned(), about.version.as_str().into());
    if let Some(description) = &about.description {
        info.insert("summary".to_owned(), description.as_str().into());
    }
    let mut text = about.introduction.clone().unwrap_or_default();
    if !whole {
        text.push_str("\n\n**This document is not whole: there is more than fits into one.**");
    }
    if !text.is_empty() {
        info.insert("description".to_owned(), text.trim().into());
    }
    Value::Object(info)
}

fn tags(landscape: &Landscape, specs: &Specs, shown: &dyn Fn(usize) -> bool) -> Value {
    let is_shown = |name: &Arc<str>| {
        let mut places = landscape.places().iter().enumerate();
        places.any(|(index, place)| place.upstream == *name && shown(index))
    };
    let tag = |(name, known): (&Arc<str>, &Known)| {
        let mut text: Vec<&str> = Vec::new();
        if let Some(spec) = &known.spec {
            text.extend([spec.title.as_str(), &spec.description]);
        }
        text.push(match (known.state, &known.spec) {
            (State::Good, _) => "",
            (State::Waiting, _) => "*What this service says of itself has not been read yet.*",
            (State::Broken, None) => "*What this service says of itself cannot be read now.*",
            (State::Broken, Some(_)) => {
                "*What this service says of itself cannot be read now; this is what it said last.*"
            }
        });
        text.retain(|text| !text.trim().is_empty());
        let mut tag = json!({ "name": &**name });
        if !text.is_empty() {
            tag["description"] = super::spec::plain(&text.join("\n\n")).into();
        }
        tag
    };
    specs.iter().filter(|(name, _)| is_shown(name)).map(tag).collect()
}

/// What a service asks for that judges requests: of whom `Authorization` is known only that it holds something.
fn asked(headers: &[HeaderName]) -> Value {
    let first = headers.first().map_or("authorization", HeaderName::as_str);
    match first {
        "authorization" => json!({ "type": "http", "scheme": "bearer" }),
        // Which cookie it is, the service knows.
        "cookie" => json!({ "type": "apiKey", "in": "cookie", "name": "session" }),
        name => json!({ "type": "apiKey", "in": "header", "name": name }),
    }
}

/// The ways in which callers prove who they are: all that some route asks for.
fn schemes(landscape: &Landscape) -> Value {
    let known: BTreeMap<&String, &Scheme> = landscape
        .places()
        .iter()
        .flat_map(|place| place.schemes.iter().map(|(name, scheme)| (name, scheme)))
        .collect();
    let write = |(name, scheme): (&String, &Scheme)| {
        let value = match scheme {
            Scheme::ApiKey { header } => {
                json!({ "type": "apiKey", "in": "header", "name": header.as_str() })
            }
            Scheme::MutualTls => json!({ "type": "mutualTLS" }),
            Scheme::Bearer => json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" }),
            Scheme::Cookie { name } => json!({ "type": "apiKey", "in": "cookie", "name": name }),
            Scheme::Basic => json!({ "type": "http", "scheme": "basic" }),
            Scheme::Signature => json!({
                "type": "apiKey", "in": "header", "name": "Signature",
                "description": "An HTTP message signature (RFC 9421), with `Signature-Input`.",
            }),
            Scheme::Asked { headers } => asked(headers),
        };
        (super::spec::component_name(name), value)
    };
    Value::Object(known.into_iter().map(write).collect())
}
