//! How many at once: a [`Gate`] lets so many requests be in flight, has a few more wait for a moment, and turns the
//! rest away while there is still time to answer them.
//!
//! There is a gate before a route, or several together, and before an upstream, where they are given one, and each consumer of a plan may
//! have so many [`Seat`]s ([`Callers`]). A request has its seats until it is over, with the last byte of its answer or
//! the end of its WebSocket. What waits is let in by its plan's [`Priority`], and the least important goes first where
//! there is no room to wait.
//!
//! How many an upstream bears may be found out by the gate itself: [`Adaptive`] watches how long answers take.
//!
//! A seat that is free costs a few atomics; nothing is locked or allocated before a request has to wait.
//! docs/overload.md tells users what to expect.

mod adaptive;
mod callers;
pub mod config;
mod gate;
mod queue;
mod rank;

pub use adaptive::Adaptive;
pub use callers::{Callers, Caps, Own, Seats, Wish};
pub use config::{RouteCap, Setting, UpstreamCap};
pub use gate::{Answer, Gate, Gates, Said, Seat};
pub use queue::Waiter;
pub use rank::{Priority, Rank};

#[cfg(test)]
mod tests;
