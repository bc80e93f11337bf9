//! Smooth weighted round robin: everyone in turn, as often as the weight says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::schedule::Schedule;
use super::{POLICY_PICKS, Walk, below, chance};

/// Everyone in turn.
pub(in crate::upstream) struct RoundRobin {
    backends: Box<[Backend]>,
    schedule: Schedule,
    /// The turn of the next request.
    turn: AtomicUsize,
    /// The turn of the next request whose own turn fell on a target that cannot take it.
    ///
    /// Such a request must not simply go to the next in the schedule: that one would carry its own
    /// share and the dead one's. With a counter of their own, they spread over all that are left.
    spare: AtomicUsize,
}

impl BackendSelection for RoundRobin {
    type Iter = Picks;
    type Config = ();

    fn build(backends: &BTreeSet<Backend>) -> Self {
        let backends: Box<[Backend]> = backends.iter().cloned().collect();
        let schedule = Schedule::new(&backends.iter().map(|b| b.weight).collect::<Vec<_>>());
        // Many gateways that start together must not all begin with the same target.
        let start = || AtomicUsize::new(below(chance(), schedule.len()));
        Self { turn: start(), spare: start(), backends, schedule }
    }

    fn iter(self: &Arc<Self>, _key: &[u8]) -> Picks {
        Picks { policy: Arc::clone(self), picked: 0, walk: None }
    }
}

/// One request's picks.
pub(in crate::upstream) struct Picks {
    policy: Arc<RoundRobin>,
    picked: usize,
    walk: Option<Walk>,
}

impl BackendIter for Picks {
    fn next(&mut self) -> Option<&Backend> {
        let policy = &*self.policy;
        let index = if self.picked < POLICY_PICKS {
            let counter = if self.picked == 0 { &policy.turn } else { &policy.spare };
            self.picked += 1;
            policy.schedule.at(counter.fetch_add(1, Ordering::Relaxed))?
        } else {
            let count = policy.backends.len();
            self.walk.get_or_insert_with(|| Walk::new(count, chance())).next()?
        };
        policy.backends.get(index)
    }
}
