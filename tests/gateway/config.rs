//! The configuration file as its authors meet it: its mistakes, its reference, its schema, its examples.

mod examples;
mod invalid;
mod reference;
mod schema;
mod soundness;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of the repository.
fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The `.yaml` files of a folder, sorted by name.
fn yaml_files(path: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(path)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// `portcullis check` of a file, in its folder, with nothing in the environment but `env`.
fn check(file: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(file.parent().unwrap())
        .env_clear()
        .envs(env.iter().copied())
        .arg("check")
        .args(arguments)
        .arg(file.file_name().unwrap())
        .output()
        .inspect(|checked| crate::support::secrets::none_in("check", text(&checked.stderr)))
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
