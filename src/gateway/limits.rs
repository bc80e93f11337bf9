//! How often: a request that was let in is counted, and perhaps held up or refused.

use std::time::{Duration, Instant};

use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::limit::{Outcome, Subject, Waiting};
use crate::reject::Rejection;

/// A moment that a request has to wait.
pub(super) struct Delay {
    time: Duration,
    _waiting: Waiting,
}

impl Delay {
    /// Waits.
    pub(super) async fn over(self) {
        tokio::time::sleep(self.time).await;
    }
}

/// Counts a request at its route's limits. A preflight was answered at the gate, and has no permit.
pub(super) fn ask(session: &Session, x: &mut Exchange) -> Result<Option<Delay>, Rejection> {
    let (Some(route), Some(_)) = (&x.route, &x.permit) else { return Ok(None) };
    let Some(limits) = &route.limits else { return Ok(None) };
    let decision = limits.take(
        &Subject {
            consumer: x.consumer.as_deref(),
            claims: x.claims(),
            address: x.client.address,
            headers: &session.req_header().headers,
            method: &x.line.method,
            route: &route.name,
        },
        Instant::now(),
    );
    x.standing = decision.standing;
    x.limit = decision.rule;
    let refusal = |retry_after| Rejection::RateLimited { retry_after };
    if decision.observed {
        x.observed.get_or_insert(refusal(Duration::ZERO).code());
    }
    match decision.outcome {
        Outcome::Pass => Ok(None),
        Outcome::Wait(time, waiting) => Ok(Some(Delay { time, _waiting: waiting })),
        Outcome::Refuse(retry_after) => Err(refusal(retry_after)),
    }
}
