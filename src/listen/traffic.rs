//! How many connections a listener has had, and has, and why others were not served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::refusal::Refusal;

/// As many refusals as the process log tells of in a period; whoever scans the port must not fill it.
const TOLD: u64 = 10;
const PERIOD: Duration = Duration::from_secs(60);

/// The connections of one listener, in numbers.
#[derive(Debug)]
pub struct Traffic {
    accepted: AtomicU64,
    ended: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    /// Handshakes that were done: full, and resumed.
    handshakes: [AtomicU64; 2],
    started: Instant,
    /// The period in which the log was last told, and how often in it.
    period: AtomicU64,
    told: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            refused: Default::default(),
            handshakes: Default::default(),
            started: Instant::now(),
            period: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }
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

    /// Counts a connection that is not served, and tells the process log of it, unless it was told of many.
    pub fn refuse(&self, listener: &str, peer: SocketAddr, refusal: Refusal, detail: &str) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
        let level =
            if self.may_tell(Instant::now()) { log::Level::Info } else { log::Level::Debug };
        let colon = if detail.is_empty() { "" } else { ": " };
        log::log!(
            level,
            "listener {listener}: a connection from {peer} is not served ({refusal}){colon}{detail}"
        );
    }

    /// Whether another refusal may be told to the log. Where two tell at once a few more may pass.
    fn may_tell(&self, now: Instant) -> bool {
        let period = now.saturating_duration_since(self.started).as_secs() / PERIOD.as_secs();
        if self.period.swap(period, Ordering::Relaxed) != period {
            self.told.store(0, Ordering::Relaxed);
        }
        self.told.fetch_add(1, Ordering::Relaxed) < TOLD
    }

    /// How many were not served, by the reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        Refusal::ALL.into_iter().zip(counts)
    }

    /// Counts a TLS handshake that was done.
    pub fn shake_hands(&self, resumed: bool) {
        self.handshakes[usize::from(resumed)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many handshakes were done: in full, and by resuming an earlier session.
    #[must_use]
    pub fn handshakes(&self) -> [u64; 2] {
        [0, 1].map(|index: usize| self.handshakes[index].load(Ordering::Relaxed))
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

    #[test]
    fn the_log_is_told_of_a_few_in_each_period() {
        let traffic = Traffic::default();
        let told = |now| (0..TOLD * 3).filter(|_| traffic.may_tell(now)).count();
        let start = traffic.started;
        assert_eq!(told(start), usize::try_from(TOLD).unwrap());
        assert_eq!(told(start + PERIOD / 2), 0);
        assert_eq!(told(start + PERIOD), usize::try_from(TOLD).unwrap());
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        traffic.refuse("public", peer, Refusal::TlsClosed, "");
        let counted: Vec<_> = traffic.refused().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(Refusal::TlsClosed, 1)]);
    }
}
