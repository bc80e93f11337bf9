//! Holding a request to what its service documents, before the service sees any of it.
//!
//! A body that is to be checked is read here, as a whole and within the bounds that Pingora keeps of one; what it kept is
//! what it then sends on. Where a route only observes, nothing may be held up, so the body is looked at in passing.

use bytes::Bytes;
use http::Version;
use http::header::EXPECT;
use pingora::http::RequestHeader;
use pingora::prelude::{Error, Result};
use pingora::proxy::Session;

use super::{KEPT, body, cause};
use crate::exchange::Exchange;
use crate::intake;
use crate::reject::Rejection;
use crate::validate::{MOST_BODY, Reading, Tap};

/// Whether a request may be sent on, as far as a document says.
///
/// # Errors
/// Outer: the client's body could not be read, or is too large. Inner: it may not.
pub(super) async fn ask(session: &mut Session, x: &mut Exchange) -> Result<Result<(), Rejection>> {
    let validation = x.route.as_deref().and_then(|route| route.validation.as_ref());
    let Some(observe) = validation.map(|validation| validation.observe) else { return Ok(Ok(())) };
    // Where nobody may be held up, what HTTP/2 says late is not waited for.
    let first = if observe || x.switch.is_some() { None } else { body::first(session, x).await? };
    let has_body = x.switch.is_none() && !session.as_downstream_mut().is_body_empty();
    let check = match intake::validate(session.req_header(), Some(has_body), x) {
        Ok(Some(check)) => check,
        Ok(None) => return Ok(Ok(())),
        Err(rejection) => return Ok(Err(rejection)),
    };
    if observe {
        x.reading = Reading::Passing(Box::new(Tap { check, body: Vec::new() }));
        return Ok(Ok(()));
    }
    let body = read(session, x, first).await?;
    let judged = intake::validate_body(&check, &body, x);
    if judged.is_ok() {
        // It is counted once more as it is sent.
        x.bytes_in = 0;
    }
    Ok(judged)
}

/// Reads the whole body, of which the `first` piece may have been read; Pingora keeps it to send it on.
async fn read(session: &mut Session, x: &mut Exchange, first: Option<Bytes>) -> Result<Vec<u8>> {
    let limit = x.route.as_ref().map_or(0, |route| route.body_limit);
    let downstream = session.as_downstream_mut();
    downstream.enable_retry_buffering();
    x.reading = Reading::Whole;
    let head = downstream.req_header();
    let is_kept = downstream.get_keepalive().is_some();
    let waits = head.headers.contains_key(EXPECT) && head.version >= Version::HTTP_11;
    // Who has begun was told to.
    if waits && first.is_none() {
        downstream.write_continue_response().await.map_err(Error::into_down)?;
    }
    let (mut body, mut first) = (Vec::new(), first);
    loop {
        let piece = match first.take() {
            Some(piece) => Some(piece),
            None => body::next(session, x).await?,
        };
        let Some(piece) = piece else { break };
        body.extend_from_slice(&piece);
        x.bytes_in = body.len() as u64;
        if x.bytes_in > limit {
            return Err(cause::raise_of_body(x, Rejection::BodyTooLarge));
        }
        if body.len() > MOST_BODY
            && let Err(rejection) = intake::too_large(x)
        {
            return Err(cause::raise_of_body(x, rejection));
        }
    }
    if is_kept {
        // An interim answer (100) before the end of the body is no reason to give the connection up.
        session.as_downstream_mut().set_keepalive(KEPT);
    }
    Ok(body)
}

/// Another try begins the body anew.
pub(super) fn restart(x: &mut Exchange) {
    if let Reading::Passing(tap) = &mut x.reading {
        tap.body.clear();
    }
}

/// The client was told to go on already, and has.
pub(super) fn send_on(x: &Exchange, head: &mut RequestHeader) {
    if matches!(x.reading, Reading::Whole) {
        head.remove_header(&EXPECT);
    }
}

/// Looks at a piece of a body in passing.
pub(super) fn watch(x: &mut Exchange, body: Option<&Bytes>, end: bool) {
    let Reading::Passing(tap) = &mut x.reading else { return };
    tap.body.extend_from_slice(body.map_or(&[][..], |body| body));
    let is_larger = tap.body.len() > MOST_BODY;
    if !is_larger && !end {
        return;
    }
    let Reading::Passing(tap) = std::mem::take(&mut x.reading) else { return };
    // A route that observes refuses nothing.
    let _ = if is_larger {
        intake::too_large(x)
    } else {
        intake::validate_body(&tap.check, &tap.body, x)
    };
}
