//! What cannot change while the process runs: it was bound, opened or started once.
//!
//! Ignoring such a change would leave an operator in the belief that it holds, and taking over the rest
//! would leave a running configuration that stands in no file. So the file is refused, and nothing of it is
//! applied.

use crate::config::Config;
use crate::diagnostic::{At, Diagnostics};

/// Adds a mistake for each key whose change needs a restart.
pub(super) fn refuse_changes(running: &Config, wanted: &Config, diagnostics: &mut Diagnostics) {
    let logs = [&running.logs, &wanted.logs];
    for (key, changed) in [
        ("workers", running.workers != wanted.workers),
        ("listeners", running.listeners != wanted.listeners),
        ("admin", running.admin != wanted.admin),
        ("logs.access", logs[0].access != logs[1].access),
        ("logs.format", logs[0].format != logs[1].format),
    ] {
        if changed {
            diagnostics.error(
                key.split('.').fold(At::root(), |at, part| at.key(part)),
                format!("`{key}` cannot change while the gateway runs"),
                "restart to change it; put it back as it was to have the rest of the file reloaded",
            );
        }
    }
}
