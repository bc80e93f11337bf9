//! How important a request is, beside the others.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How important the requests of a plan are when there is no room for all.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// They go first.
    Low,
    /// As those of callers without a plan.
    #[default]
    Normal,
    /// They stay longest.
    High,
}

impl Priority {
    /// All of them, the least important first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// When a request that was turned away may come back: the less important, the later.
    #[must_use]
    pub const fn retry_after(self) -> Duration {
        Duration::from_secs(match self {
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 4,
        })
    }
}

/// A priority among those that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Its priority.
    pub priority: Priority,
    /// How many priorities that are in use are above it.
    above: u8,
}

impl Rank {
    /// The rank of a priority where `used` are in use, by the order of [`Priority::ALL`].
    #[must_use]
    pub fn new(priority: Priority, used: [bool; 3]) -> Self {
        let above = used.iter().skip(priority as usize + 1).filter(|used| **used).count();
        Self { priority, above: u8::try_from(above).unwrap_or(0) }
    }

    /// So many of `limit` places it may take: each priority leaves a tenth to those above it.
    #[must_use]
    pub(super) fn share(self, limit: u32) -> u32 {
        limit - limit / 10 * u32::from(self.above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_important_finds_places_that_are_kept_free() {
        let share = |priority, used, limit| Rank::new(priority, used).share(limit);
        let (all, normal, two) = ([true; 3], [false, true, false], [true, true, false]);
        for (priority, used, limit, expected) in [
            (Priority::High, all, 100, 100),
            (Priority::Normal, all, 100, 90),
            (Priority::Low, all, 100, 80),
            (Priority::Low, two, 100, 90),
            (Priority::Normal, two, 100, 100),
            (Priority::Normal, normal, 100, 100),
            (Priority::Low, all, 9, 9),
            (Priority::Low, all, 19, 17),
            (Priority::Low, all, 1, 1),
        ] {
            assert_eq!(share(priority, used, limit), expected, "{priority:?} {used:?} {limit}");
        }
    }
}
