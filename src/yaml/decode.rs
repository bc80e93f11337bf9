//! From the tree to the type, with all mistakes: read, report, leave the node out, read again.
//!
//! Serde gives up at the first error, so the whole is read once for every mistake. Map entries and list
//! items that were read well are not read again, which keeps a pass cheap in a file of any size; the last
//! pass reads all that is left once more.

use std::cell::{Cell, RefCell};

use serde::de::DeserializeOwned;

use super::deserializer::NodeReader;
use super::error::{Error, Fault, Spot};
use super::ledger::Ledger;
use super::node::{Kind, Mark, NodeId, ROOT, Tree};
use super::words;
use crate::diagnostic::nearest;

/// One reading of a tree: what all its node readers share.
#[derive(Debug)]
pub(super) struct Run<'r> {
    pub tree: &'r Tree,
    ledger: RefCell<Ledger>,
    pub pass: Cell<u32>,
}

/// Reads the tree as a `T`, and adds to the ledger. `None` if it cannot be read.
pub(super) fn decode<T: DeserializeOwned>(tree: &Tree, ledger: Ledger) -> (Option<T>, Ledger) {
    let run = Run { tree, ledger: RefCell::new(ledger), pass: Cell::new(0) };
    while !tree.failed(ROOT) && !run.ledger.borrow().full() {
        match run.read::<T>() {
            Ok(value) if run.pass.get() == 1 => return (Some(value), run.ledger.into_inner()),
            Ok(_) => return (run.whole(), run.ledger.into_inner()),
            Err(error) => run.settle::<T>(error),
        }
    }
    (None, run.ledger.into_inner())
}

impl Run<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.pass.set(self.pass.get() + 1);
        T::deserialize(NodeReader::new(self, ROOT))
    }

    /// The value without what is left out, and with what earlier passes read.
    fn whole<T: DeserializeOwned>(&self) -> Option<T> {
        for node in self.tree.ids().map(|id| self.tree.get(id)) {
            if matches!(node.mark.get(), Mark::Done(_)) {
                node.mark.set(Mark::Open);
            }
        }
        self.read().ok()
    }

    /// Reports the error, unless it only follows from another, and leaves its node out.
    fn settle<T: DeserializeOwned>(&self, error: Error) {
        let (spot, fault) = error.into_parts();
        let mut spot = spot.unwrap_or(Spot::Value(ROOT));
        // Every pass must leave out one node more, or this would not end.
        while self.tree.failed(spot.node()) {
            match self.tree.get(spot.node()).parent {
                Some((parent, _)) => spot = Spot::Value(parent),
                None => return,
            }
        }
        if !self.follows(spot, &fault) {
            self.report::<T>(spot, &fault);
        }
        self.tree.fail(spot.node());
    }

    /// Whether the error is owed to something left out below: reported once, it is not reported again.
    fn follows(&self, spot: Spot, fault: &Fault) -> bool {
        let Spot::Value(id) = spot else { return false };
        match (&self.tree.get(id).kind, fault) {
            (_, Fault::Reported) => true,
            // The key is there, and wrong; or its misspelling is, or a merge key that may hold it.
            (Kind::Map(map), Fault::MissingKey(key)) => map.entries.iter().any(|entry| {
                let misspelt = || entry.key == "<<" || nearest(&entry.key, [*key]).is_some();
                entry.key == *key || self.tree.failed(entry.value) && misspelt()
            }),
            (Kind::Map(_) | Kind::List(_), fault) if !matches!(fault, Fault::WrongType { .. }) => {
                self.tree.children(id).into_iter().any(|child| self.left_out(child))
            }
            _ => false,
        }
    }

    /// Whether this pass did not look at the node.
    pub(super) fn left_out(&self, id: NodeId) -> bool {
        match self.tree.get(id).mark.get() {
            Mark::Failed => true,
            Mark::Done(pass) => pass < self.pass.get(),
            Mark::Open => false,
        }
    }

    fn report<T: DeserializeOwned>(&self, spot: Spot, fault: &Fault) {
        let (what, help) = match spot {
            Spot::Value(id) => self.without_outside_text::<T>(id, fault),
            Spot::Key(_) => words::tell(self.tree, spot, fault),
        };
        self.error(spot, what, help);
    }

    /// The message of a mistake in a value. If anything in it came from outside the file, the value is
    /// read again with the references in the place of their values, and the message is taken from that.
    fn without_outside_text<T: DeserializeOwned>(
        &self,
        id: NodeId,
        fault: &Fault,
    ) -> (String, String) {
        let spot = Spot::Value(id);
        let mut names: Vec<&str> = Vec::new();
        let subtree = self.tree.subtree(id);
        for node in subtree.iter().map(|id| self.tree.get(*id)) {
            if let Kind::Scalar(scalar) = &node.kind
                && let Some(origin) = &scalar.origin
            {
                origin.masked.set(true);
                names.push(&origin.names);
            }
        }
        if names.is_empty() {
            return words::tell(self.tree, spot, fault);
        }
        for node in subtree.iter().map(|id| self.tree.get(*id)) {
            if matches!(node.mark.get(), Mark::Done(_)) {
                node.mark.set(Mark::Open);
            }
        }
        names.sort_unstable();
        names.dedup();
        let names = names.join(" and ");
        if let Err(error) = self.read::<T>() {
            let (again, fault) = error.into_parts();
            if again == Some(spot) {
                let (what, help) = words::tell(self.tree, spot, &fault);
                let told = what.contains("${") || help.contains("${");
                return (if told { what } else { format!("the value of {names}: {what}") }, help);
            }
        }
        (
            format!("the value of {names} is not accepted here"),
            format!("check what {names} holds; this message does not show it"),
        )
    }

    /// Reports an error at a spot.
    pub(super) fn error(&self, spot: Spot, what: String, help: String) {
        let id = spot.node();
        let place = match (spot, self.tree.entry(id)) {
            (Spot::Key(_), Some(entry)) => entry.place,
            _ => self.tree.place(id),
        };
        self.ledger.borrow_mut().error(self.tree.at(id), place, what, help);
    }

    /// Reports a doubt about a value.
    pub(super) fn warning(&self, id: NodeId, what: &str, help: &str) {
        self.ledger.borrow_mut().warning(self.tree.at(id), self.tree.place(id), what, help);
    }

    /// Reports the keys that a map does not know and leaves them out, all at once.
    pub(super) fn refuse_unknown_keys(&self, id: NodeId, known: &'static [&'static str]) {
        let Kind::Map(map) = &self.tree.get(id).kind else { return };
        for entry in &map.entries {
            if !known.contains(&entry.key.as_str()) && !self.tree.failed(entry.value) {
                let (what, help) = words::unknown_key(&entry.key, known);
                self.error(Spot::Key(entry.value), what, help);
                self.tree.fail(entry.value);
            }
        }
    }
}
