//! Each file in tests/config/invalid/ is refused with the words of the `.expected` beside it.

use std::fs;

use super::{check, text, yaml_files};

/// Set, the words are written instead of compared: `UPDATE_EXPECTED=1 cargo test --test gateway invalid`,
/// then read the difference.
const UPDATE: &str = "UPDATE_EXPECTED";

#[test]
fn every_mistake_is_told_in_the_expected_words() {
    let files = yaml_files("tests/config/invalid");
    assert!(files.len() >= 70, "only {} files", files.len());
    let mut differences = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let checked = check(file, &[], &[("PORTCULLIS_TEST_SECRET", "from the environment")]);
        let told = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(3), "{name} is not refused:\n{told}");
        assert_eq!(text(&checked.stdout), "", "{name}");
        assert_is_told_well(name, told);
        let golden = file.with_extension("expected");
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&golden, told).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            differences.push(format!("{name}\n-- expected\n{expected}-- told\n{told}"));
        }
    }
    assert!(differences.is_empty(), "{}\n(see {UPDATE})", differences.join("\n"));
}

/// Place, path or file, what and help; no secret; none of the words of those who wrote the parser.
fn assert_is_told_well(name: &str, told: &str) {
    let lines: Vec<&str> = told.lines().collect();
    let (last, mistakes) = lines.split_last().unwrap();
    assert!(last.starts_with(&format!("{name}: refused, ")), "{told}");
    assert!(!mistakes.is_empty() && mistakes.len() % 2 == 0, "{name}:\n{told}");
    for pair in mistakes.chunks(2) {
        let rest = pair[0].strip_prefix(&format!("{name}:")).unwrap_or_else(|| panic!("{told}"));
        let parts: Vec<&str> = rest.splitn(3, ':').collect();
        let [line, column, what] = parts[..] else { panic!("no place in {name}:\n{told}") };
        assert!(line.parse::<usize>().is_ok_and(|n| n > 0), "{name}:\n{told}");
        assert!(column.parse::<usize>().is_ok_and(|n| n > 0), "{name}:\n{told}");
        let severity = [" error: ", " warning: "].into_iter().find_map(|s| what.strip_prefix(s));
        assert!(severity.is_some_and(|what| what.len() > 10), "{name}:\n{told}");
        let help = pair[1].strip_prefix("    help: ").unwrap_or_else(|| panic!("{name}:\n{told}"));
        assert!(help.len() > 3, "{name}:\n{told}");
    }
    for jargon in [
        "u8",
        "u16",
        "u32",
        "u64",
        "i64",
        "usize",
        "f64",
        "a sequence",
        "untagged",
        "variant",
        "struct ",
        "enum ",
        "a mapping",
        "deserial",
        "serde",
        "None",
        "Some(",
        "field",
    ] {
        assert!(!told.contains(jargon), "{name} says {jargon:?}:\n{told}");
    }
    assert!(!told.contains("hunter2"), "{name} shows a secret:\n{told}");
}

#[test]
fn every_expectation_has_its_file() {
    for entry in fs::read_dir(super::folder("tests/config/invalid")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "expected") {
            assert!(path.with_extension("yaml").exists(), "{}", path.display());
        }
    }
}
