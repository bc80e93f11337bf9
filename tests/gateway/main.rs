//! Stories over a gateway in this process and real sockets.

mod support;

mod bodies;
mod config;
mod explain;
mod failures;
mod house;
mod real;
mod routing;
