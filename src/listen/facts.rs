//! What is known of a connection besides its addresses.
//!
//! Pingora hands the parts of a connection to each request in a digest. Its part about TLS has no room for
//! facts of our own, and for HTTP/2 nothing but the digest is handed on; so they travel in its part about
//! proxies, which has.

use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::raw_connect::ProxyDigest;

use super::Door;
use super::http2::Crowd;
use super::tls::{TlsFacts, TlsVersion};

/// What is known of a connection besides its addresses.
#[derive(Debug)]
pub struct Facts {
    /// The listener's settings when it came.
    pub door: Arc<Door>,
    /// What is known of its TLS; none without.
    pub tls: Option<Arc<TlsFacts>>,
}

/// The facts as they travel.
#[derive(Debug)]
struct Packed {
    facts: Facts,
    crowd: Option<Arc<Crowd>>,
}

impl Facts {
    /// Those of a connection that comes by this door as most do: for questions about a configuration.
    #[must_use]
    pub fn usual(door: &Arc<Door>) -> Self {
        let (version, cipher) = (TlsVersion::Tls13, "TLS13_AES_256_GCM_SHA384");
        let tls = || Arc::new(TlsFacts { version, cipher, name: None, client: None });
        Self { tls: door.tls.is_some().then(tls), door: Arc::clone(door) }
    }

    /// Whether a request has to know any of it.
    fn matter(&self) -> bool {
        self.tls.is_some() || self.door.redirect_to_https.is_some()
    }

    /// The facts in the form in which they travel; none where there is nothing to know. Streams of HTTP/2 have no
    /// other way to their listener's settings.
    pub(super) fn pack(self, crowd: Option<Arc<Crowd>>) -> Option<Arc<ProxyDigest>> {
        if crowd.is_none() && !self.matter() {
            return None;
        }
        // No proxy answered anything, but there has to be an answer.
        let answer = ResponseHeader::build_no_case(200, Some(0)).ok()?;
        let packed = Packed { facts: self, crowd };
        Some(Arc::new(ProxyDigest::new(Box::new(answer), Some(Box::new(packed)))))
    }

    /// The facts of the connection that this digest is of.
    #[must_use]
    pub fn of(digest: Option<&Digest>) -> Option<&Self> {
        Packed::of(digest).map(|packed| &packed.facts)
    }

    /// What the streams of the connection that this digest is of have in common, where HTTP/2 is spoken.
    #[must_use]
    pub fn crowd(digest: Option<&Digest>) -> Option<&Arc<Crowd>> {
        Packed::of(digest)?.crowd.as_ref()
    }
}

impl Packed {
    fn of(digest: Option<&Digest>) -> Option<&Self> {
        let packed = digest?.proxy_digest.as_deref()?;
        packed.user_data.as_ref()?.downcast_ref()
    }
}
