//! The reader of the configuration file: YAML text to typed values, with all mistakes at once.
//!
//! A reader that stops at the first mistake makes its user run it ten times. This one reads the text
//! twice and keeps one tree: `saphyr-parser` tells where every node stands, `serde_yaml` tells what its
//! value is, and where the two do not see the same tree the file is refused at that place, since two
//! tools would then understand it differently. A [`serde::Deserializer`] of our own walks the tree; it
//! knows the place of every node, so a mistake is reported where it stands, its node is left out, and
//! reading goes on until nothing new is found.
//!
//! The dialect is small on purpose. One document; no tags; no merge keys; keys are text (`200:` is the
//! key `"200"`) and never repeated. Anchors and aliases work, within a bound. Scalars follow YAML 1.2:
//! `yes`, `no`, `on`, `off` are text. Where text is asked for, an unquoted number or boolean counts as
//! written: `1.10` stays `1.10`, `True` stays `True`. Nothing (`key:`) is a mistake except where the
//! type is optional.
//!
//! # What comes from outside the file
//!
//! `${env:NAME}`, `${env:NAME:-default}` and `${file:path}` are replaced anywhere in a value, never in
//! a key; a file's last line break is dropped. A variable that is unset or empty, and a file that
//! cannot be read or is empty, is a mistake. What was put in is not looked at again. An unquoted value
//! that is one such reference and nothing else can also be a number or a boolean.
//!
//! Any other `${...}` belongs to the templates and is left alone. `$${` stands for a plain `${`: nothing
//! is replaced behind it, and it is passed on as it stands, two dollars and all, because only the
//! template parser knows whether the value is a template; it makes one dollar of the two. For the same
//! reason a text from outside that holds `${` itself is refused (a [`Secret`](crate::units::Secret),
//! never a template, takes it): it would be read as a template that nobody wrote.
//!
//! No message shows a value from outside. When such a value is refused, the refusing code is run once
//! more on the reference's own text, `${env:NAME}`, and that run's message is the one reported.
//!
//! # For authors of types
//!
//! A message given to `serde::de::Error::custom` as `what (help)` is split into the two.

mod access;
mod decode;
mod deserializer;
mod error;
mod interpolate;
mod ledger;
mod marks;
mod node;
mod places;
mod syntax;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::diagnostic::{At, Diagnostics};
use ledger::Ledger;
use node::Tree;

pub use places::Places;

/// Where `${env:..}` and `${file:..}` are read from.
pub trait Sources {
    /// The variable's value; `None` if it is not set (or is not UTF-8).
    fn env(&self, name: &str) -> Option<String>;
    /// The text of a file that is named by `${file:..}`. The path is as written in the configuration.
    fn file(&self, path: &Path) -> io::Result<String>;
    /// A file of data that a key of the configuration names, such as keys or certificates, of any size.
    fn data(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// The process environment and the file system; relative paths start at `base`.
#[derive(Debug, Clone)]
pub struct System {
    /// The folder of the configuration file.
    pub base: PathBuf,
}

/// The largest file that `${file:..}` takes, in bytes: it is meant for secrets and short texts, and
/// must not swallow a device or a log by mistake.
const FILE_LIMIT: u64 = 1 << 20;

impl Sources for System {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(self.base.join(path))?;
        file.take(FILE_LIMIT + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
        }
        Ok(text)
    }

    fn data(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(self.base.join(path))
    }
}

/// A text that was read.
#[derive(Debug)]
pub struct Read<T> {
    /// The value. If there were errors, it is what is left without the parts that hold them, and may
    /// only serve to look for more; `None` if too little is left.
    pub value: Option<T>,
    /// The paths of the errors. Whatever stands below, above or at one of them may be missing from the
    /// value or be a default.
    pub wrong: Vec<At>,
    /// Where the paths of the file stand in its text.
    pub places: Places,
}

/// Reads `text` as a `T`; all mistakes go to `diagnostics`, with their places, at most 100 of them.
pub fn read<T: DeserializeOwned>(
    text: &str,
    sources: &dyn Sources,
    diagnostics: &mut Diagnostics,
) -> Read<T> {
    let mut ledger = Ledger::new(text);
    let Some(tree) = tree(text, sources, &mut ledger) else {
        return Read { value: None, wrong: ledger.close(diagnostics), places: Places::default() };
    };
    let (value, ledger) = decode::decode(&tree, ledger);
    Read { value, wrong: ledger.close(diagnostics), places: Places::new(tree) }
}

/// The tree of the text, with what comes from outside put in. `None` if there is no tree to speak of.
fn tree(text: &str, sources: &dyn Sources, ledger: &mut Ledger) -> Option<Tree> {
    // A byte order mark is no part of the text and must not move the columns.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    syntax::check_characters(text, ledger)?;
    let marked = marks::build(text, ledger)?;
    let mut tree = values::fill(text, marked, ledger)?;
    interpolate::interpolate(&mut tree, sources, ledger);
    Some(tree)
}
