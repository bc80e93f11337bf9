//! Stories over a gateway in this process and real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a story that cannot go on ends here; clippy knows this only of #[test]s"
)]

mod support;

mod balance;
mod bodies;
mod config;
mod failures;
mod house;
mod process;
mod real;
mod routing;
mod stop;
mod timeouts;
mod tls;
