//! How a token may be signed: a closed list, without `none`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    Rs384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    Rs512,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA-PSS with SHA-384.
    Ps384,
    /// RSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// All of them, with the names that tokens have for them.
pub(super) const ALL: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm::Hs256),
    ("HS384", Algorithm::Hs384),
    ("HS512", Algorithm::Hs512),
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Algorithm {
    /// The one of this name, letter by letter.
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// The bytes that a secret must have: those of the hash (RFC 7518, section 3.2).
    pub(super) const fn shortest_secret(self) -> usize {
        match self {
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 32,
        }
    }
}

/// Some algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) struct Algorithms(u16);

impl Algorithms {
    pub(in crate::auth) const NONE: Self = Self(0);
    pub(super) const RSA: Self = Self::NONE
        .and(Algorithm::Rs256)
        .and(Algorithm::Rs384)
        .and(Algorithm::Rs512)
        .and(Algorithm::Ps256)
        .and(Algorithm::Ps384)
        .and(Algorithm::Ps512);
    pub(super) const HMAC: Self =
        Self::NONE.and(Algorithm::Hs256).and(Algorithm::Hs384).and(Algorithm::Hs512);

    pub(super) const fn one(algorithm: Algorithm) -> Self {
        Self(1 << algorithm as u16)
    }

    pub(in crate::auth) const fn and(self, algorithm: Algorithm) -> Self {
        Self(self.0 | Self::one(algorithm).0)
    }

    pub(super) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(in crate::auth) const fn has(self, algorithm: Algorithm) -> bool {
        self.0 & Self::one(algorithm).0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of a list; an empty one stands for all.
    pub(super) fn of(list: &[Algorithm]) -> Self {
        if list.is_empty() {
            return Self(u16::MAX);
        }
        list.iter().fold(Self::NONE, |all, one| all.and(*one))
    }
}
