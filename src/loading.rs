//! Loading: from a file to a configuration that may be served, or to all that is wrong with it.
//!
//! A configuration may be served if its text can be read, everything it names is there, and the tests it
//! carries hold. Whoever serves one gets it from here, so none gets past its tests.

use std::path::Path;

use crate::config::Config;
use crate::diagnostic::{At, Diagnostics, unreadable};
use crate::explain;
use crate::snapshot::{self, Compiled, Draft};
use crate::yaml;

/// A file that was read: what it became, and what was noticed.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, unless a mistake or a test that does not hold refused it.
    pub compiled: Option<Compiled>,
    /// The same if nothing but its tests refused it: to be asked about, never to be served.
    pub untested: Option<Compiled>,
    /// The file as written, unless it could not be read that far.
    pub config: Option<Config>,
    /// Mistakes and doubts, in the order of the file.
    pub diagnostics: Diagnostics,
}

/// Reads, compiles and tests the text of a configuration; files it names are read from `sources`.
#[must_use]
pub fn load_text(text: &str, sources: &dyn yaml::Sources) -> Loaded {
    let Draft { compiled, config, places, mut diagnostics } = snapshot::draft(text, sources);
    if let (Some(config), Some(compiled)) = (&config, &compiled) {
        explain::run_tests(config, compiled, &mut diagnostics);
    }
    diagnostics.settle(|at| places.of(at));
    if diagnostics.has_errors() {
        return Loaded { compiled: None, untested: compiled, config, diagnostics };
    }
    Loaded { compiled, untested: None, config, diagnostics }
}

/// Reads and compiles a configuration file.
#[must_use]
pub fn load(file: &Path) -> Loaded {
    let base = file.parent().map(Path::to_path_buf).unwrap_or_default();
    match std::fs::read_to_string(file) {
        Ok(text) => load_text(&text, &yaml::System { base }),
        Err(error) => {
            let mut diagnostics = Diagnostics::new();
            diagnostics.error(
                At::root(),
                format!("the file cannot be read: {}", unreadable(&error)),
                "name an existing, readable file, such as conf/portcullis.yaml",
            );
            Loaded { compiled: None, untested: None, config: None, diagnostics }
        }
    }
}
