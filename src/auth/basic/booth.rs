//! Where passwords are verified: by few at once, since each takes much time and memory, and with few who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// So many may wait for one that is verified.
const MOST_WAITING: usize = 64;
/// So long each of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bounds how much is verified at once: half of the processor's cores, at least one, so that the others go on serving.
#[derive(Debug)]
pub(in crate::auth) struct Booth {
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Held while somebody waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Booth {
    fn default() -> Self {
        Self::of(available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)))
    }
}

impl Booth {
    pub(super) fn of(seats: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(seats)), waiting: AtomicUsize::new(0) }
    }

    /// A seat; none if too many wait for one, or none became free in time.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Some(seat);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= MOST_WAITING {
            return None;
        }
        timeout(PATIENCE, Arc::clone(&self.seats).acquire_owned()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_are_let_in_few_wait_and_none_for_long() {
        let booth = Booth::of(2);
        let seats = [booth.enter().await, booth.enter().await];
        assert!(seats.iter().all(Option::is_some));
        // All wait as long as they may, but for one more than can wait.
        let crowd = join_all((0..=MOST_WAITING).map(|_| booth.enter())).await;
        assert!(crowd.iter().all(Option::is_none));
        assert_eq!(booth.waiting.load(Ordering::Relaxed), 0);
        let (next, ()) = tokio::join!(booth.enter(), async { drop(seats) });
        assert!(next.is_some());
    }
}
