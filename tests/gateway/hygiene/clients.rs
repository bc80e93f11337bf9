//! Clients that are slow, silent or half gone: each is cut when it is due, and told so where it may listen.
