//! The mistakes of one reading, each once, and no more than anybody reads.

use std::collections::BTreeSet;

use crate::diagnostic::{At, Diagnostic, Diagnostics, Place, Severity};

/// So many errors are reported, and a note instead of the rest.
pub(super) const LIMIT: usize = 100;

#[derive(Debug)]
pub(super) struct Ledger {
    found: Vec<Diagnostic>,
    /// A mistake in an anchored value is found once for every alias; it stands in one place.
    seen: BTreeSet<(Place, String)>,
    /// The paths of all errors; one that stands under an anchor has a path for each alias.
    wrong: Vec<At>,
    errors: usize,
    overflow: bool,
    /// Behind the last character of the text.
    end: Place,
}

/// The place behind the last character. The parsers' own may be one line below, where nothing can be shown.
fn end(text: &str) -> Place {
    let mut end = Place { line: 1, column: 1 };
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' => end = Place { line: end.line + 1, column: 1 },
            _ => end.column += 1,
        }
    }
    end
}

impl Ledger {
    pub(super) fn new(text: &str) -> Self {
        Self {
            found: Vec::new(),
            seen: BTreeSet::new(),
            wrong: Vec::new(),
            errors: 0,
            overflow: false,
            end: end(text),
        }
    }

    /// No further error will be taken.
    pub(super) fn full(&self) -> bool {
        self.overflow
    }

    /// No error so far.
    pub(super) fn clean(&self) -> bool {
        self.errors == 0
    }

    pub(super) fn error(
        &mut self,
        at: At,
        place: Place,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (what, place) = (what.into(), place.min(self.end));
        self.wrong.push(at.clone());
        if self.errors >= LIMIT {
            self.overflow |= !self.seen.contains(&(place, what));
        } else if self.add(Severity::Error, at, place, what, help.into()) {
            self.errors += 1;
        }
    }

    pub(super) fn warning(
        &mut self,
        at: At,
        place: Place,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, at, place, what.into(), help.into());
    }

    fn add(
        &mut self,
        severity: Severity,
        at: At,
        place: Place,
        what: String,
        help: String,
    ) -> bool {
        let place = place.min(self.end);
        let new = self.seen.insert((place, what.clone()));
        if new {
            self.found.push(Diagnostic { severity, at, place: Some(place), what, help });
        }
        new
    }

    /// Hands everything over, and gives back the paths of the errors.
    pub(super) fn close(self, diagnostics: &mut Diagnostics) -> Vec<At> {
        for diagnostic in self.found {
            diagnostics.add(diagnostic);
        }
        if self.overflow {
            diagnostics.add(Diagnostic {
                severity: Severity::Error,
                at: At::root(),
                place: Some(self.end),
                what: format!("there are more mistakes than the {LIMIT} shown"),
                help: "mend these first".to_owned(),
            });
        }
        self.wrong
    }
}
