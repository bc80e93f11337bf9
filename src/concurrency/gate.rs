//! A [`Gate`] lets so many in, has some wait, and turns the others away.
//!
//! What it says follows from its [`State`], which outlives it where another gate takes its place.

mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::adaptive::Adaptive;
use super::config::RouteCap;
use super::queue::Waiter;
use super::rank::{Priority, Rank};
use crate::diagnostic::{At, Diagnostics};
pub use state::Seat;
pub(super) use state::State;

/// The most that can be in.
pub(super) const MOST_IN: u32 = 1_000_000;
/// The most that can wait.
pub(super) const MOST_WAITING: u32 = 4_000;

/// What a gate said, beside letting a request in at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It had to wait, and got a seat.
    Waited,
    /// It was turned away.
    Shed,
    /// It would have had to wait or been turned away, did the gate not only look on.
    Observed,
}

impl Said {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Waited, Self::Shed, Self::Observed];

    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Shed => "shed",
            Self::Observed => "observed",
        }
    }
}

/// What is written of a gate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// How many may be in; the most, where that is found out.
    pub max: u32,
    /// How many may wait; as many as may be in if that is not said.
    pub queue: Option<u32>,
    /// How long they may.
    pub wait: Duration,
    /// Whether it only looks on.
    pub observe: bool,
}

/// What a gate says to a request.
#[derive(Debug)]
pub enum Answer {
    /// It may come in.
    In(Seat),
    /// It may come in, though it is one too many, since the gate only looks on.
    Over(Seat),
    /// It may wait.
    Wait(Waiter),
    /// It is turned away.
    Shed,
}

/// A gate as one configuration has it.
pub struct Gate {
    place: Arc<str>,
    rule: Rule,
    adaptive: Option<Adaptive>,
    held: OnceLock<Held>,
}

/// What a gate has of its state, and which of the gates that had it this one is.
struct Held {
    state: Arc<State>,
    /// As the last of them it says how many places there are behind it.
    generation: u64,
    /// As one of those that found the number out together it says how many are wanted.
    finder: u64,
}

impl Gate {
    pub(super) fn new(place: String, rule: Rule, adaptive: Option<Adaptive>) -> Self {
        Self { place: place.into(), rule, adaptive, held: OnceLock::new() }
    }

    /// Its place in the configuration.
    #[must_use]
    pub const fn place(&self) -> &Arc<str> {
        &self.place
    }

    fn held(&self) -> &Held {
        self.held.get_or_init(|| Held {
            state: Arc::new(State::new(self.wanted())),
            generation: 0,
            finder: 0,
        })
    }

    fn state(&self) -> &Arc<State> {
        &self.held().state
    }

    /// How many it would let in, were there targets for so many.
    fn wanted(&self) -> u32 {
        self.adaptive.as_ref().map_or(self.rule.max, Adaptive::limit)
    }

    /// Goes on as the gate that this one replaces: who is in there is in here, and whoever waits is let in by what
    /// holds here, whatever requests that came before still find out there. To be called before the first request, when
    /// this one is put in force.
    pub fn carry_on(&self, previous: &Self) {
        let known = self.adaptive.as_ref().zip(previous.adaptive.as_ref());
        if let Some((own, known)) = known {
            own.carry_on(known);
        }
        let wanted = self.wanted();
        self.held.get_or_init(|| {
            let before = previous.held();
            let finder = known.map(|_| before.finder);
            let (generation, finder) = before.state.succeed(wanted, finder);
            Held { state: Arc::clone(&before.state), generation, finder }
        });
        self.want(wanted);
    }

    fn want(&self, wanted: u32) {
        let Held { state, finder, .. } = self.held();
        state.set(|bounds| {
            if bounds.finder == *finder {
                bounds.wanted = wanted;
            }
        });
    }

    /// Asks for a seat.
    #[must_use]
    pub fn enter(&self, rank: Rank) -> Answer {
        let state = self.state();
        if let Some(seat) = state.try_enter(rank) {
            return Answer::In(seat);
        }
        if self.rule.observe {
            state.note(rank.priority, Said::Observed);
            return Answer::Over(state.force());
        }
        let most = self.rule.queue.unwrap_or_else(|| state.limit().min(MOST_WAITING));
        state.wait(rank, most, self.rule.wait)
    }

    /// Counts what was said to a request of this priority.
    pub fn note(&self, priority: Priority, said: Said) {
        self.state().note(priority, said);
    }

    /// Lets no more in than there are places behind it, whatever else holds.
    pub fn bound(&self, places: u32) {
        let Held { state, generation, .. } = self.held();
        state.set(|bounds| {
            if bounds.generation == *generation {
                bounds.places = places;
            }
        });
    }

    /// Is told of an answer, and how long it took, where that is watched.
    pub fn answered(&self, started: Instant, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            let state = self.state();
            let new = adaptive.answered(started, now, state.in_flight(), state.limit());
            if let Some(limit) = new {
                self.want(limit);
            }
        }
    }

    /// Is told of a request that was given up after this time without an answer.
    pub fn gave_up(&self, started: Instant, now: Instant) {
        if self.adaptive.as_ref().is_some_and(|adaptive| adaptive.is_long(started, now)) {
            self.answered(started, now);
        }
    }

    /// How many are in.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.state().in_flight()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.state().waiting()
    }

    /// How many may be in now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.state().limit()
    }

    /// How often it said what to whom: by priority and word, in the order of their numbers.
    #[must_use]
    pub fn said(&self) -> [[u64; 3]; 3] {
        let all = self.state().said.read();
        [0, 3, 6].map(|first| [all[first], all[first + 1], all[first + 2]])
    }

    /// In a sentence, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Rule { max, queue, wait, observe } = &self.rule;
        let most = match &self.adaptive {
            Some(_) => format!("as many at once as answer without delay, up to {max}"),
            None => format!("{max} at once"),
        };
        let more = match queue {
            Some(0) => String::new(),
            Some(queue) => format!(", and {queue} wait for up to {wait:?}"),
            None => format!(", and as many wait for up to {wait:?}"),
        };
        let observe = if *observe { ", which only looks on" } else { "" };
        format!("{most}{more}{observe}")
    }
}

/// The gates before routes, each made once for the place where it is written.
#[derive(Debug, Default)]
pub struct Gates(BTreeMap<Arc<str>, Arc<Gate>>);

impl Gates {
    /// The gate of this place; none if there is a mistake in it.
    pub fn at(
        &mut self,
        cap: &RouteCap,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Gate>> {
        let gate = cap.compile(at, diagnostics)?;
        let made = self.0.entry(Arc::clone(gate.place()));
        Some(Arc::clone(made.or_insert_with(|| Arc::new(gate))))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.place).finish()
    }
}
