//! What the parsers mean, in words for people who do not write parsers.

use super::ledger::Ledger;
use crate::diagnostic::{At, Place};

/// Refuses characters that YAML does not allow. The two parsers treat them differently (one takes NUL
/// for the end of the file), and nobody sees them in an editor.
pub(super) fn check_characters(text: &str, ledger: &mut Ledger) -> Option<()> {
    let (mut line, mut column) = (1, 1);
    let mut last = '\n';
    for c in text.chars() {
        if !allowed(c) {
            ledger.error(
                At::root(),
                Place { line, column },
                format!("a character that may not stand in YAML: U+{:04X}", u32::from(c)),
                "remove it, or write it as an escape in double quotes, such as \"\\x07\"",
            );
            return None;
        }
        if c == '\n' && last == '\r' {
            // The second half of one line break.
        } else if c == '\n' || c == '\r' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
        last = c;
    }
    Some(())
}

/// `c-printable` of the YAML specification, section 5.1, without the byte order mark.
fn allowed(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Reports that a parser stopped: `info` is its own message, never shown.
pub(super) fn report(text: &str, place: Place, info: &str, ledger: &mut Ledger) {
    let (what, help) = explain(info);
    let place = if info.contains("tab") { tab(text, place).unwrap_or(place) } else { place };
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    if !unquoted_reference(line)
        && BRACKETS.contains(&what)
        && let Some((open, place)) = open_bracket(text, place)
    {
        let close = if open == '{' { '}' } else { ']' };
        let what = format!("the {open} is not closed, or a comma is missing within");
        let help = format!("separate what stands in it by commas, and close it with {close}");
        ledger.error(At::root(), place, what, help);
        return;
    }
    // Without quotes, `[ ${env:X} ]` is a list of `$` and a map: the commonest slip of all.
    let help = if unquoted_reference(line) {
        "put the value in double quotes: within [ ] and { }, ${...} needs them"
    } else {
        help
    };
    ledger.error(At::root(), place, what, help);
}

/// The first tab in an indentation from that line on: the parsers name the text before it.
fn tab(text: &str, place: Place) -> Option<Place> {
    for (line, written) in text.lines().enumerate().skip(place.line - 1) {
        let indent = written.chars().take_while(|c| matches!(c, ' ' | '\t'));
        if let Some(before) = indent.clone().position(|c| c == '\t')
            && indent.count() < written.chars().count()
        {
            return Some(Place { line: line + 1, column: before + 1 });
        }
    }
    None
}

/// The first bracket that is open where the parser stopped. Quotes and brackets count where a value can
/// begin.
fn open_bracket(text: &str, stopped: Place) -> Option<(char, Place)> {
    let mut open: Vec<(char, Place)> = Vec::new();
    let mut quote = None;
    for (number, line) in text.lines().enumerate().take(stopped.line) {
        let mut last = ' ';
        for (column, c) in line.chars().enumerate() {
            let place = Place { line: number + 1, column: column + 1 };
            if place >= stopped {
                break;
            }
            let begins = matches!(last, ' ' | '\t' | '[' | '{' | ',' | ':');
            match (quote, c) {
                (Some(end), c) if c == end && last != '\\' => quote = None,
                (None, '"' | '\'') if begins => quote = Some(c),
                (None, '#') if last == ' ' => break,
                (None, '{' | '[') if begins => open.push((c, place)),
                (None, '}' | ']') => {
                    open.pop();
                }
                _ => {}
            }
            last = c;
        }
    }
    open.first().copied()
}

/// Whether `${` stands outside quotes after a bracket or brace.
fn unquoted_reference(line: &str) -> bool {
    let (mut quote, mut flow, mut last) = (None, false, ' ');
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') if last == '$' && flow => return true,
            (None, '[' | '{') if last != '$' => flow = true,
            _ => {}
        }
        last = c;
    }
    false
}

/// What an open bracket looks like to a parser that goes on to the next line.
const BRACKETS: [&str; 5] = [
    "a { that is not closed, or a comma missing within",
    "a [ that is not closed, or a comma missing within",
    "a line within [ ] or { } that is not indented",
    "a line whose indentation fits nothing above it",
    "a key within [ ]",
];

/// The parsers' messages by the words in them; the first match counts.
const MEANINGS: [(&str, &str, &str); 25] = [
    ("tab", "a tab where only spaces may stand", "indent with spaces"),
    (
        "unknown anchor",
        "an alias without its anchor",
        "write \"&name\" before the value that is meant, above this line; or put text that \
         begins with * in quotes",
    ),
    (
        "unexpected character",
        "a character that cannot begin a value",
        "put the value in double quotes",
    ),
    (
        "cannot start any token",
        "a character that cannot begin a value",
        "put the value in double quotes",
    ),
    (
        "mapping values are not allowed",
        "a colon where no key can stand",
        "put a value that holds \": \" in quotes; give a key its own line, with nothing but \
         the key before the colon",
    ),
    (
        "unknown escape",
        "an escape that does not exist, in a text in double quotes",
        "write \\\\ for a backslash, or use single quotes, where it is a plain character",
    ),
    (
        "hexadecimal",
        "an escape with wrong digits, in a text in double quotes",
        "write \\\\ for a backslash, or use single quotes",
    ),
    (
        "Unicode character escape",
        "an escape for a character that does not exist",
        "write \\\\ for a backslash, or use single quotes",
    ),
    (
        "trailing content",
        "something follows the closing quote",
        "put the whole value in quotes, and write a quote within as \\\" or ''",
    ),
    (
        "quoted scalar",
        "a text in quotes that is not closed, or whose next line is not indented",
        "close it with the same quote",
    ),
    (
        "flow mapping",
        "a { that is not closed, or a comma missing within",
        "separate the entries by commas and close with }",
    ),
    (
        "flow sequence",
        "a [ that is not closed, or a comma missing within",
        "separate the items by commas and close with ]",
    ),
    ("illegal placement of ':'", "a key within [ ]", "close the list with ] before the next key"),
    (
        "flow construct",
        "a line within [ ] or { } that is not indented",
        "close the bracket before the next key, or indent the line",
    ),
    ("misplaced bracket", "a closing bracket without an opening one", "remove it"),
    (
        "block sequence entries are not allowed",
        "a list that begins on the line of its key",
        "begin the list on the next line, or write it as [ a, b ]",
    ),
    (
        "'-' indicator",
        "a line that does not begin with \"- \" within a list",
        "begin it with \"- \", or indent it as part of the item above",
    ),
    (
        "expected key",
        "a line whose indentation fits nothing above it",
        "indent it exactly as its neighbours",
    ),
    ("simple key", "a line that is no \"key: value\"", "write a colon and a space after the key"),
    (
        "block scalar",
        "a wrong header or indentation of a text of several lines",
        "put | or > alone at the end of the line, and indent the lines below evenly",
    ),
    (
        "invalid indentation",
        "a line whose indentation fits nothing above it",
        "indent it exactly as its neighbours",
    ),
    (
        "comment intercepting",
        "a comment within a text of several lines",
        "put the text in quotes, or move the comment",
    ),
    ("directive", "a line beginning with %", "remove it: the file needs no directives"),
    (
        "recursion limit",
        "more than 64 maps and lists within one another",
        "look for brackets that are not closed; nothing in this file is that deep",
    ),
    ("repetition limit", "aliases that grow without bound", "write the values out"),
];

fn explain(info: &str) -> (&'static str, &'static str) {
    MEANINGS.iter().find(|(part, _, _)| info.contains(part)).map_or(
        (
            "this is not valid YAML",
            "check the indentation, quotes and brackets here and on the line above",
        ),
        |(_, what, help)| (what, help),
    )
}
