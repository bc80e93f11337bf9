//! What became of the tries at one target of the configuration, in numbers.

use std::sync::Arc;

use crate::counter::{Counters, Lasting};

/// What became of a try. Each try has one, and all but the first two are failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The target answered.
    Answered,
    /// The client left, or its request was refused or ran out of time, before the target had answered.
    Abandoned,
    /// The target answered with a 5xx status other than 501 and 505.
    Status5xx,
    /// No connection could be made.
    Connect,
    /// No connection could be made in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The target stopped reading the request.
    WriteTimeout,
    /// The target stopped writing its answer, or did not begin.
    ReadTimeout,
    /// The connection broke, or what came over it is no answer.
    Broken,
    /// The connection was one that had been kept, and was closed before it carried the request.
    Stale,
}

impl Outcome {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Abandoned,
        Self::Status5xx,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::WriteTimeout,
        Self::ReadTimeout,
        Self::Broken,
        Self::Stale,
    ];

    /// Why the try failed, in one word; `None` if it did not.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Answered | Self::Abandoned => None,
            Self::Status5xx => Some("status_5xx"),
            Self::Connect => Some("connect"),
            Self::ConnectTimeout => Some("connect_timeout"),
            Self::Tls => Some("tls"),
            Self::WriteTimeout => Some("write_timeout"),
            Self::ReadTimeout => Some("read_timeout"),
            Self::Broken => Some("broken"),
            Self::Stale => Some("stale"),
        }
    }
}

/// The place of the ejections: behind the outcomes.
const EJECTIONS: usize = Outcome::ALL.len();

/// What became of the tries at one target of the configuration, at whichever of its addresses.
#[derive(Debug)]
pub struct Tally {
    label: Arc<str>,
    counts: Lasting<Counters<{ EJECTIONS + 1 }>>,
}

impl Tally {
    pub(super) fn new(label: &str) -> Self {
        Self { label: label.into(), counts: Lasting::default() }
    }

    /// The target as the configuration has it.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// How many tries had each outcome, in the order of [`Outcome::ALL`].
    #[must_use]
    pub fn outcomes(&self) -> [u64; Outcome::ALL.len()] {
        let counts = self.read();
        std::array::from_fn(|index| counts[index])
    }

    /// How many times one of its addresses was ejected.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.read()[EJECTIONS]
    }

    fn read(&self) -> [u64; EJECTIONS + 1] {
        self.counts.seen().map_or([0; EJECTIONS + 1], Counters::read)
    }

    pub(super) fn count(&self, outcome: usize) {
        self.counts.get().add(outcome, 1);
    }

    pub(super) fn count_ejection(&self) {
        self.counts.get().add(EJECTIONS, 1);
    }

    pub(super) fn carry_on(&self, previous: &Self) {
        self.counts.carry_on(&previous.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_their_numbers_and_have_words_of_their_own() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        let words: std::collections::BTreeSet<_> =
            Outcome::ALL.iter().filter_map(|outcome| outcome.reason()).collect();
        assert_eq!(words.len(), Outcome::ALL.len() - 2);
    }
}
