//! What the fuzz targets try, one file each. The suite runs the same over the seeds that are kept.

pub mod config;
pub mod paths;
pub mod proxy;
pub mod requests;
pub mod templates;

/// A target: its name, under which its seeds are kept, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("requests", requests::run),
    ("paths", paths::run),
    ("proxy", proxy::run),
    ("templates", templates::run),
    ("config", config::run),
];
