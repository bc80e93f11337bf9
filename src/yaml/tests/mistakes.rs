use std::fmt::Write as _;

use super::*;

/// Files with mistakes, each followed by its whole report: `=====`, file, `-----`, report.
const GOLDEN: &str = include_str!("mistakes.txt");

#[test]
fn every_mistake_has_its_message() {
    let cases: Vec<_> = GOLDEN.split("=====\n").filter_map(|c| c.split_once("-----\n")).collect();
    assert!(cases.len() >= 80);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let mut text = String::new();
        for (file, _) in &cases {
            write!(text, "=====\n{file}-----\n{}", report::<File>(file)).expect("memory");
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/yaml/tests/mistakes.txt");
        std::fs::write(path, text).expect(path);
        return;
    }
    for (file, expected) in cases {
        assert_eq!(report::<File>(file), expected, "{file}");
    }
}

#[test]
fn invisible_characters_are_named() {
    for (text, place, name) in [
        ("logs: { level: \"a\u{7}\" }\n", "f:1:18:", "U+0007"),
        ("version: 1\r\nx\0", "f:2:2:", "U+0000"),
        ("version: 1\n\u{feff}logs: {}\n", "f:2:1:", "U+FEFF"),
    ] {
        let told = report::<File>(text);
        assert!(told.starts_with(place) && told.contains(name), "{told}");
    }
}

#[test]
fn a_mistake_at_the_end_stands_within_the_text() {
    for (text, place) in [
        ("version: 1\nlisteners users:\n    target:\ns ", "f:4:3:"),
        ("version: 1\r\nlisteners: [", "f:2:13:"),
        ("version: 1\rlisteners: [", "f:2:13:"),
    ] {
        let told = report::<File>(text);
        assert!(told.starts_with(place), "{told}");
    }
}

fn large(routes: usize, wrong: impl Fn(usize) -> bool) -> String {
    let mut text = "routes:\n".to_owned();
    for n in 0..routes {
        let strip = if wrong(n) { "7" } else { "true" };
        let rest = "methods: [ GET, POST ], auth: [ key ]";
        writeln!(text, "  r{n}: {{ path: /r{n}, strip: {strip}, {rest} }}").expect("memory");
    }
    text
}

#[test]
fn a_large_file_with_many_mistakes_is_told_within_bounds() {
    let (_, places, found) = settled::<File>(&large(10_000, |n| n % 10 == 9));
    assert_eq!(found.len(), 101);
    let told = found.render("f");
    assert!(told.contains("f:11:27: error: routes.r9.strip: expected true or false"), "{told}");
    assert!(
        told.ends_with("there are more mistakes than the 100 shown\n    help: mend these first\n")
    );
    let at = At::root().key("routes").key("r9999").key("path");
    assert_eq!(places.of(&at), Some(Place { line: 10_001, column: 18 }));

    let (_, _, found) = settled::<File>(&large(10_000, |n| n == 3 || n >= 9_990));
    assert_eq!(found.len(), 11);
    let file: File = good(&large(10_000, |_| false));
    assert_eq!(file.routes.len(), 10_000);
}
