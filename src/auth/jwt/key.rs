//! A [`Key`] that tokens are signed with, and what it may be used for.
//!
//! Which algorithms a key takes part in follows from the key, never from a token: a public RSA key is no secret for
//! HMAC, whatever a token says.

use std::fmt;

use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::{Algorithm, Algorithms};

/// A key that tokens are signed with.
pub(in crate::auth) struct Key {
    /// Its name in the headers of tokens, if it has one.
    pub(super) kid: Option<Box<str>>,
    /// What it may be used for; never empty.
    pub(in crate::auth) algorithms: Algorithms,
    material: Material,
}

enum Material {
    Secret(Box<[u8]>),
    Rsa {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
    /// On P-256 or P-384, by its algorithms.
    Ec(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

/// Why something is not a key. It never repeats the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::auth) enum InvalidKey {
    #[error("this is not a public key in PEM")]
    NotPem,
    #[error("this is a private key, and whoever checks tokens needs the public one only")]
    Private,
    #[error("this kind of key is not known here")]
    Kind,
    #[error("the key cannot be read")]
    Broken,
    #[error("an RSA key of {0} bits is too weak: it needs 2048")]
    Weak(usize),
    #[error("an RSA key of {0} bits is too large: the most are 8192")]
    Large(usize),
    #[error("a secret of {0} bytes is too short for {1}, which needs {2}")]
    Short(usize, &'static str, usize),
    #[error("none of its algorithms fits the key")]
    Algorithm,
}

impl Key {
    /// A public key (or a certificate) in PEM.
    pub(in crate::auth) fn from_pem(pem: &[u8], wanted: Algorithms) -> Result<Self, InvalidKey> {
        if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
            return Self::from_spki(&spki, wanted);
        }
        if let Ok(certificate) = CertificateDer::from_pem_slice(pem) {
            let (_, read) = x509_parser::certificate::X509Certificate::from_der(&certificate)
                .map_err(|_| InvalidKey::Broken)?;
            return Self::from_parsed(read.public_key(), wanted);
        }
        let text = String::from_utf8_lossy(pem);
        Err(if text.contains("PRIVATE KEY-----") {
            InvalidKey::Private
        } else {
            InvalidKey::NotPem
        })
    }

    fn from_spki(der: &[u8], wanted: Algorithms) -> Result<Self, InvalidKey> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], spki)) => Self::from_parsed(&spki, wanted),
            _ => Err(InvalidKey::Broken),
        }
    }

    fn from_parsed(
        spki: &SubjectPublicKeyInfo<'_>,
        wanted: Algorithms,
    ) -> Result<Self, InvalidKey> {
        if spki.algorithm.algorithm == OID_SIG_ED25519 {
            return Self::ed25519(&spki.subject_public_key.data, wanted);
        }
        match spki.parsed().map_err(|_| InvalidKey::Broken)? {
            PublicKey::RSA(rsa) => Self::rsa(rsa.modulus, rsa.exponent, wanted),
            PublicKey::EC(point) => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                match curve.ok_or(InvalidKey::Kind)? {
                    curve if curve == OID_EC_P256 => {
                        Self::ec(Algorithm::Es256, point.data(), wanted)
                    }
                    curve if curve == OID_NIST_EC_P384 => {
                        Self::ec(Algorithm::Es384, point.data(), wanted)
                    }
                    _ => Err(InvalidKey::Kind),
                }
            }
            _ => Err(InvalidKey::Kind),
        }
    }

    /// A secret for HMAC.
    pub(in crate::auth) fn secret(secret: &[u8], wanted: Algorithms) -> Result<Self, InvalidKey> {
        let algorithms = wanted.both(Algorithms::HMAC);
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            let needs = algorithm.shortest_secret();
            if algorithms.has(algorithm) && secret.len() < needs {
                return Err(InvalidKey::Short(secret.len(), algorithm.name(), needs));
            }
        }
        Self::new(algorithms, Material::Secret(secret.into()))
    }

    /// An RSA key by its numbers.
    pub(super) fn rsa(n: &[u8], e: &[u8], wanted: Algorithms) -> Result<Self, InvalidKey> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        match bits {
            0..2048 => return Err(InvalidKey::Weak(bits)),
            8193.. => return Err(InvalidKey::Large(bits)),
            _ => {}
        }
        // What is smaller than 65537 or even has been an attack or a mistake before.
        if e.len() < 3 || e.len() > 4 || e[e.len() - 1] & 1 == 0 {
            return Err(InvalidKey::Broken);
        }
        Self::new(wanted.both(Algorithms::RSA), Material::Rsa { n: n.into(), e: e.into() })
    }

    /// A key on the curve of this algorithm, as an uncompressed point.
    pub(super) fn ec(
        algorithm: Algorithm,
        point: &[u8],
        wanted: Algorithms,
    ) -> Result<Self, InvalidKey> {
        let length = if algorithm == Algorithm::Es384 { 97 } else { 65 };
        if point.len() != length || point[0] != 4 {
            return Err(InvalidKey::Broken);
        }
        Self::new(wanted.both(Algorithms::one(algorithm)), Material::Ec(point.into()))
    }

    /// An Ed25519 key.
    pub(super) fn ed25519(point: &[u8], wanted: Algorithms) -> Result<Self, InvalidKey> {
        if point.len() != 32 {
            return Err(InvalidKey::Broken);
        }
        let algorithms = wanted.both(Algorithms::one(Algorithm::EdDsa));
        Self::new(algorithms, Material::Ed25519(point.into()))
    }

    fn new(algorithms: Algorithms, material: Material) -> Result<Self, InvalidKey> {
        if algorithms.is_empty() {
            return Err(InvalidKey::Algorithm);
        }
        Ok(Self { kid: None, algorithms, material })
    }

    pub(super) fn named(mut self, kid: Option<&str>) -> Self {
        self.kid = kid.map(Into::into);
        self
    }

    /// Whether this key has made this signature of this message, by this algorithm.
    pub(in crate::auth) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        use Algorithm as A;
        if !self.algorithms.has(algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            (Material::Secret(secret), A::Hs256 | A::Hs384 | A::Hs512) => {
                let hash = match algorithm {
                    A::Hs384 => hmac::HMAC_SHA384,
                    A::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
            }
            (Material::Rsa { n, e }, _) => {
                let scheme = match algorithm {
                    A::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    A::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(scheme, message, signature).is_ok()
            }
            (Material::Ec(point), A::Es256) => {
                checks(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            (Material::Ec(point), A::Es384) => {
                checks(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature)
            }
            (Material::Ed25519(point), A::EdDsa) => {
                checks(&signature::ED25519, point, message, signature)
            }
            _ => false,
        }
    }
}

fn checks(
    scheme: &'static dyn VerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(scheme, point).verify(message, signature).is_ok()
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[first..]
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}
