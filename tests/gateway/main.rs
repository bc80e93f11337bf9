//! Stories over a gateway in this process and real sockets.

mod support;

mod admin;
mod bodies;
mod config;
mod failures;
mod house;
mod real;
mod reload;
mod routing;
