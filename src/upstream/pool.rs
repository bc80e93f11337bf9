//! The [`Pool`] holds an upstream's targets by address, with what is known about each of them.
//!
//! Pingora's load balancer knows sets of backends and their health; what it does not know (requests
//! under way, ejections, the ready-made peer) is kept here, and outlives a new resolution of names as
//! long as the address stays. Requests read one snapshot and take no lock.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashMap;
use log::{info, warn};
use pingora::protocols::l4::socket::SocketAddr;

use super::ejection::{Fault, Role, Verdict, room_for_one_more};
use super::target::Target;

/// The shortest and longest time that a client is told to wait.
const RETRY_AFTER: (u64, u64) = (1_000, 30_000);

/// The targets at one moment.
#[derive(Default)]
pub(super) struct Targets {
    by_address: HashMap<SocketAddr, Arc<Target>>,
    /// Those in the current set, in the order of the configuration; the map may hold more while
    /// one set replaces another.
    pub listed: Vec<Arc<Target>>,
}

impl Targets {
    /// The one that is known, where there is but one: whatever the policy, it is the one to be asked.
    pub fn only(&self) -> Option<&Arc<Target>> {
        match &self.listed[..] {
            [only] if self.by_address.len() == 1 => Some(only),
            _ => None,
        }
    }

    pub fn get(&self, address: &SocketAddr) -> Option<&Arc<Target>> {
        self.by_address.get(address)
    }
}

/// An upstream's targets.
pub(super) struct Pool {
    /// The upstream's name, for the log.
    pub name: Arc<str>,
    targets: ArcSwap<Targets>,
    epoch: Instant,
    /// Taken when a target is about to be ejected, so that two at once cannot exceed the cap.
    ejecting: Mutex<()>,
    /// When targets are next looked at, by a probe or a resolution; 0 if nobody does.
    next_look: AtomicU64,
    /// The labels that an operator has taken out of service.
    drained: Mutex<BTreeSet<Arc<str>>>,
}

impl Pool {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            targets: ArcSwap::default(),
            epoch: Instant::now(),
            ejecting: Mutex::new(()),
            next_look: AtomicU64::new(0),
            drained: Mutex::default(),
        }
    }

    /// The pool's clock, in milliseconds. It begins at 1, since 0 means never.
    pub fn clock(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX / 2) + 1
    }

    /// The moment of a reading of the clock.
    pub fn moment(&self, clock: u64) -> Instant {
        self.epoch + Duration::from_millis(clock)
    }

    pub fn load(&self) -> Guard<Arc<Targets>> {
        self.targets.load()
    }

    /// Makes `listed` known, and keeps those known before: the load balancer hands out backends of
    /// its old set until it has taken over the new one.
    pub fn announce(&self, listed: Vec<Arc<Target>>) {
        let drained = self.drained.lock().unwrap_or_else(PoisonError::into_inner);
        for target in listed.iter().filter(|target| drained.contains(target.label())) {
            target.drained.store(true, Ordering::Relaxed);
        }
        let mut by_address = self.load().by_address.clone();
        by_address.extend(listed.iter().map(|t| (t.address().clone(), Arc::clone(t))));
        self.targets.store(Arc::new(Targets { by_address, listed }));
    }

    /// Takes a label's targets out of service, or back into it.
    pub fn drain(&self, label: &str, drained: bool) {
        // Held to the end, so that an announcement cannot come between.
        let mut labels = self.drained.lock().unwrap_or_else(PoisonError::into_inner);
        if drained {
            labels.insert(label.into());
        } else {
            labels.remove(label);
        }
        for target in self.load().by_address.values().filter(|target| **target.label() == *label) {
            target.drained.store(drained, Ordering::Relaxed);
        }
        let done = if drained { "drained" } else { "back in service" };
        info!("upstream {}: target {label} is {done}", self.name);
    }

    /// Takes over what another pool knows.
    pub fn follow(&self, other: &Self, now: Instant) {
        let drained = other.drained.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for target in self.load().by_address.values() {
            target.drained.store(drained.contains(target.label()), Ordering::Relaxed);
            let Some(known) = other.load().get(target.address()).cloned() else { continue };
            target.follow(&known);
            target.proven.store(known.proven.load(Ordering::Relaxed), Ordering::Relaxed);
            if known.healthy.load(Ordering::Relaxed) {
                let clock = |millis| self.clock(other.moment(millis));
                target.ejection.follow(&known.ejection, clock);
            } else {
                target.ejection.eject(Fault::Unproven, self.clock(now));
            }
        }
        *self.drained.lock().unwrap_or_else(PoisonError::into_inner) = drained;
    }

    /// Forgets those that are not listed.
    pub fn settle(&self) {
        let current = self.load();
        if current.by_address.len() == current.listed.len() {
            return;
        }
        let listed = current.listed.clone();
        let by_address =
            listed.iter().map(|t| (t.address().clone(), Arc::clone(t))).collect::<HashMap<_, _>>();
        self.targets.store(Arc::new(Targets { by_address, listed }));
    }

    /// Says when targets are next looked at.
    pub fn look_again_at(&self, next: Instant) {
        self.next_look.store(self.clock(next), Ordering::Relaxed);
    }

    pub fn succeeded(&self, target: &Target, role: Role, now: Instant) {
        if !target.proven.load(Ordering::Relaxed) {
            target.proven.store(true, Ordering::Relaxed);
        }
        if target.ejection.succeeded(role, self.clock(now)) {
            info!("upstream {}: target {} is back in rotation", self.name, target.label());
        }
    }

    /// A probe of the target went well.
    pub fn probed(&self, target: &Target, now: Instant) {
        target.proven.store(true, Ordering::Relaxed);
        if target.ejection.probed(self.clock(now)) {
            info!("upstream {}: target {} can be reached again", self.name, target.label());
        }
    }

    pub fn failed(&self, target: &Target, fault: Fault, role: Role, now: Instant) {
        match target.ejection.failed(fault, role) {
            Verdict::Bear => {}
            Verdict::Again => self.eject(target, fault, now),
            Verdict::Eject => {
                let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
                let targets = self.load();
                let serving = || targets.listed.iter().filter(|t| !t.is_drained());
                let out = serving().filter(|t| t.ejection.until().is_some()).count();
                // Where the probes have left out the others, the last one stays: a target that may
                // answer is better than none.
                let spare = serving().any(|other| {
                    !std::ptr::eq(Arc::as_ptr(other), target)
                        && other.healthy.load(Ordering::Relaxed)
                        && other.ejection.until().is_none()
                });
                let already = target.ejection.until().is_some();
                if !already && spare && room_for_one_more(out, serving().count()) {
                    self.eject(target, fault, now);
                }
            }
        }
    }

    fn eject(&self, target: &Target, fault: Fault, now: Instant) {
        let millis = target.ejection.eject(fault, self.clock(now));
        target.tally.count_ejection();
        let cause = match fault {
            Fault::Connect => "it cannot be connected to",
            Fault::Unproven => "it was never seen to work, and a probe failed",
            Fault::Answer => "it answers with errors or breaks off",
        };
        let (name, label, seconds) = (&self.name, target.label(), millis / 1000);
        warn!("upstream {name}: target {label} is ejected for {seconds} s: {cause}");
    }

    /// How long a client should wait before it asks again: until something can have changed.
    pub fn retry_after(&self, now: Instant) -> Duration {
        let clock = self.clock(now);
        let next_look = Some(self.next_look.load(Ordering::Relaxed)).filter(|next| *next > clock);
        let targets = self.load();
        let ends = targets.listed.iter().filter_map(|target| target.ejection.until());
        let soonest =
            ends.chain(next_look).min().map_or(RETRY_AFTER.0, |at| at.saturating_sub(clock));
        Duration::from_millis(soonest.clamp(RETRY_AFTER.0, RETRY_AFTER.1))
    }
}
