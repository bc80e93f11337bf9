//! Stories over a gateway in this process and real sockets.

mod support;

mod answers;
mod bodies;
mod config;
mod failures;
mod headers;
mod house;
mod keys;
mod logs;
mod paths;
mod real;
mod routing;
mod websocket;
