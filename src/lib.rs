//! Portcullis: an API gateway and edge proxy on Pingora.
// -- words --
pub mod diagnostic;
pub mod reply;
pub mod template;
pub mod units;
pub mod yaml;
// -- stations, in the order in which a request passes them --
pub mod auth;
pub mod hygiene;
pub mod listen;
pub mod rewrite;
pub mod route;
pub mod upstream;
// -- the file, and what it becomes --
pub mod config;
pub mod live;
pub mod snapshot;
// -- one request in motion --
pub mod exchange;
pub mod gateway;
pub mod observe;
pub mod reject;
// -- the process --
pub mod admin;
pub mod cli;
pub mod demo;
pub mod server;
