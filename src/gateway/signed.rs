//! Holding a body to what was signed, in the phases; see [`BodyCheck`](crate::auth::BodyCheck).
//!
//! What is not empty is held against its digest while it goes on, and its end does not if it is another. Of an empty one
//! the head is the end, so it is judged before an upstream sees anything.

use bytes::Bytes;
use pingora::prelude::Result;
use pingora::proxy::Session;

use super::{body, cause};
use crate::exchange::Exchange;
use crate::reject::Rejection;

const ANOTHER: Rejection = Rejection::BadRequest("The body is not the one that was signed.");

/// Refuses an empty body where another was signed.
///
/// # Errors
/// Outer: the client's body could not be read. Inner: it is empty.
pub(super) async fn ask(session: &mut Session, x: &mut Exchange) -> Result<Result<(), Rejection>> {
    if !x.signed.as_ref().is_some_and(|signed| signed.wants_body()) {
        return Ok(Ok(()));
    }
    // HTTP/2 may say so late, when nobody asks any more.
    body::first(session, x).await?;
    let is_empty = session.as_downstream_mut().is_body_empty();
    let signed = x.signed.as_mut().filter(|_| is_empty);
    let judged = signed.map_or(Ok(()), |signed| signed.piece(&mut None, true));
    Ok(judged.map_err(|_| ANOTHER))
}

/// Another try begins the body anew.
pub(super) fn restart(x: &mut Exchange) {
    if let Some(signed) = &mut x.signed {
        signed.restart();
    }
}

/// Holds a piece of the request against what was signed.
pub(super) fn piece(x: &mut Exchange, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    match x.signed.as_mut().map(|signed| signed.piece(body, end)) {
        Some(Err(_)) => Err(cause::raise_of_body(x, ANOTHER)),
        _ => Ok(()),
    }
}
