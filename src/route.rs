//! A [`Table`] finds, for a request, the one route that takes it. It knows no policy: what a route
//! holds is the caller's type `T`.
//!
//! # Which route takes a request
//!
//! The most specific one; the order of the file never matters.
//!
//! 1. **Host.** Routes for exactly this host come first, then those for `*.example.com` (the pattern
//!    with more labels first), then those for any host. The first of these groups that has a route
//!    for the path decides; the others are not asked.
//! 2. **Path.** Paths are compared segment by segment from the left. A literal beats a capture, a
//!    longer path beats a shorter one, and an exact path beats the same path as a prefix. So
//!    `/users/me` beats `/users/{id}/orders`, even for a request to `/users/me/orders`.
//! 3. **Conditions.** At that path, the route with more header and query conditions comes first, then
//!    one with `methods` before one without. The first whose conditions hold takes the request.
//!
//! **The most specific path owns the request.** If no route at that path takes it, no shorter path, no
//! capture and no other host is tried. If only methods stand in the way the answer is 405, with the
//! methods that would do in `Allow`; otherwise it is 404. The price: beside a route for `POST /users`,
//! a catch-all `/` does not see `GET /users`, and a second route at `/users` is needed. What is bought:
//! a request can't slip past a protected route into an open catch-all by a wrong method or a left out
//! header, and what a route protects can be read off its path alone.
//!
//! Two routes that can't be told apart, because they have the same host, the same path, the same rank
//! in step 3, and conditions that may hold at once, refuse the load: [`Clash`]. A route for GET takes
//! HEAD too, so it clashes with one for HEAD.
//!
//! # What it costs
//!
//! One hash lookup for a host, and one or two for each path segment, in one table for all routes,
//! however many there are. Routes that differ in their conditions only are tried one by one. A request
//! goes back and tries a capture only where a literal led nowhere: every node of the tree is entered at
//! most once, and [`Table::worst_case`] tells how many a hostile path can make us enter. As a pattern
//! has no more than [`MAX_CAPTURES`] captures, it takes a file made for it to make that a large number.

mod captures;
mod clash;
mod conditions;
mod forward;
mod host;
mod method;
mod pattern;
mod predicate;
mod table;
#[cfg(test)]
mod tests;
mod trie;

pub use captures::{Captures, MAX_CAPTURES};
pub use clash::{Clash, Shadow};
pub use conditions::{Conditions, Rule};
pub(crate) use forward::parameters;
pub use forward::{Forwarded, Forwarding, Prefixes, Public, StripPrefix};
pub(crate) use method::{MethodSet, parse as parse_method};
pub use pattern::PathPattern;
pub use table::{Condition, Found, Matched, PathMiss, Request, Table, Tried, Verdict};
