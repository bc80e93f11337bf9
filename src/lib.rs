//! Portcullis: an API gateway and edge proxy on Pingora.
//!
//! # The life of a request
//!
//! 1. [`listen`] accepts the connection and hands it to Pingora's HTTP proxy, which calls [`gateway`] phase by
//!    phase. Read [`gateway`] first: it is the whole way on one page.
//! 2. [`hygiene`] refuses what two readers could understand differently; what passes is matched *and*
//!    forwarded in the same form.
//! 3. [`route`] finds the one route for host, path, method, headers and query.
//!    Where that route has CORS, a browser's question whether a page may call is answered here; a route in
//!    [`maintenance`] says so, and one that is not for the client's address ([`ip`]).
//! 4. [`auth`] admits the caller, or does not. Its [`auth::Permit`] is the only way on.
//! 5. [`limit`] counts how often the caller has called, and may tell it to come back later; [`validate`] holds the
//!    request to what the service documents; [`concurrency`] has it wait or turns it away while too many are in flight.
//! 6. [`upstream`] chooses a target; a failed try may be followed by another.
//! 7. [`rewrite`] changes the heads, there and back; [`compress`] the body of the answer; [`grpc_web`] both, for calls
//!    of browsers to gRPC.
//! 8. [`reject`] turns every cause of a refusal or failure into an answer; [`observe`] writes one line.
//!
//! # The life of a configuration
//!
//! [`yaml`] reads the file with its places; [`config`] is the file as types; [`snapshot`] is what it becomes,
//! with every name resolved and every mistake reported at once ([`diagnostic`]); [`loading`] holds it to the tests
//! that it carries; [`live`] holds the one in force, and [`reload`] puts another in its place. [`explain`] tells what
//! it would do with a request, by the very functions that do it ([`intake`]).
//!
//! # The order of the modules
//!
//! A module uses only modules that stand above it in this list; a test holds that. So there are no cycles,
//! and a station knows nothing of the gateway around it.

// -- words --
pub mod units;

pub mod diagnostic;

pub mod yaml;

pub mod template;

pub mod networks;

pub mod counter;

mod strict;

pub mod grpc_web;

pub mod reply;

pub mod workers;

pub mod fetch;

pub mod store;

// -- stations, in the order in which a request passes them --
pub mod hygiene;

pub mod listen;

pub mod route;

pub mod auth;

pub mod concurrency;

pub mod limit;

pub mod rewrite;

pub mod compress;

pub mod maintenance;

pub mod ip;

pub mod upstream;

pub mod portal;

pub mod validate;

pub mod observe;

// -- the file, and what it becomes --
pub mod config;

pub mod snapshot;

pub mod live;

// -- one request in motion --
pub mod reject;

pub mod exchange;

pub mod intake;

pub mod explain;

pub mod loading;

pub mod gateway;

// -- the process --
pub mod reload;

pub mod admin;

pub mod demo;

pub mod server;

pub mod cli;
