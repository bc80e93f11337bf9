//! From a socket that was accepted to a connection from which requests can be read.
//!
//! In this order: the PROXY header, if the listener asks for one; the client's place among its connections;
//! the TLS handshake, or else a look at which version of HTTP it is. Each has its deadline, so that nobody
//! holds a connection by saying nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::caps::Place;
use super::conn::Arrived;
use super::door::{House, Visit};
use super::facts::Facts;
use super::http1::Flaw;
use super::preface::is_http2;
use super::proxy_protocol::{self, NoHeader, Said};
use super::refusal::Refusal;
use super::tls::shake_hands;
use super::transport::{Plain, Transport};

/// How long the PROXY header may take; a proxy sends it at once.
const PROXY_HEADER: Duration = Duration::from_secs(5);

/// A connection that has arrived.
pub(super) struct Done {
    pub conn: Arrived,
    /// With TLS: whether an earlier session was resumed.
    pub resumed: Option<bool>,
}

/// Why a connection has not.
#[derive(Debug)]
pub(super) enum NotArrived {
    /// The client left before it said anything.
    Gone(io::Error),
    /// It said nothing in time, which is counted already.
    Silent,
    /// It is not served.
    Refused(Refusal, String),
}

impl From<io::Error> for NotArrived {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl From<Refusal> for NotArrived {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, String::new())
    }
}

pub(super) async fn arrive<H: House>(
    mut stream: TcpStream,
    mut peer: SocketAddr,
    visit: Visit,
    house: &H,
    place: &mut Place,
) -> Result<Done, NotArrived> {
    let Visit { door, limits, trusted, clients } = visit;
    stream.set_nodelay(true)?;
    let mut local = stream.local_addr()?;
    let mut exempt = trusted;
    if door.proxy_protocol {
        if !trusted {
            return Err(Refusal::ProxyUntrusted.into());
        }
        if let Said::Ends(from, to) = proxy_header(&mut stream).await? {
            (peer, local) = (from, to);
            exempt = house.trusts(peer.ip());
        }
    }
    if !exempt {
        place.of_client(peer.ip(), &limits)?;
    }
    let (transport, http2, tls, resumed) = if let Some(tls) = &door.tls {
        let done = shake_hands(stream, tls).await;
        let done = done.map_err(|(refusal, why)| NotArrived::Refused(refusal, why))?;
        (Transport::Tls(done.stream), done.http2, Some(Arc::new(done.facts)), Some(done.resumed))
    } else {
        // Who holds the clock of HTTP/1 begins with what comes after.
        let Ok(told) = timeout(clients.pace.timeouts.head.get(), is_http2(&mut stream)).await
        else {
            clients.refusals.note(Flaw::Silent);
            return Err(NotArrived::Silent);
        };
        let (http2, heard) = told?;
        (Transport::Plain(Plain::new(stream, heard)), http2, None, None)
    };
    let facts = Facts { door, tls };
    Ok(Done { conn: Arrived { transport, peer, local, http2, facts, clients }, resumed })
}

async fn proxy_header(stream: &mut TcpStream) -> Result<Said, NotArrived> {
    match timeout(PROXY_HEADER, proxy_protocol::read(stream)).await {
        Err(_) => Err(Refusal::ProxyTimeout.into()),
        Ok(Ok(said)) => Ok(said),
        Ok(Err(NoHeader::Closed(error))) => Err(error.into()),
        Ok(Err(NoHeader::Malformed(malformed))) => {
            Err(NotArrived::Refused(Refusal::ProxyMalformed, malformed.to_string()))
        }
    }
}
