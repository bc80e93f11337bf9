//! Stories over a gateway in this process and real sockets.

mod support;

mod config;
mod failures;
mod house;
mod routing;
