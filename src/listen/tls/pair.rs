//! A certificate and its key, read from files.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::ReadFile;
use super::config::CertificateConfig;
use super::dates::Dates;
use crate::diagnostic::{At, Diagnostics, unreadable};

/// Reads files, and tells what is wrong with them.
pub(super) struct Files<'a> {
    pub read_file: ReadFile<'a>,
    pub provider: &'a Arc<CryptoProvider>,
    pub now: SystemTime,
    pub diagnostics: &'a mut Diagnostics,
}

/// What is wrong with a file, and how to mend it.
pub(super) struct Wrong {
    /// The key of the configuration that names the file.
    pub key: &'static str,
    pub what: String,
    pub help: String,
}

impl Wrong {
    pub fn new(key: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key, what: what.into(), help: help.into() }
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Pair {
    /// Where it stands in the configuration.
    config: CertificateConfig,
    /// What the files held.
    digest: [u8; 32],
    key: Arc<CertifiedKey>,
    names: Box<[Box<str>]>,
    dates: Dates,
    /// Whether the files hold something else by now, that cannot be used.
    stale: bool,
}

impl Pair {
    /// The path of the certificate, as the configuration gives it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.config.cert
    }

    /// The names that it covers, in lower case; `*.` covers one label.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// When it is good.
    #[must_use]
    pub const fn dates(&self) -> Dates {
        self.dates
    }

    /// Whether its files hold something else by now, that cannot be used.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Reads a pair. Where it is as it was among `previous`, it is that one; where it is broken and there was
    /// one, it stays that one.
    pub(super) fn compile(
        config: &CertificateConfig,
        previous: Option<&Arc<Self>>,
        at: &At,
        files: &mut Files<'_>,
    ) -> Option<Arc<Self>> {
        let pair = match (Self::read(config, previous, files), previous) {
            (Ok(pair), _) => pair,
            (Err(Wrong { key, what, help }), Some(previous)) => {
                let what = format!("{what}; the pair that was read before stays in use");
                files.diagnostics.warning(at.key(key), what, help);
                Arc::new(previous.staled())
            }
            (Err(Wrong { key, what, help }), None) => {
                files.diagnostics.error(at.key(key), what, help);
                return None;
            }
        };
        if let Some(doubt) = pair.dates.doubt(files.now) {
            let path = config.cert.display();
            files.diagnostics.warning(
                at.key("cert"),
                format!("clients will not believe the certificate in {path}: {doubt}"),
                "renew it; a changed file is taken over by itself",
            );
        }
        Some(pair)
    }

    fn read(
        config: &CertificateConfig,
        previous: Option<&Arc<Self>>,
        files: &Files<'_>,
    ) -> Result<Arc<Self>, Wrong> {
        let read = |key, path: &Path| {
            (files.read_file)(path).map_err(|error| {
                let what = format!("{} cannot be read: {}", path.display(), unreadable(&error));
                Wrong::new(key, what, "name an existing PEM file that this process may read")
            })
        };
        let (cert, key) = (read("cert", &config.cert)?, read("key", &config.key)?);
        let digest = Sha256::new()
            .chain_update(Sha256::digest(&cert))
            .chain_update(Sha256::digest(&key))
            .finalize()
            .into();
        if let Some(previous) = previous
            && previous.digest == digest
            && !previous.stale
        {
            return Ok(Arc::clone(previous));
        }
        let chain = certificates(&cert).ok_or_else(|| {
            Wrong::new(
                "cert",
                format!("{} holds no certificate", config.cert.display()),
                "write the certificate, and those of the authorities in between after it, as PEM \
                 (-----BEGIN CERTIFICATE-----)",
            )
        })?;
        let (names, dates) = leaf(&chain[0]).ok_or_else(|| {
            let what = format!("the certificate in {} is broken", config.cert.display());
            Wrong::new("cert", what, "look at it with `openssl x509 -text -in FILE`")
        })?;
        let key = certified_key(chain, &key, config, files.provider)?;
        Ok(Arc::new(Self {
            config: config.clone(),
            digest,
            key: Arc::new(key),
            names,
            dates,
            stale: false,
        }))
    }

    /// The same after its files have become unusable.
    fn staled(&self) -> Self {
        Self {
            config: self.config.clone(),
            digest: self.digest,
            key: Arc::clone(&self.key),
            names: self.names.clone(),
            dates: self.dates,
            stale: true,
        }
    }

    pub(super) fn is_of(&self, config: &CertificateConfig) -> bool {
        self.config == *config
    }
}

/// The certificates of a PEM file; none if it is broken or has none.
pub(super) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    Some(certificates).filter(|certificates| !certificates.is_empty())
}

fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
    config: &CertificateConfig,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Wrong> {
    let path = config.key.display();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        let encrypted = memchr::memmem::find(key, b"ENCRYPTED").is_some();
        if encrypted {
            let what = format!("the key in {path} is encrypted");
            let help = "decrypt it with `openssl pkey`, and let only this process's user read it";
            return Wrong::new("key", what, help);
        }
        let what = format!("{path} holds no private key");
        Wrong::new("key", what, "write it as PEM (-----BEGIN PRIVATE KEY-----)")
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Wrong::new(
            "key",
            format!(
                "the key in {path} is not that of the certificate in {}",
                config.cert.display()
            ),
            "name the key that the certificate was made for, and the certificate first in its file",
        ),
        _ => Wrong::new(
            "key",
            format!("the key in {path} cannot be used"),
            "use an ECDSA key (P-256 or P-384), an Ed25519 key, or an RSA key of 2048 to 8192 bits",
        ),
    })
}

/// The names of the first certificate, in lower case, and its dates.
fn leaf(der: &CertificateDer<'_>) -> Option<(Box<[Box<str>]>, Dates)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into_boxed_str()),
        _ => None,
    });
    // A star stands for the whole of the first label or for nothing (RFC 9525, section 6.3).
    let names = names.filter(|name| !name.strip_prefix("*.").unwrap_or(name).contains('*'));
    Some((names.collect(), Dates::of(certificate.validity())))
}
