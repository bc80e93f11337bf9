//! What a listener asks of its clients, and who is told when they do otherwise.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::http1::Flaw;
use super::pace::Pace;

/// What holds for all connections of a listener.
#[derive(Clone)]
pub struct Clients {
    /// How long they may take.
    pub pace: Pace,
    /// The most requests on one connection.
    pub requests: Option<NonZeroU32>,
    /// Who is told of those who are refused.
    pub refusals: Arc<dyn Refusals>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// A request that did not reach the session.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// What is wrong with it.
    pub flaw: Flaw,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Its method, if its first line is clean.
    pub method: Option<&'a [u8]>,
    /// Its target, in the same case.
    pub target: Option<&'a [u8]>,
    /// Whether it is HTTP/1.0, and not HTTP/1.1, in the same case.
    pub is_http10: Option<bool>,
    /// Which page it is for, if that was read before whatever is wrong with it.
    pub origin: Option<&'a [u8]>,
    /// How long it took.
    pub took: Duration,
}

/// Told of every client that is refused below its request.
pub trait Refusals: Send + Sync {
    /// A request is refused that the session never sees. Returns the whole answer, as it is sent.
    fn refuse(&self, refused: &Refused<'_>) -> Vec<u8>;

    /// A connection ends for this, without an answer or with one of the session's.
    fn note(&self, flaw: Flaw);
}

#[cfg(test)]
impl Clients {
    /// What holds by default; nobody is told.
    pub(super) fn untold() -> Self {
        struct Nobody;

        impl Refusals for Nobody {
            fn refuse(&self, refused: &Refused<'_>) -> Vec<u8> {
                format!("refused: {}", refused.flaw).into_bytes()
            }

            fn note(&self, _flaw: Flaw) {}
        }

        Self { pace: Pace::default(), requests: None, refusals: Arc::new(Nobody) }
    }
}
