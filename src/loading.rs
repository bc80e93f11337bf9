//! Loading: from a file to a configuration that may be served, or to all that is wrong with it.
//!
//! A configuration may be served if its text can be read, everything it names is there, and the tests it
//! carries hold. Whoever serves one gets it from here, so none gets past its tests.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::diagnostic::{self, At, Diagnostics};
use crate::explain;
use crate::snapshot::{self, Compiled, Draft, Mark, Record, Snapshot};
use crate::yaml;

/// A file that was read: what it became, and what was noticed.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, unless a mistake or a test that does not hold refused it.
    pub compiled: Option<Compiled>,
    /// The same if nothing but its tests refused it: to be asked about, never to be served.
    pub untested: Option<Compiled>,
    /// The file as written, unless it could not be read that far.
    pub config: Option<Arc<Config>>,
    /// Mistakes and doubts, in the order of the file.
    pub diagnostics: Diagnostics,
    /// What it took from outside, whether or not it was refused.
    pub record: Record,
}

/// Reads, compiles and tests the text of a configuration; files it names are read from `sources`.
#[must_use]
pub fn load_text(text: &str, sources: &dyn yaml::Sources) -> Loaded {
    load_text_after(None, text, sources)
}

/// The same for the successor of a configuration in force; see [`snapshot::draft`].
#[must_use]
pub fn load_text_after(
    previous: Option<&Snapshot>,
    text: &str,
    sources: &dyn yaml::Sources,
) -> Loaded {
    let Draft { compiled, config, places, mut diagnostics, record } =
        snapshot::draft(text, sources, previous);
    if let (Some(config), Some(compiled)) = (&config, &compiled) {
        explain::run_tests(config, compiled, &mut diagnostics);
    }
    // Whoever found a mistake did not know where the values came from.
    diagnostics.reword(|text| record.mask(text));
    diagnostics.settle(|at| places.of(at));
    let refused = diagnostics.has_errors();
    let (compiled, untested) = if refused { (None, compiled) } else { (compiled, None) };
    Loaded { compiled, untested, config, diagnostics, record }
}

/// Reads, compiles and tests a configuration file.
#[must_use]
pub fn load(file: &Path) -> Loaded {
    load_after(None, file).0
}

/// The same for the successor of a configuration in force, and the mark of the file's own text.
#[must_use]
pub fn load_after(previous: Option<&Snapshot>, file: &Path) -> (Loaded, Mark) {
    let base = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let read = std::fs::read(file);
    let mark = read.as_ref().map_or(Mark::Absent, |bytes| Mark::of(bytes));
    let not_text = |_| io::Error::from(io::ErrorKind::InvalidData);
    let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(not_text));
    let loaded = match text {
        Ok(text) => load_text_after(previous, &text, &yaml::System { base }),
        Err(error) => unreadable(&error),
    };
    (loaded, mark)
}

fn unreadable(error: &io::Error) -> Loaded {
    let mut diagnostics = Diagnostics::new();
    diagnostics.error(
        At::root(),
        format!("the file cannot be read: {}", diagnostic::unreadable(error)),
        "name an existing, readable file, such as conf/portcullis.yaml",
    );
    let record = Record::default();
    Loaded { compiled: None, untested: None, config: None, diagnostics, record }
}
