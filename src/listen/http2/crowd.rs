//! What the streams of one connection of HTTP/2 have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::watch;

/// So many streams of a connection may be reset because their client took nothing of an answer.
const STALLED: u32 = 8;
/// A head up to this size counts for nothing.
const SMALL_HEAD: usize = 8 << 10;
/// So much may all others have beyond it. A few bytes on the wire make a large head, again and again (HPACK), and
/// with each that is sent on it is written out in full.
const LARGE_HEADS: usize = 512 << 10;

/// The streams of one connection: what is held for all of them, and the word that ends it once those that are open
/// have ended.
#[derive(Debug, Default)]
pub struct Crowd {
    farewell: watch::Sender<bool>,
    stalled: AtomicU32,
    heads: AtomicUsize,
}

/// Held by a request as long as it lives; gives back what its head takes.
#[derive(Debug)]
pub struct Room {
    crowd: Arc<Crowd>,
    taken: usize,
}

impl Crowd {
    /// Says that the connection is to end; saying it again changes nothing.
    pub fn dismiss(&self) {
        self.farewell.send_replace(true);
    }

    /// Whether it is said.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        *self.farewell.borrow()
    }

    /// Hears of it.
    #[must_use]
    pub fn farewell(&self) -> watch::Receiver<bool> {
        self.farewell.subscribe()
    }

    /// Notes that a stream was reset whose client took nothing of its answer; after some the connection is to end.
    pub fn stalled(&self) {
        if self.stalled.fetch_add(1, Ordering::Relaxed) + 1 >= STALLED {
            self.dismiss();
        }
    }

    /// Room for a request whose head has so many bytes; none if too much is taken.
    #[must_use]
    pub fn room(self: &Arc<Self>, head: usize) -> Option<Room> {
        let taken = head.saturating_sub(SMALL_HEAD);
        let all = self.heads.fetch_add(taken, Ordering::Relaxed) + taken;
        let room = Room { crowd: Arc::clone(self), taken };
        (taken == 0 || all <= LARGE_HEADS).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.crowd.heads.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_dismissed_when_streams_have_stalled_again_and_again() {
        let crowd = Crowd::default();
        let hears = crowd.farewell();
        for _ in 1..STALLED {
            crowd.stalled();
        }
        assert!(!crowd.is_dismissed() && !*hears.borrow());
        crowd.stalled();
        assert!(crowd.is_dismissed() && *hears.borrow());
    }

    #[test]
    fn there_is_room_for_any_number_of_small_heads_and_some_large_ones() {
        let crowd = Arc::new(Crowd::default());
        let small: Vec<_> = (0..100).map(|_| crowd.room(SMALL_HEAD).unwrap()).collect();
        let large: Vec<_> = std::iter::from_fn(|| crowd.room(64 << 10)).take(100).collect();
        assert_eq!(large.len(), LARGE_HEADS / (56 << 10));
        assert!(crowd.room(SMALL_HEAD).is_some());
        drop((small, large));
        assert_eq!(crowd.heads.load(Ordering::Relaxed), 0);
    }
}
