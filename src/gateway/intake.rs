//! Between Pingora's session and the decisions, which know none: [`intake`] and [`crate::upstream`].

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use pingora::proxy::Session;

use super::{Gateway, caps};
use crate::auth::Wait;
use crate::exchange::Exchange;
use crate::intake::{self, Arriving, Caller, Decision};
use crate::listen::Facts;
use crate::portal::Ask;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::snapshot::Route;
use crate::upstream::{Failure, FailureKind};

/// An answer of the gateway's own.
pub(super) enum Own {
    /// It is there.
    Ready(Reply),
    /// The portal makes it.
    Portal(Box<Ask>),
    /// None yet: it is not known who asks.
    Wait(Wait),
}

/// So often who sends a request may have to be waited for: once for each way to prove it.
const MOST_WAITS: usize = 8;

impl Gateway {
    /// Decides everything about a request that its head allows. `None`: it is to be forwarded.
    pub(super) fn take_in(
        &self,
        session: &Session,
        x: &mut Exchange,
    ) -> Result<Option<Own>, Rejection> {
        let inet = |address: Option<&pingora::protocols::l4::socket::SocketAddr>| {
            address.and_then(|a| a.as_inet()).copied()
        };
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let arriving = Arriving {
            head: session.req_header(),
            peer: inet(session.client_addr()).unwrap_or(nobody),
            local_port: inet(session.server_addr()).map_or(0, |local| local.port()),
            facts: Facts::of(session.digest()),
            caller: Caller::Credentials,
        };
        Ok(match intake::take_in(&self.live.now(), &arriving, x)? {
            Decision::Forward => {
                if let Some(crowd) = Facts::crowd(session.digest()) {
                    let room = crowd.room(intake::size(session.req_header()));
                    x.room = Some(room.ok_or(Rejection::HeaderTooLarge)?);
                }
                None
            }
            Decision::Answer(reply) => Some(Own::Ready(reply)),
            Decision::Health => Some(Own::Ready(intake::health(*self.shutdown.borrow()))),
            Decision::Portal(ask) => Some(Own::Portal(ask)),
            Decision::Wait(wait) => Some(Own::Wait(wait)),
        })
    }

    /// Waits until it is known who asks, and decides all anew, so that what holds is one configuration.
    pub(super) async fn settle(
        &self,
        session: &Session,
        x: &mut Exchange,
        wait: Wait,
    ) -> Result<Option<Own>, Rejection> {
        let mut wait = wait;
        while x.settled.len() < MOST_WAITS {
            x.settled.push(wait.settle().await);
            x.leave();
            match self.take_in(session, x)? {
                Some(Own::Wait(next)) => wait = next,
                own => return Ok(own),
            }
        }
        Err(Rejection::AuthUnavailable)
    }
}

/// Picks the target of the next try.
pub(super) fn choose(session: &Session, x: &mut Exchange) -> Result<(), Rejection> {
    let now = Instant::now();
    if x.is_overdue(now) {
        return Err(Rejection::DeadlineExceeded);
    }
    let Some(upstream) = x.route.as_deref().and_then(Route::upstream) else {
        return Err(Rejection::Internal);
    };
    let mut address = String::new();
    let key = intake::hash_key(upstream, &session.req_header().headers, x, &mut address);
    match upstream.attempt(key, &x.tried, now) {
        Ok(attempt) => {
            x.attempt = Some(attempt);
            Ok(())
        }
        Err(unavailable) if unavailable.full => Err(caps::no_place(x)),
        Err(unavailable) => {
            Err(Rejection::NoHealthyTarget { retry_after: unavailable.retry_after })
        }
    }
}

/// Whether a failed try is followed by another.
pub(super) fn tries_again(
    session: &Session,
    x: &Exchange,
    kind: FailureKind,
    now: Instant,
) -> bool {
    let Some(upstream) = x.route.as_deref().and_then(Route::upstream) else { return false };
    upstream.retry().decide(&Failure {
        kind,
        method: &x.line.method,
        tries_so_far: u32::from(x.tries),
        unsent_so_far: u32::from(x.unsent),
        untried_left: kind == FailureKind::NotSent && upstream.has_untried(&x.tried),
        body_replayable: !session.as_downstream().retry_buffer_truncated(),
        response_started: has_begun(session),
        remaining: x.remaining(now),
    })
}

/// Whether the client has been sent a final status, so that there can be no other.
pub(super) fn has_begun(session: &Session) -> bool {
    session
        .response_written()
        .is_some_and(|head| !head.status.is_informational() || head.status == 101)
}
