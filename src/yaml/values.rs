//! The second walk: `serde_yaml` reads the same text along the marked tree and puts the values in.
//!
//! The two parsers keep to different versions of YAML and have bugs of their own. Where they see
//! different trees, the text means different things to different tools, so it is refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ledger::Ledger;
use super::marks::Marked;
use super::node::{Kind, NodeId, ROOT, Tree, Typed};
use super::syntax;
use crate::diagnostic::Place;

/// Fills in the values. `None`, and the mistakes reported, if the text can be read in two ways.
pub(super) fn fill(text: &str, marked: Marked, ledger: &mut Ledger) -> Option<Tree> {
    let Marked { mut tree, alone } = marked;
    let mut clashes = Vec::new();
    let document = serde_yaml::Deserializer::from_str(text);
    let walk = Fill { tree: &mut tree, id: ROOT, clashes: &mut clashes };
    // A second document is refused already, and whatever is wrong in it does not matter.
    if let Err(error) = walk.deserialize(document)
        && alone
    {
        // An error after another is likely to be the same one, seen by the other parser.
        if !ledger.clean() {
            return None;
        }
        let place = error
            .location()
            .map_or(Place { line: 1, column: 1 }, |l| Place { line: l.line(), column: l.column() });
        syntax::report(text, place, &error.to_string(), ledger);
        return None;
    }
    for id in &clashes {
        ledger.error(
            tree.at(*id),
            tree.place(*id),
            "this can be read in two ways",
            "put the value in double quotes on one line, and check the indentation around it",
        );
    }
    clashes.is_empty().then_some(tree)
}

/// Reads one node's value.
struct Fill<'a> {
    tree: &'a mut Tree,
    id: NodeId,
    /// Nodes that the two parsers see differently.
    clashes: &'a mut Vec<NodeId>,
}

impl Fill<'_> {
    fn set(self, typed: Typed) {
        match &mut self.tree.get_mut(self.id).kind {
            Kind::Scalar(scalar) if scalar.plain => scalar.typed = typed,
            _ => self.clashes.push(self.id),
        }
    }

    /// The child at that position, if the marked tree has one.
    fn child(&self, position: usize) -> Option<NodeId> {
        match &self.tree.get(self.id).kind {
            Kind::List(items) => items.get(position).copied(),
            Kind::Map(map) => map.entries.get(position).map(|entry| entry.value),
            Kind::Scalar(_) => None,
        }
    }

    fn below(&mut self, id: NodeId) -> Fill<'_> {
        Fill { tree: self.tree, id, clashes: self.clashes }
    }
}

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.tree.failed(self.id) {
            deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ())
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.set(Typed::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.set(Typed::Bool(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.set(Typed::Unsigned(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.set(Typed::Signed(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.set(Typed::Float(value));
        Ok(())
    }

    // No field is that wide: such a number is one that fits nowhere.
    #[expect(clippy::cast_precision_loss, reason = "only its kind matters")]
    fn visit_u128<E>(self, value: u128) -> Result<(), E> {
        self.set(Typed::Float(value as f64));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "only its kind matters")]
    fn visit_i128<E>(self, value: i128) -> Result<(), E> {
        self.set(Typed::Float(value as f64));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        if !matches!(&self.tree.get(self.id).kind, Kind::Scalar(scalar) if scalar.text == value) {
            self.clashes.push(self.id);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut position = 0;
        if matches!(self.tree.get(self.id).kind, Kind::List(_)) {
            while let Some(child) = self.child(position) {
                if items.next_element_seed(self.below(child))?.is_none() {
                    self.clashes.push(self.id);
                    return Ok(());
                }
                position += 1;
            }
        }
        self.refuse_rest(items.next_element::<IgnoredAny>()?.is_some());
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut position = 0;
        if matches!(self.tree.get(self.id).kind, Kind::Map(_)) {
            while let Some(child) = self.child(position) {
                let key = FillKey { map: self.below(self.id), position };
                if entries.next_key_seed(key)?.is_none() {
                    self.clashes.push(self.id);
                    return Ok(());
                }
                entries.next_value_seed(self.below(child))?;
                position += 1;
            }
        }
        self.refuse_rest(entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some());
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl Fill<'_> {
    /// A container that the marked tree takes for something else, or that goes on where it ends.
    fn refuse_rest(&mut self, more: bool) {
        if more || matches!(self.tree.get(self.id).kind, Kind::Scalar(_)) {
            self.clashes.push(self.id);
        }
    }
}

/// Compares one key.
struct FillKey<'a> {
    map: Fill<'a>,
    position: usize,
}

impl FillKey<'_> {
    fn agree(self, same: impl Fn(&str, bool) -> bool) {
        if let Kind::Map(map) = &self.map.tree.get(self.map.id).kind
            && let Some(entry) = map.entries.get(self.position)
            && !same(&entry.key, entry.plain)
        {
            self.map.clashes.push(entry.value);
        }
    }
}

impl<'de> DeserializeSeed<'de> for FillKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.map.child(self.position).is_some_and(|id| self.map.tree.failed(id)) {
            deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ())
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

macro_rules! plain_key {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E>(self, _: $type) -> Result<(), E> {
            self.agree(|_, plain| plain);
            Ok(())
        })*
    };
}

impl<'de> Visitor<'de> for FillKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    plain_key!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_u128: u128, visit_i128: i128);

    fn visit_unit<E>(self) -> Result<(), E> {
        self.agree(|_, plain| plain);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.agree(|key, _| key == value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.agree(|_, _| false);
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.agree(|_, _| false);
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
