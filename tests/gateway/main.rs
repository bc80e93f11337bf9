//! Stories over a gateway in this process and real sockets.

mod support;

mod config;
mod house;
mod routing;
