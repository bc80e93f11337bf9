//! [`Table`]: all routes, and the search for the one that takes a request.

mod explain;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};

use super::captures::Captures;
use super::clash::{Clash, Shadow};
use super::conditions::Rule;
use super::host::{HostPattern, Hosts};
use super::method::MethodSet;
use super::pattern::PathPattern;
use super::predicate::Predicate;
use super::trie::{Hit, Owner, Trie};
use crate::hygiene::CleanTarget;

pub use explain::{Condition, PathMiss, Tried, Verdict};

/// What a route is chosen by.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As [`clean_host`](crate::hygiene::clean_host) gives it; empty if there is none.
    pub host: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub target: &'a CleanTarget<'a>,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// What came of a search.
#[derive(Debug)]
pub enum Found<'t, T> {
    /// This route takes the request.
    Route(Matched<'t, T>),
    /// No route does: 404.
    NoRoute,
    /// The path has routes, but not for this method: 405.
    WrongMethod {
        /// The methods that would do.
        allow: HeaderValue,
    },
    /// Other software may take the path for one that another route owns: 400.
    Ambiguous,
}

/// The route that takes a request.
#[derive(Debug)]
pub struct Matched<'t, T> {
    /// Its name.
    pub name: &'t Arc<str>,
    /// What the caller keeps under it.
    pub value: &'t T,
    /// Its path.
    pub path: &'t PathPattern,
    /// What the captures of its path took.
    pub captures: Captures,
    /// How many bytes of the normalised path its own path took; 0 for `/`, below which all paths are.
    pub matched_len: usize,
}

/// One route, in one cache line if the value is small: a search reads nothing that it points to, but
/// for conditions on headers and query.
#[repr(align(64))]
struct Entry<T> {
    methods: MethodSet,
    predicates: Box<[Predicate]>,
    value: T,
    about: Box<About>,
}

/// What is told of a route.
struct About {
    name: Arc<str>,
    path: PathPattern,
    hosts: Box<[HostPattern]>,
}

/// All routes, ready for search. See [`route`](crate::route) for which one takes a request.
pub struct Table<T> {
    trie: Trie,
    hosts: Hosts,
    entries: Vec<Entry<T>>,
    /// The routes of each path that has more than one, the first to be tried first.
    groups: Vec<Box<[u32]>>,
    shadows: Vec<Shadow>,
}

/// An [`Owner`] with this bit is the index of a group; without it, of an entry.
const GROUP: Owner = 1 << 31;

/// An index as an [`Owner`]. Two thousand million routes do not fit into a configuration file.
fn owner(index: usize) -> Owner {
    u32::try_from(index).unwrap_or(u32::MAX) & !GROUP
}

/// A rule at one of its places: the place, and the rule's index.
type Seat = (u32, bool, u32);

impl<T> Table<T> {
    /// Lays out the routes. Refused if two of them can't be told apart; each such route is given, with another.
    pub fn build(routes: Vec<(Arc<str>, Rule, T)>) -> Result<Self, Vec<Clash>> {
        let mut trie = Trie::default();
        let mut hosts = Hosts::default();
        let mut seats: Vec<Seat> = Vec::with_capacity(routes.len());
        for (index, (_, rule, _)) in routes.iter().enumerate() {
            for host in &rule.hosts {
                let root = hosts.root(host, &mut trie);
                seats.push((trie.grow(root, &rule.path), rule.path.is_exact(), owner(index)));
            }
        }
        let named = |seat: &Seat| &routes[seat.2 as usize];
        seats.sort_by(|a, b| {
            let ((one, left, _), (two, right, _)) = (named(a), named(b));
            (a.0, a.1, left.rank(), one).cmp(&(b.0, b.1, right.rank(), two))
        });
        let mut groups: Vec<Box<[u32]>> = Vec::new();
        let mut clashes = Vec::new();
        for group in seats.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let group_owner = match group {
                [(_, _, only)] => *only,
                several => {
                    let members: Vec<_> =
                        several.iter().map(|s| (named(s).0.clone(), &named(s).1)).collect();
                    clashes.extend(Clash::all(&members));
                    groups.push(several.iter().map(|seat| seat.2).collect());
                    owner(groups.len() - 1) | GROUP
                }
            };
            trie.own(group[0].0, group[0].1, group_owner);
        }
        trie.seal();
        if !clashes.is_empty() {
            clashes.sort();
            clashes.dedup();
            return Err(clashes);
        }
        let mut table = Self { trie, hosts, entries: Vec::new(), groups, shadows: Vec::new() };
        table.shadows = table.find_shadows(&routes);
        table.entries =
            routes.into_iter().map(|(name, rule, value)| Entry::new(name, rule, value)).collect();
        Ok(table)
    }

    /// The route that takes a request.
    #[must_use]
    pub fn find<'t>(&'t self, request: &Request<'_>) -> Found<'t, T> {
        let target = request.target;
        let Some(hit) = self.owner_of(request.host, target.path(), target.is_encoded()) else {
            return Found::NoRoute;
        };
        let found = self.choose(&hit, request);
        if matches!(found, Found::Route(_))
            && target
                .readings()
                .any(|reading| self.owned_otherwise(request.host, reading, hit.owner))
        {
            return Found::Ambiguous;
        }
        found
    }

    /// The largest number of nodes of its tree that a search below one host can enter. Hostile paths
    /// can't make it more, and a table without captures has the depth of its deepest path, plus one.
    #[must_use]
    pub fn worst_case(&self) -> usize {
        self.trie.worst_case()
    }

    /// The routes that can never be chosen, and why.
    #[must_use]
    pub fn shadows(&self) -> &[Shadow] {
        &self.shadows
    }

    /// How many routes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All routes with their names, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        self.entries.iter().map(|entry| (&entry.about.name, &entry.value))
    }

    fn owner_of(&self, host: &str, path: &str, encoded: bool) -> Option<Hit> {
        self.hosts.roots(host).find_map(|root| self.trie.find(root, path, encoded))
    }

    /// Whether a reading belongs to somebody else. One that belongs to nobody leads nowhere.
    fn owned_otherwise(&self, host: &str, reading: &str, owner: Owner) -> bool {
        self.owner_of(host, reading, true).is_some_and(|hit| hit.owner != owner)
    }

    fn members<'a>(&'a self, owner: &'a Owner) -> &'a [u32] {
        if owner & GROUP == 0 {
            return std::slice::from_ref(owner);
        }
        &self.groups[(owner & !GROUP) as usize]
    }

    /// The first of the owner's routes whose conditions hold.
    fn choose<'t>(&'t self, hit: &Hit, request: &Request<'_>) -> Found<'t, T> {
        let holding = || {
            let entries =
                self.members(&hit.owner).iter().map(|&index| &self.entries[index as usize]);
            entries.filter(|entry| entry.predicates_hold(request))
        };
        if let Some(entry) = holding().find(|entry| entry.methods.takes(request.method)) {
            return Found::Route(Matched {
                name: &entry.about.name,
                value: &entry.value,
                path: &entry.about.path,
                captures: hit.captures,
                matched_len: hit.matched_len,
            });
        }
        if holding().next().is_none() {
            return Found::NoRoute;
        }
        Found::WrongMethod { allow: MethodSet::allow(holding().map(|entry| &entry.methods)) }
    }

    /// A pattern whose own bytes have other readings is shadowed where another route owns one of them:
    /// each of its requests is ambiguous. Nothing else can be shadowed, since what could be is a clash.
    fn find_shadows(&self, routes: &[(Arc<str>, Rule, T)]) -> Vec<Shadow> {
        let mut shadows = Vec::new();
        for (name, rule, _) in routes {
            let hosts = rule.hosts.iter().map(HostPattern::sample);
            let by: Option<Vec<_>> =
                hosts.map(|host| self.shadow_of(rule, &host, routes)).collect();
            if let Some(by) = by.and_then(|by| by.into_iter().next()) {
                shadows.push(Shadow { shadowed: name.clone(), by });
            }
        }
        shadows
    }

    /// Who shadows a rule at one host: whoever owns a reading of the path, and of those below it.
    fn shadow_of(
        &self,
        rule: &Rule,
        host: &str,
        routes: &[(Arc<str>, Rule, T)],
    ) -> Option<Arc<str>> {
        let path = rule.path.as_str();
        if !path.contains([';', '%']) {
            return None;
        }
        let below = format!("{path}/{{}}");
        let samples = if rule.path.is_exact() { &[path][..] } else { &[path, &below] };
        let mut by = None;
        for sample in samples {
            let target = CleanTarget::parse(sample.as_bytes()).ok()?;
            let owner = self.owner_of(host, target.path(), true)?.owner;
            let other = target
                .readings()
                .filter_map(|reading| self.owner_of(host, reading, true))
                .find(|hit| hit.owner != owner)?;
            by = self.members(&other.owner).first().map(|&index| routes[index as usize].0.clone());
        }
        by
    }
}

impl<T> Entry<T> {
    fn new(name: Arc<str>, rule: Rule, value: T) -> Self {
        let Rule { path, methods, predicates, hosts } = rule;
        let about = Box::new(About { name, path, hosts: hosts.into() });
        Self { methods, predicates, value, about }
    }

    fn predicates_hold(&self, request: &Request<'_>) -> bool {
        self.predicates.iter().all(|p| p.holds(request.headers, request.target.query()))
    }
}
