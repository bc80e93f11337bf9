//! The [`Ledger`]: all counters, and where what they say is kept.
//!
//! Its life is that of the place where it is kept: a reload that does not change that goes on with the same counters,
//! whatever else it changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::tz::TimeZone;
use tokio::task::spawn_blocking;

use super::counter::{Counter, Entry, Name};
use super::file::{File, Row};

/// So often what is over is forgotten, in seconds.
const BETWEEN_PRUNINGS: i64 = 3600;

/// Where quotas are kept.
#[derive(Debug)]
pub struct Ledger {
    file: Arc<File>,
    counters: Mutex<BTreeMap<Name, Weak<Counter>>>,
    chores: Mutex<Chores>,
}

/// What only the task that keeps them knows.
#[derive(Debug, Default)]
struct Chores {
    pruned: i64,
    /// Since when it could not be written, as Unix time.
    failing: Option<i64>,
}

impl Ledger {
    /// In this file. It is opened by [`Ledger::open`].
    pub(super) fn in_file(path: &Path) -> Self {
        Self {
            file: Arc::new(File::at(path.to_owned())),
            counters: Mutex::default(),
            chores: Mutex::default(),
        }
    }

    /// Whether it is kept there.
    pub(super) fn is_in(&self, path: &Path) -> bool {
        self.file.path() == path
    }

    /// The counter of this name.
    pub(super) fn counter(&self, name: Name, zone: &TimeZone) -> Arc<Counter> {
        let mut counters = self.counters();
        if let Some(known) = counters.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        let counter = Arc::new(Counter::new(name.clone(), zone.clone()));
        counters.insert(name, Arc::downgrade(&counter));
        counter
    }

    /// Opens it, and has the counters go on where they ended.
    ///
    /// # Errors
    /// What is wrong, and what helps.
    pub(super) async fn open(&self, now: i64) -> Result<(), (String, &'static str)> {
        let unknown: Vec<(Arc<Counter>, String)> = self
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter_map(Weak::upgrade)
            .filter_map(|counter| {
                let state = counter.at(now);
                let key = (!state.is_known()).then(|| key(&counter.name, state.window()));
                drop(state);
                key.map(|key| (counter, key))
            })
            .collect();
        let file = Arc::clone(&self.file);
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

    /// Keeps what changed.
    pub(super) async fn save(&self, now: i64) {
        let mut changed: Vec<(Arc<Counter>, Entry)> = Vec::new();
        self.counters().retain(|_, counter| {
            let Some(counter) = counter.upgrade() else { return false };
            let entry = counter.at(now).unsaved();
            changed.extend(entry.map(|entry| (counter, entry)));
            true
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
        let file = Arc::clone(&self.file);
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
                    log::info!("quotas: {} is written again", self.file.path().display());
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
                    self.file.path().display()
                );
            }
            Err(_) => {}
        }
    }

    /// Keeps what changed for the last time, and leaves the file to whoever opens it next.
    pub(super) async fn close(&self, now: i64) {
        self.save(now).await;
        let file = Arc::clone(&self.file);
        // Whatever it was busy with is over: this waits for the disk alone.
        let _ = spawn_blocking(move || file.close()).await;
    }

    /// For how many seconds what is counted could not be kept.
    pub(super) fn failing_for(&self, now: i64) -> u64 {
        let since = self.chores().failing;
        since.map_or(0, |since| u64::try_from(now.saturating_sub(since)).unwrap_or(0))
    }

    /// How it is named in a mistake.
    pub(super) fn place(&self) -> String {
        self.file.path().display().to_string()
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<Name, Weak<Counter>>> {
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
