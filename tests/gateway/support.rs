//! What the stories stand on: a gateway in this process, origins behind it, and clients that see every byte.

pub mod client;
pub mod crowd;
pub mod gateway;
pub mod origin;
pub mod pki;
pub mod process;
pub mod python;
pub mod redis;
pub mod reloading;
pub mod schema;
pub mod secrets;
pub mod signer;
pub mod stream;

pub use client::{Answer, Client, get, http2, http2_over, send};
pub use gateway::Gateway;
pub use origin::{Origin, RawOrigin, Seen};
pub use reloading::Reloading;

use std::time::Duration;

/// Long enough for a loaded machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds; panics, saying `what`, when it does not come to hold.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to hold: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
