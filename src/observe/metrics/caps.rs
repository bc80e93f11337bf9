//! How many requests are in flight where not as many may be as come.

use super::View;
use super::write::{Exposition, Kind};
use crate::concurrency::{Priority, Said};

/// The samples of one gate: in flight, limit, waiting, and what it said to whom.
pub(super) const OF_A_GATE: usize = 3 + Said::ALL.len() * Priority::ALL.len();

pub(super) fn write(view: &View<'_>, out: &mut Exposition) {
    let gauges = [
        ("portcullis_concurrency_in_flight", "Requests that a gate has let in."),
        ("portcullis_concurrency_limit", "Requests that a gate lets in at once."),
        ("portcullis_concurrency_waiting", "Requests that wait at a gate."),
    ];
    for (index, (name, help)) in gauges.into_iter().enumerate() {
        out.family(name, Kind::Gauge, help);
        for gate in &view.gates {
            let numbers = [gate.in_flight(), gate.limit(), gate.waiting()];
            out.sample(&[("cap", gate.place())], u64::from(numbers[index]));
        }
    }
    out.family(
        "portcullis_concurrency_decisions_total",
        Kind::Counter,
        "Requests that found no place free, by what became of them.",
    );
    for gate in &view.gates {
        for (priority, counts) in Priority::ALL.into_iter().zip(gate.said()) {
            for (said, count) in Said::ALL.into_iter().zip(counts) {
                let labels = [
                    ("cap", &**gate.place()),
                    ("priority", priority.word()),
                    ("said", said.word()),
                ];
                out.sample(&labels, count);
            }
        }
    }
    for (place, priority, shed) in &view.capped_plans {
        let labels = [("cap", *place), ("priority", priority.word()), ("said", "shed")];
        out.sample(&labels, *shed);
    }
}
