//! How often: a request that was let in is counted, and perhaps held up or refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::limit::quota::Verdict;
use crate::limit::{Outcome, Standing, Subject, Waiting};
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
    x.limit = decision.rule.map(|rule| Arc::clone(rule.name()));
    let refusal = |retry_after| Rejection::RateLimited { retry_after };
    if decision.observed {
        x.observed.get_or_insert(refusal(Duration::ZERO).code());
    }
    let delay = match decision.outcome {
        Outcome::Pass => None,
        Outcome::Wait(time, waiting) => Some(Delay { time, _waiting: waiting }),
        Outcome::Refuse(retry_after) => return Err(refusal(retry_after)),
    };
    // What a rate refuses uses nothing of what was bought.
    let taken = limits.quotas().zip(x.consumer.as_deref());
    let Some((verdict, left)) = taken.and_then(|(quotas, who)| quotas.take(who, x.time)) else {
        return Ok(delay);
    };
    let rate_left = x.standing.as_ref().map_or(u64::MAX, Standing::amount);
    x.quota = Some(left.clone()).filter(|left| left.amount() <= rate_left);
    let refusal = |retry_after| Rejection::QuotaExceeded { retry_after };
    if verdict != Verdict::Pass {
        x.limit = Some(left.place());
    }
    match verdict {
        Verdict::Pass => {}
        Verdict::Observed => {
            x.observed.get_or_insert(refusal(Duration::ZERO).code());
        }
        Verdict::Refuse(retry_after) => return Err(refusal(retry_after)),
    }
    Ok(delay)
}
