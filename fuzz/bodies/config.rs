//! Configurations: each can be served, or is refused with a place and a help; and nothing of it is told that came
//! from outside.

use std::io;
use std::path::Path;

use portcullis::loading::{Loaded, load_text, load_text_after};
use portcullis::yaml::Sources;

/// What the world outside the file holds, and no message may show.
const HIDDEN: &str = "Qz7hiddenQz7";

const CERTIFICATE: &[u8] = include_bytes!("../../conf/examples/example.pem");
const KEY: &[u8] = include_bytes!("../../conf/examples/example.key");
const AUTHORITY: &[u8] = include_bytes!("../../conf/examples/ca.pem");

struct World;

impl Sources for World {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some(HIDDEN.to_owned()),
            "NUMBER" => Some("7".to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("token") => Ok(format!("{HIDDEN}\n")),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn data(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("example.pem") => Ok(CERTIFICATE.to_vec()),
            Some("example.key") => Ok(KEY.to_vec()),
            Some("ca.pem") => Ok(AUTHORITY.to_vec()),
            Some("token") => Ok(HIDDEN.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let loaded = load_text(text, &World);
    tells_what_is_wrong(text, &loaded);
    assert_eq!(
        loaded.compiled.is_none(),
        loaded.diagnostics.has_errors(),
        "refused without a word"
    );
    if !text.contains(HIDDEN) {
        let told = loaded.diagnostics.render("portcullis.yaml");
        assert!(!told.contains(HIDDEN), "it tells what came from outside:\n{told}");
    }
    if let Some(compiled) = &loaded.compiled {
        let again = load_text_after(Some(&compiled.snapshot), text, &World);
        assert!(again.compiled.is_some(), "its own reload is refused: {:?}", again.diagnostics);
    }
}

fn tells_what_is_wrong(text: &str, loaded: &Loaded) {
    let lines = 1 + text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    for diagnostic in loaded.diagnostics.iter() {
        assert!(!diagnostic.what.is_empty(), "{diagnostic:?}");
        assert!(!diagnostic.help.is_empty(), "{diagnostic:?}");
        let place = diagnostic.place.unwrap_or_else(|| panic!("no place: {diagnostic:?}"));
        assert!((1..=lines).contains(&place.line) && place.column >= 1, "{diagnostic:?}");
    }
}
