//! TLS towards targets: which authorities are believed, which name is asked for, and who we are.
//!
//! Two traps of the library below are closed here. An empty server name would silently turn off
//! verification, so every `https` target gets one: its host, or its IP address. And connections are
//! pooled without regard to the authorities that were believed when they were opened, so a key made of
//! all TLS settings keeps upstreams with different ones apart.
//!
//! With a `ca` or a client certificate, every new connection costs a TLS configuration of its own in the
//! library below, and no session is resumed; connections that are kept open make up for that.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::tls::{
    CertificateDer, ClientConfig, PrivateKeyDer, RootCertStore, install_default_crypto_provider,
};
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::config::{ClientCertificate, Config, Protocol, Tls};
use super::origin::{Origin, Place, check_server_name};
use super::pem;
use crate::diagnostic::{At, Diagnostics, unreadable};

/// Streams on one HTTP/2 connection; Pingora's default of 1 would open one for each request.
const H2_STREAMS: usize = 100;
/// What a target may send of one answer before it is read. Pingora's default is the 8 MiB that it also gives the whole
/// connection: a client that takes nothing of one large answer would hold up everybody else's on it.
const H2_STREAM_WINDOW: u32 = 128 << 10;
/// As much as all streams may send.
const H2_CONNECTION_WINDOW: u32 = 100 * H2_STREAM_WINDOW;

/// How files are read while a configuration is loaded.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// An upstream's TLS settings, ready for use.
pub(super) struct TlsSettings {
    ca: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
    sni: Option<String>,
    verify: bool,
    /// Keeps connections made under other settings apart.
    group: u64,
    /// What the files held, so that a reload sees that they changed.
    pub files: u64,
}

impl TlsSettings {
    pub fn compile(
        config: &Config,
        any_https: bool,
        at: &At,
        read_file: ReadFile<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let tls = &config.tls;
        if !any_https && *tls != Tls::default() {
            diagnostics.warning(
                at.clone(),
                "these TLS settings have no effect, since no target is https",
                "write the targets as https://..., or leave `tls` out",
            );
        }
        if !tls.verify {
            diagnostics.warning(
                at.key("verify"),
                "the certificates of targets are not verified",
                "give the authority that signed them in `ca`; without verification anybody on the \
                 way can read and change the traffic",
            );
        }
        let mut sound = true;
        if let Some(Err(error)) = tls.sni.as_deref().map(check_server_name) {
            diagnostics.error(at.key("sni"), error.what, error.help);
            sound = false;
        }
        let mut files = Files { read_file, digest: DefaultHasher::new(), diagnostics };
        let ca = tls.ca.as_ref().map(|path| files.authorities(path, &at.key("ca")));
        let client = tls
            .client_certificate
            .as_ref()
            .map(|pair| files.client(pair, &at.key("client_certificate")));
        let digest = files.digest.finish();
        if !sound || matches!(ca, Some(None)) || matches!(client, Some(None)) {
            return None;
        }
        Some(Self {
            ca: ca.flatten(),
            client: client.flatten(),
            sni: tls.sni.clone(),
            verify: tls.verify,
            group: group(config, digest),
            files: digest,
        })
    }

    /// A peer for this origin. One whose name is still to be resolved has a placeholder address.
    pub fn peer(&self, origin: &Origin, config: &Config) -> Option<HttpPeer> {
        let sni = match (origin.tls, &self.sni) {
            (false, _) => String::new(),
            (true, Some(sni)) => sni.clone(),
            (true, None) => origin.server_name(),
        };
        let placeholder = std::net::SocketAddr::from(([0, 0, 0, 0], 1));
        let mut peer = match &origin.place {
            Place::Address(address) => HttpPeer::new(*address, origin.tls, sni),
            Place::Name { .. } => HttpPeer::new(placeholder, origin.tls, sni),
            Place::Socket(path) => HttpPeer::new_uds(path.to_str()?, origin.tls, sni).ok()?,
        };
        peer.group_key = self.group;
        peer.client_cert_key.clone_from(&self.client);
        let options = &mut peer.options;
        options.ca.clone_from(&self.ca);
        options.verify_cert = self.verify;
        options.verify_hostname = self.verify;
        options.connection_timeout = Some(config.timeouts.connect.get());
        // Without this the connect timeout would count once for TCP and once more for TLS.
        options.total_connection_timeout = Some(config.timeouts.connect.get());
        options.read_timeout = Some(config.timeouts.read.get());
        options.write_timeout = Some(config.timeouts.write.get());
        options.idle_timeout = Some(config.timeouts.idle.get());
        if config.protocol == Protocol::H2 {
            options.set_http_version(2, 2);
            options.max_h2_streams = H2_STREAMS;
            options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
            options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
        }
        Some(peer)
    }
}

/// A digest of all that a connection is opened with and that the pool below does not compare.
fn group(config: &Config, files: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Tls { ca, sni, verify, client_certificate } = &config.tls;
    (ca, sni, verify, files, config.protocol == Protocol::H2).hash(&mut hasher);
    client_certificate.as_ref().map(|pair| (&pair.cert, &pair.key)).hash(&mut hasher);
    hasher.finish()
}

/// A digest of the files that `tls` names; a file that cannot be read counts as empty.
pub(super) fn files_digest(tls: &Tls, read_file: ReadFile<'_>) -> u64 {
    let mut digest = DefaultHasher::new();
    let pair = tls.client_certificate.as_ref();
    let paths = [tls.ca.as_ref(), pair.map(|p| &p.cert), pair.map(|p| &p.key)];
    for path in paths.into_iter().flatten() {
        read_file(Path::new(path)).unwrap_or_default().hash(&mut digest);
    }
    digest.finish()
}

struct Files<'a, 'd> {
    read_file: ReadFile<'a>,
    digest: DefaultHasher,
    diagnostics: &'d mut Diagnostics,
}

impl Files<'_, '_> {
    fn blocks(&mut self, path: &str, at: &At) -> Option<Vec<pem::Block>> {
        let text = match (self.read_file)(Path::new(path)) {
            Ok(text) => text,
            Err(error) => {
                self.diagnostics.error(
                    at.clone(),
                    format!("cannot read {path}: {}", unreadable(&error)),
                    "give the path of a PEM file that the gateway may read",
                );
                return None;
            }
        };
        text.hash(&mut self.digest);
        let blocks = pem::blocks(&text);
        if blocks.is_none() {
            self.refuse(at, path, "is not a sound PEM file");
        }
        blocks
    }

    fn refuse(&mut self, at: &At, path: &str, what: &str) {
        self.diagnostics.error(
            at.clone(),
            format!("{path} {what}"),
            "PEM blocks look like -----BEGIN CERTIFICATE----- or -----BEGIN PRIVATE KEY-----",
        );
    }

    fn certificates(&mut self, path: &str, at: &At) -> Option<Vec<Vec<u8>>> {
        let blocks = self.blocks(path, at)?;
        let certificates: Vec<_> =
            blocks.into_iter().filter(|b| b.label == "CERTIFICATE").map(|b| b.der).collect();
        // Pingora's own parser panics on what is not a certificate, so ask a milder one first.
        let sound = certificates
            .iter()
            .all(|der| RootCertStore::empty().add(CertificateDer::from(der.clone())).is_ok());
        if certificates.is_empty() || !sound {
            let what = if sound { "holds no certificate" } else { "holds a broken certificate" };
            self.refuse(at, path, what);
            return None;
        }
        Some(certificates)
    }

    fn authorities(&mut self, path: &str, at: &At) -> Option<Arc<CaType>> {
        let certificates = self.certificates(path, at)?;
        Some(certificates.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect())
    }

    fn client(&mut self, pair: &ClientCertificate, at: &At) -> Option<Arc<CertKey>> {
        let certificates = self.certificates(&pair.cert, &at.key("cert"));
        let at_key = at.key("key");
        let key = self
            .blocks(&pair.key, &at_key)?
            .into_iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
            .map(|block| block.der);
        let Some(key) = key else {
            self.refuse(&at_key, &pair.key, "holds no private key");
            return None;
        };
        let certificates = certificates?;
        let Ok(parsed) = PrivateKeyDer::try_from(key.clone()) else {
            self.refuse(&at_key, &pair.key, "holds a private key of an unknown kind");
            return None;
        };
        install_default_crypto_provider();
        let chain = certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let fits = ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain, parsed);
        if fits.is_err() {
            self.diagnostics.error(
                at_key,
                format!("the key in {} does not belong to the certificate", pair.key),
                "give the key that the certificate was made with, without a passphrase",
            );
            return None;
        }
        Some(Arc::new(CertKey::new(certificates, key)))
    }
}

#[cfg(test)]
mod tests;
