//! A [`Diagnostic`] is one mistake in the configuration: where it stands, what is wrong, how to mend it.
//!
//! Reading a configuration never stops at the first mistake: every station adds what it finds to one
//! [`Diagnostics`], and the reader of the file gets them all at once, in the order of the file.
//! Places (line and column) are filled in at the end, from the path, by whoever read the file; the
//! stations speak only of paths.

use std::fmt;
use std::io;

/// One step of a path in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A key of a map, as written.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// A path in the configuration file, such as `routes.orders.to` or `upstreams.users.targets[2]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At(Vec<Step>);

impl At {
    /// The file as a whole.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// This path, one key deeper.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// This path, one list item deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// Whether this path is the other one, or leads to it.
    #[must_use]
    pub fn leads_to(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{}", quoted(key))?,
                Step::Key(key) => write!(f, ".{}", quoted(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A key with a dot, bracket or space in it is shown in quotes, so that the path can be read.
fn quoted(key: &str) -> std::borrow::Cow<'_, str> {
    let plain = !key.is_empty() && !key.contains(['.', '[', ']', ' ', '"', '\n']);
    if plain { key.into() } else { format!("{key:?}").into() }
}

/// Whether the configuration can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The load is refused.
    Error,
    /// The load goes on; `portcullis check --strict` refuses it.
    Warning,
}

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it refuses the load.
    pub severity: Severity,
    /// Where it stands in the file's tree.
    pub at: At,
    /// Where it stands in the file's text, once known.
    pub place: Option<Place>,
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// How to mend it, in one sentence without a full stop.
    pub help: String,
}

/// All mistakes found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None found so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mistake that refuses the load.
    pub fn error(&mut self, at: At, what: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, at, what.into(), help.into());
    }

    /// Adds a doubt that does not refuse the load.
    pub fn warning(&mut self, at: At, what: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, at, what.into(), help.into());
    }

    fn push(&mut self, severity: Severity, at: At, what: String, help: String) {
        self.0.push(Diagnostic { severity, at, place: None, what, help });
    }

    /// Adds one that is ready made.
    pub fn add(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether the load must be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Them all, in the order in which they were found (or sorted, after [`Diagnostics::settle`]).
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// Rewrites all that is said.
    pub fn reword(&mut self, reword: impl Fn(&str) -> String) {
        for diagnostic in &mut self.0 {
            diagnostic.what = reword(&diagnostic.what);
            diagnostic.help = reword(&diagnostic.help);
        }
    }

    /// Fills in the places and sorts by them; drops exact repetitions.
    pub fn settle(&mut self, place_of: impl Fn(&At) -> Option<Place>) {
        for diagnostic in &mut self.0 {
            if diagnostic.place.is_none() {
                diagnostic.place = place_of(&diagnostic.at);
            }
        }
        self.0.sort_by(|a, b| {
            (a.place, &a.at, a.severity, &a.what).cmp(&(b.place, &b.at, b.severity, &b.what))
        });
        self.0.dedup();
    }

    /// The text a person reads: `file:line:column: error: path: what` and, below it, the help.
    #[must_use]
    pub fn render(&self, file: &str) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        for d in &self.0 {
            let severity = match d.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let place = d.place.map(|p| format!(":{}:{}", p.line, p.column)).unwrap_or_default();
            let path = if d.at.steps().is_empty() { String::new() } else { format!("{}: ", d.at) };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{file}{place}: {severity}: {path}{}", d.what);
            if !d.help.is_empty() {
                let _ = writeln!(text, "    help: {}", d.help);
            }
        }
        text
    }
}

/// The known word nearest to a mistyped one, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = match word.chars().count() {
        0..=2 => 1,
        3..=8 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// So many names are listed: the keys of a route, of which there are most, and a few more.
const MOST_NAMES: usize = 20;

/// Why a file could not be read, in words for the end of a sentence.
#[must_use]
pub fn unreadable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::InvalidData => "it is not UTF-8 text",
        io::ErrorKind::FileTooLarge => "it is too large",
        _ => "reading it failed",
    }
}

/// The help for a name that is not there: `did you mean "x"?`, or the names there are.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone()) {
        return format!("did you mean \"{near}\"?");
    }
    let mut all: Vec<&str> = known.into_iter().collect();
    all.sort_unstable();
    match all.len() {
        0 => "there are none yet".to_owned(),
        1..=MOST_NAMES => format!("known here: {}", all.join(", ")),
        more => format!("known here: {}, ... ({more} in all)", all[..MOST_NAMES].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_written_in_the_documentation() {
        let at = At::root().key("upstreams").key("users").key("targets").index(2);
        assert_eq!(at.to_string(), "upstreams.users.targets[2]");
        assert_eq!(At::root().key("a.b").key("c").to_string(), "\"a.b\".c");
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("order", ["orders", "users"]), Some("orders"));
        assert_eq!(nearest("xyz", ["orders", "users"]), None);
        assert_eq!(did_you_mean("zzz", ["b", "a"]), "known here: a, b");
    }

    #[test]
    fn a_report_is_sorted_by_place_and_tells_the_help() {
        let mut all = Diagnostics::new();
        all.warning(At::root().key("b"), "second", "do that");
        all.error(At::root().key("a"), "first", "do this");
        all.settle(|at| Some(Place { line: if at.to_string() == "a" { 1 } else { 2 }, column: 3 }));
        assert_eq!(
            all.render("f.yaml"),
            "f.yaml:1:3: error: a: first\n    help: do this\n\
             f.yaml:2:3: warning: b: second\n    help: do that\n"
        );
        assert!(all.has_errors());
    }
}
