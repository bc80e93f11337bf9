//! Whether a route is for whoever sends a request: for its address, and for who it proves to be.

use super::connection::is_misdirected;
use super::{Arriving, Caller, failures};
use pingora::http::RequestHeader;

use crate::auth::{BodyCheck, Denied, Presented, Sent, Settled, Wait, Written};
use crate::exchange::{Exchange, Kind, Values};
use crate::limit::Failures;
use crate::observe::metrics::Observed;
use crate::reject::Rejection;
use crate::route::Request;
use crate::snapshot::{Route, Snapshot};

/// Whether the route is for clients at this address.
pub(super) fn is_for_address(route: &Route, x: &mut Exchange) -> Result<(), Rejection> {
    let rule = route.policy.as_deref().and_then(|policy| policy.ip.as_ref());
    match rule.filter(|rule| rule.denies(x.client.address)) {
        None => Ok(()),
        Some(rule) if rule.observe => {
            // Whoever was waited for is decided about anew, and has been counted.
            if x.settled.is_empty() {
                x.observe(Observed::Ip, Rejection::IpDenied.code());
            }
            Ok(())
        }
        Some(_) => Err(Rejection::IpDenied),
    }
}

/// Who it is from, and whether that one may pass; something to wait for if that is not known yet.
pub(super) fn admit(
    route: &Route,
    arriving: &Arriving<'_>,
    request: &Request<'_>,
    failures: &Failures,
    x: &mut Exchange,
) -> Result<Option<Wait>, Rejection> {
    let admitted = match arriving.caller {
        Caller::Credentials => {
            let credential = failures::credential(failures, route, arriving, x);
            failures::hold_back(failures, credential, x)?;
            let admitted = by_credentials(arriving, request, x, |presented| {
                route.guard.admit(presented, x.time)
            });
            failures::note(failures, credential, &admitted, x);
            admitted
        }
        Caller::TakenFor { consumer, claims } => route.guard.admit_as(consumer, claims, x.time),
    };
    match admitted {
        Ok(permit) => {
            x.consumer = permit.consumer().cloned();
            if let Some(observed) = permit.observed() {
                x.observe(Observed::Allow, observed);
            }
            x.signed = permit.body().cloned().map(|body| Box::new(BodyCheck::new(body)));
            x.permit = Some(permit);
            Ok(None)
        }
        Err(Denied::Undecided(wait)) => Ok(Some(wait)),
        Err(denied) => {
            x.detail = Some(denied.reason());
            x.consumer = denied.consumer().cloned();
            Err(match denied {
                Denied::Unauthorized { .. } if is_misdirected(route, arriving, request.host) => {
                    Rejection::Misdirected
                }
                Denied::Unauthorized { .. } => {
                    Rejection::Unauthorized { challenge: route.guard.challenge(&denied) }
                }
                Denied::Forbidden { .. } => Rejection::Forbidden,
                Denied::Unavailable { .. } | Denied::Undecided(_) => Rejection::AuthUnavailable,
            })
        }
    }
}

/// What the client wrote, or a trusted proxy says that it did.
struct AsWritten<'a> {
    head: &'a RequestHeader,
    values: Values<'a>,
}

impl Written for AsWritten<'_> {
    fn authority(&self) -> &str {
        self.values.host()
    }

    fn target(&self) -> &[u8] {
        self.head.raw_path()
    }

    fn scheme(&self) -> &'static str {
        self.values.scheme()
    }
}

/// Asks who sent a request, by what it shows of that.
fn by_credentials<T>(
    arriving: &Arriving<'_>,
    request: &Request<'_>,
    x: &Exchange,
    ask: impl FnOnce(&Presented<'_>) -> T,
) -> T {
    let head = arriving.head;
    let sent = Sent {
        method: request.method,
        host: request.host,
        path: request.target.path(),
        query: request.target.query(),
        client: x.client.address,
        written: &AsWritten { head, values: x.fill(&head.headers) },
    };
    ask(&Presented {
        headers: &head.headers,
        certificate: x.certificate.as_deref(),
        request: Some(sent),
        settled: &x.settled,
    })
}

/// What is known of who sent it, where nobody has to say so and the answer depends on it.
pub(super) fn judge(
    snapshot: &Snapshot,
    arriving: &Arriving<'_>,
    request: &Request<'_>,
    x: &mut Exchange,
) -> Result<Result<Vec<Settled>, Wait>, Rejection> {
    if matches!(arriving.caller, Caller::TakenFor { .. }) {
        return Ok(Ok(Vec::new()));
    }
    let (failures, auth) = (&snapshot.limiter.failures, &snapshot.auth);
    let is_real = x.kind == Kind::Real;
    let credential =
        is_real.then(|| failures::any_credential(failures, auth, arriving, x)).flatten();
    failures::hold_back(failures, credential, x)?;
    let judged = by_credentials(arriving, request, x, |presented| auth.judge(presented, x.time));
    if let Ok(judged) = &judged {
        failures::note_any(failures, credential, judged, x);
    }
    Ok(judged)
}
