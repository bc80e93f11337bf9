//! Stories over a gateway in this process and real sockets.

mod support;

mod bodies;
mod real;
mod routing;
