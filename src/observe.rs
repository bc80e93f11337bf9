//! What is told about requests once they are over, and about the process: never a request's own time, never
//! its secrets.

pub mod access_log;
pub mod metrics;
pub mod process_log;
