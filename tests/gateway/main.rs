//! Stories over a gateway in this process and real sockets.

mod support;

mod balance;
mod config;
mod failures;
mod house;
mod process;
mod routing;
mod stop;
mod timeouts;
mod tls;
