//! Which certificate a client gets: the one whose names cover the name that it asks for.

use std::sync::Arc;

use hashbrown::HashMap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::CertificateConfig;
use super::pair::{Files, Pair};
use crate::diagnostic::At;

/// The certificates of one listener.
#[derive(Debug)]
pub struct Certificates {
    pairs: Box<[Arc<Pair>]>,
    /// By name, in lower case; a wildcard by what follows its star, with the dot. The numbers of pairs.
    by_name: HashMap<Box<str>, Vec<usize>>,
}

impl Certificates {
    pub(super) fn compile(
        config: &[CertificateConfig],
        previous: Option<&Self>,
        at: &At,
        files: &mut Files<'_>,
    ) -> Option<Self> {
        if config.is_empty() {
            files.diagnostics.error(
                at.clone(),
                "there is no certificate, so no client could connect",
                "add one: certificates: [ { cert: api.pem, key: api.key } ]",
            );
            return None;
        }
        let mut pairs = Vec::with_capacity(config.len());
        for (index, config) in config.iter().enumerate() {
            let at = at.index(index);
            if pairs.iter().any(|pair: &Arc<Pair>| pair.path() == config.cert) {
                let what = format!("{} stands here twice", config.cert.display());
                files.diagnostics.error(at.key("cert"), what, "take one of them out");
            }
            let before = previous.and_then(|p| p.pairs.iter().find(|pair| pair.is_of(config)));
            let Some(pair) = Pair::compile(config, before, &at, files) else { continue };
            if index > 0 && pair.names().next().is_none() {
                files.diagnostics.warning(
                    at.key("cert"),
                    "this certificate covers no host name, so no client gets it",
                    "have it made with the names as subject alternative names (DNS), or put it first",
                );
            }
            pairs.push(pair);
        }
        (pairs.len() == config.len()).then(|| Self::new(pairs))
    }

    fn new(pairs: Vec<Arc<Pair>>) -> Self {
        let mut by_name: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            for name in pair.names() {
                by_name
                    .entry(name.strip_prefix('*').unwrap_or(name).into())
                    .or_default()
                    .push(index);
            }
        }
        Self { pairs: pairs.into(), by_name }
    }

    /// The pairs, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().map(AsRef::as_ref)
    }

    /// Whether a certificate covers this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        !self.of(name).is_empty()
    }

    /// The pairs for a name: those that have it, or those with a wildcard in the place of its first label.
    fn of(&self, name: &str) -> &[usize] {
        let lower;
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            lower.as_str()
        } else {
            name
        };
        // A name with the dot of the root is the same one (RFC 6066 does not want it there).
        let name = name.strip_suffix('.').unwrap_or(name);
        let exact = self.by_name.get(name);
        let wildcard = || name.find('.').filter(|dot| *dot > 0).map(|dot| &name[dot..]);
        let found = exact.or_else(|| self.by_name.get(wildcard()?));
        found.map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().map_or(&[][..], |name| self.of(name));
        let all = || found.iter().map(|index| self.pairs[*index].key());
        // Of certificates for one name with keys of two kinds, the first that the client can verify.
        let schemes = hello.signature_schemes();
        let fits = all().find(|key| key.key.choose_scheme(schemes).is_some());
        let key = fits.or_else(|| all().next()).or_else(|| self.pairs.first().map(|p| p.key()));
        key.cloned()
    }
}
