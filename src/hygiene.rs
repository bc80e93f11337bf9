//! Hygiene: what a clean request target and a clean Host are.
//!
//! A gateway that reads a path otherwise than the server behind it can be led past its own rules. So a
//! target is read once, strictly, into a [`CleanTarget`]; the same normalised path is matched against
//! the routes *and* forwarded. What cannot be read in one way only is refused with 400.
//!
//! # The rules for a target
//!
//! 1. **Form.** A path (`/users?x=1`), or an absolute URL (`http://host/users?x=1`), whose authority is
//!    split off for comparison with Host and whose empty path is `/`. `*`, `host:443` and everything
//!    else is refused (RFC 9112, section 3.2).
//! 2. **Query.** It begins at the first `?` and survives byte for byte. Raw control characters, spaces,
//!    non-ASCII bytes and `#` are refused in it.
//! 3. **Refused in a path:** a backslash and `%5c`; NUL and `%00`; other control characters, raw or
//!    encoded (`%01` to `%1f`, `%7f`); a raw space, `#` or byte above 0x7f; a `%` without two hex
//!    digits; encoded bytes that are not UTF-8, overlong forms included (`%c0%af`).
//! 4. **Repeated slashes** are merged, then **dot segments** are resolved (RFC 3986, section 5.2.4),
//!    also with encoded dots (`%2e`, `.%2E`): `/a//b/./../c` is `/a/c`. A path that leads above the
//!    root is refused.
//! 5. **Everything else survives byte for byte**, such as `%41`, `%2f` and the case of hex digits.
//!    Matching compares percent-decoded segments, so `/%75sers` is taken by a route for `/users`.
//! 6. **Other readings.** An encoded slash is data of its segment, and so is `;` with what follows it.
//!    Other software may see a separator in `%2f`, or strip `;...` (encoded or not) from a segment, in
//!    either order. A path that holds such a byte is also read in these ways. If one of the readings
//!    has a dot segment (`/a%2f..%2fb`, `/..;/b`), the target is refused; if one of them belongs to
//!    another route, the table answers [`Ambiguous`](crate::route::Found::Ambiguous), which is 400 too.
//!
//! A twice encoded character (`%252f`) is data: who decodes twice is not protected by rule 6.
//!
//! # The rules for a Host
//!
//! Lower-cased, without port, without one trailing dot; an IPv6 literal stays in brackets, in its
//! canonical form. Letters, digits, `-`, `_` and dots between non-empty labels make a name. All else
//! is refused, such as an empty host, a list, user information, `%`, and a port outside 1 to 65535.

mod framing;
mod host;
mod percent;
mod readings;
mod target;
#[cfg(test)]
mod tests;
mod upgrade;

pub use framing::{has_one_length, is_framed_in_one_way};
pub use host::{UncleanHost, clean_host};
pub use target::{CleanTarget, Unclean};
pub use upgrade::is_websocket;

/// The longest request target, in bytes.
pub const MAX_TARGET: usize = 8 << 10;
/// The largest request head without its first line, in bytes.
pub const MAX_HEAD: usize = 64 << 10;
/// The most header lines of a request.
pub const MAX_HEADERS: usize = 100;

pub(crate) use percent::{decode, decoded, is_dot_segment, same_decoded};
