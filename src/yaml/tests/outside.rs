use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    v: String,
}

fn value(v: &str) -> String {
    good::<One>(&format!("v: {v}\n")).v
}

#[test]
fn references_are_replaced_anywhere_and_once() {
    for (written, expected) in [
        ("${env:TOKEN}", "hunter2"),
        ("\"a-${env:TOKEN}-${env:PORT}-b\"", "a-hunter2-8080-b"),
        ("'${file:/token}'", "hunter2"),
        ("${file:/crlf}", "hunter2"),
        ("${file:/lines}", "one\ntwo\n"),
        ("${env:NOPE:-d}", "d"),
        ("${env:EMPTY:-d}", "d"),
        ("${env:EMPTY:-}", ""),
        ("\"${env:NOPE:-a:-b c}\"", "a:-b c"),
        ("${env:TOKEN:-d}", "hunter2"),
        ("|\n  x ${env:PORT}\n  y\n", "x 8080\ny\n"),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

#[test]
fn templates_and_escapes_pass_untouched() {
    for text in [
        "${client.ip}",
        "a $ b $$ c ${x",
        "$${env:TOKEN}",
        "$${client.ip}",
        "$$${env:TOKEN}",
        "$${env:",
        "${envy:X}",
        "$env:X",
    ] {
        assert_eq!(value(&format!("'{text}'")), text);
    }
    assert_eq!(value("$${env:TOKEN} ${env:TOKEN} ${id}"), "$${env:TOKEN} hunter2 ${id}");
}

#[test]
fn a_value_from_outside_is_no_template() {
    for written in
        ["${env:OPENS}", "\"${env:DOLLAR}{x}\"", "\"${env:DOLLAR}${id}\"", "${env:REFERS}"]
    {
        let text = report::<One>(&format!("v: {written}\n"));
        assert!(text.contains("would make a template of its own"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let secret: HashMap<String, Secret> = good("v: ${env:OPENS}\n");
    assert_eq!(secret["v"].expose(), "a${hunter2}b");
}

#[test]
fn a_plain_reference_can_be_a_number_or_a_boolean() {
    assert_eq!(good::<HashMap<String, u16>>("v: ${env:PORT}")["v"], 8080);
    assert!(good::<HashMap<String, bool>>("v: ${env:YES}")["v"]);
    assert!((good::<HashMap<String, f64>>("v: ${env:NOPE:-1.5}")["v"] - 1.5).abs() < 1e-9);
    assert!(report::<HashMap<String, u16>>("v: \"${env:PORT}\"").contains("expected a whole"));
    assert!(report::<HashMap<String, u16>>("v: 1${env:PORT}").contains("expected a whole"));
}

#[test]
fn a_secret_is_never_told() {
    for text in [
        "version: ${env:TOKEN}",
        "version: \"${env:TOKEN}\"",
        "workers: ${env:TOKEN}",
        "logs: ${env:TOKEN}",
        "logs: { json: ${file:/token} }".trim_end(),
        "upstreams: { a: { targets: \"${env:TOKEN}\" } }",
        "upstreams: { a: { targets: [ \"${env:TOKEN}\" ] } }",
        "upstreams: { a: { targets: [ { url: \"${env:TOKEN}\", weight: 0 } ] } }",
        "upstreams: { a: { targets: [], balance: \"${env:TOKEN}\" } }",
        "upstreams: { a: { targets: [], balance: { \"${env:TOKEN}\": 1 } } }",
        "upstreams: { a: { targets: [], every: \"${env:TOKEN}\" } }",
        "upstreams: { a: { targets: [], every: \"${env:NOPE:-hunter2}\" } }",
        "routes: { a: { path: \"${env:TOKEN}\", auth: \"x${env:TOKEN}\" } }",
        "routes: { a: { path: x, address: \"${env:TOKEN}:${env:PORT}\" } }",
        "pair: [ 1, \"${env:TOKEN}\" ]",
        "upstreams: { a: { targets: [], secret: [ \"${env:TOKEN}\" ] } }",
    ] {
        let text = text.replace("json: ${file:/token}", "json: \"${file:/token}\"");
        let (value, _, found) = settled::<File>(&text);
        let told = format!("{found:?}{}", found.render("f"));
        assert!(value.is_none() && !found.is_empty(), "{text}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(told.contains("${env:") || told.contains("${file:"), "{told}");
    }
}

#[test]
fn the_system_reads_files_beside_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "hunter2\n").expect("a file");
    std::fs::write(folder.path().join("large"), vec![b'x'; (1 << 20) + 1]).expect("a file");
    std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).expect("a file");
    let system = super::super::System { base: folder.path().to_owned() };
    let mut found = Diagnostics::new();
    let path = folder.path().join("secret");
    let text = format!("a: \"${{file:secret}}\"\nb: \"${{file:{}}}\"\n", path.display());
    let value = read::<HashMap<String, String>>(&text, &system, &mut found).value;
    let value = value.expect("both are there");
    assert_eq!((value["a"].as_str(), value["b"].as_str()), ("hunter2", "hunter2"));
    for (name, reason) in [
        ("large", "larger than 1 MiB"),
        ("binary", "not UTF-8"),
        ("absent", "there is no such file"),
        (".", "folder"),
    ] {
        let mut found = Diagnostics::new();
        let text = format!("a: ${{file:{name}}}\n");
        read::<HashMap<String, String>>(&text, &system, &mut found);
        assert!(found.render("f").contains(reason), "{}", found.render("f"));
    }
}
