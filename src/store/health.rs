//! How the store is: for requests, for the log, and for whoever asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Trouble;
use super::config::OnError;
use crate::counter::{Counters, Histogram, Reading};

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was answered.
    Answered,
    /// There was no connection to ask on.
    Away,
    /// The answer did not come in time.
    Late,
    /// The connection ended meanwhile.
    Lost,
    /// The server refused to do it.
    Refused,
}

impl Asked {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Away, Self::Late, Self::Lost, Self::Refused];

    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Away => "away",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

/// How the store is, to be shown.
#[derive(Debug, Clone)]
pub struct Status {
    /// Where it is.
    pub address: String,
    /// How many workers have a connection that answers.
    pub connections: usize,
    /// How many should have one.
    pub wanted: usize,
    /// Why the last one was lost or not made, as long as one is missing.
    pub trouble: Option<String>,
    /// What happens meanwhile.
    pub on_error: OnError,
    /// What became of questions, in the order of [`Asked::ALL`].
    pub asked: [u64; 5],
    /// How long answers took.
    pub durations: Reading,
}

impl Status {
    /// Whether every worker has a connection that answers.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.wanted > 0 && self.connections >= self.wanted
    }
}

/// What is known of a store.
#[derive(Debug)]
pub(super) struct Health {
    name: String,
    on_error: OnError,
    up: watch::Sender<Up>,
    apart: AtomicBool,
    made: AtomicU64,
    /// What was last told, as long as a connection is missing.
    trouble: Mutex<Option<String>>,
    asked: Counters<5>,
    durations: Histogram,
}

#[derive(Debug, Clone, Copy, Default)]
struct Up {
    connections: usize,
    wanted: usize,
}

impl Up {
    const fn is_all(self) -> bool {
        self.wanted > 0 && self.connections >= self.wanted
    }
}

impl Health {
    pub(super) fn new(name: String, on_error: OnError) -> Self {
        Self {
            name,
            on_error,
            up: watch::Sender::new(Up::default()),
            apart: AtomicBool::new(false),
            made: AtomicU64::new(0),
            trouble: Mutex::default(),
            asked: Counters::default(),
            durations: Histogram::default(),
        }
    }

    pub(super) fn expect(&self, wanted: usize) {
        self.up.send_modify(|up| up.wanted = wanted);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.borrow().is_all()
    }

    pub(super) async fn all_up(&self) {
        // It cannot be closed as long as this is here.
        let _ = self.up.subscribe().wait_for(|up| up.is_all()).await;
    }

    pub(super) fn is_apart(&self) -> bool {
        self.apart.load(Ordering::Relaxed)
    }

    pub(super) fn apart(&self) {
        if !self.apart.swap(true, Ordering::Relaxed) {
            log::info!("store {}: it is a cluster; each limit is asked by itself", self.name);
        }
    }

    /// How often a worker has got a connection that answers.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// A worker has a connection that answers.
    pub(super) fn connected(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        self.up.send_modify(|up| up.connections += 1);
        if self.is_up() {
            match trouble.take() {
                Some(_) => log::warn!("store {}: it answers again", self.name),
                None => log::info!("store {}: it answers", self.name),
            }
        }
    }

    /// A worker has lost its connection.
    pub(super) fn lost(&self, why: &str) {
        self.up.send_modify(|up| up.connections = up.connections.saturating_sub(1));
        self.missing(why);
    }

    /// A worker has none.
    pub(super) fn missing(&self, why: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            let meanwhile = self.on_error.sentence();
            log::warn!("store {}: it does not answer ({why}): {meanwhile}", self.name);
        }
        *trouble = Some(why.to_owned());
    }

    /// Counts a question.
    pub(super) fn note(&self, trouble: Option<Trouble>, took: Duration) {
        let asked = match trouble {
            // It is asked again, the other way.
            Some(Trouble::Apart) => return,
            None => Asked::Answered,
            Some(Trouble::Away) => Asked::Away,
            Some(Trouble::Late) => Asked::Late,
            Some(Trouble::Lost) => Asked::Lost,
            Some(Trouble::Refused) => Asked::Refused,
        };
        self.asked.add(asked as usize, 1);
        if asked == Asked::Answered {
            self.durations.observe(took);
        }
    }

    pub(super) fn status(&self) -> Status {
        let up = *self.up.borrow();
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            address: self.name.clone(),
            connections: up.connections,
            wanted: up.wanted,
            trouble: trouble.clone(),
            on_error: self.on_error,
            asked: self.asked.read(),
            durations: self.durations.read(),
        }
    }
}
