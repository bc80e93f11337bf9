//! The one tree of a file: values as `serde_yaml` types them, places as the marked parser sees them.

use std::cell::Cell;

use crate::diagnostic::{At, Place};

/// A node's number in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

impl NodeId {
    /// Its position in [`Tree::ids`].
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The first node.
pub(super) const ROOT: NodeId = NodeId(0);

/// How far the reading of a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// To be read.
    Open,
    /// Read without a mistake in that pass; later passes need not look again.
    Done(u32),
    /// Its mistake is reported; it is left out from now on.
    Failed,
}

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The map or list it stands in, and as the how-many-eth.
    pub parent: Option<(NodeId, usize)>,
    pub place: Place,
    pub mark: Cell<Mark>,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<NodeId>),
    Map(Map),
}

/// A value of one piece.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// As written, without quotes; after interpolation, with what was put in.
    pub text: String,
    pub typed: Typed,
    /// Written without quotes, so that it may be more than text.
    pub plain: bool,
    /// Set if a part came from outside the file.
    pub origin: Option<Box<Origin>>,
}

impl Scalar {
    pub(super) fn new(text: String, plain: bool) -> Self {
        Self { text, typed: Typed::Text, plain, origin: None }
    }

    /// Whether it came from outside the file, and all of it.
    pub(super) fn is_outside(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.whole && !origin.defaulted)
    }

    /// What may be handed to code whose messages are shown.
    pub(super) fn text(&self) -> &str {
        match &self.origin {
            Some(origin) if origin.masked.get() => &origin.shown,
            _ => &self.text,
        }
    }
}

/// What a scalar is by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Typed {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// What is known of a scalar that came, in part or wholly, from outside the file.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The scalar with its references instead of their values, and without their defaults.
    pub shown: String,
    /// The references alone, for messages: `${env:A} and ${env:B}`.
    pub names: String,
    /// One reference and nothing else.
    pub whole: bool,
    /// It took a default, which stands in the file.
    pub defaulted: bool,
    /// What was put in would be read as a template.
    pub opens_template: bool,
    /// [`Origin::shown`] is handed out instead of the value.
    pub masked: Cell<bool>,
}

/// A map, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    pub entries: Vec<Entry>,
    /// The entries' numbers, sorted by key and then by number.
    pub order: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub place: Place,
    pub plain: bool,
    pub value: NodeId,
}

impl Map {
    pub(super) fn sort(&mut self) {
        self.order = (0..self.entries.len()).collect();
        self.order.sort_by(|a, b| self.entries[*a].key.cmp(&self.entries[*b].key));
    }
}

/// All nodes of a file, the root first.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(number)
    }

    pub(super) fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        number(self.nodes.len() - 1)
    }

    pub(super) fn get(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    pub(super) fn failed(&self, id: NodeId) -> bool {
        self.get(id).mark.get() == Mark::Failed
    }

    pub(super) fn fail(&self, id: NodeId) {
        self.get(id).mark.set(Mark::Failed);
    }

    /// The nodes right below.
    pub(super) fn children(&self, id: NodeId) -> Vec<NodeId> {
        match &self.get(id).kind {
            Kind::Scalar(_) => Vec::new(),
            Kind::List(items) => items.clone(),
            Kind::Map(map) => map.entries.iter().map(|e| e.value).collect(),
        }
    }

    /// The node itself and all nodes below it.
    pub(super) fn subtree(&self, id: NodeId) -> Vec<NodeId> {
        let mut all = vec![id];
        let mut next = 0;
        while let Some(id) = all.get(next).copied() {
            all.extend(self.children(id));
            next += 1;
        }
        all
    }

    /// The entry that holds this node, if it stands in a map.
    pub(super) fn entry(&self, id: NodeId) -> Option<&Entry> {
        let (parent, slot) = self.get(id).parent?;
        match &self.get(parent).kind {
            Kind::Map(map) => map.entries.get(slot),
            _ => None,
        }
    }

    /// The path from the root.
    pub(super) fn at(&self, id: NodeId) -> At {
        let mut upwards = vec![id];
        let mut node = id;
        while let Some((parent, _)) = self.get(node).parent {
            upwards.push(parent);
            node = parent;
        }
        upwards.iter().rev().fold(At::root(), |at, id| match (self.entry(*id), self.get(*id)) {
            (Some(entry), _) => at.key(entry.key.clone()),
            (None, Node { parent: Some((_, slot)), .. }) => at.index(*slot),
            (None, _) => at,
        })
    }

    /// Where a mistake in the node is shown: a scalar by itself; a map, a list and nothing by the key.
    pub(super) fn place(&self, id: NodeId) -> Place {
        let node = self.get(id);
        let visible = matches!(&node.kind, Kind::Scalar(s) if !(s.plain && s.text.is_empty()));
        match (node.parent, self.entry(id)) {
            (None, _) if !visible => Place { line: 1, column: 1 },
            (_, Some(entry)) if !visible => entry.place,
            _ => node.place,
        }
    }
}

fn number(index: usize) -> NodeId {
    // The builder stops long before.
    NodeId(u32::try_from(index).unwrap_or(u32::MAX))
}
