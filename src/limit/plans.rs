//! Which consumer has which plan, by the consumer's number.

use std::sync::Arc;

use super::rule::Rule;
use crate::auth::Consumer;

/// The plans that limit something, and who has them.
#[derive(Debug, Default)]
pub(super) struct Plans {
    rules: Box<[Arc<Rule>]>,
    /// By the number of a consumer: the place of its plan's rule and one, or zero. Shorter than the list of consumers.
    of: Box<[u16]>,
}

impl Plans {
    pub(super) fn new(rules: Vec<Arc<Rule>>, of: Vec<u16>) -> Self {
        // A plan that nobody has limits nobody.
        let rules = if of.iter().all(|plan| *plan == 0) { Vec::new() } else { rules };
        Self { rules: rules.into(), of: of.into() }
    }

    /// Whether nobody is limited by a plan.
    pub(super) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule of a consumer's plan, with its number.
    pub(super) fn of(&self, consumer: &Consumer) -> Option<(usize, &Arc<Rule>)> {
        let plan = self.of.get(consumer.id()? as usize)?;
        let number = usize::from(*plan).checked_sub(1)?;
        Some((number, self.rules.get(number)?))
    }

    /// The rule with this number.
    pub(super) fn rule(&self, number: usize) -> Option<&Arc<Rule>> {
        self.rules.get(number)
    }
}
