//! What operators are shown of the portal: how the services' documents are, and where calls differ from them.

use serde_json::{Value, json};

use super::view::time;
use crate::portal::{Report, State, Status};
use crate::snapshot::Snapshot;

/// The documents and the drifts. It looks every operation up, so no worker should wait for it.
pub(super) fn portal(snapshot: &Snapshot) -> Value {
    let Some(library) = &snapshot.library else { return json!({ "specs": [], "routes": [] }) };
    let specs: Vec<Value> = library.statuses().iter().map(spec).collect();
    let reports =
        if library.is_shown() { library.drifts().report(library.landscape()) } else { Vec::new() };
    json!({ "specs": specs, "routes": reports.iter().map(route).collect::<Vec<_>>() })
}

fn spec(status: &Status) -> Value {
    json!({
        "upstream": &*status.upstream,
        "path": status.path,
        "state": match status.state {
            State::Waiting => "waiting",
            State::Good => "good",
            State::Broken => "broken",
        },
        "complaint": status.complaint,
        "read": status.read.map(time),
        "operations": status.operations,
        "lost_references": status.lost,
    })
}

fn route(report: &Report) -> Value {
    let operation = |(method, path): &(String, String)| json!({ "method": method, "path": path });
    json!({
        "route": &*report.route,
        "upstream": &*report.upstream,
        "never_called": report.never_called.iter().map(operation).collect::<Vec<_>>(),
        "undocumented": report
            .undocumented
            .iter()
            .map(|(method, path, calls)| json!({ "method": method, "path": path, "calls": calls }))
            .collect::<Vec<_>>(),
        "more_undocumented_calls": report.more,
        "statuses": report
            .statuses
            .iter()
            .map(|(method, path, status, answers)| {
                json!({ "method": method, "path": path, "status": status, "answers": answers })
            })
            .collect::<Vec<_>>(),
    })
}
