//! Python as the tests use it: from its own environment below target/, with the scripts of tests/python.

use std::path::{Path, PathBuf};

/// The interpreter that `make test` installs, with all packages of tests/python/requirements.txt.
pub fn interpreter() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    assert!(python.exists(), "{} is missing: run `make test`, which installs it", python.display());
    python
}

/// A script of tests/python.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}
