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
    for (place, counts) in &view.limits {
        for (said, count) in Said::ALL.into_iter().zip(counts) {
            out.sample(&[("limit", place), ("said", said.word())], *count);
        }
    }
    out.family("portcullis_limit_keys", Kind::Gauge, "Buckets that are kept.");
    out.sample(&[], view.limit_keys);
    if let Some(seconds) = view.quotas_unsaved {
        let help = "For how long what was used of quotas could not be kept; 0 if it can.";
        out.family("portcullis_quota_unsaved_seconds", Kind::Gauge, help);
        out.sample(&[], seconds);
    }
}
