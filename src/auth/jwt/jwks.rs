//! A set of keys (JWKS, RFC 7517), and which of them a token may mean.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::algorithm::{Algorithm, Algorithms};
use super::key::{InvalidKey, Key};

/// So many keys of a set are looked at.
const MOST_KEYS: usize = 100;
/// So many keys are tried for a token that names none: each try costs a signature.
const MOST_TRIED: usize = 4;

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(pub(super) Vec<Key>);

#[derive(Deserialize)]
struct Written {
    keys: Vec<serde_json::Value>,
}

/// One key as it is written; members that are not named here say nothing to us.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// A set, and what was passed over in it.
#[derive(Debug)]
pub(super) struct ReadSet {
    pub(super) keys: KeySet,
    /// Keys that cannot be used, by number, with the reason.
    pub(super) skipped: Vec<(usize, InvalidKey)>,
}

impl KeySet {
    /// Reads a set. Secrets count only if they are `private`: of a set that anybody can fetch they are none.
    pub(super) fn read(text: &[u8], wanted: Algorithms, private: bool) -> Option<ReadSet> {
        let written: Written = serde_json::from_slice(text).ok()?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, value) in written.keys.into_iter().take(MOST_KEYS).enumerate() {
            match serde_json::from_value::<Jwk>(value).map(|jwk| jwk.key(wanted, private)) {
                Ok(Some(Ok(key))) => keys.push(key),
                Ok(Some(Err(error))) => skipped.push((index, error)),
                // For another purpose than ours.
                Ok(None) => {}
                Err(_) => skipped.push((index, InvalidKey::Broken)),
            }
        }
        Some(ReadSet { keys: Self(keys), skipped })
    }

    /// The keys that a token may mean, by its header.
    pub(super) fn candidates<'s>(
        &'s self,
        algorithm: Algorithm,
        kid: Option<&'s str>,
    ) -> impl Iterator<Item = &'s Key> {
        let fit = move || self.0.iter().filter(move |key| key.algorithms.has(algorithm));
        let named = fit().filter(move |key| kid.is_some() && key.kid.as_deref() == kid);
        // A key without a name is anybody's, such as one that stands in the configuration.
        let others = fit().filter(move |key| kid.is_none() || key.kid.is_none());
        named.chain(others).take(MOST_TRIED)
    }

    /// Whether a key of this name is here, or any could be meant.
    pub(super) fn knows(&self, kid: Option<&str>) -> bool {
        let Some(kid) = kid else { return !self.0.is_empty() };
        self.0.iter().any(|key| key.kid.as_deref().is_none_or(|named| named == kid))
    }
}

impl Jwk {
    /// None if it is not for signatures.
    fn key(self, wanted: Algorithms, private: bool) -> Option<Result<Key, InvalidKey>> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !for_signatures {
            return None;
        }
        let wanted = match &self.alg {
            // One that we don't know, such as of encryption.
            Some(name) => wanted.both(Algorithms::one(Algorithm::named(name)?)),
            None => wanted,
        };
        Some(self.read(wanted, private).map(|key| key.named(self.kid.as_deref())))
    }

    fn read(&self, wanted: Algorithms, private: bool) -> Result<Key, InvalidKey> {
        let bytes = |text: &Option<String>| {
            let text = text.as_deref().ok_or(InvalidKey::Broken)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidKey::Broken)
        };
        match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => Key::rsa(&bytes(&self.n)?, &bytes(&self.e)?, wanted),
            ("EC", Some(curve)) => {
                let (algorithm, length) = match curve {
                    "P-256" => (Algorithm::Es256, 32),
                    "P-384" => (Algorithm::Es384, 48),
                    _ => return Err(InvalidKey::Kind),
                };
                let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
                if x.len() != length || y.len() != length {
                    return Err(InvalidKey::Broken);
                }
                Key::ec(algorithm, &[&[4], &*x, &*y].concat(), wanted)
            }
            ("OKP", Some("Ed25519")) => Key::ed25519(&bytes(&self.x)?, wanted),
            ("oct", _) if private => {
                // Where nobody says, what every secret is used for.
                let unsaid = wanted == Algorithms::of(&[]);
                let wanted = if unsaid { Algorithms::one(Algorithm::Hs256) } else { wanted };
                Key::secret(&bytes(&self.k)?, wanted)
            }
            _ => Err(InvalidKey::Kind),
        }
    }
}
