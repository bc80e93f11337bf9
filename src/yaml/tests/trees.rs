use std::fmt::Write as _;

use proptest::prelude::*;
use serde_yaml::Value;

use super::*;

/// Files that both parsers must read alike.
const CORPUS: [&str; 22] = [
    "a: 1\n",
    "a: {b: [1, 2.5, -3, true, ~, null, \"x\", 'y']}\n",
    "a:\n  - b: 1\n    c: 2\n  -\n    - d\n    - - e\n",
    "a:\n- 1\n- 2\nb:\n- {c: d}\n",
    "a: |\n  one\n   two\n\n  three\nb: >-\n  folded\n  text\n\n  next\nc: |+\n  kept\n\nd: |2\n   x\n",
    "a: plain text\n  over lines\nb: \"quoted\n  over lines\\n\\u00e9 \\x41\"\nc: 'it''s'\n",
    "base: &b {x: 1, y: [1, 2]}\nuse: *b\nlist: [*b, *b]\n&k key: &v value\nother: *v\n*v : last\n",
    "\"quoted key\": 1\n'single': 2\n? explicit\n: 3\n200: 4\ntrue: 5\n1.5: 6\n",
    "é: ü\n𝄞: [𝄞, \"\\U0001D11E\"]\n日本: 語\n",
    "# comment\na: 1 # behind\n# between\nb: # key\n  - x # item\n# end",
    "a: 1\r\nb:\r\n  - x\r\n  - |\r\n    y\r\n    z\r\n",
    "\u{feff}a: 1\nb: 2\n",
    "---\na: 1\n...\n",
    "%YAML 1.2\n---\na: 1\n",
    "a: yes\nb: no\nc: on\nd: off\ne: True\nf: NULL\ng: 0x1F\nh: 0o17\ni: 017\nj: 1_000\nk: 1e3\nl: .5\nm: .inf\nn: 12:30:45\no: 2001-01-01\n",
    "a: http://x/y?z=1#f\nb: a:b\nc: -x\nd: a#b\ne: \"a: b\"\nf: '#x'\n",
    "a: {}\nb: []\nc: \"\"\nd:\ne: ''\n",
    "[a, {b: c}, [d]]\n",
    "just text\n",
    "a: 18446744073709551615\nb: -9223372036854775808\n",
    "{a: 1, \"b\": 2, c: , d}\n",
    "a:   \n  b:    1   \n\n\n  c:  [ 1 ,  2 , ]\n",
];

/// `serde_yaml`'s value with keys as text, as the dialect has them.
fn expected(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => serde_json::to_value(number).expect("a number"),
        Value::String(text) => text.clone().into(),
        Value::Sequence(items) => items.iter().map(expected).collect(),
        Value::Mapping(map) => map.iter().map(|(k, v)| (key(k), expected(v))).collect(),
        Value::Tagged(_) => panic!("no tags here"),
    }
}

fn key(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).expect("a scalar").trim_end().to_owned(),
    }
}

#[test]
fn both_parsers_read_the_same_tree() {
    for text in CORPUS {
        // serde_yaml takes a byte order mark for a document of its own.
        let plain = text.trim_start_matches('\u{feff}');
        let value: Value = serde_yaml::from_str(plain).expect(text);
        // Infinities are no JSON; both sides make null of them.
        assert_eq!(good::<serde_json::Value>(text), expected(&value), "{text:?}");
    }
}

#[test]
fn different_readings_are_refused() {
    // U+2028 and U+0085 break a line in YAML 1.1 and are characters in 1.2.
    let text = report::<serde_json::Value>("a: x\u{2028}b: y\n");
    assert!(text.contains("error"), "{text}");
    let text = report::<serde_json::Value>("a: \"x\u{85}y\"\n");
    assert!(text.contains("can be read in two ways"), "{text}");
}

#[test]
fn aliases_stay_within_bounds() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = level - 1;
        let items = vec![format!("*a{below}"); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").expect("memory");
    }
    let told = report::<serde_json::Value>(&text);
    assert!(told.contains("too many values"), "{told}");
    let told = report::<serde_json::Value>("a: &a [1, *a]\n");
    assert!(told.contains("within its own anchor"), "{told}");
    let told = report::<serde_json::Value>(&format!("a: {}\n", "[".repeat(100_000)));
    assert!(told.contains("more than 64"), "{told}");
    let told = report::<serde_json::Value>(&"- ".repeat(10_000));
    assert!(told.contains("more than 64"), "{told}");
    good::<serde_json::Value>(&format!("a: {}{}\n", "[".repeat(60), "]".repeat(60)));
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "[a-z:#{}\\[\\],&*!|>'\"%@` -]{0,8}",
        "\\PC{0,6}",
        "[a-z \n\t]{0,10}",
        Just("yes".to_owned()),
        Just("1.10".to_owned()),
        Just("~".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        text.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What the dialect or one of the parsers does not take, wherever it stands in the tree.
fn outside_the_dialect(value: &serde_json::Value) -> bool {
    // serde_yaml writes these breaks as they are, and the YAML versions differ on them.
    let odd = |text: &str| text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']);
    match value {
        serde_json::Value::String(text) => odd(text),
        serde_json::Value::Array(items) => items.iter().any(outside_the_dialect),
        serde_json::Value::Object(map) => {
            map.iter().any(|(key, value)| key == "<<" || odd(key) || outside_the_dialect(value))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in tree()) {
        prop_assume!(!value.is_null() && !outside_the_dialect(&value));
        let text = serde_yaml::to_string(&value).expect("any tree can be written");
        let mut found = Diagnostics::new();
        let read = read::<serde_json::Value>(&text, &OUTSIDE, &mut found).value;
        prop_assert_eq!(read, Some(value), "{}\n{}", text, found.render("f"));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}|[a-c:\\-\\[\\]{},&*!|>'\"%@`#?~ \t\n\r.$0-9<\u{2028}\u{0}]{0,60}") {
        settled::<File>(&text);
        let (_, _, found) = settled::<serde_json::Value>(&text);
        for one in found.iter() {
            prop_assert!(one.place.is_some() && !one.what.is_empty() && !one.help.is_empty());
        }
    }

    #[test]
    fn any_damage_to_a_file_is_read_or_refused(which in 0..CORPUS.len(), at in any::<prop::sample::Index>(), with in "[a-c:\\-\\[\\]{},&*!|>'\"#? \t\n$]{0,3}", cut in 0_usize..4) {
        let mut chars: Vec<char> = CORPUS[which].chars().collect();
        let from = at.index(chars.len());
        let to = (from + cut).min(chars.len());
        chars.splice(from..to, with.chars());
        settled::<File>(&chars.into_iter().collect::<String>());
    }
}
