//! Finds the operation that a request is for: by its method, and the segments of the path that the upstream sees.

use std::borrow::Cow;
use std::collections::HashMap;

use http::Method;

use crate::hygiene::decode;

/// So many nodes are entered for one path at most, whatever the document.
const MOST_STEPS: usize = 256;

/// The operations of a document, by path.
#[derive(Debug)]
pub(super) struct Finder {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<str>, usize>,
    /// Parameters that are a part of their segment, with what stands before and behind them; the longest first.
    partial: Vec<(Box<str>, Box<str>, usize)>,
    parameter: Option<usize>,
    operations: Vec<(Method, usize)>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'p> {
    /// An operation, by its number, and what its path's parameters are, percent-encoded.
    Operation(usize, Vec<&'p str>),
    /// The path is known, and only with these methods.
    OtherMethods(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// Why a path cannot be taken in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// An operation with this number is there already.
    With(usize),
    /// A segment has more than one parameter, or half of one.
    Segment,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Takes an operation in.
    pub(super) fn plant(
        &mut self,
        path: &str,
        method: &Method,
        number: usize,
    ) -> Result<(), Clash> {
        let mut at = 0;
        for segment in segments(path) {
            let new = self.nodes.len();
            let node = &mut self.nodes[at];
            let next = match parts(segment).ok_or(Clash::Segment)? {
                None => *node.literal.entry(plain(segment).into()).or_insert(new),
                Some(("", "")) => *node.parameter.get_or_insert(new),
                Some((before, behind)) => {
                    let (before, behind) = (plain(before), plain(behind));
                    let same =
                        |(b, e, _): &&(Box<str>, Box<str>, usize)| **b == *before && **e == *behind;
                    if let Some((.., next)) = node.partial.iter().find(same) {
                        *next
                    } else {
                        node.partial.push((before.into(), behind.into(), new));
                        node.partial.sort_by_key(|(b, e, _)| std::cmp::Reverse(b.len() + e.len()));
                        new
                    }
                }
            };
            if next == new {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        let operations = &mut self.nodes[at].operations;
        match operations.iter().find(|(known, _)| known == method) {
            Some((_, known)) if *known != number => Err(Clash::With(*known)),
            Some(_) => Ok(()),
            None => {
                operations.push((method.clone(), number));
                Ok(())
            }
        }
    }

    /// The operation for a method and a path without its query. Of several, the one whose path says most.
    pub(super) fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'p> {
        let mut walk =
            Walk { finder: self, method, steps: 0, values: Vec::new(), others: Vec::new() };
        let Some(path) = path.strip_prefix('/') else { return Found::Nothing };
        match walk.on(0, Some(path)) {
            Some(number) => Found::Operation(number, walk.values),
            None if walk.others.is_empty() => Found::Nothing,
            None => Found::OtherMethods(walk.others),
        }
    }
}

struct Walk<'f, 'p> {
    finder: &'f Finder,
    method: &'f Method,
    steps: usize,
    values: Vec<&'p str>,
    others: Vec<Method>,
}

impl<'p> Walk<'_, 'p> {
    /// `rest`: the segments that are left, none behind the last.
    fn on(&mut self, at: usize, rest: Option<&'p str>) -> Option<usize> {
        self.steps += 1;
        let node = self.finder.nodes.get(at)?;
        let Some(rest) = rest else { return self.end(node) };
        if self.steps > MOST_STEPS {
            return None;
        }
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(next) = node.literal.get(&*plain(segment))
            && let Some(found) = self.on(*next, rest)
        {
            return Some(found);
        }
        for (before, behind, next) in &node.partial {
            let value =
                segment.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**behind));
            if let Some(value) = value.filter(|value| !value.is_empty())
                && let Some(found) = self.below(*next, value, rest)
            {
                return Some(found);
            }
        }
        let next = node.parameter.filter(|_| !segment.is_empty())?;
        self.below(next, segment, rest)
    }

    fn below(&mut self, next: usize, value: &'p str, rest: Option<&'p str>) -> Option<usize> {
        self.values.push(value);
        let found = self.on(next, rest);
        if found.is_none() {
            self.values.pop();
        }
        found
    }

    fn end(&mut self, node: &Node) -> Option<usize> {
        let by = |wanted: &Method| node.operations.iter().find(|(known, _)| known == wanted);
        // GET brings HEAD.
        let found =
            by(self.method).or_else(|| by(&Method::GET).filter(|_| self.method == Method::HEAD));
        if found.is_none() {
            for (method, _) in &node.operations {
                if !self.others.contains(method) {
                    self.others.push(method.clone());
                }
            }
        }
        found.map(|(_, number)| *number)
    }
}

/// What stands before and behind the parameter of a segment; inner none: it has none. None if it has several, or half
/// of one.
#[expect(clippy::option_option, reason = "the outer one says whether it can be read")]
fn parts(segment: &str) -> Option<Option<(&str, &str)>> {
    let Some((before, rest)) = segment.split_once('{') else {
        return (!segment.contains('}')).then_some(None);
    };
    let (name, behind) = rest.split_once('}')?;
    let is_sound = !before.contains('}') && !name.contains('{') && !behind.contains(['{', '}']);
    (is_sound && !name.is_empty()).then_some(Some((before, behind)))
}

/// The names of a path's parameters, in their order.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// A segment without encoding, as one may have it and another not.
fn plain(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    Cow::Owned(String::from_utf8_lossy(&decode(segment)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_says_most_is_found() {
        let mut finder = Finder::new();
        let all = [
            ("GET", "/"),
            ("GET", "/users/{id}"),
            ("GET", "/users/me"),
            ("POST", "/users/{name}"),
            ("GET", "/users/{id}/orders"),
            ("GET", "/files/{name}.txt"),
            ("GET", "/files/v-{name}.txt"),
            ("GET", "/straße"),
            ("GET", "/items/"),
        ];
        for (number, (method, path)) in all.iter().enumerate() {
            assert_eq!(finder.plant(path, &method.parse().unwrap(), number), Ok(()), "{path}");
        }
        let find = |method: &str, path: &'static str| finder.find(&method.parse().unwrap(), path);
        let one = |number, values: &[&'static str]| Found::Operation(number, values.to_vec());
        for (method, path, found) in [
            ("GET", "/", one(0, &[])),
            ("HEAD", "/", one(0, &[])),
            ("GET", "/users/a%2Fb", one(1, &["a%2Fb"])),
            ("GET", "/users/me", one(2, &[])),
            ("GET", "/users/%6de", one(2, &[])),
            ("POST", "/users/me", one(3, &["me"])),
            ("GET", "/users/me/orders", one(4, &["me"])),
            ("GET", "/files/a.txt", one(5, &["a"])),
            ("GET", "/files/v-a.txt", one(6, &["a"])),
            ("GET", "/files/v-.txt", one(5, &["v-"])),
            ("GET", "/files/.txt", Found::Nothing),
            ("GET", "/stra%c3%9Fe", one(7, &[])),
            ("GET", "/items/", one(8, &[])),
            ("GET", "/items", Found::Nothing),
            ("GET", "/users/", Found::Nothing),
            ("GET", "/users/7/", Found::Nothing),
            ("GET", "/USERS/me", Found::Nothing),
            ("PUT", "/users/7", Found::OtherMethods(vec![Method::GET, Method::POST])),
            ("GET", "", Found::Nothing),
        ] {
            assert_eq!(find(method, path), found, "{method} {path}");
        }
        assert_eq!(finder.plant("/users/{other}", &Method::GET, 99), Err(Clash::With(1)));
        for bad in ["/a/{x}{y}", "/a/{x}-{y}", "/a/{x", "/a/x}", "/a/{}"] {
            assert_eq!(finder.plant(bad, &Method::GET, 99), Err(Clash::Segment), "{bad}");
        }
        assert_eq!(names("/a/{b}/c-{d}").collect::<Vec<_>>(), ["b", "d"]);
    }

    #[test]
    fn a_search_ends_soon_whatever_the_document() {
        let mut finder = Finder::new();
        for bits in 0..1024_u32 {
            let path: String =
                (0..10).map(|i| if bits >> i & 1 == 0 { "/a" } else { "/{x}" }).collect();
            let _ = finder.plant(&(path + "/{x}/end"), &Method::GET, bits as usize);
        }
        let path = "a/".repeat(11) + "other";
        let mut walk = Walk {
            finder: &finder,
            method: &Method::GET,
            steps: 0,
            values: Vec::new(),
            others: Vec::new(),
        };
        assert!(walk.on(0, Some(&path)).is_none());
        assert!(walk.steps <= MOST_STEPS + 64, "{}", walk.steps);
    }
}
