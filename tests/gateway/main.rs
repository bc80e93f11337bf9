//! Stories over a gateway in this process and real sockets.

// Every line of this crate is a test's, also where Clippy sees no #[test].
#![allow(clippy::unwrap_used)]

mod support;

mod answers;
mod headers;
mod keys;
mod logs;
mod paths;
mod bodies;
mod config;
mod failures;
mod house;
mod real;
mod routing;
mod websocket;
