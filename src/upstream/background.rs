//! What an upstream does beside requests: resolving names and probing targets.
//!
//! The load balancer has a loop for both, but one after the other: a name server that takes its time
//! would hold up the probes. So there are two loops here. They end with the upstream, which aborts
//! them when it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_load_balancing::LoadBalancer;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::balance::{Selector, chance};
use super::discovery::RESOLVE_EVERY;
use super::pool::Pool;

/// Tasks that end when this is dropped.
pub(super) struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// What the loops work on.
pub(super) struct Work {
    pub balancer: Arc<LoadBalancer<Selector>>,
    pub pool: Arc<Pool>,
    /// Set once the first resolution is done.
    pub resolved: watch::Sender<bool>,
    /// Whether there are names to resolve.
    pub names: bool,
    /// The time between probes, if there are any.
    pub probe_every: Option<Duration>,
}

impl Work {
    pub fn spawn(self, handle: &Handle) -> Tasks {
        let Self { balancer, pool, resolved, names, probe_every } = self;
        let mut tasks = Vec::new();
        let ready = resolved.subscribe();
        if names {
            let (balancer, pool) = (Arc::clone(&balancer), Arc::clone(&pool));
            let resolving = resolve(balancer, pool, resolved, probe_every.is_none());
            tasks.push(handle.spawn(resolving).abort_handle());
        }
        if let Some(every) = probe_every {
            tasks.push(handle.spawn(probe(balancer, pool, ready, every)).abort_handle());
        }
        Tasks(tasks)
    }
}

async fn resolve(
    balancer: Arc<LoadBalancer<Selector>>,
    pool: Arc<Pool>,
    resolved: watch::Sender<bool>,
    announce: bool,
) {
    loop {
        // Our discovery keeps the last good addresses instead of failing.
        let _ = balancer.update().await;
        pool.settle();
        resolved.send_replace(true);
        let pause = jittered(RESOLVE_EVERY);
        if announce || pool.load().listed.is_empty() {
            pool.look_again_at(Instant::now() + pause);
        }
        tokio::time::sleep(pause).await;
    }
}

async fn probe(
    balancer: Arc<LoadBalancer<Selector>>,
    pool: Arc<Pool>,
    mut ready: watch::Receiver<bool>,
    every: Duration,
) {
    // Without its sender there is nothing to wait for either.
    let _ = ready.wait_for(|resolved| *resolved).await;
    loop {
        // Counted from the beginning of a round: a target that lets its probes time out must not make
        // those of the others rarer.
        let next = Instant::now() + jittered(every);
        balancer.backends().run_health_check(true).await;
        if !pool.load().listed.is_empty() {
            pool.look_again_at(next);
        }
        tokio::time::sleep_until(next.into()).await;
    }
}

/// The period, give or take 10 %, so that many gateways do not ask in step.
fn jittered(period: Duration) -> Duration {
    let permille = u32::try_from(900 + chance() % 201).unwrap_or(1000);
    period * permille / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_ten_percent_and_varies() {
        let period = Duration::from_secs(10);
        let all: Vec<_> = (0..1000).map(|_| jittered(period)).collect();
        assert!(all.iter().all(|d| (9_000..=11_000).contains(&d.as_millis())));
        assert!(all.iter().any(|d| *d < period) && all.iter().any(|d| *d > period));
    }
}
