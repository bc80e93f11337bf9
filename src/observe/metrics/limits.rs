//! What limits said.

use super::View;
use super::write::{Exposition, Kind};
use crate::limit::Said;

/// The samples of one limit: how often it said what.
pub(super) const OF_A_LIMIT: usize = Said::ALL.len();

pub(super) fn write(view: &View<'_>, out: &mut Exposition) {
    out.family(
        "portcullis_limit_decisions_total",
        Kind::Counter,
        "Requests that a limit was asked about, by its place and by what it said.",
    );
    for rule in &view.limits {
        for (said, count) in Said::ALL.into_iter().zip(rule.said()) {
            out.sample(&[("limit", rule.name()), ("said", said.word())], count);
        }
    }
    out.family("portcullis_limit_keys", Kind::Gauge, "Buckets that are kept.");
    out.sample(&[], view.limit_keys);
}
