//! [`Conditions`] as written, and the [`Rule`] they become.

use std::collections::BTreeMap;

use super::host::{self, HostPattern};
use super::method::{self, MethodSet};
use super::pattern::PathPattern;
use super::predicate::{self, Predicate};
use crate::diagnostic::{At, Diagnostics};

/// The keys of a route that say which requests it takes.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// `host`: names, or `*.example.com` for one or more labels in front. None: every host.
    pub hosts: &'a [String],
    /// `path`: whole segments, of which `{name}` takes any one.
    pub path: &'a str,
    /// `exact`: only this path, not those below it.
    pub exact: bool,
    /// `methods`, in upper case; GET brings HEAD. None: every method.
    pub methods: &'a [String],
    /// `headers`: by name, the value that is demanded, or `*` for any.
    pub headers: &'a BTreeMap<String, String>,
    /// `query`: by key, the value that is demanded, or `*` for any.
    pub query: &'a BTreeMap<String, String>,
}

impl Conditions<'_> {
    /// Reads them. All mistakes are reported below `at`, the place of the route; with one, there is no
    /// rule.
    pub fn compile(&self, at: &At, diagnostics: &mut Diagnostics) -> Option<Rule> {
        let hosts = host::compile(self.hosts, &at.key("host"), diagnostics);
        let path = PathPattern::compile(self.path, self.exact, &at.key("path"), diagnostics);
        let methods = method::compile(self.methods, &at.key("methods"), diagnostics);
        let predicates = predicate::compile(self.headers, self.query, at, diagnostics);
        Some(Rule { hosts: hosts?, path: path?, methods: methods?, predicates: predicates? })
    }
}

/// Which requests a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) path: PathPattern,
    pub(super) methods: MethodSet,
    pub(super) predicates: Box<[Predicate]>,
}

impl Rule {
    /// Its path.
    #[must_use]
    pub const fn path(&self) -> &PathPattern {
        &self.path
    }

    /// Its place among the rules of one path; the lower comes first.
    pub(super) fn rank(&self) -> (std::cmp::Reverse<usize>, bool) {
        (std::cmp::Reverse(self.predicates.len()), self.methods.is_all())
    }

    /// Whether two rules of one path can't be told apart for some request.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        self.rank() == other.rank()
            && self.methods.overlaps(&other.methods)
            && !self.predicates.iter().any(|p| other.predicates.iter().any(|q| p.excludes(q)))
    }
}
