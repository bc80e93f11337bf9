//! Random: each request by chance, by weight. It needs no shared counter at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::schedule::Schedule;
use super::{POLICY_PICKS, Walk, below, chance};

/// By chance.
pub(in crate::upstream) struct Random {
    backends: Box<[Backend]>,
    /// Holds each target as often as its weight says, so that one draw is a weighted draw.
    schedule: Schedule,
}

impl BackendSelection for Random {
    type Iter = Picks;
    type Config = ();

    fn build(backends: &BTreeSet<Backend>) -> Self {
        let backends: Box<[Backend]> = backends.iter().cloned().collect();
        let schedule = Schedule::new(&backends.iter().map(|b| b.weight).collect::<Vec<_>>());
        Self { backends, schedule }
    }

    fn iter(self: &Arc<Self>, _key: &[u8]) -> Picks {
        Picks { policy: Arc::clone(self), picked: 0, walk: None }
    }
}

/// One request's picks.
pub(in crate::upstream) struct Picks {
    policy: Arc<Random>,
    picked: usize,
    walk: Option<Walk>,
}

impl BackendIter for Picks {
    fn next(&mut self) -> Option<&Backend> {
        let policy = &*self.policy;
        let index = if self.picked < POLICY_PICKS {
            self.picked += 1;
            policy.schedule.at(below(chance(), policy.schedule.len()))?
        } else {
            let count = policy.backends.len();
            self.walk.get_or_insert_with(|| Walk::new(count, chance())).next()?
        };
        policy.backends.get(index)
    }
}
