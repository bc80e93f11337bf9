//! What the fuzz targets try, over the inputs that are kept: so they hold where no fuzzer runs.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::path::{Path, PathBuf};

use crate::hygiene::cases::{BAD, GOOD};
use bodies::TARGETS;

fn files(folder: &str, least: usize) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let files: Vec<_> = files.collect();
    assert!(files.len() >= least, "{} has {} files", folder.display(), files.len());
    files
}

#[test]
fn every_target_passes_over_its_seeds() {
    for (name, run) in TARGETS {
        for seed in files(&format!("fuzz/seeds/{name}"), 5) {
            println!("{}", seed.display());
            run(&std::fs::read(seed).unwrap());
        }
        let target = format!("fuzz/targets/{name}.rs");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&target).exists(), "{target}");
    }
    assert_eq!(files("fuzz/targets", 5).len(), TARGETS.len());
}

#[test]
fn the_targets_pass_over_what_other_stories_know() {
    for stream in BAD.iter().map(|case| case.stream).chain(GOOD.iter().map(|(stream, _)| *stream)) {
        bodies::requests::run(&stream.bytes());
    }
    for folder in ["conf/examples", "tests/config/invalid"] {
        for file in files(folder, 20) {
            println!("{}", file.display());
            bodies::config::run(&std::fs::read(file).unwrap());
        }
    }
}
