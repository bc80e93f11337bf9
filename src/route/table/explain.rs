//! Why each route of a table takes a request, or does not: for questions, not for traffic.
//!
//! Who owns the path, whose conditions hold and who is ambiguous comes from the same functions as in
//! [`Table::find`]; what is added here is how far each of the other routes is from the request. All routes
//! are looked at, so the cost grows with their number.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::{Entry, MethodSet, Request, Table};
use crate::hygiene::decode;
use crate::route::host::HostPattern;
use crate::route::pattern::{PathPattern, Segment};
use crate::route::predicate::{Predicate, Want};
use crate::route::trie::Hit;

/// What one route said of a request.
#[derive(Debug)]
pub struct Tried<'t, T> {
    /// Its name.
    pub name: &'t Arc<str>,
    /// What the caller keeps under it.
    pub value: &'t T,
    /// Its path.
    pub path: &'t PathPattern,
    /// Its hosts, as written in their clean form; none for every host.
    pub hosts: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
}

/// Why a route takes a request, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it.
    Takes,
    /// It would take it, but other software may read the path as another route's.
    Ambiguous {
        /// The other reading.
        reading: String,
        /// Whose it is.
        owner: Arc<str>,
    },
    /// Another route at the same path, with more conditions or with methods, comes first and takes it.
    After(Arc<str>),
    /// The path is its own, but not for this method.
    Method {
        /// Its methods, as in `Allow`.
        allow: String,
    },
    /// The path is its own, but this condition does not hold.
    Fails(Condition),
    /// It is for other hosts; its path would fit or not.
    Host {
        /// Why the path would not fit either.
        path: Option<PathMiss>,
    },
    /// Host and path fit, but a route for this host in particular owns the path.
    HostLessSpecific(Arc<str>),
    /// Host and path fit, but this route's path is more specific, so that it owns the request.
    PathLessSpecific(Arc<str>),
    /// It is for other paths.
    Path(PathMiss),
}

/// A condition of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The header's name; else it is one on the query.
    pub header: bool,
    /// Of the header or the query parameter.
    pub name: String,
    /// The value that is demanded; none if any will do.
    pub wanted: Option<String>,
}

/// Why a path is not one of a pattern's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMiss {
    /// This segment, from 0, is another one.
    Differs {
        /// Which.
        at: usize,
        /// What the path has there, still percent-encoded.
        found: String,
        /// What the pattern has there.
        wanted: String,
    },
    /// The path ends before the pattern does: this segment, from 0, is missing.
    Ends(usize),
    /// The pattern takes itself only, and the path is below it.
    Below,
    /// The pattern takes itself only, and the path has a slash at its end.
    Slash,
}

impl<T> Table<T> {
    /// What each route says of a request, in the order in which the routes were given.
    #[must_use]
    pub fn tried<'t>(&'t self, request: &Request<'_>) -> Vec<Tried<'t, T>> {
        let target = request.target;
        let hit = self.owner_of(request.host, target.path(), target.is_encoded());
        let judge = Judge { table: self, request, hit };
        let tried = |(index, entry): (usize, &'t Entry<T>)| Tried {
            name: &entry.about.name,
            value: &entry.value,
            path: &entry.about.path,
            hosts: hosts(entry),
            verdict: judge.verdict(index, entry),
        };
        self.entries.iter().enumerate().map(tried).collect()
    }
}

fn hosts<T>(entry: &Entry<T>) -> Vec<String> {
    let patterns = entry.about.hosts.iter();
    let named = patterns.filter(|pattern| **pattern != HostPattern::Any);
    named.map(ToString::to_string).collect()
}

struct Judge<'a, 't, T> {
    table: &'t Table<T>,
    request: &'a Request<'a>,
    hit: Option<Hit>,
}

impl<T> Judge<'_, '_, T> {
    fn verdict(&self, index: usize, entry: &Entry<T>) -> Verdict {
        let owners = self.hit.as_ref().map_or(&[][..], |hit| self.table.members(&hit.owner));
        let rank = owners.iter().position(|owner| *owner as usize == index);
        if let (Some(rank), Some(hit)) = (rank, &self.hit) {
            return self.own(rank, owners, entry, hit);
        }
        let miss = path_miss(&entry.about.path, self.request.target.path());
        let host = best_host(&entry.about.hosts, self.request.host);
        match (host, miss, owners.first()) {
            (None, path, _) => Verdict::Host { path },
            (Some(_), Some(miss), _) => Verdict::Path(miss),
            (Some(host), None, Some(owner)) => {
                let owner = &self.table.entries[*owner as usize].about;
                let name = owner.name.clone();
                if best_host(&owner.hosts, self.request.host) > Some(host) {
                    Verdict::HostLessSpecific(name)
                } else {
                    Verdict::PathLessSpecific(name)
                }
            }
            // A route that fits and a path that nobody owns: the table would be at odds with itself.
            (Some(_), None, None) => Verdict::Path(PathMiss::Below),
        }
    }

    /// One of the routes at the path that owns the request.
    fn own(&self, rank: usize, owners: &[u32], entry: &Entry<T>, hit: &Hit) -> Verdict {
        let (request, table) = (self.request, self.table);
        let query = request.target.query();
        if let Some(failed) = entry.predicates.iter().find(|p| !p.holds(request.headers, query)) {
            return Verdict::Fails(condition(failed));
        }
        if !entry.methods.takes(request.method) {
            let allow = MethodSet::allow(std::iter::once(&entry.methods));
            return Verdict::Method { allow: allow.to_str().unwrap_or_default().to_owned() };
        }
        let before = owners[..rank].iter().map(|owner| &table.entries[*owner as usize]);
        let first = before
            .filter(|other| other.predicates_hold(request))
            .find(|other| other.methods.takes(request.method));
        if let Some(first) = first {
            return Verdict::After(first.about.name.clone());
        }
        let other = request.target.readings().find_map(|reading| {
            let owner = table.owner_of(request.host, reading, true)?.owner;
            (owner != hit.owner).then(|| (reading.to_owned(), table.members(&owner)[0]))
        });
        match other {
            Some((reading, owner)) => {
                let owner = table.entries[owner as usize].about.name.clone();
                Verdict::Ambiguous { reading, owner }
            }
            None => Verdict::Takes,
        }
    }
}

fn condition(predicate: &Predicate) -> Condition {
    let (header, name, want) = match predicate {
        Predicate::Header(name, want) => (true, name.as_str(), want),
        Predicate::Query(name, want) => (false, &**name, want),
    };
    let wanted = match want {
        Want::Present => None,
        Want::Exactly(value) => Some(String::from_utf8_lossy(value).into_owned()),
    };
    Condition { header, name: name.to_owned(), wanted }
}

/// How well one of these hosts fits, the best of them: by name, then by the number of labels.
fn best_host(patterns: &[HostPattern], host: &str) -> Option<usize> {
    let fit = |pattern: &HostPattern| match pattern {
        HostPattern::Any => Some(0),
        HostPattern::Exact(name) => (**name == *host).then_some(usize::MAX),
        HostPattern::Under(name) => {
            let front = host.strip_suffix(&**name)?.strip_suffix('.')?;
            (!front.is_empty() && !host.starts_with('[')).then(|| 1 + name.matches('.').count())
        }
    };
    patterns.iter().filter_map(fit).max()
}

/// Why a normalised path is not one of a pattern's; none if it is.
fn path_miss(pattern: &PathPattern, path: &str) -> Option<PathMiss> {
    let mut rest = path.strip_prefix('/').filter(|rest| !rest.is_empty()).map(|p| p.split('/'));
    let mut next = || rest.as_mut().and_then(Iterator::next);
    let written: Vec<&str> = pattern.as_str().split('/').filter(|s| !s.is_empty()).collect();
    for (at, segment) in pattern.segments().iter().enumerate() {
        let Some(found) = next().filter(|found| !found.is_empty()) else {
            return Some(PathMiss::Ends(at));
        };
        if let Segment::Literal(wanted) = segment
            && decode(found).cmp(&(&**wanted).into()) != Ordering::Equal
        {
            let wanted = written.get(at).copied().unwrap_or_default().to_owned();
            return Some(PathMiss::Differs { at, found: found.to_owned(), wanted });
        }
    }
    match (pattern.is_exact(), next()) {
        (false, _) | (true, None) => None,
        (true, Some("")) if next().is_none() => Some(PathMiss::Slash),
        (true, Some(_)) => Some(PathMiss::Below),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any host"),
            Self::Exact(name) => f.write_str(name),
            Self::Under(name) => write!(f, "*.{name}"),
        }
    }
}
