//! The house holds its own rules: imports point up the list of modules, and no file is too long to read.

use std::fs;
use std::path::{Path, PathBuf};

/// Over this many lines a file of src/ is split.
const MOST_LINES: usize = 600;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    rust_files(&source(), &mut found);
    found.sort();
    assert!(found.len() > 50, "{found:?}");
    found
}

/// The modules of the crate, in their order.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let names: Vec<String> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 10 && names.iter().any(|name| name == "gateway"), "{names:?}");
    names
}

/// The module of the list that a file belongs to; none for lib.rs and main.rs.
fn module_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(source()).unwrap();
    let first = inside.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

/// The modules that a text names as `crate::...`, with their lines from 1.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // Within `use crate::{a::B, c}` every item that begins a path names a module.
    let mut depth = 0_usize;
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if depth == 0 && code.starts_with("//") {
            continue;
        }
        let mut rest = code;
        while let Some(at) = rest.find("crate::") {
            rest = &rest[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                depth = 1;
                rest = group;
                break;
            }
            found.push((number + 1, word(rest)));
        }
        if depth > 0 {
            let mut begins = true;
            for (at, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' => begins = depth == 1,
                    c if begins && depth == 1 && (c.is_alphanumeric() || c == '_') => {
                        found.push((number + 1, word(&rest[at..])));
                        begins = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The part of a file that is not its inline tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

#[test]
fn imports_point_up_the_list_of_modules() {
    let modules = modules();
    let position = |name: &str| modules.iter().position(|known| known == name);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in all_files() {
        let tests =
            file.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs")));
        let Some(own) = module_of(&file).filter(|_| !tests) else { continue };
        let place = position(&own).unwrap_or_else(|| panic!("{own} is not in the list"));
        let text = fs::read_to_string(&file).unwrap();
        for (line, name) in imports(without_tests(&text)) {
            seen += 1;
            match position(&name) {
                Some(other) if other <= place => {}
                Some(_) => wrong.push(format!(
                    "{}:{line}: {own} uses {name}, which stands below it",
                    file.display()
                )),
                None => wrong.push(format!(
                    "{}:{line}: crate::{name} is no module of the list",
                    file.display()
                )),
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let text = "use crate::auth::{self, Auth};\nuse crate::{\n    listen, observe::access_log,\n    \
                upstream,\n};\n// crate::comment\nlet a = crate::units::Size::mib(1) + crate::route::X;\n";
    let names: Vec<_> =
        imports(text).into_iter().map(|(line, name)| format!("{line} {name}")).collect();
    assert_eq!(names, ["1 auth", "3 listen", "3 observe", "4 upstream", "7 units", "7 route"]);
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = all_files()
        .into_iter()
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, file)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
