//! Stories over a gateway in this process and real sockets.

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
mod metrics;
mod paths;
mod process;
mod real;
mod routing;
mod stop;
mod timeouts;
mod tls;
mod websocket;
