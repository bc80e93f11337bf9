//! A [`Door`] is what the configuration in force says of one listener's connections.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::caps::Limits;
use super::clients::{Clients, Refusals};
use super::config::{Config, RedirectToHttps};
use super::pace::Pace;
use super::tls::{ReadFile, Tls};
use crate::diagnostic::{At, Diagnostics};

/// What the configuration in force says of one listener's connections.
#[derive(Debug)]
pub struct Door {
    /// The listener's name.
    pub name: Arc<str>,
    /// The address in the configuration.
    pub address: SocketAddr,
    /// How TLS is spoken; none: it is not.
    pub tls: Option<Arc<Tls>>,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: bool,
    /// The port to which clients are sent that come without TLS.
    pub redirect_to_https: Option<u16>,
    /// How long clients may take.
    pub pace: Pace,
    /// The most requests on one connection.
    pub max_requests: Option<NonZeroU32>,
    clients: OnceLock<Arc<Clients>>,
}

impl Door {
    /// Resolves a listener's settings; mistakes are reported at `at`.
    pub fn compile(
        name: &str,
        config: &Config,
        previous: Option<&Self>,
        at: &At,
        read_file: ReadFile<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let address = super::parse_address(&config.address, &at.key("address"), diagnostics);
        config.check_pace(at, diagnostics);
        let before = previous.and_then(|previous| previous.tls.as_deref());
        let at_tls = at.key("tls");
        let now = SystemTime::now();
        let tls = match &config.tls {
            None => Some(None),
            Some(tls) => Tls::compile(tls, before, &at_tls, read_file, now, diagnostics).map(Some),
        };
        let redirect_to_https = match config.redirect_to_https {
            RedirectToHttps::No => None,
            RedirectToHttps::ToPort(port) => Some(port),
        };
        if redirect_to_https.is_some() && config.tls.is_some() {
            diagnostics.error(
                at.key("redirect_to_https"),
                "this listener speaks TLS, so its clients are there already",
                "put it at the listener for plain HTTP, or take it out",
            );
        }
        Some(Self {
            name: name.into(),
            address: address?,
            tls: tls?,
            proxy_protocol: config.proxy_protocol,
            redirect_to_https,
            pace: Pace { timeouts: config.timeouts, min_rate: config.min_rate },
            max_requests: config.max_requests,
            clients: OnceLock::new(),
        })
    }

    /// One that asks for nothing: for tests.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self {
            name: "public".into(),
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            proxy_protocol: false,
            redirect_to_https: None,
            pace: Pace::default(),
            max_requests: None,
            clients: OnceLock::new(),
        }
    }

    /// What it asks of its clients; `refusals` are told of those who do otherwise.
    pub fn clients<R: Refusals + 'static>(
        &self,
        refusals: impl FnOnce() -> Arc<R>,
    ) -> Arc<Clients> {
        let make = || {
            let (pace, requests) = (self.pace, self.max_requests);
            Arc::new(Clients { pace, requests, refusals: refusals() })
        };
        Arc::clone(self.clients.get_or_init(make))
    }
}

/// What the configuration in force says of one connection.
#[derive(Debug)]
pub struct Visit {
    /// The settings of its listener.
    pub door: Arc<Door>,
    /// How many connections there may be.
    pub limits: Limits,
    /// Whether its peer is a proxy that may speak for others.
    pub trusted: bool,
    /// What is asked of clients.
    pub clients: Arc<Clients>,
}

/// Whom the accept loop asks about each connection: the configuration in force.
pub trait House: Send + Sync + 'static {
    /// What holds for a connection from this peer.
    fn visit(&self, peer: IpAddr) -> Option<Visit>;
    /// Whether this address is that of a proxy that may speak for others.
    fn trusts(&self, address: IpAddr) -> bool;
}
