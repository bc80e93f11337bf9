//! Before a credential is looked up: how many of its address were refused lately. Questions are not counted.

use super::Arriving;
use crate::auth::{Auth, Denied, Permit, Reason, Settled};
use crate::exchange::{Exchange, Kind};
use crate::limit::{Credential, Failures};
use crate::listen::ClientCertificate;
use crate::reject::Rejection;
use crate::snapshot::Route;

/// The word for it in the log, beside `rate_limited`.
const TOO_MANY: &str = "failed_credentials";

/// What a request from the network presents; none if it presents nothing, or nobody asks.
pub(super) fn credential(
    failures: &Failures,
    route: &Route,
    arriving: &Arriving<'_>,
    x: &Exchange,
) -> Option<Credential> {
    if x.kind == Kind::Asked || route.guard.is_open() {
        return None;
    }
    let certificate = x.certificate.as_deref().filter(|_| route.guard.asks_for_certificate());
    let fingerprint = certificate.map(ClientCertificate::fingerprint);
    let shown = route.guard.shown(&arriving.head.headers);
    failures.credential(x.client.address, shown, fingerprint)
}

/// What a request presents to any method, where an answer depends on who asks.
pub(super) fn any_credential(
    failures: &Failures,
    auth: &Auth,
    arriving: &Arriving<'_>,
    x: &Exchange,
) -> Option<Credential> {
    let fingerprint = x.certificate.as_deref().map(ClientCertificate::fingerprint);
    failures.credential(x.client.address, auth.shown(&arriving.head.headers), fingerprint)
}

/// Notes what became of it.
pub(super) fn note_any(
    failures: &Failures,
    credential: Option<Credential>,
    judged: &[Settled],
    x: &Exchange,
) {
    let Some(credential) = credential else { return };
    let mut known = judged.iter().filter_map(Settled::is_good).peekable();
    if known.peek().is_none() {
        return;
    }
    if known.any(|good| good) {
        failures.passed(credential);
    } else {
        failures.failed(x.client.address, credential, x.started);
    }
}

/// Refuses a request whose address has had too many credentials refused.
pub(super) fn hold_back(
    failures: &Failures,
    credential: Option<Credential>,
    x: &mut Exchange,
) -> Result<(), Rejection> {
    let Some(credential) = credential else { return Ok(()) };
    match failures.wait(x.client.address, credential, x.started) {
        None => Ok(()),
        Some(retry_after) => {
            x.detail = Some(TOO_MANY);
            Err(Rejection::RateLimited { retry_after })
        }
    }
}

/// Notes what became of it.
pub(super) fn note(
    failures: &Failures,
    credential: Option<Credential>,
    admitted: &Result<Permit, Denied>,
    x: &Exchange,
) {
    let Some(credential) = credential else { return };
    match admitted {
        // Some services answer 403 to whatever is wrong. One that was good may well be, and be for something else.
        Err(denied) if denied.is_doubtful() => {
            if !failures.knows(credential) {
                failures.failed(x.client.address, credential, x.started);
            }
        }
        Ok(_) | Err(Denied::Forbidden { .. }) => failures.passed(credential),
        // What is not known yet, or can't be, says nothing of the credential.
        Err(
            Denied::Unauthorized { reason: Reason::Missing, .. }
            | Denied::Undecided(_)
            | Denied::Unavailable { .. },
        ) => {}
        Err(Denied::Unauthorized { .. }) => {
            failures.failed(x.client.address, credential, x.started);
        }
    }
}
