//! What is changed in the heads of messages on their way through.
//!
//! A head is rewritten in this order, and each step can rely on the ones before it:
//!
//! | request | response |
//! |---|---|
//! | [`screen()`]: what must not go on | [`hop::strip_response`]: what was meant for us alone |
//! | [`forwarded::forward`]: where the request came from | [`location::restore`]: addresses as the client knows them |
//! | [`trace::stamp`]: which trace it belongs to | [`forwarded::answer`]: `Via`, `X-Request-Id` |
//! | [`identity::stamp`]: who was let in | [`security`]: what browsers shall not do with it |
//! | [`HeaderOps::apply`]: what the configuration says | [`HeaderOps::apply`] |
//! | | [`cors`]: which pages may read it |
//!
//! The configured operations come late, so that a route can remove or rename what the gateway itself
//! added, and nothing that a client sends can pass for it. Only the word on who may read an answer comes
//! after them, so that no operation opens what it closes. Each step is a function of plain values;
//! each costs next to nothing when it has nothing to do.

pub mod config;
pub mod cors;
pub mod forwarded;
pub mod hop;
pub mod identity;
pub mod location;
pub mod ops;
pub mod security;
pub mod trace;
pub mod trusted;

mod head;
mod screen;
mod vary;

pub use config::{HeaderValues, HeadersConfig};
pub use ops::{Direction, HeaderOps};
pub use screen::{may_be_twin, screen, without_twins};
pub use trace::Trace;
pub use trusted::{TrustedProxies, client_address};
pub use vary::vary;
