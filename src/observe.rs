//! What is told about requests once they are over: never the request's own time, never its secrets.

pub mod access_log;
pub mod metrics;
