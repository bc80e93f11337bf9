//! How a connection of HTTP/2 is told that it is to end.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

/// So many streams of a connection may be reset because their client took nothing of an answer.
const STALLED: u32 = 8;

/// The word that ends a connection once the streams that are open have ended, and who says it.
#[derive(Debug, Default)]
pub struct Farewell {
    said: watch::Sender<bool>,
    stalled: AtomicU32,
}

impl Farewell {
    /// Says it; saying it again changes nothing.
    pub fn say(&self) {
        self.said.send_replace(true);
    }

    /// Whether it is said.
    #[must_use]
    pub fn is_said(&self) -> bool {
        *self.said.borrow()
    }

    /// Hears of it.
    #[must_use]
    pub fn hear(&self) -> watch::Receiver<bool> {
        self.said.subscribe()
    }

    /// Notes that a stream was reset whose client took nothing of its answer; after some it is said.
    pub fn stalled(&self) {
        if self.stalled.fetch_add(1, Ordering::Relaxed) + 1 >= STALLED {
            self.say();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_when_streams_have_stalled_again_and_again() {
        let farewell = Farewell::default();
        let hears = farewell.hear();
        for _ in 1..STALLED {
            farewell.stalled();
        }
        assert!(!farewell.is_said() && !*hears.borrow());
        farewell.stalled();
        assert!(farewell.is_said() && *hears.borrow());
    }
}
