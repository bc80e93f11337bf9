//! Who may pass: by a password, by what a service says, and by what was signed.

mod basic;
mod service;
mod signatures;
