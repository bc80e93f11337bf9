//! What is known of a connection besides its addresses.
//!
//! Pingora hands the parts of a connection to each request in a digest. Its part about TLS has no room for
//! facts of our own, and for HTTP/2 nothing but the digest is handed on; so they travel in its part about
//! proxies, which has.

use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::raw_connect::ProxyDigest;

use super::http2::Farewell;
use super::Door;
use super::tls::{TlsFacts, TlsVersion};

/// What is known of a connection besides its addresses.
#[derive(Debug)]
pub struct Facts {
    /// The listener's settings when it came.
    pub door: Arc<Door>,
    /// What is known of its TLS; none without.
    pub tls: Option<TlsFacts>,
}

/// The facts as they travel.
#[derive(Debug)]
struct Packed {
    facts: Facts,
    farewell: Option<Arc<Farewell>>,
}

impl Facts {
    /// Those of a connection that comes by this door as most do: for questions about a configuration.
    #[must_use]
    pub fn usual(door: &Arc<Door>) -> Self {
        let tls = TlsFacts { version: TlsVersion::Tls13, name: None, client: None };
        Self { tls: door.tls.is_some().then_some(tls), door: Arc::clone(door) }
    }

    /// Whether a request has to know any of it.
    fn matter(&self) -> bool {
        self.tls.is_some() || self.door.redirect_to_https.is_some()
    }

    /// The facts in the form in which they travel; none where there is nothing to know. Streams of HTTP/2 have no
    /// other way to their listener's settings.
    pub(super) fn pack(self, farewell: Option<Arc<Farewell>>) -> Option<Arc<ProxyDigest>> {
        if farewell.is_none() && !self.matter() {
            return None;
        }
        // No proxy answered anything, but there has to be an answer.
        let answer = ResponseHeader::build_no_case(200, Some(0)).ok()?;
        let packed = Packed { facts: self, farewell };
        Some(Arc::new(ProxyDigest::new(Box::new(answer), Some(Box::new(packed)))))
    }

    /// The facts of the connection that this digest is of.
    #[must_use]
    pub fn of(digest: Option<&Digest>) -> Option<&Self> {
        Packed::of(digest).map(|packed| &packed.facts)
    }

    /// How the connection that this digest is of is told to end, where HTTP/2 is spoken.
    #[must_use]
    pub fn farewell(digest: Option<&Digest>) -> Option<&Farewell> {
        Packed::of(digest)?.farewell.as_deref()
    }
}

impl Packed {
    fn of(digest: Option<&Digest>) -> Option<&Self> {
        let packed = digest?.proxy_digest.as_deref()?;
        packed.user_data.as_ref()?.downcast_ref()
    }
}
