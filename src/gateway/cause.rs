//! From Pingora's errors to causes of ours.

use pingora::{Error, ErrorSource, ErrorType};

use crate::exchange::Exchange;
use crate::intake::FORWARDED_METHODS;
use crate::listen::{Flaw, Verdict};
use crate::reject::Rejection;
use crate::upstream::Outcome;
use std::time::{Duration, Instant};

/// When a client should come back after a connection that could not be made.
const SOON: Duration = Duration::from_secs(1);

/// Ends a phase with a cause of our own; `fail_to_proxy` answers with it.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(super) fn raise(x: &mut Exchange, rejection: Rejection) -> Box<Error> {
    let code = rejection.code();
    x.rejection = Some(rejection);
    Error::explain(ErrorType::Custom(code), code)
}

/// The same for what is wrong with the request's body. It is said to be the client's: towards an upstream over HTTP/2,
/// Pingora takes any other error here for one of sending, and waits for the answer all the same.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(super) fn raise_of_body(x: &mut Exchange, rejection: Rejection) -> Box<Error> {
    raise(x, rejection).into_down()
}

/// A state that the order of the phases rules out.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(super) fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}

/// Whether the upstream is to blame for it, and not the client or this program.
pub(super) fn is_upstreams(error: &Error) -> bool {
    *error.esource() == ErrorSource::Upstream
}

/// Whether it looks like a pooled connection that the other side had closed before we used it.
pub(super) fn is_stale_connection(error: &Error) -> bool {
    use ErrorType::{ConnectionClosed, ReadError, WriteError};
    matches!(error.etype(), ConnectionClosed | ReadError | WriteError)
}

/// Whether an upstream that was to say something did not in time.
pub(super) fn is_read_timeout(error: &Error) -> bool {
    is_upstreams(error)
        && match error.etype() {
            ErrorType::ReadTimedout => true,
            // What the socket of a WebSocket says before the switch.
            ErrorType::ReadError => is_timed_out(error),
            _ => false,
        }
}

/// Pingora's timers tick every 10 ms, and may be early by one.
const TICK: Duration = Duration::from_millis(10);

/// Whether a timeout ran out because the time for the whole request did. Whoever had less time than it may take
/// is not judged by that.
pub(super) fn is_deadline(error: &Error, x: &Exchange, now: Instant) -> bool {
    is_timeout(error) && x.is_overdue(now + TICK)
}

/// Whether a timeout of ours ran out.
fn is_timeout(error: &Error) -> bool {
    use ErrorType::{ConnectTimedout, ReadTimedout, TLSHandshakeTimedout, WriteTimedout};
    matches!(error.etype(), ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout)
        || is_read_timeout(error)
}

/// What is wrong with the client's bytes or pace, if that is why the session failed.
pub(super) fn flaw(error: &Error) -> Option<Flaw> {
    Flaw::of(error.root_cause().downcast_ref()?)
}

/// The cause that a flaw of the client's stands for.
pub(super) fn of_flaw(flaw: Flaw) -> Rejection {
    match flaw.verdict() {
        Verdict::Malformed => Rejection::BadRequest(flaw.detail()),
        Verdict::Tunnel => Rejection::MethodNotAllowed { allow: FORWARDED_METHODS },
        Verdict::TooSlow => Rejection::RequestTimeout,
        Verdict::TargetTooLong => Rejection::UriTooLong,
        Verdict::TooLarge => Rejection::HeaderTooLarge,
        Verdict::UnknownCoding => Rejection::UnsupportedCoding,
        Verdict::UnknownVersion => Rejection::UnsupportedVersion,
        Verdict::Close => Rejection::ClientClosed,
    }
}

fn is_timed_out(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

/// Whether the client left, or stopped, while it was to send the rest of its request. After the answer that is
/// no failure: who has been refused need not go on.
pub(super) fn is_unsent_rest(error: &Error) -> bool {
    use ErrorType::{ConnectionClosed, ReadError, ReadTimedout};
    *error.esource() == ErrorSource::Downstream
        && matches!(error.etype(), ConnectionClosed | ReadError | ReadTimedout)
}

/// Whether the client took nothing of its answer for as long as it may.
pub(super) fn is_untaken(error: &Error) -> bool {
    *error.esource() == ErrorSource::Downstream && *error.etype() == ErrorType::WriteTimedout
}

/// What became of the try that ended with this error of the upstream's.
pub(super) fn outcome(error: &Error) -> Outcome {
    use ErrorType as E;
    match error.etype() {
        E::ConnectTimedout => Outcome::ConnectTimeout,
        _ if is_read_timeout(error) => Outcome::ReadTimeout,
        E::WriteTimedout => Outcome::WriteTimeout,
        E::TLSHandshakeFailure | E::TLSHandshakeTimedout | E::InvalidCert | E::HandshakeError => {
            Outcome::Tls
        }
        E::ConnectRefused
        | E::ConnectNoRoute
        | E::ConnectError
        | E::BindError
        | E::SocketError
        | E::ConnectProxyFailure => Outcome::Connect,
        _ => Outcome::Broken,
    }
}

/// The cause that an error stands for.
pub(super) fn of(error: &Error, x: &Exchange) -> Rejection {
    match error.esource() {
        ErrorSource::Upstream => of_upstream(error, x),
        ErrorSource::Downstream => flaw(error).map_or_else(|| of_client(error.etype()), of_flaw),
        ErrorSource::Internal | ErrorSource::Unset => Rejection::Internal,
    }
}

fn of_upstream(error: &Error, x: &Exchange) -> Rejection {
    use ErrorType as E;
    match error.etype() {
        _ if is_deadline(error, x, Instant::now()) => Rejection::DeadlineExceeded,
        _ if is_timeout(error) => Rejection::UpstreamTimeout,
        E::ConnectRefused
        | E::ConnectNoRoute
        | E::ConnectError
        | E::BindError
        | E::SocketError
        | E::ConnectProxyFailure => Rejection::UpstreamUnreachable { retry_after: SOON },
        _ => Rejection::UpstreamBroken,
    }
}

fn of_client(kind: &ErrorType) -> Rejection {
    use ErrorType as E;
    match kind {
        E::ReadTimedout => Rejection::RequestTimeout,
        E::ConnectionClosed | E::ReadError | E::WriteError | E::WriteTimedout => {
            Rejection::ClientClosed
        }
        _ => Rejection::BadRequest("The request is not well formed."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_a_slow_and_a_broken_answer_are_told_apart() {
        let x = Exchange::begin();
        for (kind, code) in [
            (ErrorType::ConnectRefused, "upstream_unreachable"),
            (ErrorType::ConnectTimedout, "upstream_timeout"),
            (ErrorType::ReadTimedout, "upstream_timeout"),
            (ErrorType::ConnectionClosed, "upstream_broken"),
            (ErrorType::InvalidHTTPHeader, "upstream_broken"),
            (ErrorType::TLSHandshakeFailure, "upstream_broken"),
            (ErrorType::InvalidCert, "upstream_broken"),
        ] {
            let error = Error::new(kind.clone()).into_up();
            assert_eq!(of(&error, &x).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn a_failed_try_is_counted_under_its_reason() {
        for (kind, reason) in [
            (ErrorType::ConnectRefused, "connect"),
            (ErrorType::ConnectTimedout, "connect_timeout"),
            (ErrorType::TLSHandshakeTimedout, "tls"),
            (ErrorType::InvalidCert, "tls"),
            (ErrorType::WriteTimedout, "write_timeout"),
            (ErrorType::ReadTimedout, "read_timeout"),
            (ErrorType::ConnectionClosed, "broken"),
            (ErrorType::InvalidHTTPHeader, "broken"),
        ] {
            let error = Error::new(kind.clone()).into_up();
            assert_eq!(outcome(&error).reason(), Some(reason), "{kind:?}");
        }
    }

    #[test]
    fn a_client_that_left_is_no_fault_of_anybody() {
        let x = Exchange::begin();
        let gone = Error::new(ErrorType::ConnectionClosed).into_down();
        assert_eq!(of(&gone, &x).code(), "client_closed");
        let slow = Error::new(ErrorType::ReadTimedout).into_down();
        assert_eq!(of(&slow, &x).code(), "request_timeout");
    }
}
