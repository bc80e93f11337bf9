//! The one configuration in force.
//!
//! A request takes what it needs from it once, at its start, and keeps that to its end; so a change in
//! between never shows it two configurations. Reading costs no lock and no reference count.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::snapshot::Snapshot;

/// Holds the configuration in force.
#[derive(Debug)]
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    /// Starts with this configuration.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(ArcSwap::new(snapshot))
    }

    /// Puts another configuration in force, in one step, and gives back the one before. Whoever reads it
    /// from now on sees the new one.
    pub fn swap(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        self.0.swap(snapshot)
    }

    /// The configuration in force now. The guard is for a moment, not for a request's life.
    #[must_use]
    pub fn now(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }
}
