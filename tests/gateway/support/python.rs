//! Python as the tests use it: from its own environment below target/, with the scripts of tests/python.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// What a script of tests/python answers, in JSON, to JSON on its standard input.
pub fn answer<T: serde::de::DeserializeOwned>(name: &str, asked: &serde_json::Value) -> T {
    let mut process = Command::new(interpreter())
        .arg(script(name))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads everything before it writes. When it ends before that, its own words tell why.
    let written = process.stdin.take().unwrap().write_all(asked.to_string().as_bytes());
    let output = process.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && written.is_ok(), "{name}: {written:?}\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}
