//! Finds the operation that a request is for: one walk over the segments of its path.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Operation;
use crate::portal::shape::METHODS;

/// So many nodes are entered for one path at most: a hostile spec must not make a search long.
const MOST_STEPS: usize = 256;

/// All operations of a spec by path, as the service itself sees it.
#[derive(Debug, Default, PartialEq)]
pub(in crate::portal) struct Finder {
    nodes: Vec<Node>,
}

#[derive(Debug, Default, PartialEq)]
struct Node {
    literal: HashMap<Box<str>, u32>,
    parameter: Option<u32>,
    /// By the places of [`METHODS`].
    operations: [Option<u32>; METHODS.len()],
}

impl Finder {
    pub(super) fn new(operations: &[Operation]) -> Self {
        let mut finder = Self { nodes: vec![Node::default()] };
        for (number, operation) in (0..).zip(operations) {
            let Operation { base, path, .. } = operation;
            let below = if path == "/" { base.clone() } else { format!("{base}{path}") };
            finder.plant(&below, operation.method, number);
            finder.plant(path, operation.method, number);
        }
        finder
    }

    fn plant(&mut self, path: &str, method: &str, number: u32) {
        let mut at = 0;
        for segment in segments(path) {
            let new = self.nodes.len();
            let number = u32::try_from(new).unwrap_or(u32::MAX);
            let node = &mut self.nodes[at];
            // A segment that is a parameter in part takes what a whole one would.
            let next = if segment.contains('{') {
                *node.parameter.get_or_insert(number)
            } else {
                *node.literal.entry(plain(segment).into()).or_insert(number)
            };
            if next == number {
                self.nodes.push(Node::default());
            }
            at = next as usize;
        }
        let place = METHODS.iter().position(|known| *known == method);
        if let Some(place) = place {
            self.nodes[at].operations[place].get_or_insert(number);
        }
    }

    /// The number of the operation for a method (in upper case) and a path without its query.
    pub(in crate::portal) fn find(&self, method: &str, path: &str) -> Option<usize> {
        let place = METHODS.iter().position(|known| known.eq_ignore_ascii_case(method))?;
        let get = METHODS.iter().position(|known| *known == "get")?;
        let mut steps = 0;
        let node = self.walk(0, path.strip_prefix('/')?, &mut steps)?;
        // GET brings HEAD.
        let found = node.operations[place].or(node.operations[get].filter(|_| method == "HEAD"));
        found.map(|number| number as usize)
    }

    fn walk(&self, at: u32, rest: &str, steps: &mut usize) -> Option<&Node> {
        *steps += 1;
        let node = self.nodes.get(at as usize)?;
        if rest.is_empty() {
            return Some(node).filter(|node| node.operations.iter().any(Option::is_some));
        }
        if *steps > MOST_STEPS {
            return None;
        }
        let (segment, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let literal =
            node.literal.get(&*plain(segment)).and_then(|next| self.walk(*next, rest, steps));
        literal.or_else(|| self.walk(node.parameter?, rest, steps))
    }
}

/// A segment without encoding, as a spec may have it and a client may not.
fn plain(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    Cow::Owned(String::from_utf8_lossy(&crate::hygiene::decode(segment)).into_owned())
}

/// A slash at the end makes no difference here.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn finder(paths: &[(&'static str, &str)]) -> Finder {
        let operation = |(method, path): &(&'static str, &str)| Operation {
            path: (*path).to_owned(),
            base: String::new(),
            method,
            value: Map::new(),
            nodes: 0,
        };
        Finder::new(&paths.iter().map(operation).collect::<Vec<_>>())
    }

    #[test]
    fn the_most_literal_operation_is_found() {
        let finder = finder(&[
            ("get", "/"),
            ("get", "/users/{id}"),
            ("get", "/users/me"),
            ("post", "/users/"),
            ("get", "/users/{id}/orders"),
            ("get", "/files/{name}.txt"),
            ("get", "/straße"),
            ("get", "/stra%C3%9Fe/x"),
        ]);
        for (method, path, number) in [
            ("GET", "/", Some(0)),
            ("HEAD", "/", Some(0)),
            ("GET", "/users/7", Some(1)),
            ("GET", "/users/me", Some(2)),
            ("GET", "/users/me/orders", Some(4)),
            ("POST", "/users", Some(3)),
            ("POST", "/users/", Some(3)),
            ("DELETE", "/users/7", None),
            ("GET", "/users/7/x", None),
            ("GET", "/files/a.txt", Some(5)),
            ("GET", "/stra%c3%9Fe", Some(6)),
            ("GET", "/stra%C3%9fe/x", Some(7)),
            ("GET", "/stra%FFe", None),
            ("GET", "", None),
        ] {
            assert_eq!(finder.find(method, path), number, "{method} {path}");
        }
    }

    #[test]
    fn a_search_ends_soon_whatever_the_spec() {
        let mut paths = Vec::new();
        for bits in 0..1024_u32 {
            let path: String =
                (0..10).map(|i| if bits >> i & 1 == 0 { "/a" } else { "/{x}" }).collect();
            paths.push(path + "/{x}/end");
        }
        let all: Vec<_> = paths.iter().map(|path| ("get", path.as_str())).collect();
        let finder = finder(&all);
        let mut steps = 0;
        let path = "a/".repeat(11) + "other";
        assert!(finder.walk(0, &path, &mut steps).is_none());
        assert!(steps <= MOST_STEPS + 64, "{steps}");
    }
}
