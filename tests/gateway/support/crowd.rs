//! Many clients at once, and what a rate lets through of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Client;

/// How many there are, and how many requests they send together.
const CLIENTS: usize = 64;
pub const REQUESTS: usize = 10_000;

/// What became of them.
pub struct Crowd {
    pub passed: usize,
    /// The time that surely holds all decisions, and that which all of them surely span.
    pub longest: Duration,
    pub shortest: Duration,
}

impl Crowd {
    /// Has 64 clients, spread over these gateways, send 10,000 requests as fast as they can.
    pub async fn at(addresses: &[SocketAddr]) -> Self {
        Self::with(addresses, &[]).await
    }

    /// The same with this in their heads.
    pub async fn with(addresses: &[SocketAddr], more: &[(&'static str, &'static str)]) -> Self {
        let headers = [&[("Host", "a.test")], more].concat();
        let left = Arc::new(AtomicUsize::new(REQUESTS));
        let began = Instant::now();
        let crowd = addresses.iter().cycle().take(CLIENTS).map(|address| {
            let (left, address, headers) = (left.clone(), *address, headers.clone());
            tokio::spawn(async move {
                let take = |n: usize| n.checked_sub(1);
                let order = Ordering::Relaxed;
                let mut client = Client::connect(address).await;
                let (mut passed, mut times) = (0, Vec::new());
                while left.fetch_update(order, order, take).is_ok() {
                    match client.ask("GET", "/", &headers).await.status {
                        204 => passed += 1,
                        429 => {}
                        other => panic!("{other}"),
                    }
                    times.push(Instant::now());
                }
                (passed, times)
            })
        });
        let counts = futures::future::join_all(crowd).await;
        let longest = began.elapsed();
        let counts: Vec<(usize, Vec<_>)> = counts.into_iter().map(Result::unwrap).collect();
        let passed = counts.iter().map(|(passed, _)| passed).sum();
        let mut answered: Vec<_> = counts.into_iter().flat_map(|(_, times)| times).collect();
        assert_eq!(answered.len(), REQUESTS);
        answered.sort_unstable();
        Self { passed, longest, shortest: answered[REQUESTS - CLIENTS] - answered[0] }
    }

    /// Holds that as many passed as `100/s burst 50` gives in that time, and no more; if units are taken ahead for so
    /// long, as it gives in the time and that one; and at least this share of it.
    pub fn fits(&self, lease: Duration, share: f64) {
        let bound = |time: Duration| 50.0 + 100.0 * time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let admitted = self.passed as f64;
        let most = bound(self.longest + lease);
        assert!(admitted <= most, "{admitted} of {most} in {:?}", self.longest);
        let low = share * bound(self.shortest) - 1.0;
        assert!(admitted >= low, "{admitted}, at least {low} in {:?}", self.shortest);
    }
}
