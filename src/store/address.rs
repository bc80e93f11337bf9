//! Where the store is, and how to get there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::config::Config;
use crate::diagnostic::{At, Diagnostics};

/// A stream to the store.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where the store is.
pub(super) struct Address {
    place: Place,
    /// User, password and database.
    pub(super) login: RedisConnectionInfo,
    /// The authorities that were read from a file.
    authorities: Vec<u8>,
}

enum Place {
    Tcp { host: String, port: u16, tls: Option<(ServerName<'static>, TlsConnector)> },
    Unix(PathBuf),
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.name()).finish()
    }
}

impl Address {
    pub(super) fn compile(
        config: &Config,
        at: &At,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let refuse = |diagnostics: &mut Diagnostics, what: &str| {
            let help = "write redis://host:6379, rediss://host:6379 for TLS, or redis+unix:///path; user and \
                        password stand before the host as user:password@, percent-encoded";
            diagnostics.error(at.key("redis"), what, help);
        };
        let written = config.redis.expose();
        // TLS is our own, and the library is not to be asked for it.
        let (tls, url) = match written.split_once("://") {
            Some(("rediss", rest)) => (true, format!("redis://{rest}")),
            Some(("valkeys", rest)) => (true, format!("valkey://{rest}")),
            _ => (false, written.to_owned()),
        };
        if tls && url.contains('#') {
            refuse(diagnostics, "a server whose certificate is not verified is not asked");
            return None;
        }
        // What the library says may repeat the text, which holds a password.
        let Ok(info) = url.into_connection_info() else {
            refuse(diagnostics, "this is not the URL of a Redis");
            return None;
        };
        let (host, port) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port),
            ConnectionAddr::Unix(path) => (path.display().to_string(), 0),
            _ => {
                refuse(diagnostics, "this kind of URL is not known here");
                return None;
            }
        };
        let authorities = authorities(config, tls, at, read_file, diagnostics)?;
        let tls = if tls {
            let Ok(name) = ServerName::try_from(host.clone()) else {
                refuse(diagnostics, "the host is no name that a certificate could be for");
                return None;
            };
            let Some(connector) = connector(config.ca.is_some().then_some(&*authorities)) else {
                let what = "there is no certificate in it that can be read";
                diagnostics.error(at.key("ca"), what, "name a PEM file with certificates");
                return None;
            };
            Some((name, connector))
        } else {
            None
        };
        let place = match info.addr() {
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => Place::Tcp { host, port, tls },
        };
        // Its library's name helps nobody, and a server before 7.2 refuses it.
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        Some(Self { place, login, authorities })
    }

    /// Whether another one, made of an equal configuration, is the same.
    pub(super) fn is_still(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }

    /// What it is called in the log: never with a password.
    pub(super) fn name(&self) -> String {
        match &self.place {
            Place::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Place::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Ok(Box::new(stream)),
                    Some((name, connector)) => {
                        Ok(Box::new(connector.connect(name.clone(), stream).await?))
                    }
                }
            }
        }
    }
}

/// The text of the file with the authorities; empty if none is named.
fn authorities(
    config: &Config,
    tls: bool,
    at: &At,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<u8>> {
    let Some(ca) = &config.ca else { return Some(Vec::new()) };
    if !tls {
        let help = "write rediss:// in the URL, or take `ca` out";
        diagnostics.error(at.key("ca"), "the URL asks for no TLS", help);
        return None;
    }
    let refuse = |error: io::Error| {
        let what = format!("{ca} cannot be read: {error}");
        diagnostics.error(at.key("ca"), what, "name a PEM file with certificates");
    };
    read_file(Path::new(ca)).map_err(refuse).ok()
}

/// Believes these authorities, or those of the system.
fn connector(authorities: Option<&[u8]>) -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(text) = authorities {
        for certificate in CertificateDer::pem_slice_iter(text) {
            roots.add(certificate.ok()?).ok()?;
        }
        if roots.is_empty() {
            return None;
        }
    } else {
        match rustls_native_certs::load_native_certs() {
            Ok(certificates) => drop(roots.add_parsable_certificates(certificates)),
            Err(error) => log::warn!("the authorities of the system cannot be read: {error}"),
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS).ok()?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
}
