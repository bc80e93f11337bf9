//! HTTP/1 as a client sends it, checked below the session that serves it.
//!
//! Pingora reads requests leniently: it lets bare line feeds, two lengths, odd chunks and much else pass, rewrites
//! targets, and answers what it refuses before anybody may count or log it. A [`Guard`] reads the same bytes before
//! it, strictly (RFC 9112). What two readers may understand differently never reaches the session, so it reaches no
//! upstream.
//!
//! - **A head passes whole or not at all.** It is answered here if it is refused.
//! - **A body passes as far as it is clean.** Behind that the read fails, and with it the request.
//! - **A request ends where it ends.** Bytes behind it are kept back until the session asks for the next request, so
//!   nothing that a client sends too much can become part of another request.
//!
//! [`Inbound`] puts the guard between socket and session. It looks at the bytes in the session's own buffer, and
//! copies only those that have to wait: a head that came in pieces, and what is behind the end of a request.

mod bytes;
mod chunked;
mod flaw;
mod framing;
mod guard;
mod head;
mod inbound;
#[cfg(test)]
mod tests;

pub use flaw::{Flaw, Verdict};
pub use guard::Guard;
pub use head::RequestLine;
pub(super) use inbound::{Inbound, Stop};
