//! Stories over a gateway in this process and real sockets.

mod support;

mod failures;
mod process;
mod routing;
mod stop;
mod timeouts;
