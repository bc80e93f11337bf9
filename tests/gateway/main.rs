//! Stories over a gateway in this process and real sockets.

mod support;

mod failures;
mod routing;
mod stop;
mod timeouts;
