//! TLS on a listener: which certificate a client gets, which client may come, and why one did not.
//!
//! The library's own settings for servers are compiled once for each load ([`Tls`]), and every connection
//! takes those in force when it begins; so a changed certificate reaches new connections and leaves open ones
//! alone. What clients keep for resuming a session (tickets) outlives a load, unless who may come has changed:
//! a session that is resumed shows no certificate again.

mod certificates;
mod client;
mod config;
mod dates;
mod handshake;
mod pair;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};

pub use certificates::Certificates;
pub use client::ClientCertificate;
pub use config::{CertificateConfig, ClientAuthConfig, TlsConfig, UnknownNames};
pub use handshake::{TlsFacts, TlsVersion};
pub use pair::Pair;

pub(super) use handshake::shake_hands;

use crate::diagnostic::{At, Diagnostics};
use client::{ClientAuth, RevocationLists};

/// How files are read while a configuration is loaded.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// One listener's TLS, ready for use.
#[derive(Debug)]
pub struct Tls {
    server: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    refuse_unknown: bool,
    timeout: Duration,
    /// What decides who may come, in a number.
    clients: Option<[u8; 32]>,
    lists: RevocationLists,
    ticketer: Arc<dyn ProducesTickets>,
}

impl Tls {
    /// Reads certificates, keys and authorities; mistakes are reported at `at`. A pair that cannot be read any
    /// more stays what it was in `previous`, with a warning: one renewal that failed must not keep others, and
    /// the rest of a changed file, from being taken over.
    pub fn compile(
        config: &TlsConfig,
        previous: Option<&Self>,
        at: &At,
        read_file: ReadFile<'_>,
        now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Self>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let before = previous.map(|previous| &*previous.certificates);
        let mut files = pair::Files { read_file, provider: &provider, now, diagnostics };
        let certificates = Certificates::compile(
            &config.certificates,
            before,
            &at.key("certificates"),
            &mut files,
        );
        let clients = match &config.client_auth {
            None => Some(None),
            Some(auth) => ClientAuth::compile(auth, &at.key("client_auth"), &mut files).map(Some),
        };
        let certificates = Arc::new(certificates?);
        let (verifier, lists, digest) = match clients? {
            None => (None, RevocationLists::default(), None),
            Some(ClientAuth { verifier, lists, digest }) => (Some(verifier), lists, Some(digest)),
        };
        let ticketer = match previous.filter(|previous| previous.clients == digest) {
            Some(previous) => Arc::clone(&previous.ticketer),
            None => new_ticketer(at, diagnostics)?,
        };
        let server = server_config(provider, &certificates, verifier, &ticketer);
        Some(Arc::new(Self {
            server: Arc::new(server.map_err(|error| no_tls(&error, at, diagnostics)).ok()?),
            certificates,
            refuse_unknown: config.unknown_names == UnknownNames::Refuse,
            timeout: config.handshake_timeout.get(),
            clients: digest,
            lists,
            ticketer,
        }))
    }

    /// The certificates, in the order of the file.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Why a certificate that the library believes is not good now. A session that is resumed was verified earlier,
    /// and the certificate and the list of those that are revoked may have had their time since.
    fn doubt(&self, certificate: &ClientCertificate, now: SystemTime) -> Option<&'static str> {
        if !certificate.is_good(now) {
            Some("it has expired")
        } else if self.lists.are_outdated_for(certificate, now) {
            Some("the list of revoked certificates is out of date")
        } else {
            None
        }
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub const fn asks_for_certificates(&self) -> bool {
        self.clients.is_some()
    }
}

fn server_config(
    provider: Arc<CryptoProvider>,
    certificates: &Arc<Certificates>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(Arc::<Certificates>::clone(certificates));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions are kept by the clients, in tickets, so that they cost us nothing.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.ticketer = Arc::clone(ticketer);
    Ok(server)
}

/// Keys of its own for tickets; it changes them by itself every six hours, and forgets them after twelve.
fn new_ticketer(at: &At, diagnostics: &mut Diagnostics) -> Option<Arc<dyn ProducesTickets>> {
    rustls::crypto::ring::Ticketer::new().map_err(|error| no_tls(&error, at, diagnostics)).ok()
}

fn no_tls(error: &rustls::Error, at: &At, diagnostics: &mut Diagnostics) {
    diagnostics.error(
        at.clone(),
        format!("TLS cannot be set up: {error}"),
        "this is a mistake of the program or of the system's source of randomness: report it",
    );
}
