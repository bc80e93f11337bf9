//! How often: [`Limits`] let a request pass, hold it up for a moment, or tell it when to come back.
//!
//! A *rate* is a bucket ([`Bucket`]) that is refilled evenly, a [`Rule`] says whose, and a *plan* is a rule for the
//! consumers that have it. All buckets of a request are asked together: one that refuses it leaves the others as they
//! were. The order in the gateway is who, then how often; a preflight comes before both.
//!
//! docs/limits.md says for users what a rate bounds in any window.

mod bucket;
mod compile;
pub mod config;
mod decide;
mod failures;
mod key;
mod lease;
mod limits;
mod local;
mod plans;
mod rule;
mod shared;
mod standing;

pub use bucket::Bucket;
pub use compile::{Builder, Limiter};
pub use config::{FailedCredentials, PlanConfig, Setting};
pub use failures::{Credential, Failures};
pub use key::Subject;
pub use limits::{Decision, Limits, Outcome, Question, Unavailable};
pub use local::{Local, MOST_KEYS};
pub use rule::{MOST_WAITING, Rule, Said, Waiting};
pub use shared::Shared;
pub use standing::{RATE_LIMIT, RATE_LIMIT_POLICY, Standing};
