//! The tree of path segments, laid flat: one hash table from (node, segment) to node.
//!
//! A tree of small maps would cost an allocation per node and a chain of cache misses per lookup. Here
//! an edge is 32 bytes with a short segment inside it, and a node is 12 bytes; a lookup touches one of
//! each per segment. The hash is seeded at random, so no list of names can be prepared that falls into
//! one bucket.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use memchr::memchr;

use super::captures::Spans;
use super::pattern::{PathPattern, Segment};
use crate::hygiene::decode;

/// No node, or no owner.
pub(super) const NONE: u32 = u32::MAX;

/// What the routes at one path are called outside; any number but [`NONE`].
pub(super) type Owner = u32;

#[derive(Clone, Copy)]
struct Node {
    /// The child that takes any segment.
    capture: u32,
    /// Who owns exactly this path.
    exact: Owner,
    /// Who owns this path and those below.
    prefix: Owner,
}

/// Longer segments are kept outside of the edge.
const INLINE: usize = 20;

/// The way from a node to a child by a literal segment.
struct Edge {
    parent: u32,
    child: u32,
    length: u32,
    /// The segment, or, if it is longer than this, its place in `Trie::long`.
    text: [u8; INLINE],
}

/// What a search found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) owner: Owner,
    /// How many bytes of the path the pattern took.
    pub(super) matched_len: usize,
    pub(super) spans: Spans,
}

/// A search under way.
struct Walk<'p> {
    path: &'p str,
    decodes: bool,
    spans: Spans,
}

#[derive(Default)]
pub(super) struct Trie {
    seed: RandomState,
    edges: HashTable<Edge>,
    nodes: Vec<Node>,
    long: Vec<u8>,
}

impl Trie {
    /// A new tree with nothing in it. Gives its root.
    pub(super) fn plant(&mut self) -> u32 {
        // Four thousand million nodes do not fit into a configuration file.
        let node = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node { capture: NONE, exact: NONE, prefix: NONE });
        node
    }

    /// The node of a path, made if it is not there.
    pub(super) fn grow(&mut self, root: u32, path: &PathPattern) -> u32 {
        path.segments().iter().fold(root, |node, segment| match segment {
            Segment::Literal(text) => match self.step(node, text) {
                Some(child) => child,
                None => self.sprout(node, text),
            },
            Segment::Capture => match self.nodes[index(node)].capture {
                NONE => {
                    let child = self.plant();
                    self.nodes[index(node)].capture = child;
                    child
                }
                child => child,
            },
        })
    }

    /// Says who owns a node.
    pub(super) fn own(&mut self, node: u32, exact: bool, owner: Owner) {
        let node = &mut self.nodes[index(node)];
        *(if exact { &mut node.exact } else { &mut node.prefix }) = owner;
    }

    fn sprout(&mut self, parent: u32, segment: &[u8]) -> u32 {
        let child = self.plant();
        let mut text = [0; INLINE];
        if let Some(inline) = text.get_mut(..segment.len()) {
            inline.copy_from_slice(segment);
        } else {
            text[..8].copy_from_slice(&(self.long.len() as u64).to_le_bytes());
            self.long.extend_from_slice(segment);
        }
        let length = u32::try_from(segment.len()).unwrap_or(NONE);
        let Self { seed, edges, long, .. } = self;
        let hash = hash(seed, parent, segment);
        let edge = Edge { parent, child, length, text };
        edges.insert_unique(hash, edge, |edge| self::hash(seed, edge.parent, edge.segment(long)));
        child
    }

    fn step(&self, node: u32, segment: &[u8]) -> Option<u32> {
        self.edges
            .find(hash(&self.seed, node, segment), |edge| {
                edge.parent == node && edge.segment(&self.long) == segment
            })
            .map(|edge| edge.child)
    }

    /// Who owns a normalised path. `decodes` may be false only if the path holds no escape.
    pub(super) fn find(&self, root: u32, path: &str, decodes: bool) -> Option<Hit> {
        let mut walk = Walk { path, decodes, spans: Spans::default() };
        let top = &self.nodes[index(root)];
        if path == "/" && top.exact != NONE {
            return Some(Hit { owner: top.exact, matched_len: 1, spans: walk.spans });
        }
        let (owner, matched_len) = self.search(root, 0, &mut walk)?;
        Some(Hit { owner, matched_len, spans: walk.spans })
    }

    /// The best owner below `node`, which has taken the path up to `at`, where a slash or the end is,
    /// and how far it took the path.
    fn search(&self, node: u32, at: usize, walk: &mut Walk<'_>) -> Option<(Owner, usize)> {
        let here = self.nodes[index(node)];
        let rest = &walk.path[at..];
        if rest.is_empty() && here.exact != NONE {
            return Some((here.exact, at));
        }
        let segment = next_segment(rest, at);
        if !segment.is_empty() {
            let end = segment.end;
            let text = &walk.path[segment.clone()];
            let child = if walk.decodes {
                self.step(node, &decode(text))
            } else {
                self.step(node, text.as_bytes())
            };
            let found = child.and_then(|child| self.search(child, end, walk));
            if found.is_some() {
                return found;
            }
            if here.capture != NONE {
                walk.spans.push(segment);
                let found = self.search(here.capture, end, walk);
                if found.is_some() {
                    return found;
                }
                walk.spans.pop();
            }
        }
        (here.prefix != NONE).then_some((here.prefix, at))
    }

    /// The largest number of nodes that one search can enter.
    pub(super) fn worst_case(&self) -> usize {
        let mut parents = vec![NONE; self.nodes.len()];
        for edge in &self.edges {
            parents[index(edge.child)] = edge.parent;
        }
        // Children come after their parents, so from behind each child is done before its parent.
        let mut below_literal = vec![0_usize; self.nodes.len()];
        let mut cost = vec![0_usize; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let below_capture = cost.get(index(node.capture)).copied().unwrap_or(0);
            cost[at] = below_literal[at].saturating_add(below_capture).saturating_add(1);
            if let Some(best) = below_literal.get_mut(index(parents[at])) {
                *best = cost[at].max(*best);
            }
        }
        cost.into_iter().max().unwrap_or(0)
    }
}

impl Edge {
    fn segment<'a>(&'a self, long: &'a [u8]) -> &'a [u8] {
        let length = index(self.length);
        if let Some(inline) = self.text.get(..length) {
            return inline;
        }
        let mut start = [0; 8];
        start.copy_from_slice(&self.text[..8]);
        let start = usize::try_from(u64::from_le_bytes(start)).unwrap_or(usize::MAX);
        long.get(start..start.saturating_add(length)).unwrap_or_default()
    }
}

/// Where the segment after the slash at the head of `rest` stands; `at` is where `rest` begins.
fn next_segment(rest: &str, at: usize) -> Range<usize> {
    let Some(segment) = rest.get(1..) else { return at..at };
    let length = memchr(b'/', segment.as_bytes()).unwrap_or(segment.len());
    at + 1..at + 1 + length
}

fn hash(seed: &RandomState, node: u32, segment: &[u8]) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write_u32(node);
    hasher.write(segment);
    hasher.finish()
}

const fn index(node: u32) -> usize {
    node as usize
}
