//! A call of gRPC-Web in the phases; see [`crate::grpc_web`]. All other requests pay for looking whether they are one.

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;

use super::{cause, head};
use crate::exchange::Exchange;
use crate::reject::Rejection;

/// Another try begins the body anew.
pub(super) fn restart(x: &mut Exchange) {
    if let Some(bridge) = &mut x.grpc_web {
        bridge.restart();
    }
}

/// Makes a piece of the request one of gRPC.
pub(super) fn request_body(x: &mut Exchange, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    match x.grpc_web.as_mut().map(|bridge| bridge.body(body, end)) {
        Some(Err(_)) => Err(cause::raise_of_body(
            x,
            Rejection::BadRequest("The body is not the base64 that its Content-Type says it is."),
        )),
        _ => Ok(()),
    }
}

/// Makes the head of an answer one of gRPC-Web.
pub(super) fn answer(x: &mut Exchange, head: &mut ResponseHeader) {
    if let Some(bridge) = &mut x.grpc_web {
        head::change(head, |headers, _, _| bridge.answer(headers));
    }
}

/// Makes a piece of an answer one of gRPC-Web.
pub(super) fn answer_body(x: &Exchange, body: &mut Option<Bytes>) {
    if let Some(bridge) = &x.grpc_web {
        bridge.piece(body);
    }
}
