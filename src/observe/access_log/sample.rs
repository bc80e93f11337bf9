//! Of which requests only a share is logged.
//!
//! The first rule that matches a request decides whether it is logged; a request that none matches is. What went
//! wrong is what a log is read for: a request that failed, or that the gateway refused, is matched by a rule
//! only if the rule names its status.
//!
//! Which requests of many are kept follows from the id of their trace, so that all gateways and their replicas
//! keep the same ones, and all lines of a trace or none. The last 56 bits of the id are compared with the share,
//! as consistent probability sampling does it in tracing; there is no chance in it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Share, Statuses};

/// From this status on, a request has failed.
const FAILED: u16 = 500;
/// From this status on, a rule that names it means what went wrong.
const WRONG: u16 = 400;

/// A rule on how many requests are logged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { status: 2xx, keep: 10% }", deny_unknown_fields)]
pub struct SampleRule {
    /// The route that it is for. Default: any, and none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,

    /// The statuses that it is for: `200`, `200-299` or `2xx`. Default: any, but nothing that failed (500 and
    /// above) or that the gateway refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Statuses>,

    /// The share of these requests that is logged.
    pub keep: Share,
}

/// The rules that can match the requests of one route, or those that no route took.
#[derive(Debug, Clone, Default)]
pub struct Sampling(Arc<[Rule]>);

#[derive(Debug)]
struct Rule {
    status: Option<Statuses>,
    keep: Share,
}

impl Sampling {
    /// Of all rules those that can match requests of this route; `None`: those that no route took.
    #[must_use]
    pub fn of(rules: &[SampleRule], route: Option<&str>) -> Self {
        let can = |rule: &&SampleRule| rule.route.is_none() || rule.route.as_deref() == route;
        let rule = |rule: &SampleRule| Rule { status: rule.status, keep: rule.keep };
        Self(rules.iter().filter(can).map(rule).collect())
    }

    /// Whether a request is logged that ended with this status, or 0 if there was none; `is_refused` if the
    /// gateway says why it answered by itself. `trace_id` has 32 hexadecimal digits.
    #[must_use]
    pub fn keeps(&self, status: u16, is_refused: bool, trace_id: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let is_wrong = is_refused || status >= FAILED || status == 0;
        let matches = |rule: &&Rule| match rule.status {
            Some(statuses) => statuses.holds(status) && (!is_wrong || status >= WRONG),
            None => !is_wrong,
        };
        self.0.iter().find(matches).is_none_or(|rule| is_within(rule.keep, trace_id))
    }
}

/// Whether an id belongs to this share of all ids.
fn is_within(share: Share, trace_id: &str) -> bool {
    const BITS: u32 = 56;
    let digits = trace_id.len().saturating_sub(14);
    let last = trace_id.get(digits..).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    // The most is 100 times 2^56, which a u64 holds.
    last.is_none_or(|last| last * 100 >= u64::from(100 - share.get()) << BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOWEST: &str = "4bf92f3577b34da6a300000000000000";
    const HIGHEST: &str = "4bf92f3577b34da6a3ffffffffffffff";

    fn rule(route: Option<&str>, status: Option<&str>, keep: &str) -> SampleRule {
        SampleRule {
            route: route.map(str::to_owned),
            status: status.map(|text| text.parse().expect("statuses")),
            keep: keep.parse().expect("a share"),
        }
    }

    #[test]
    fn without_a_rule_everything_is_kept() {
        assert!(Sampling::default().keeps(200, false, LOWEST));
        let other = [rule(Some("other"), None, "0%")];
        assert!(Sampling::of(&other, Some("mine")).keeps(200, false, LOWEST));
        assert!(Sampling::of(&other, None).keeps(404, true, LOWEST));
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = [
            rule(Some("health"), None, "0%"),
            rule(Some("loud"), Some("200"), "100%"),
            rule(None, Some("2xx"), "0%"),
        ];
        let keeps = |route, status| Sampling::of(&rules, Some(route)).keeps(status, false, HIGHEST);
        assert!(!keeps("health", 200) && !keeps("health", 404));
        assert!(keeps("loud", 200) && !keeps("loud", 201) && keeps("loud", 301));
        assert!(!keeps("other", 204) && keeps("other", 404));
    }

    #[test]
    fn what_went_wrong_is_kept_unless_its_status_is_named() {
        let rules = [rule(None, None, "0%")];
        let keeps = |rules: &[SampleRule], status, refused| {
            Sampling::of(rules, None).keeps(status, refused, HIGHEST)
        };
        assert!(!keeps(&rules, 200, false) && !keeps(&rules, 404, false));
        assert!(keeps(&rules, 502, false) && keeps(&rules, 404, true) && keeps(&rules, 0, true));
        // An answer that was cut had begun with 200.
        let fine = [rule(None, Some("2xx"), "0%")];
        assert!(!keeps(&fine, 200, false) && keeps(&fine, 200, true));
        let named = [rule(None, Some("401"), "0%"), rule(None, Some("5xx"), "0%")];
        assert!(!keeps(&named, 401, true) && !keeps(&named, 503, true) && keeps(&named, 404, true));
    }

    #[test]
    fn a_share_of_the_traces_is_kept_and_always_the_same() {
        assert!(!is_within(Share::percent(0), HIGHEST));
        assert!(is_within(Share::percent(1), HIGHEST) && !is_within(Share::percent(99), LOWEST));
        assert!(is_within(Share::percent(100), LOWEST));
        let ids: Vec<String> = (0..10_000_u64)
            .map(|n| format!("{:032x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        let kept = |share| ids.iter().filter(|id| is_within(Share::percent(share), id)).count();
        assert!((900..1_100).contains(&kept(10)), "{}", kept(10));
        assert!(
            ids.iter().all(|id| {
                !is_within(Share::percent(10), id) || is_within(Share::percent(20), id)
            })
        );
    }
}
