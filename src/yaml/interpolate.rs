//! `${env:NAME}`, `${env:NAME:-default}` and `${file:path}`, wherever they stand in a value.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::Sources;
use super::ledger::Ledger;
use super::node::{Kind, NodeId, Origin, ROOT, Tree, Typed};
use crate::diagnostic::unreadable;

/// Puts in what the values of the tree refer to; a value that cannot be completed is left out.
pub(super) fn interpolate(tree: &mut Tree, sources: &dyn Sources, ledger: &mut Ledger) {
    let mut open = vec![ROOT];
    while let Some(id) = open.pop() {
        if tree.failed(id) {
            continue;
        }
        open.extend(tree.children(id));
        let Kind::Scalar(scalar) = &tree.get(id).kind else { continue };
        if !scalar.text.contains("${env:") && !scalar.text.contains("${file:") {
            continue;
        }
        match complete(&scalar.text, sources) {
            Ok(filled) => put(tree, id, filled),
            Err(Mistake { what, help }) => {
                ledger.error(tree.at(id), tree.place(id), what, help);
                tree.fail(id);
            }
        }
    }
}

fn put(tree: &mut Tree, id: NodeId, filled: Filled) {
    if let Kind::Scalar(scalar) = &mut tree.get_mut(id).kind
        && let Some(origin) = filled.origin
    {
        scalar.text = filled.text;
        scalar.typed = Typed::Text;
        scalar.origin = Some(Box::new(origin));
    }
}

struct Mistake {
    what: String,
    help: String,
}

struct Filled {
    text: String,
    /// `None` if every reference was escaped.
    origin: Option<Origin>,
}

/// One piece of a scalar.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    /// As it stands, escapes and templates included.
    Text(&'a str),
    Env {
        name: &'a str,
        default: Option<&'a str>,
    },
    File {
        path: &'a str,
    },
}

fn complete(written: &str, sources: &dyn Sources) -> Result<Filled, Mistake> {
    let pieces = pieces(written)?;
    let (mut text, mut shown) = (String::new(), String::new());
    let (mut names, mut defaulted, mut opens_template) = (Vec::new(), false, false);
    let mut seam = false;
    for piece in &pieces {
        if let Piece::Text(literal) = piece {
            // A `$` put in right before a `{` or `$` of the file would change what that one means.
            opens_template |= seam && text.ends_with('$') && literal.starts_with(['$', '{']);
            seam = false;
            text.push_str(literal);
            shown.push_str(literal);
            continue;
        }
        let (name, value, is_default) = resolve(piece, sources)?;
        let from = text.len().saturating_sub(1);
        text.push_str(&value);
        // From the byte before, which may be a `$` of the piece before.
        opens_template |= text.as_bytes()[from..].windows(2).any(|pair| pair == b"${");
        seam = true;
        defaulted |= is_default;
        shown.push_str(&name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let origin = (!names.is_empty()).then(|| Origin {
        shown,
        names: names.join(" and "),
        whole: pieces.len() == 1,
        defaulted,
        opens_template,
        masked: Cell::new(false),
    });
    Ok(Filled { text, origin })
}

/// The reference as messages show it, its value, and whether that is its default.
fn resolve(piece: &Piece<'_>, sources: &dyn Sources) -> Result<(String, String, bool), Mistake> {
    match piece {
        Piece::Text(text) => Ok(((*text).to_owned(), (*text).to_owned(), false)),
        Piece::Env { name, default } => {
            let shown = format!("${{env:{name}}}");
            match (sources.env(name).filter(|value| !value.is_empty()), default) {
                (Some(value), _) => Ok((shown, value, false)),
                (None, Some(default)) => Ok((shown, (*default).to_owned(), true)),
                (None, None) => Err(Mistake {
                    what: format!("the environment variable {name} is not set, or is empty"),
                    help: format!(
                        "set it where the gateway starts, or give a default: ${{env:{name}:-value}}"
                    ),
                }),
            }
        }
        Piece::File { path } => {
            let text = sources.file(Path::new(path)).map_err(|error| Mistake {
                what: format!("the file \"{path}\" cannot be read: {}", reason(&error)),
                help: "give a text file that the gateway may read; a relative path starts at the \
                       configuration file's folder"
                    .to_owned(),
            })?;
            let value = text.strip_suffix('\n').unwrap_or(&text);
            let value = value.strip_suffix('\r').unwrap_or(value);
            if value.is_empty() {
                return Err(Mistake {
                    what: format!("the file \"{path}\" is empty"),
                    help: "put the value into it, on one line".to_owned(),
                });
            }
            Ok((format!("${{file:{path}}}"), value.to_owned(), false))
        }
    }
}

/// The limit is of this module's making, so its name is too.
fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::FileTooLarge => "it is larger than 1 MiB",
        _ => unreadable(error),
    }
}

/// Cuts a scalar at its references. Read from the left: `$${` is an escape and hides what follows.
fn pieces(written: &str) -> Result<Vec<Piece<'_>>, Mistake> {
    let mut pieces = Vec::new();
    let (mut from, mut here) = (0, 0);
    while let Some(found) = written[here..].find('$') {
        here += found;
        let rest = &written[here..];
        if rest.starts_with("$${") {
            here += 3;
            continue;
        }
        let Some(inner) = rest.strip_prefix("${env:").or_else(|| rest.strip_prefix("${file:"))
        else {
            here += 1;
            continue;
        };
        let Some(length) = inner.find('}') else {
            return Err(Mistake {
                what: "a reference that is not closed".to_owned(),
                help: "close it with }, or write $${ for a plain ${".to_owned(),
            });
        };
        if from < here {
            pieces.push(Piece::Text(&written[from..here]));
        }
        let inner = &inner[..length];
        let env = rest.starts_with("${env:");
        pieces.push(if env { variable(inner)? } else { file(inner)? });
        here += length + 1 + if env { "${env:".len() } else { "${file:".len() };
        from = here;
    }
    if from < written.len() {
        pieces.push(Piece::Text(&written[from..]));
    }
    Ok(pieces)
}

fn variable(inner: &str) -> Result<Piece<'_>, Mistake> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(Mistake {
            what: "a reference to an environment variable without a proper name".to_owned(),
            help: "write ${env:NAME} or ${env:NAME:-default}, the name of letters, digits and _"
                .to_owned(),
        });
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(Mistake {
            what: format!("the default of ${{env:{name}}} holds another ${{...}}"),
            help: "a default is plain text: write the value itself".to_owned(),
        });
    }
    Ok(Piece::Env { name, default })
}

fn file(path: &str) -> Result<Piece<'_>, Mistake> {
    if path.trim() != path || path.is_empty() || path.contains("${") {
        return Err(Mistake {
            what: "a reference to a file without a proper path".to_owned(),
            help: "write ${file:/path/to/file}".to_owned(),
        });
    }
    Ok(Piece::File { path })
}
