//! Stories over a gateway in this process and real sockets.
#![allow(clippy::unwrap_used, reason = "what a story needs and does not get ends it at once")]

mod support;

mod answers;
mod balance;
mod bodies;
mod config;
mod failures;
mod headers;
mod house;
mod keys;
mod logs;
mod paths;
mod process;
mod real;
mod routing;
mod stop;
mod timeouts;
mod tls;
mod websocket;
