//! How many at once: a request that was let in takes its places, and perhaps waits for one or is turned away.

use std::sync::Arc;
use std::time::Instant;

use pingora::prelude::Result;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use super::{answer, cause};
use crate::concurrency::{Answer, Gate, Rank, Said, Seat, Seats, Waiter};
use crate::exchange::Exchange;
use crate::reject::Rejection;
use crate::snapshot::Route;

/// What a gate's word comes to.
enum Place {
    Taken(Seat),
    Wait(Waiter),
}

/// Takes the places of a request's consumer and route; what it has to wait for. A preflight was answered at the gate,
/// and has no permit.
pub(super) fn of_route(x: &mut Exchange) -> Result<Option<Waiter>, Rejection> {
    let is_bounded = |route: &&Arc<Route>| route.caps.is_some();
    let route = x.route.as_ref().filter(|_| x.permit.is_some()).filter(is_bounded);
    let Some(route) = route.map(Arc::clone) else { return Ok(None) };
    let Some(caps) = &route.caps else { return Ok(None) };
    x.seats.own = caps.seat(x.consumer.as_deref()).map_err(|place| {
        x.cap = Some(place);
        Rejection::TooManyAtOnce
    })?;
    let Some(gate) = caps.gate() else { return Ok(None) };
    match enter(gate, caps.rank(x.consumer.as_deref()), x)? {
        Place::Taken(seat) => x.seats.route = Some(seat),
        Place::Wait(waiter) => return Ok(Some(waiter)),
    }
    Ok(None)
}

/// Takes its place at the upstream, one for all its tries.
pub(super) fn of_upstream(x: &mut Exchange) -> Result<Option<Waiter>, Rejection> {
    let is_bounded =
        |route: &&Arc<Route>| route.upstream().is_some_and(|up| up.known_gate().is_some());
    let Some(route) = x.route.as_ref().filter(is_bounded).map(Arc::clone) else { return Ok(None) };
    let (Some(caps), Some(upstream)) = (&route.caps, route.upstream()) else { return Ok(None) };
    let Some(gate) = upstream.gate(Instant::now) else { return Ok(None) };
    match enter(gate, caps.rank(x.consumer.as_deref()), x)? {
        Place::Taken(seat) => x.seats.upstream = Some(seat),
        Place::Wait(waiter) => return Ok(Some(waiter)),
    }
    Ok(None)
}

fn enter(gate: &Gate, rank: Rank, x: &mut Exchange) -> Result<Place, Rejection> {
    match gate.enter(rank) {
        Answer::In(seat) => Ok(Place::Taken(seat)),
        Answer::Over(seat) => {
            x.observed.get_or_insert(overloaded(rank).code());
            x.cap = Some(Arc::clone(gate.place()));
            Ok(Place::Taken(seat))
        }
        Answer::Wait(waiter) => {
            // Where it is, should it wait in vain.
            x.cap = Some(Arc::clone(gate.place()));
            Ok(Place::Wait(waiter))
        }
        Answer::Shed => {
            x.cap = Some(Arc::clone(gate.place()));
            Err(overloaded(rank))
        }
    }
}

fn overloaded(rank: Rank) -> Rejection {
    Rejection::Overloaded { retry_after: rank.priority.retry_after() }
}

/// Waits for a place, as long as the client does.
pub(super) async fn wait(
    session: &mut Session,
    x: &mut Exchange,
    mut waiter: Waiter,
) -> Result<Seat, Rejection> {
    let rank = waiter.rank();
    if let Some(remaining) = x.remaining(Instant::now()) {
        waiter.within(remaining);
    }
    tokio::select! {
        seat = waiter.turn() => {
            let seat = seat.ok_or_else(|| overloaded(rank))?;
            // It was let in after all.
            x.cap = None;
            Ok(seat)
        }
        () = gone(session) => Err(Rejection::ClientClosed),
    }
}

/// Ends when the client has left. Of one that still has to send a body that cannot be seen: it is in the way.
async fn gone(session: &mut Session) {
    let downstream = session.as_downstream_mut();
    let is_seen = match downstream {
        ServerSession::H1(http1) => http1.is_body_done(),
        ServerSession::H2(_) => true,
        _ => false,
    };
    if is_seen {
        // Nothing is read but what ends the wait; the first byte of a next request is kept for it.
        while let Ok(_nothing) = downstream.read_body_or_idle(true).await {}
    } else {
        std::future::pending::<()>().await;
    }
}

/// All targets have as many requests under way as they may, although there was a place: some of them are out.
pub(super) fn no_place(x: &mut Exchange) -> Rejection {
    let Some(route) = x.route.clone() else { return Rejection::Internal };
    let Some(caps) = &route.caps else { return Rejection::Internal };
    let rank = caps.rank(x.consumer.as_deref());
    if let Some(gate) = route.upstream().and_then(|upstream| upstream.known_gate()) {
        gate.note(rank.priority, Said::Shed);
        x.cap = Some(Arc::clone(gate.place()));
    }
    overloaded(rank)
}

/// Answers a request that is not let in, for which it needs no place.
pub(super) async fn turn_away(
    session: &mut Session,
    x: &mut Exchange,
    rejection: Rejection,
) -> Result<()> {
    x.seats = Seats::default();
    if rejection == Rejection::ClientClosed {
        return Err(cause::raise(x, rejection));
    }
    answer::refuse(session, x, &rejection).await
}
