//! The tests that configurations carry.
