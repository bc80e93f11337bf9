//! The [`Ledger`]: all counters, and where what they say is kept.
//!
//! Its life is that of the place where it is kept: a reload that does not change that goes on with the same counters,
//! whatever else it changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use tokio::task::spawn_blocking;

use super::counter::{Ask, Counter, Entry, Name, State};
use super::file::{File, Row};
use super::shared::{Asking, Shared};
use crate::store::Store;

/// So often what is over is forgotten, in seconds.
const BETWEEN_PRUNINGS: i64 = 3600;

/// Where quotas are kept, as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept<'a> {
    /// In this file, by one process.
    File(&'a Path),
    /// In this store, by all that share it.
    Store(&'a Arc<Store>),
}

/// Where quotas are kept.
#[derive(Debug)]
pub struct Ledger {
    place: Place,
    /// Those of consumers that have none any more too, as long as they count: a quota that comes back goes on.
    counters: Mutex<BTreeMap<Name, Arc<Counter>>>,
    chores: Mutex<Chores>,
}

#[derive(Debug)]
enum Place {
    File(Arc<File>),
    Store(Shared),
}

/// What only the task that keeps them knows.
#[derive(Debug, Default)]
struct Chores {
    pruned: i64,
    /// Since when it could not be written, as Unix time.
    failing: Option<i64>,
}

impl Ledger {
    /// Kept there. It is opened by [`Ledger::open`].
    pub(super) fn at(kept: Kept<'_>) -> Self {
        let place = match kept {
            Kept::File(path) => Place::File(Arc::new(File::at(path.to_owned()))),
            Kept::Store(store) => Place::Store(Shared::new(Arc::clone(store))),
        };
        Self { place, counters: Mutex::default(), chores: Mutex::default() }
    }

    /// Whether it is kept there.
    pub(super) fn is_at(&self, kept: Kept<'_>) -> bool {
        match (&self.place, kept) {
            (Place::File(file), Kept::File(path)) => file.path() == path,
            (Place::Store(shared), Kept::Store(store)) => Arc::ptr_eq(&shared.store, store),
            _ => false,
        }
    }

    /// The store, where it is kept in one.
    pub(super) const fn shared(&self) -> Option<&Shared> {
        match &self.place {
            Place::Store(shared) => Some(shared),
            Place::File(_) => None,
        }
    }

    /// The counter of this name.
    pub(super) fn counter(&self, name: Name, zone: &TimeZone) -> Arc<Counter> {
        let new = |name: &Name| Arc::new(Counter::new(name.clone(), zone.clone()));
        Arc::clone(self.counters().entry(name).or_insert_with_key(new))
    }

    /// Opens it, and has the counters go on where they ended. Of the store each is asked when it is needed.
    ///
    /// # Errors
    /// What is wrong, and what helps.
    pub(super) async fn open(&self, now: i64) -> Result<(), (String, &'static str)> {
        match &self.place {
            Place::File(file) => self.open_file(file, now).await,
            Place::Store(_) => Ok(()),
        }
    }

    /// Keeps what changed.
    pub(super) async fn save(&self, now: i64) {
        match &self.place {
            Place::File(file) => self.save_file(file, now).await,
            Place::Store(shared) => self.settle(shared, now).await,
        }
    }

    /// Keeps what changed for the last time, and leaves the place to whoever comes next.
    pub(super) async fn close(&self, now: i64) {
        match &self.place {
            Place::File(file) => {
                self.save_file(file, now).await;
                let file = Arc::clone(file);
                // Whatever it was busy with is over: this waits for the disk alone.
                let _ = spawn_blocking(move || file.close()).await;
            }
            Place::Store(shared) => {
                let asking = self.asking(now, State::leave);
                let told = shared.tell(&asking, now).await;
                if told.is_err() && !asking.is_empty() {
                    log::warn!(
                        "quotas: the store does not answer, and may not know what was used last"
                    );
                }
            }
        }
    }

    /// Tells the store what it does not know.
    async fn settle(&self, shared: &Shared, now: i64) {
        let anew = shared.is_to_learn_anew();
        let asking = self.asking(now, |state| state.settle(now, anew));
        let told = shared.tell(&asking, now).await;
        if told.is_err() && anew {
            shared.is_still_to_learn();
        }
        let mut chores = self.chores();
        match told {
            Ok(()) => chores.failing = None,
            // The store says in the log how it is.
            Err(_) => drop(chores.failing.get_or_insert(now)),
        }
    }

    /// What the counters have to say.
    fn asking(&self, now: i64, mut say: impl FnMut(&mut State) -> Option<Ask>) -> Vec<Asking> {
        let mut asking = Vec::new();
        self.each(now, |counter, state| {
            asking.extend(say(state).map(|ask| Asking {
                counter: Arc::clone(counter),
                ask,
                amount: 0,
            }));
        });
        asking
    }

    /// Does this to each counter, and drops those that nobody has any more and that count nothing.
    fn each(&self, now: i64, mut visit: impl FnMut(&Arc<Counter>, &mut State)) {
        self.counters().retain(|_, counter| {
            let is_had = Arc::strong_count(counter) > 1;
            let mut state = counter.at(now);
            visit(counter, &mut state);
            is_had || state.is_in_use()
        });
    }

    async fn open_file(&self, file: &Arc<File>, now: i64) -> Result<(), (String, &'static str)> {
        let mut unknown: Vec<(Arc<Counter>, String)> = Vec::new();
        self.each(now, |counter, state| {
            if !state.is_known() {
                unknown.push((Arc::clone(counter), key(&counter.name, state.window())));
            }
        });
        let file = Arc::clone(file);
        let read = move || {
            file.open(now)?;
            let (counters, keys): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
            let used = file.read(&keys).map_err(|what| (what, "look at the disk"))?;
            for (counter, used) in counters.iter().zip(used) {
                counter.at(now).resume(used);
            }
            Ok(())
        };
        let broke_off = |_| Err(("reading it broke off".to_owned(), "look at the log"));
        spawn_blocking(read).await.unwrap_or_else(broke_off)
    }

    async fn save_file(&self, kept: &Arc<File>, now: i64) {
        let mut changed: Vec<(Arc<Counter>, Entry)> = Vec::new();
        self.each(now, |counter, state| {
            changed.extend(state.unsaved().map(|entry| (Arc::clone(counter), entry)));
        });
        let prune = now.saturating_sub(self.chores().pruned) >= BETWEEN_PRUNINGS;
        if changed.is_empty() && !prune {
            return;
        }
        let rows: Vec<Row> = changed
            .iter()
            .map(|(counter, entry)| Row {
                key: key(&counter.name, &entry.window),
                used: entry.own,
                ends: entry.ends,
            })
            .collect();
        let file = Arc::clone(kept);
        let write = move || {
            file.write(&rows)?;
            if prune { file.forget(now) } else { Ok(()) }
        };
        let written = spawn_blocking(write).await;
        let mut chores = self.chores();
        match written.unwrap_or_else(|_| Err("writing it broke off".to_owned())) {
            Ok(()) => {
                if prune {
                    chores.pruned = now;
                }
                if chores.failing.take().is_some() {
                    log::info!("quotas: {} is written again", kept.path().display());
                }
                drop(chores);
                for (counter, entry) in &changed {
                    counter.lock().saved(entry, 0);
                }
            }
            // Once, and not every second: the metric tells how long it lasts.
            Err(what) if chores.failing.is_none() => {
                chores.failing = Some(now);
                log::error!(
                    "quotas: {} cannot be written: {what}; they are counted in this process alone until it can",
                    kept.path().display()
                );
            }
            Err(_) => {}
        }
    }

    /// For how many seconds what is counted could not be kept.
    pub(super) fn failing_for(&self, now: i64) -> u64 {
        let since = self.chores().failing;
        since.map_or(0, |since| u64::try_from(now.saturating_sub(since)).unwrap_or(0))
    }

    /// How it is named in a mistake.
    pub(super) fn place(&self) -> String {
        match &self.place {
            Place::File(file) => file.path().display().to_string(),
            Place::Store(shared) => shared.store.status().address,
        }
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Counter>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chores(&self) -> MutexGuard<'_, Chores> {
        self.chores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a window of a counter is kept under. No part can run over into another: a consumer's name, which may have a
/// slash, is the last.
fn key(name: &Name, window: &str) -> String {
    format!("{} {} {window} {}", name.calendar.word(), name.zone, name.consumer)
}
