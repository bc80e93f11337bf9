//! The tree of path segments, laid flat: one hash table from (node, segment) to node.
//!
//! A tree of small maps would cost an allocation per node and a chain of cache misses per lookup, and
//! with many routes the misses are what a lookup costs. Here an edge is one cache line, which holds a
//! segment of usual length, the node it leads to, and the node that a capture below leads to; so a
//! lookup misses once for each literal segment. The hash is seeded at random, so no list of names can
//! be prepared that falls into one bucket.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use memchr::memchr;

use super::captures::Captures;
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

const BARE: Node = Node { capture: NONE, exact: NONE, prefix: NONE };

/// A node as a search needs it.
#[derive(Clone, Copy)]
struct Place {
    id: u32,
    node: Node,
    /// The child that takes any segment.
    below: Node,
}

/// Longer segments are kept outside of the edge.
const INLINE: usize = 28;

/// The way from a node to a child by a literal segment.
#[repr(align(64))]
struct Edge {
    parent: u32,
    length: u32,
    /// The child; its nodes are copies, made when the tree is full grown.
    to: Place,
    /// The segment, or, if it is longer than this, its place in `Trie::long`.
    text: [u8; INLINE],
}

/// What a search found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) owner: Owner,
    /// How many bytes of the path the pattern took.
    pub(super) matched_len: usize,
    pub(super) captures: Captures,
}

/// A search under way.
struct Walk<'p> {
    path: &'p str,
    decodes: bool,
    captures: Captures,
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
        self.nodes.push(BARE);
        node
    }

    /// The node of a path, made if it is not there.
    pub(super) fn grow(&mut self, root: u32, path: &PathPattern) -> u32 {
        path.segments().iter().fold(root, |node, segment| match segment {
            Segment::Literal(text) => match self.step(node, text) {
                Some(child) => child.id,
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
        let to = Place { id: child, node: BARE, below: BARE };
        let edge = Edge { parent, length, to, text };
        edges.insert_unique(hash, edge, |edge| self::hash(seed, edge.parent, edge.segment(long)));
        child
    }

    /// Lays each node beside the edge that leads to it. Until then nothing is found.
    pub(super) fn seal(&mut self) {
        for edge in &mut self.edges {
            edge.to = place(&self.nodes, edge.to.id);
        }
    }

    fn step(&self, node: u32, segment: &[u8]) -> Option<Place> {
        self.edges
            .find(hash(&self.seed, node, segment), |edge| {
                edge.parent == node && edge.segment(&self.long) == segment
            })
            .map(|edge| edge.to)
    }

    /// Who owns a normalised path. `decodes` may be false only if the path holds no escape.
    pub(super) fn find(&self, root: u32, path: &str, decodes: bool) -> Option<Hit> {
        let mut walk = Walk { path, decodes, captures: Captures::default() };
        let top = place(&self.nodes, root);
        if path == "/" && top.node.exact != NONE {
            return Some(Hit { owner: top.node.exact, matched_len: 1, captures: walk.captures });
        }
        let (owner, matched_len) = self.search(top, 0, &mut walk)?;
        Some(Hit { owner, matched_len, captures: walk.captures })
    }

    /// The best owner from `here` on, which has taken the path up to `at`, where a slash or the end is,
    /// and how far it took the path.
    fn search(&self, here: Place, at: usize, walk: &mut Walk<'_>) -> Option<(Owner, usize)> {
        let Place { id, node, below } = here;
        let rest = &walk.path[at..];
        if rest.is_empty() && node.exact != NONE {
            return Some((node.exact, at));
        }
        let segment = next_segment(rest, at);
        if !segment.is_empty() {
            let end = segment.end;
            let text = &walk.path[segment.clone()];
            let child = if walk.decodes {
                self.step(id, &decode(text))
            } else {
                self.step(id, text.as_bytes())
            };
            let found = child.and_then(|child| self.search(child, end, walk));
            if found.is_some() {
                return found;
            }
            if node.capture != NONE {
                walk.captures.push(segment);
                let captured = Place {
                    id: node.capture,
                    node: below,
                    below: self.nodes.get(index(below.capture)).copied().unwrap_or(BARE),
                };
                let found = self.search(captured, end, walk);
                if found.is_some() {
                    return found;
                }
                walk.captures.pop();
            }
        }
        (node.prefix != NONE).then_some((node.prefix, at))
    }

    /// The largest number of nodes that one search can enter.
    pub(super) fn worst_case(&self) -> usize {
        let mut parents = vec![NONE; self.nodes.len()];
        for edge in &self.edges {
            parents[index(edge.to.id)] = edge.parent;
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

fn place(nodes: &[Node], id: u32) -> Place {
    let node = nodes[index(id)];
    Place { id, node, below: nodes.get(index(node.capture)).copied().unwrap_or(BARE) }
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
