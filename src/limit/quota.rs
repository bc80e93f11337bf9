//! How much in a day or a month: a *quota* is counted by the calendar, for one consumer, on all routes together.
//!
//! It is another thing than a rate: it is what was bought, not what can be borne. So it outlives the process.
//!
//! A gateway alone keeps it in a file of its own: a request asks counters in this process, and what they say is written
//! once a second, off the request's path. Several gateways keep it in their store: each has a part of what is left,
//! which it uses as its own, and asks for more when that is used up ([`Quotas::take_shared`]).

mod calendar;
mod compile;
pub mod config;
mod counter;
mod file;
mod ledger;
mod quotas;
mod shared;

pub use compile::{Places, compile};
pub use quotas::{Left, Quotas, Rule, Verdict};
