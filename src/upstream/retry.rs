//! Whether a failed try is made again, on another target.
//!
//! Sending a request twice is only sound when the first one cannot have had an effect, or when two
//! have the same effect as one (RFC 9110, section 9.2.2). So a request of which nothing was sent is
//! always tried again, and another only with an idempotent method and before any of a final answer
//! went to the client. A body that cannot be sent whole again is never sent in part.

use std::time::Duration;

use http::Method;

/// How far a failed try had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No byte of the request was sent.
    NotSent,
    /// The target may have seen the request.
    Sent,
}

/// A try that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// How far it had come.
    pub kind: FailureKind,
    /// The request's method.
    pub method: &'a Method,
    /// How many tries were made, this one included.
    pub tries_so_far: u32,
    /// How many of them got no connection, so that nothing was sent.
    pub unsent_so_far: u32,
    /// Whether a usable target is left that was not tried.
    pub untried_left: bool,
    /// Whether the request's body, if any, can be sent whole again.
    pub body_replayable: bool,
    /// Whether a final status was already written to the client.
    pub response_started: bool,
    /// What is left of the request's total time; `None` means no limit.
    pub remaining: Option<Duration>,
}

/// So many targets that cannot be connected to end the search for one that can, whatever `max` says.
const MAX_UNSENT: u32 = 5;

/// An upstream's rule for trying again. `max` counts the tries that may have been seen; what could not be
/// sent at all goes on to targets that were not tried yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first.
    pub max: u32,
}

impl Retry {
    /// Whether to try again.
    #[must_use]
    pub fn decide(self, failure: &Failure<'_>) -> bool {
        let (harmless, sent) = match failure.kind {
            FailureKind::NotSent => (true, failure.tries_so_far),
            FailureKind::Sent => {
                let sent = failure.tries_so_far.saturating_sub(failure.unsent_so_far);
                (is_idempotent(failure.method), sent)
            }
        };
        // Where nothing was sent, a target that was not asked yet costs nothing but time.
        let goes_on = failure.kind == FailureKind::NotSent
            && self.max > 0
            && failure.untried_left
            && failure.unsent_so_far < MAX_UNSENT;
        harmless
            && failure.body_replayable
            && !failure.response_started
            && (sent <= self.max || goes_on)
            && failure.remaining.is_none_or(|left| !left.is_zero())
    }
}

/// RFC 9110, section 9.2.2: PUT, DELETE and the safe methods. Unknown methods are not.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_retries() {
        use FailureKind::{NotSent, Sent};
        let second = Some(Duration::from_secs(1));
        let (get, put, post) = (&Method::GET, &Method::PUT, &Method::POST);
        let patch = &Method::PATCH;
        let other = &Method::from_bytes(b"PURGE").expect("a method");
        for (again, kind, method, tries_so_far, body_replayable, response_started, remaining) in [
            (true, NotSent, get, 1, true, false, None),
            (true, NotSent, post, 1, true, false, second),
            (true, NotSent, post, 2, true, false, second),
            (true, Sent, get, 1, true, false, second),
            (true, Sent, put, 2, true, false, second),
            (false, Sent, post, 1, true, false, second),
            (false, Sent, patch, 1, true, false, second),
            (false, Sent, other, 1, true, false, second),
            (false, Sent, get, 3, true, false, second),
            (false, NotSent, get, 3, true, false, second),
            (false, Sent, get, 1, true, true, second),
            (false, NotSent, get, 1, true, true, second),
            (false, Sent, put, 1, false, false, second),
            (false, NotSent, post, 1, false, false, second),
            (false, Sent, get, 1, true, false, Some(Duration::ZERO)),
        ] {
            let failure = Failure {
                kind,
                method,
                tries_so_far,
                unsent_so_far: 0,
                untried_left: false,
                body_replayable,
                response_started,
                remaining,
            };
            assert_eq!(Retry { max: 2 }.decide(&failure), again, "{failure:?}");
            assert!(!Retry { max: 0 }.decide(&failure), "{failure:?}");
        }
    }

    #[test]
    fn what_could_not_be_sent_goes_on_to_targets_that_were_not_tried() {
        use FailureKind::{NotSent, Sent};
        for (again, kind, tries_so_far, unsent_so_far, untried_left) in [
            (true, NotSent, 2, 2, true),
            (true, NotSent, 4, 4, true),
            (false, NotSent, 5, 5, true),
            (false, NotSent, 2, 2, false),
            (true, Sent, 3, 2, true),
            (true, Sent, 3, 2, false),
            (false, Sent, 4, 2, true),
        ] {
            let failure = Failure {
                kind,
                method: &Method::GET,
                tries_so_far,
                unsent_so_far,
                untried_left,
                body_replayable: true,
                response_started: false,
                remaining: None,
            };
            assert_eq!(Retry { max: 1 }.decide(&failure), again, "{failure:?}");
            assert!(!Retry { max: 0 }.decide(&failure), "{failure:?}");
        }
    }
}
