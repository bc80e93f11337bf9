//! Who calls: what plan they have, and with it how important they are and how many of their requests may be in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::gate::{Gate, MOST_IN, Seat};
use super::rank::{Priority, Rank};
use crate::auth::{Auth, Consumer};
use crate::counter::Counters;
use crate::diagnostic::{At, Diagnostics};

/// What a plan says of how many at once.
#[derive(Debug)]
struct Plan {
    place: Arc<str>,
    rank: Rank,
    /// So many requests of each of its consumers may be in flight.
    most: Option<u32>,
    shed: Arc<Counters<1>>,
}

/// The plans, and who has which.
#[derive(Debug)]
pub struct Callers {
    plans: Box<[Plan]>,
    /// By the number of a consumer: the place of its plan and one, or zero. Shorter than the list of consumers.
    of: Box<[u16]>,
    /// By the number of a consumer whose plan has a cap: its requests in flight.
    in_flight: Box<[Option<Arc<AtomicU32>>]>,
    /// The rank of whoever has no plan.
    others: Rank,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            plans: Box::default(),
            of: Box::default(),
            in_flight: Box::default(),
            others: Rank::new(Priority::Normal, [false; 3]),
        }
    }
}

/// What a plan says, as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// How important its requests are.
    pub priority: Priority,
    /// So many requests of each of its consumers may be in flight.
    pub most: Option<u32>,
}

impl Callers {
    /// Reads the plans, and who has which; names of plans that are not there are told elsewhere. Requests in flight,
    /// and what was turned away, are counted on from the `previous` configuration.
    #[must_use]
    pub fn compile(
        plans: &BTreeMap<&str, Wish>,
        auth: Option<&Auth>,
        previous: Option<(&Self, &Auth)>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut used = [false, true, false];
        for plan in plans.values() {
            used[plan.priority as usize] = true;
        }
        let compile = |(name, wish): (&&str, &Wish)| {
            let at = At::root().key("plans").key(*name).key("concurrency");
            if wish.most.is_some_and(|most| most == 0 || most > MOST_IN) {
                refuse_number(wish.most.unwrap_or(0), &at, diagnostics);
            }
            let place: Arc<str> = at.to_string().into();
            let known = previous.and_then(|(previous, _)| previous.plan_at(&place));
            let shed = known.map(|known| Arc::clone(&known.shed)).unwrap_or_default();
            Plan { place, rank: Rank::new(wish.priority, used), most: wish.most, shed }
        };
        let compiled: Box<[Plan]> = plans.iter().map(compile).collect();
        let (mut of, mut in_flight): (Vec<u16>, Vec<Option<Arc<AtomicU32>>>) = Default::default();
        let places: BTreeMap<&str, usize> = plans.keys().copied().zip(0..).collect();
        for (consumer, plan) in auth.iter().flat_map(|auth| auth.buyers()) {
            let (Some(&place), Some(id)) = (places.get(plan), consumer.id()) else { continue };
            let (id, number) = (id as usize, u16::try_from(place + 1).unwrap_or(0));
            of.resize(of.len().max(id + 1), 0);
            of[id] = number;
            if compiled[place].most.is_some() {
                in_flight.resize(in_flight.len().max(id + 1), None);
                let known = previous
                    .and_then(|(previous, auth)| previous.counter(auth.consumer(consumer.name())?));
                in_flight[id] = Some(known.cloned().unwrap_or_default());
            }
        }
        let others = Rank::new(Priority::Normal, used);
        Self { plans: compiled, of: of.into(), in_flight: in_flight.into(), others }
    }

    /// What holds for a route with this gate before it. Nothing if there is none, nor at its upstream, nor for any
    /// caller.
    #[must_use]
    pub fn caps(self: &Arc<Self>, gate: Option<Arc<Gate>>, others: bool) -> Option<Caps> {
        (gate.is_some() || others).then(|| Caps { gate, callers: Arc::clone(self) })
    }

    /// Whether some consumer may not have as many requests in flight as it likes.
    #[must_use]
    pub fn have_caps(&self) -> bool {
        !self.in_flight.is_empty()
    }

    fn plan_at(&self, place: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| *plan.place == *place)
    }

    fn plan(&self, consumer: &Consumer) -> Option<&Plan> {
        let number = self.of.get(consumer.id()? as usize)?;
        self.plans.get(usize::from(*number).checked_sub(1)?)
    }

    fn counter(&self, consumer: &Consumer) -> Option<&Arc<AtomicU32>> {
        self.in_flight.get(consumer.id()? as usize)?.as_ref()
    }

    /// The plans with a cap: where it stands, its priority, and how many requests it has turned away.
    pub fn capped(&self) -> impl Iterator<Item = (&str, Priority, u64)> {
        let capped = self.plans.iter().filter(|plan| plan.most.is_some());
        capped.map(|plan| (&*plan.place, plan.rank.priority, plan.shed.read()[0]))
    }
}

/// How many at once on one route.
#[derive(Debug)]
pub struct Caps {
    gate: Option<Arc<Gate>>,
    callers: Arc<Callers>,
}

impl Caps {
    /// The gate before the route.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_deref()
    }

    /// How important a request of this consumer is.
    #[must_use]
    pub fn rank(&self, consumer: Option<&Consumer>) -> Rank {
        let plan = consumer.and_then(|consumer| self.callers.plan(consumer));
        plan.map_or(self.callers.others, |plan| plan.rank)
    }

    /// One of the seats that a consumer's plan gives it; nothing if it gives as many as wanted.
    ///
    /// # Errors
    /// All of them are taken; where that is written.
    pub fn seat(&self, consumer: Option<&Consumer>) -> Result<Option<Own>, Arc<str>> {
        let Some(consumer) = consumer else { return Ok(None) };
        let (Some(plan), Some(counter)) =
            (self.callers.plan(consumer), self.callers.counter(consumer))
        else {
            return Ok(None);
        };
        let most = plan.most.unwrap_or(u32::MAX);
        let step = |count| (count < most).then_some(count + 1);
        let entered = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        if entered.is_err() {
            plan.shed.add(0, 1);
            return Err(Arc::clone(&plan.place));
        }
        Ok(Some(Own(Arc::clone(counter))))
    }

    /// What holds for a consumer's requests, in a sentence, and where that is written.
    #[must_use]
    pub fn of_plan(&self, consumer: Option<&Consumer>) -> Option<(Arc<str>, String)> {
        let plan = consumer.and_then(|consumer| self.callers.plan(consumer))?;
        let most = plan.most?;
        Some((Arc::clone(&plan.place), format!("{most} of its requests at once")))
    }
}

/// The places that a request has, until it is over.
#[derive(Debug, Default)]
pub struct Seats {
    /// Of its consumer.
    pub own: Option<Own>,
    /// At its route.
    pub route: Option<Seat>,
    /// At its upstream.
    pub upstream: Option<Seat>,
}

/// A consumer's request in flight. Dropped, it is over.
#[derive(Debug)]
pub struct Own(Arc<AtomicU32>);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells that a number is none of requests at once.
pub(super) fn refuse_number(number: u32, at: &At, diagnostics: &mut Diagnostics) {
    diagnostics.error(
        at.clone(),
        format!("{number} is no number of requests at once"),
        format!("write one from 1 to {MOST_IN}; leave the key out for no bound"),
    );
}
