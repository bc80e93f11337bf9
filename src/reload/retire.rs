//! Freeing a configuration that is out of force, where nobody waits for it.
//!
//! Whoever drops the last reference frees, and a million keys take a while. So the last reference is never
//! left to a request: it is held here until no request needs it, and dropped on a thread that serves nobody.

use std::sync::Arc;
use std::time::Duration;

use super::beside::beside;
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
        let _ = beside(move || drop(old)).await;
        let Some(keys) = keys else { return };
        while !keys.is_unused() {
            tokio::time::sleep(REQUESTS).await;
        }
        let _ = beside(move || drop(keys)).await;
    });
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::loading::load_text;
    use crate::yaml::System;

    fn snapshot(digit: &str) -> Arc<Snapshot> {
        let text = format!(
            "version: 1\nlisteners: {{ a: {{ address: \"127.0.0.1:0\" }} }}\n\
             consumers: {{ c: {{ api_keys: [ \"sha256:{}\" ] }} }}\n\
             routes: {{ r: {{ path: /, respond: {{ status: 204 }} }} }}\n",
            digit.repeat(64)
        );
        let loaded = load_text(&text, &System { base: PathBuf::new() });
        Arc::new(loaded.compiled.expect("it is sound").snapshot)
    }

    #[tokio::test]
    async fn keys_stay_as_long_as_a_request_runs_under_them() {
        let (old, new) = (snapshot("a"), snapshot("b"));
        let keys = Arc::downgrade(&old.auth);
        let whole = Arc::downgrade(&old);
        let guard = {
            let clean = crate::hygiene::CleanTarget::parse(b"/").expect("clean");
            let request = crate::route::Request {
                host: "a",
                method: &http::Method::GET,
                target: &clean,
                headers: &http::HeaderMap::new(),
            };
            match old.routes.find(&request) {
                crate::route::Found::Route(matched) => Arc::clone(&matched.value.guard),
                _ => panic!("the route takes everything"),
            }
        };
        retire(old, &new.auth);
        while whole.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(REQUESTS + REQUESTS / 2).await;
        assert_eq!(keys.strong_count(), 1, "only the one who waits for the request");
        drop(guard);
        while keys.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
