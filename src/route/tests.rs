//! The table, driven as the gateway drives it.

mod forwarding;
mod mistakes;
mod precedence;
mod reference;
mod tricks;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Clash, Conditions, Found, PathMiss, Request, Rule, Table, Verdict};
use crate::diagnostic::{At, Diagnostics};
use crate::hygiene::CleanTarget;

/// A route as a test writes it; the name of the route is what the table keeps.
#[derive(Debug, Clone, Default)]
struct Written {
    name: String,
    hosts: Vec<String>,
    path: String,
    exact: bool,
    methods: Vec<String>,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.split_whitespace().filter_map(pair).collect()
}

fn route(name: &str, path: &str) -> Written {
    Written { name: name.to_owned(), path: path.to_owned(), ..Written::default() }
}

impl Written {
    fn hosts(mut self, hosts: &str) -> Self {
        self.hosts = words(hosts);
        self
    }

    fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    fn methods(mut self, methods: &str) -> Self {
        self.methods = words(methods);
        self
    }

    fn headers(mut self, headers: &str) -> Self {
        self.headers = pairs(headers);
        self
    }

    fn query(mut self, query: &str) -> Self {
        self.query = pairs(query);
        self
    }

    fn compile(&self, diagnostics: &mut Diagnostics) -> Option<Rule> {
        let Self { hosts, path, exact, methods, headers, query, .. } = self;
        let conditions = Conditions { hosts, path, exact: *exact, methods, headers, query };
        conditions.compile(&At::root().key("routes").key(&*self.name), diagnostics)
    }

    fn rule(&self) -> Rule {
        let mut diagnostics = Diagnostics::new();
        let rule = self.compile(&mut diagnostics);
        assert!(diagnostics.is_empty(), "{}", diagnostics.render("f"));
        rule.unwrap()
    }
}

fn try_table(routes: &[Written]) -> Result<Table<String>, Vec<Clash>> {
    let rules = routes.iter().map(|r| (Arc::from(&*r.name), r.rule(), r.name.clone()));
    Table::build(rules.collect())
}

fn table(routes: &[Written]) -> Table<String> {
    try_table(routes).unwrap()
}

/// What a request such as `POST host/path` finds: a route's name, `404`, `405 GET, HEAD`, or `400`.
fn find(table: &Table<String>, request: &str) -> String {
    find_with(table, request, &[])
}

/// What the routes say of a request one by one comes to what the search finds.
fn assert_verdicts_agree(table: &Table<String>, request: &Request<'_>) {
    let tried = table.tried(request);
    let which = |wanted: fn(&Verdict) -> bool| {
        let names = tried.iter().filter(move |tried| wanted(&tried.verdict));
        names.map(|tried| tried.value.as_str()).collect::<Vec<_>>()
    };
    let takers = which(|verdict| *verdict == Verdict::Takes);
    let ambiguous = which(|verdict| matches!(verdict, Verdict::Ambiguous { .. }));
    let methods = which(|verdict| matches!(verdict, Verdict::Method { .. }));
    match table.find(request) {
        Found::Route(matched) => assert_eq!(takers, [matched.value.as_str()], "{tried:?}"),
        Found::Ambiguous => assert!(takers.is_empty() && ambiguous.len() == 1, "{tried:?}"),
        Found::WrongMethod { .. } => assert!(takers.is_empty() && !methods.is_empty(), "{tried:?}"),
        Found::NoRoute => assert!(takers.is_empty() && methods.is_empty(), "{tried:?}"),
    }
    let at_odds = |tried: &&super::Tried<'_, String>| {
        tried.verdict == Verdict::Path(PathMiss::Below) && !tried.path.is_exact()
    };
    assert!(!tried.iter().any(|tried| at_odds(&tried)), "fits a path of nobody: {tried:?}");
}

fn find_with(table: &Table<String>, request: &str, headers: &[(&str, &str)]) -> String {
    let (method, rest) = request.split_once(' ').unwrap_or(("GET", request));
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let Ok(target) = CleanTarget::parse(path.as_bytes()) else { return "400".to_owned() };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        map.append(name, HeaderValue::try_from(*value).unwrap());
    }
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = Request { host, method: &method, target: &target, headers: &map };
    assert_verdicts_agree(table, &request);
    match table.find(&request) {
        Found::Route(matched) => {
            assert_eq!(**matched.name, **matched.value);
            matched.value.clone()
        }
        Found::NoRoute => "404".to_owned(),
        Found::WrongMethod { allow } => format!("405 {}", allow.to_str().unwrap()),
        Found::Ambiguous => "400".to_owned(),
    }
}
