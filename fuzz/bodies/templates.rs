//! Templates: what is parsed says what was written, and is filled in order.

use portcullis::template::{Fill, Part, Template, Variable};

const CAPTURES: [&str; 3] = ["id", "name", "id2"];

/// Fills each variable with its own name between marks.
struct Marks;

impl Fill for Marks {
    fn fill(&self, variable: &Variable, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("\u{1}{variable}\u{2}").as_bytes());
    }
}

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let template = match Template::parse(text, &CAPTURES) {
        Ok(template) => template,
        Err(invalid) => {
            assert!(!invalid.what().is_empty() && !invalid.help().is_empty(), "says nothing");
            assert!(text.contains("${"), "refused without a variable");
            return;
        }
    };
    let (mut written, mut filled) = (String::new(), Vec::new());
    let mut after_text = false;
    for part in template.parts() {
        match part {
            Part::Text(text) => {
                assert!(!text.is_empty() && !after_text, "a text in two pieces");
                written.push_str(&text.replace("${", "$${"));
                filled.extend_from_slice(text.as_bytes());
            }
            Part::Variable(variable) => {
                written.push_str(&format!("${{{}}}", name(variable)));
                Marks.fill(variable, &mut filled);
            }
        }
        after_text = matches!(part, Part::Text(_));
    }
    let again = Template::parse(&written, &CAPTURES);
    assert_eq!(again.as_ref(), Ok(&template), "written as {written:?}");

    let mut rendered = Vec::new();
    template.render(&Marks, &mut rendered);
    assert_eq!(rendered, filled);
    assert_eq!(template.literal().is_some(), template.variables().next().is_none());
    if let Some(literal) = template.literal() {
        assert_eq!(literal.as_bytes(), rendered);
        assert_eq!(literal, text.replace("$${", "${"), "a text without variables has changed");
    }
}

fn name(variable: &Variable) -> String {
    match variable {
        Variable::Path(index) => format!("path.{}", CAPTURES[usize::from(*index)]),
        other => other.to_string(),
    }
}
