//! The body of a request, where it is read before it is sent on; Pingora keeps what was read, and sends that first.

use std::time::Instant;

use bytes::Bytes;
use http::Version;
use http::header::EXPECT;
use pingora::prelude::{Error, Result};
use pingora::proxy::Session;

use super::cause;
use crate::exchange::Exchange;
use crate::reject::Rejection;

/// The next piece of a body; none if it has ended. A listener's deadlines do not hold for single streams of HTTP/2. Nor is
/// anybody waited for here for longer than the target would wait, were the body sent on as it comes.
pub(super) async fn next(session: &mut Session, x: &mut Exchange) -> Result<Option<Bytes>> {
    let upstream = x.route.as_ref().and_then(|route| route.upstream());
    let silence = upstream.map(|upstream| upstream.read_timeout());
    let left = silence.into_iter().chain(x.remaining(Instant::now())).min();
    let next = session.as_downstream_mut().read_request_body();
    let next = match left {
        None => next.await,
        Some(left) => match pingora_timeout::timeout(left, next).await {
            Ok(next) => next,
            Err(_) => return Err(cause::raise_of_body(x, Rejection::RequestTimeout)),
        },
    };
    next.map_err(Error::into_down)
}

/// The first piece of a body that shows whether there is one, where HTTP/2 says that late.
pub(super) async fn first(session: &mut Session, x: &mut Exchange) -> Result<Option<Bytes>> {
    let downstream = session.as_downstream_mut();
    if downstream.req_header().version != Version::HTTP_2 || downstream.is_body_done() {
        return Ok(None);
    }
    downstream.enable_retry_buffering();
    if downstream.req_header().headers.contains_key(EXPECT) {
        downstream.write_continue_response().await.map_err(Error::into_down)?;
    }
    loop {
        match next(session, x).await? {
            Some(piece) if piece.is_empty() => {}
            piece => return Ok(piece),
        }
    }
}
