//! Stories over a gateway in this process and real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::unused_async,
    clippy::format_push_string,
    reason = "a story that cannot go on ends, what begins something is async by habit, and speed is no matter"
)]

mod quota;
mod support;

mod access_log;
mod addresses;
mod admin;
mod answers;
mod balance;
mod bodies;
mod browsers;
mod compression;
mod config;
mod explain;
mod failures;
mod front;
mod fuzz;
mod headers;
mod house;
mod hygiene;
mod jwt;
mod keys;
mod limits;
mod logs;
mod maintenance;
mod metrics;
mod overload;
mod paths;
mod portal;
mod process;
mod real;
mod reload;
mod routing;
mod secrets;
mod stop;
mod store;
mod timeouts;
mod tls;
mod trace;
mod validation;
mod ways;
mod websocket;
