//! How much in a day or a month: a *quota* is counted by the calendar, for one consumer, on all routes together.
//!
//! It is another thing than a rate: it is what was bought, not what can be borne. So it outlives the process, in a file
//! ([`ledger`]) or in the store that replicas share. A request asks counters in this process alone; what they say is
//! kept, and what others said is learned, once a second and off the request's path. A quota is held to within what is
//! let through in a second, then; whoever wants it tighter writes a rate beside it.

mod calendar;
mod compile;
pub mod config;
mod counter;
mod file;
mod ledger;
mod quotas;

pub use compile::compile;
pub use quotas::{Left, Quotas, Rule, Verdict};
