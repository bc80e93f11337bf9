//! How much in a day or a month: a *quota* is counted by the calendar, for one consumer, on all routes together.
//!
//! It is another thing than a rate: it is what was bought, not what can be borne. So it outlives the process, in a file
//! of the gateway's own. A request asks counters in this process alone; what they say is written once a second, off the
//! request's path.

mod calendar;
mod compile;
pub mod config;
mod counter;
mod file;
mod ledger;
mod quotas;

pub use compile::compile;
pub use quotas::{Left, Quotas, Rule, Verdict};
