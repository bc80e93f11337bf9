//! Whether a route is for whoever sends a request: for its address, and for who it proves to be.

use super::connection::is_misdirected;
use super::{Arriving, Caller, failures};
use crate::auth::{Denied, Presented, Sent, Wait};
use crate::exchange::Exchange;
use crate::limit::Failures;
use crate::observe::metrics::Observed;
use crate::reject::Rejection;
use crate::snapshot::Route;

/// Whether the route is for clients at this address.
pub(super) fn is_for_address(route: &Route, x: &mut Exchange) -> Result<(), Rejection> {
    let rule = route.policy.as_deref().and_then(|policy| policy.ip.as_ref());
    match rule.filter(|rule| rule.denies(x.client.address)) {
        None => Ok(()),
        Some(rule) if rule.observe => {
            x.observe(Observed::Ip, Rejection::IpDenied.code());
            Ok(())
        }
        Some(_) => Err(Rejection::IpDenied),
    }
}

/// Who it is from, and whether that one may pass; something to wait for if that is not known yet.
pub(super) fn admit(
    route: &Route,
    arriving: &Arriving<'_>,
    host: &str,
    failures: &Failures,
    x: &mut Exchange,
) -> Result<Option<Wait>, Rejection> {
    let head = arriving.head;
    let admitted = match arriving.caller {
        Caller::Credentials => {
            let credential = failures::credential(failures, route, arriving, x);
            failures::hold_back(failures, credential, x)?;
            let sent = Sent {
                method: &head.method,
                host,
                target: head.raw_path(),
                secure: x.client.tls.is_some(),
                client: x.client.address,
            };
            let certificate = x.certificate.as_deref();
            let (headers, request, settled) = (&head.headers, Some(sent), &*x.settled);
            let presented = Presented { headers, certificate, request, settled };
            let admitted = route.guard.admit(&presented, x.time);
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
            x.permit = Some(permit);
            Ok(None)
        }
        Err(Denied::Undecided(wait)) => Ok(Some(wait)),
        Err(denied) => {
            x.detail = Some(denied.reason());
            x.consumer = denied.consumer().cloned();
            Err(match denied {
                Denied::Unauthorized { .. } if is_misdirected(route, arriving, host) => {
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
