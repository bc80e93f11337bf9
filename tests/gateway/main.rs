//! Stories over a gateway in this process and real sockets.

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
