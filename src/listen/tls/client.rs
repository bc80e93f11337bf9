//! Certificates of clients: which are believed, and what one says of its owner.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::config::ClientAuthConfig;
use super::dates::{Dates, time};
use super::pair::{Files, Wrong, certificates};
use crate::diagnostic::{At, unreadable};

/// Who may come.
pub(super) struct ClientAuth {
    pub verifier: Arc<dyn ClientCertVerifier>,
    pub lists: RevocationLists,
    /// Of all that decides who may come.
    pub digest: [u8; 32],
}

/// Until when the lists of revoked certificates are good, each with its authority's name as it is written (DER).
///
/// A session that is resumed is not verified again; and an old list says nothing of who was revoked since.
#[derive(Debug, Default)]
pub(super) struct RevocationLists(Box<[(Box<[u8]>, SystemTime)]>);

impl RevocationLists {
    /// Reads them; none if one is broken.
    fn read(lists: &[CertificateRevocationListDer<'_>]) -> Option<Self> {
        let read = |list: &CertificateRevocationListDer<'_>| {
            let (_, list) = CertificateRevocationList::from_der(list).ok()?;
            // Without a date it is not good at any time, to the library too.
            let until = list.next_update().map_or(SystemTime::UNIX_EPOCH, time);
            Some((list.issuer().as_raw().into(), until))
        };
        lists.iter().map(read).collect::<Option<_>>().map(Self)
    }

    /// Whether one is out of date.
    fn are_outdated(&self, now: SystemTime) -> bool {
        self.0.iter().any(|(_, until)| *until <= now)
    }

    /// Whether one of the certificate's authority is out of date.
    pub fn are_outdated_for(&self, certificate: &ClientCertificate, now: SystemTime) -> bool {
        let outdated = |(issuer, until): &(Box<[u8]>, SystemTime)| {
            *until <= now && *issuer == certificate.issuer
        };
        self.0.iter().any(outdated)
    }
}

impl ClientAuth {
    pub fn compile(config: &ClientAuthConfig, at: &At, files: &mut Files<'_>) -> Option<Self> {
        match Self::read(config, files) {
            Ok((this, doubt)) => {
                if let Some(Wrong { key, what, help }) = doubt {
                    files.diagnostics.warning(at.key(key), what, help);
                }
                Some(this)
            }
            Err(Wrong { key, what, help }) => {
                files.diagnostics.error(at.key(key), what, help);
                None
            }
        }
    }

    fn read(config: &ClientAuthConfig, files: &Files<'_>) -> Result<(Self, Option<Wrong>), Wrong> {
        let read = |key, path: &std::path::Path| {
            (files.read_file)(path).map_err(|error| {
                let what = format!("{} cannot be read: {}", path.display(), unreadable(&error));
                Wrong::new(key, what, "name an existing PEM file that this process may read")
            })
        };
        let ca = read("ca", &config.ca)?;
        let mut digest = Sha256::new();
        digest.update([u8::from(config.required)]);
        digest.update(Sha256::digest(&ca));
        let no_authority = || {
            let what = format!("{} holds no authority's certificate", config.ca.display());
            Wrong::new("ca", what, "write the authorities as PEM (-----BEGIN CERTIFICATE-----)")
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(&ca).ok_or_else(no_authority)? {
            roots.add(authority).map_err(|_| no_authority())?;
        }
        let provider = Arc::clone(files.provider);
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let (mut doubt, mut dated) = (None, RevocationLists::default());
        if let Some(path) = &config.crl {
            let text = read("crl", path)?;
            digest.update(Sha256::digest(&text));
            let no_list = || {
                let what = format!("{} holds no list of revoked certificates", path.display());
                Wrong::new("crl", what, "write the lists as PEM (-----BEGIN X509 CRL-----)")
            };
            let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&text)
                .collect::<Result<_, _>>()
                .map_err(|_| no_list())?;
            if lists.is_empty() {
                return Err(no_list());
            }
            dated = RevocationLists::read(&lists).ok_or_else(no_list)?;
            if dated.are_outdated(files.now) {
                doubt = Some(Wrong::new(
                    "crl",
                    format!(
                        "a list in {} is out of date, so its clients are refused",
                        path.display()
                    ),
                    "fetch the authority's present list",
                ));
            }
            // A list that is no longer kept up says nothing of those who were revoked since.
            builder = builder
                .with_crls(lists)
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration();
        }
        if !config.required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| {
            let what = format!("clients cannot be verified: {error}");
            Wrong::new("ca", what, "look at the file with `openssl x509 -text -in FILE`")
        })?;
        Ok((Self { verifier, lists: dated, digest: digest.finalize().into() }, doubt))
    }
}

/// What a client's certificate says of its owner. It was verified before.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    subject: Box<str>,
    sans: Box<str>,
    fingerprint: Box<str>,
    names: Box<[Box<str>]>,
    /// Who signed it, as it is written (DER).
    issuer: Box<[u8]>,
    dates: Dates,
}

impl ClientCertificate {
    /// Reads it. `None` if it is broken.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut fingerprint = String::with_capacity(64);
        for byte in Sha256::digest(der) {
            // Writing to a String cannot fail.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        let subject = distinguished_name(certificate.subject());
        let extension = certificate.subject_alternative_name().ok()?;
        let sans: Vec<String> = extension
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(alternative_name)
            .collect();
        let mut names = vec![format!("sha256:{fingerprint}"), format!("subject:{subject}")];
        names.extend(sans.iter().cloned());
        let common = certificate.subject().iter_common_name();
        names.extend(common.filter_map(|name| Some(format!("cn:{}", name.as_str().ok()?))));
        Some(Self {
            subject: subject.into(),
            sans: sans.join(",").into(),
            fingerprint: fingerprint.into(),
            names: names.into_iter().map(Into::into).collect(),
            issuer: certificate.issuer().as_raw().into(),
            dates: Dates::of(certificate.validity()),
        })
    }

    /// Whose it is, as RFC 4514 writes names: `CN=partner,O=Acme,C=DE`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its alternative names, separated by commas: `dns:a.example,uri:spiffe://acme/a`.
    #[must_use]
    pub fn sans(&self) -> &str {
        &self.sans
    }

    /// Its SHA-256 digest, in 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// All by which a consumer can be known: `sha256:...`, `subject:...`, alternative names such as `dns:...`,
    /// `cn:...`, in this order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// Whether it is good at this time: a session that is resumed was verified earlier.
    #[must_use]
    pub fn is_good(&self, now: SystemTime) -> bool {
        self.dates.not_before <= now && now <= self.dates.not_after
    }
}

/// A name as RFC 4514 writes it: the last part first, and nothing in a value that could pass for a part.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts: Vec<_> = name.iter().collect();
    for (index, part) in parts.iter().rev().enumerate() {
        if index > 0 {
            out.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                out.push('+');
            }
            write_attribute(attribute, &mut out);
        }
    }
    out
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, out: &mut String) {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == oid).map(|(_, short)| *short);
    let (name, text) = (short.unwrap_or(&oid), attribute.as_str());
    out.push_str(name);
    out.push('=');
    match text {
        Ok(text) if short.is_some() => escape(text, out),
        _ => {
            out.push('#');
            for byte in attribute.as_slice() {
                let _ = write!(out, "{byte:02x}");
            }
        }
    }
}

/// The short names of RFC 4514, section 3, and two that are often met.
const SHORT: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        let at_an_end = index == 0 || index == last;
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', c]),
            ' ' if at_an_end => out.push_str("\\ "),
            '#' if index == 0 => out.push_str("\\#"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
}

/// An alternative name with its kind before it. What could pass for the end of it is percent-encoded.
fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    let (kind, text) = match name {
        GeneralName::DNSName(name) => ("dns:", name.to_ascii_lowercase()),
        GeneralName::RFC822Name(name) => ("email:", (*name).to_owned()),
        GeneralName::URI(uri) => ("uri:", (*uri).to_owned()),
        GeneralName::IPAddress(octets) => {
            let address = if let Ok(v4) = <[u8; 4]>::try_from(*octets) {
                IpAddr::from(v4)
            } else {
                IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?)
            };
            ("ip:", address.to_string())
        }
        _ => return None,
    };
    let mut out = kind.to_owned();
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b',' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Some(out)
}
