//! How many connections a listener has had, and has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The connections of one listener, in numbers.
#[derive(Debug, Default)]
pub struct Traffic {
    accepted: AtomicU64,
    ended: AtomicU64,
}

impl Traffic {
    /// Counts a connection, which is open until what is returned is dropped.
    #[must_use]
    pub fn accept(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// How many were accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        // In this order, so that one that ends meanwhile is not missing among the accepted.
        let ended = self.ended.load(Ordering::Acquire);
        self.accepted().saturating_sub(ended)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Open(Arc<Traffic>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let traffic = Arc::new(Traffic::default());
        let (one, two) = (traffic.accept(), traffic.accept());
        assert_eq!((traffic.accepted(), traffic.open()), (2, 2));
        drop(one);
        assert_eq!((traffic.accepted(), traffic.open()), (2, 1));
        drop(two);
        assert_eq!((traffic.accepted(), traffic.open()), (2, 0));
    }
}
