//! Freeing a configuration that is out of force, where nobody waits for it.
//!
//! Whoever drops the last reference frees, and a million keys take a while. So the last reference is never
//! left to a request: it is held here until no request needs it, and dropped on a thread that serves nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::auth::Auth;
use crate::snapshot::Snapshot;

/// Between two looks at whether a request is still choosing its route: that takes microseconds.
const READERS: Duration = Duration::from_millis(10);
/// Between two looks at whether a request still runs under a guard: that can take hours.
const REQUESTS: Duration = Duration::from_secs(1);

/// Frees `old` in time; `auth` is that of the configuration that took its place.
pub(super) fn retire(old: Arc<Snapshot>, auth: &Arc<Auth>) {
    let keys = (!Arc::ptr_eq(&old.auth, auth)).then(|| Arc::clone(&old.auth));
    tokio::spawn(async move {
        while Arc::strong_count(&old) > 1 {
            tokio::time::sleep(READERS).await;
        }
        // Should this thread be cut off, the process is ending.
        let _ = spawn_blocking(move || drop(old)).await;
        let Some(keys) = keys else { return };
        while !keys.is_unused() {
            tokio::time::sleep(REQUESTS).await;
        }
        let _ = spawn_blocking(move || drop(keys)).await;
    });
}
