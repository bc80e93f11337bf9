//! What limits said.

use super::View;
use super::write::{Exposition, Kind};
use crate::limit::Said;
use crate::store::Asked;

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
    write_store(view, out);
    out.family("portcullis_limit_keys", Kind::Gauge, "Buckets that are kept.");
    out.sample(&[], view.limit_keys);
    let help = "For how long what was used of quotas could not be kept; 0 if it can.";
    out.family("portcullis_quota_unsaved_seconds", Kind::Gauge, help);
    out.sample(&[], view.quotas_unsaved);
}

/// The samples of the store beside its histogram: its connections (2), and what became of questions.
pub(super) const OF_A_STORE: usize = 2 + Asked::ALL.len();

fn write_store(view: &View<'_>, out: &mut Exposition) {
    let store = view.store.as_ref();
    out.family(
        "portcullis_store_requests_total",
        Kind::Counter,
        "Questions to the shared store, by what became of them.",
    );
    if let Some(store) = store {
        for (asked, count) in Asked::ALL.into_iter().zip(store.asked) {
            out.sample(&[("outcome", asked.word())], count);
        }
    }
    out.family(
        "portcullis_store_request_duration_seconds",
        Kind::Histogram,
        "How long answers of the shared store took.",
    );
    if let Some(store) = store {
        out.histogram(&[], &store.durations);
    }
    out.family(
        "portcullis_store_connections",
        Kind::Gauge,
        "Workers that have a connection to the shared store that answers.",
    );
    if let Some(store) = store {
        out.sample(&[], store.connections as u64);
    }
    out.family(
        "portcullis_store_up",
        Kind::Gauge,
        "1 if every worker has one, 0 if some go by `on_error`.",
    );
    if let Some(store) = store {
        out.sample(&[], u64::from(store.is_up()));
    }
}
