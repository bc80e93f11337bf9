//! The first walk: from the events of the marked parser to a tree of nodes with places.
//!
//! What the dialect leaves out (tags, merge keys, keys that are no text, repeated keys, a second
//! document) is refused here. Aliases are copies, within bounds, so that every node has one path.

use std::cell::Cell;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::ledger::Ledger;
use super::node::{Entry, Kind, Map, Mark, Node, NodeId, ROOT, Scalar, Tree};
use super::syntax;
use crate::diagnostic::{At, Place};

/// So many nodes, aliases expanded: ten times what 10,000 routes need.
const NODES: usize = 1_000_000;
/// So many maps and lists within one another; keeps every recursion over the tree shallow.
const DEPTH: usize = 64;

/// The tree without its values.
pub(super) struct Marked {
    pub tree: Tree,
    /// Nothing stands behind this document.
    pub alone: bool,
}

/// The bounds are reached; it is reported.
struct TooMuch;

/// Builds the tree. `None`, and a mistake reported, if there is none.
pub(super) fn build(text: &str, ledger: &mut Ledger) -> Option<Marked> {
    let mut builder = Builder {
        tree: Tree::default(),
        stack: Vec::new(),
        anchors: HashMap::new(),
        documents: 0,
        ledger,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                builder.take(event, span).ok()?;
                if builder.documents > 1 {
                    break;
                }
            }
            Err(error) => {
                let mark = error.marker();
                let place = Place { line: mark.line(), column: mark.col() + 1 };
                syntax::report(text, place, error.info(), builder.ledger);
                return None;
            }
        }
    }
    builder.finish()
}

/// A map or list that is not closed yet.
struct Frame {
    node: NodeId,
    /// The key whose value comes next.
    key: Option<Key>,
    /// It stands where a key should, and is thrown away.
    as_key: bool,
}

struct Key {
    text: String,
    place: Place,
    plain: bool,
    /// A mistake in it is reported already.
    bad: bool,
}

struct Builder<'a> {
    tree: Tree,
    stack: Vec<Frame>,
    anchors: HashMap<usize, NodeId>,
    documents: usize,
    ledger: &'a mut Ledger,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), TooMuch> {
        let place = Place { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(_) => self.document(place),
            Event::Alias(anchor) if self.key_is_next() => self.alias_as_key(anchor, place),
            Event::Alias(anchor) => return self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                if self.key_is_next() {
                    self.key(text.into_owned(), place, plain, tag.is_some());
                } else {
                    let kind = Kind::Scalar(Scalar::new(text.into_owned(), plain));
                    self.add(kind, place, anchor, tag.is_some())?;
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Kind::List(Vec::new()), place, anchor, tag.is_some())?;
            }
            Event::MappingStart(anchor, tag) => {
                self.open(Kind::Map(Map::default()), place, anchor, tag.is_some())?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn document(&mut self, place: Place) {
        self.documents += 1;
        if self.documents > 1 {
            self.ledger.error(
                At::root(),
                place,
                "a second document begins here",
                "keep one document: remove the line \"---\", or move what follows to another file",
            );
        }
    }

    fn key_is_next(&self) -> bool {
        self.stack.last().is_some_and(|frame| {
            frame.key.is_none() && matches!(self.tree.get(frame.node).kind, Kind::Map(_))
        })
    }

    /// The path of what comes next.
    fn here(&self) -> At {
        let Some(frame) = self.stack.last() else { return At::root() };
        let at = self.tree.at(frame.node);
        match (&frame.key, &self.tree.get(frame.node).kind) {
            (Some(key), _) => at.key(key.text.clone()),
            (None, Kind::List(items)) => at.index(items.len()),
            (None, _) => at,
        }
    }

    fn key(&mut self, text: String, place: Place, plain: bool, tagged: bool) {
        let mistake = if tagged {
            Some(("a tag on a key", "remove the word that begins with \"!\""))
        } else if plain && text.is_empty() {
            Some(("a key is missing before the colon", "write a key, or remove the line"))
        } else if plain && text == "<<" {
            Some((
                "merge keys (<<) are not read",
                "write the keys out; \"defaults:\" holds what every route shares",
            ))
        } else if text.contains("${env:") || text.contains("${file:") {
            Some((
                "a key cannot come from outside the file",
                "use ${env:..} and ${file:..} in values only",
            ))
        } else {
            None
        };
        if let Some((what, help)) = mistake {
            let map = self.here();
            let at = if text.is_empty() { map } else { map.key(text.clone()) };
            self.ledger.error(at, place, what, help);
        }
        self.set_key(Key { text, place, plain, bad: mistake.is_some() });
    }

    fn set_key(&mut self, key: Key) {
        if let Some(frame) = self.stack.last_mut() {
            frame.key = Some(key);
        }
    }

    fn alias_as_key(&mut self, anchor: usize, place: Place) {
        let target = self.anchors.get(&anchor).map(|id| &self.tree.get(*id).kind);
        if let Some(Kind::Scalar(scalar)) = target {
            let (text, plain) = (scalar.text.clone(), scalar.plain);
            self.key(text, place, plain, false);
        } else {
            self.ledger.error(
                self.here(),
                place,
                "an alias that is no text stands for a key",
                "write the key out",
            );
            self.set_key(Key { text: String::new(), place, plain: false, bad: true });
        }
    }

    /// Puts a node where the next one belongs.
    fn add(
        &mut self,
        kind: Kind,
        place: Place,
        anchor: usize,
        tagged: bool,
    ) -> Result<NodeId, TooMuch> {
        if tagged {
            self.ledger.error(
                self.here(),
                place,
                "tags are not read",
                "remove the word that begins with \"!\"; put text in quotes",
            );
        }
        let id = self.attach(kind, place, if tagged { Mark::Failed } else { Mark::Open })?;
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        Ok(id)
    }

    fn attach(&mut self, kind: Kind, place: Place, mark: Mark) -> Result<NodeId, TooMuch> {
        if self.tree.len() >= NODES {
            return Err(self.too_much(
                place,
                "the file holds too many values once its aliases are written out",
                "use fewer aliases, or aliases to smaller values",
            ));
        }
        let id = self.tree.push(Node { parent: None, place, mark: Cell::new(mark), kind });
        if let Some(frame) = self.stack.last_mut() {
            let parent = frame.node;
            let key = frame.key.take();
            let slot = match (&mut self.tree.get_mut(parent).kind, key) {
                (Kind::List(items), _) => {
                    items.push(id);
                    items.len() - 1
                }
                (Kind::Map(map), Some(Key { text: key, place, plain, bad })) => {
                    map.entries.push(Entry { key, place, plain, value: id });
                    let slot = map.entries.len() - 1;
                    if bad {
                        self.tree.fail(id);
                    }
                    slot
                }
                _ => 0,
            };
            self.tree.get_mut(id).parent = Some((parent, slot));
        }
        Ok(id)
    }

    fn open(
        &mut self,
        kind: Kind,
        place: Place,
        anchor: usize,
        tagged: bool,
    ) -> Result<(), TooMuch> {
        if self.stack.len() >= DEPTH {
            return Err(self.too_deep(place));
        }
        let as_key = self.key_is_next();
        let node = if as_key {
            self.ledger.error(
                self.here(),
                place,
                "a map or list stands for a key",
                "write a plain key; put a value that begins with { or [ in quotes",
            );
            self.tree.push(Node { parent: None, place, mark: Cell::new(Mark::Failed), kind })
        } else {
            self.add(kind, place, anchor, tagged)?
        };
        self.stack.push(Frame { node, key: None, as_key });
        Ok(())
    }

    fn close(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        if let Kind::Map(map) = &mut self.tree.get_mut(frame.node).kind {
            map.sort();
        }
        self.refuse_repeated_keys(frame.node);
        if frame.as_key {
            let place = self.tree.get(frame.node).place;
            self.set_key(Key { text: String::new(), place, plain: false, bad: true });
        }
    }

    /// The first of several entries with one key is kept, so that reading can go on.
    fn refuse_repeated_keys(&mut self, id: NodeId) {
        let Kind::Map(map) = &self.tree.get(id).kind else { return };
        let mut first: Option<&Entry> = None;
        for entry in map.order.iter().map(|i| &map.entries[*i]) {
            match first {
                _ if self.tree.failed(entry.value) => {}
                Some(first) if first.key == entry.key => {
                    self.tree.fail(entry.value);
                    self.ledger.error(
                        self.tree.at(entry.value),
                        entry.place,
                        format!("the key \"{}\" is repeated", entry.key),
                        format!("it stands on line {} already: remove one", first.place.line),
                    );
                }
                _ => first = Some(entry),
            }
        }
    }

    /// Copies what the alias stands for.
    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), TooMuch> {
        let target = self.anchors.get(&anchor).copied();
        let within_itself = self.stack.iter().any(|frame| Some(frame.node) == target);
        let Some(target) = target.filter(|_| !within_itself) else {
            self.ledger.error(
                self.here(),
                place,
                "an alias that stands within its own anchor, or has none",
                "write the value out",
            );
            self.attach(Kind::Scalar(Scalar::new(String::new(), true)), place, Mark::Failed)?;
            return Ok(());
        };
        let copy = self.copy(target, place)?;
        self.tree.get_mut(copy).place = place;
        Ok(())
    }

    fn copy(&mut self, from: NodeId, alias: Place) -> Result<NodeId, TooMuch> {
        let Node { place, mark, kind, .. } = self.tree.get(from).clone();
        let (empty, children) = match kind {
            Kind::Scalar(_) => return self.attach(kind, place, mark.get()),
            Kind::List(items) => {
                (Kind::List(Vec::new()), items.into_iter().map(|id| (None, id)).collect::<Vec<_>>())
            }
            Kind::Map(map) => {
                let children =
                    map.entries.into_iter().map(|entry| (Some(entry.clone()), entry.value));
                (Kind::Map(Map { entries: Vec::new(), order: map.order }), children.collect())
            }
        };
        if self.stack.len() >= DEPTH {
            return Err(self.too_deep(alias));
        }
        let node = self.attach(empty, place, mark.get())?;
        self.stack.push(Frame { node, key: None, as_key: false });
        for (entry, child) in children {
            if let Some(Entry { key: text, place, plain, .. }) = entry {
                self.set_key(Key { text, place, plain, bad: false });
            }
            self.copy(child, alias)?;
        }
        self.stack.pop();
        Ok(node)
    }

    fn too_deep(&mut self, place: Place) -> TooMuch {
        self.too_much(
            place,
            &format!("more than {DEPTH} maps and lists within one another"),
            "look for brackets that are not closed; nothing in this file is that deep",
        )
    }

    fn too_much(&mut self, place: Place, what: &str, help: &str) -> TooMuch {
        self.ledger.error(self.here(), place, what, help);
        TooMuch
    }

    fn finish(self) -> Option<Marked> {
        let nothing = match self.tree.len() {
            0 => true,
            _ => matches!(&self.tree.get(ROOT).kind,
                Kind::Scalar(s) if s.plain && ["", "~", "null", "Null", "NULL"].contains(&s.text.as_str())),
        };
        if nothing {
            self.ledger.error(
                At::root(),
                Place { line: 1, column: 1 },
                "the file is empty",
                "begin with \"version: 1\"",
            );
            return None;
        }
        Some(Marked { tree: self.tree, alone: self.documents == 1 })
    }
}
