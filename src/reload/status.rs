//! What became of reloads, for those who ask.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// Why a reload was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The configuration file, or one that it names, changed.
    File,
    /// An operator asked.
    Admin,
}

impl Trigger {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::File => "file",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of one reload.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Why it was done; of several reasons, the first.
    pub trigger: Trigger,
    /// Whether the file is in force now.
    pub accepted: bool,
    /// What was noticed in the file.
    pub diagnostics: Diagnostics,
    /// The same as text.
    pub report: String,
}

impl Outcome {
    /// The first mistake of a refused file.
    #[must_use]
    pub fn first_mistake(&self) -> Option<&Diagnostic> {
        self.diagnostics.iter().find(|found| found.severity == Severity::Error)
    }
}

/// What is in force, and what became of the last reloads.
#[derive(Debug, Clone)]
pub struct Status {
    /// Since when the configuration is in force.
    pub since: SystemTime,
    /// Good reloads since the start.
    pub accepted: u64,
    /// Refused reloads since the start.
    pub refused: u64,
    /// The last reload.
    pub last: Option<Arc<Outcome>>,
    /// The last refused one, unless a good one came after it.
    pub standing_refusal: Option<Arc<Outcome>>,
}

impl Status {
    pub(super) fn started(since: SystemTime) -> Self {
        Self { since, accepted: 0, refused: 0, last: None, standing_refusal: None }
    }

    pub(super) fn note(&mut self, outcome: Arc<Outcome>) {
        if outcome.accepted {
            self.since = outcome.at;
            self.accepted += 1;
            self.standing_refusal = None;
        } else {
            self.refused += 1;
            self.standing_refusal = Some(Arc::clone(&outcome));
        }
        self.last = Some(outcome);
    }
}
