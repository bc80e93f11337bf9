//! How often: a request that was let in is counted, and perhaps held up or refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::limit::quota::{Left, Verdict};
use crate::limit::{Decision, Outcome, Standing, Subject, Unavailable, Waiting};
use crate::reject::Rejection;
use crate::snapshot::Route;

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

/// What became of it.
type Asked = Result<Option<Delay>, Rejection>;

/// Whether a request is held to limits that are kept where one has to wait for the answer.
pub(super) fn are_shared(x: &Exchange) -> bool {
    let limits = x.route.as_ref().and_then(|route| route.limits.as_ref());
    let Some(limits) = limits.filter(|limits| limits.are_shared()) else { return false };
    let consumer = x.consumer.as_deref();
    let has_quota =
        || limits.quotas().zip(consumer).is_some_and(|(all, who)| all.of(who).is_some());
    limits.rules(consumer, &x.line.method).next().is_some() || has_quota()
}

/// Counts a request at its route's limits. A preflight was answered at the gate, and has no permit.
pub(super) fn ask(session: &Session, x: &mut Exchange) -> Asked {
    let (Some(route), Some(_)) = (&x.route, &x.permit) else { return Ok(None) };
    let Some(limits) = &route.limits else { return Ok(None) };
    let now = Instant::now();
    let headers = &session.req_header().headers;
    let decision = limits.take(&subject(x, route, headers), now, x.remaining(now));
    let delay = apply(x, decision)?;
    // What a rate refuses uses nothing of what was bought.
    let quotas = x.route.as_ref().and_then(|route| route.limits.as_ref()?.quotas());
    let taken = quotas.zip(x.consumer.as_deref());
    let taken = taken.and_then(|(quotas, who)| quotas.take(who, x.time));
    use_up(x, taken)?;
    Ok(delay)
}

/// The same where they are kept in the store, which this worker asks.
pub(super) async fn ask_store(worker: usize, session: &Session, x: &mut Exchange) -> Asked {
    let (Some(route), Some(_)) = (x.route.clone(), &x.permit) else { return Ok(None) };
    let Some(limits) = &route.limits else { return Ok(None) };
    let now = Instant::now();
    let asking = {
        let headers = &session.req_header().headers;
        limits.question(&subject(x, &route, headers), now, x.remaining(now))
    };
    let unavailable = |Unavailable| Rejection::LimitUnavailable;
    let delay = apply(x, asking.in_store(worker).await.map_err(unavailable)?)?;
    if let Some((quotas, who)) = limits.quotas().zip(x.consumer.clone()) {
        let taken = quotas.take_shared(worker, &who, x.time).await.map_err(unavailable)?;
        use_up(x, taken)?;
    }
    Ok(delay)
}

fn subject<'a>(x: &'a Exchange, route: &'a Route, headers: &'a HeaderMap) -> Subject<'a> {
    Subject {
        consumer: x.consumer.as_deref(),
        claims: x.claims(),
        address: x.client.address,
        headers,
        method: &x.line.method,
        route: &route.name,
    }
}

fn apply(x: &mut Exchange, decision: Decision) -> Asked {
    x.standing = decision.standing;
    x.limit = decision.rule.map(|rule| Arc::clone(rule.name()));
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

/// Notes what a quota said of a request.
fn use_up(x: &mut Exchange, taken: Option<(Verdict, Left)>) -> Result<(), Rejection> {
    let Some((verdict, left)) = taken else { return Ok(()) };
    let refusal = |retry_after| Rejection::QuotaExceeded { retry_after };
    if verdict != Verdict::Pass {
        x.limit = Some(left.place());
    }
    let rate_left = x.standing.as_ref().map_or(u64::MAX, Standing::amount);
    x.quota = Some(left).filter(|left| left.amount() <= rate_left);
    match verdict {
        Verdict::Pass => {}
        Verdict::Observed => {
            x.observed.get_or_insert(refusal(Duration::ZERO).code());
        }
        Verdict::Refuse(retry_after) => return Err(refusal(retry_after)),
    }
    Ok(())
}
