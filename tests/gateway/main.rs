//! Stories over a gateway in this process and real sockets.

mod support;

mod answers;
mod headers;
mod keys;
mod logs;
mod paths;
mod routing;
mod websocket;
