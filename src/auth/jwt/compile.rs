//! From a `jwt` method as written to a [`Jwt`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::compile::{ReadText, header};
use super::algorithm::{Algorithm, Algorithms};
use super::config::{JwtConfig, JwtKeyConfig};
use super::fetched::{self, Fetched, Wish};
use super::jwks::KeySet;
use super::key::{InvalidKey, Key};
use super::{Cache, Jwt, Place, Registry};
use crate::diagnostic::{At, Diagnostics, unreadable};
use crate::fetch::Url;
use crate::units::OneOrMany;

/// Reads one method.
pub(in super::super) struct Compiler<'a, 'd> {
    pub(in super::super) name: &'a str,
    pub(in super::super) config: &'a JwtConfig,
    pub(in super::super) at: &'a At,
    pub(in super::super) read_text: ReadText<'a>,
    pub(in super::super) diagnostics: &'d mut Diagnostics,
}

impl Compiler<'_, '_> {
    /// `before` finds keys that are fetched already.
    pub(in super::super) fn compile(
        mut self,
        consumers: &Arc<Registry>,
        before: impl FnOnce(&str, &Wish) -> Option<Arc<Fetched>>,
    ) -> Option<Jwt> {
        let place = self.place();
        let issuers = self.names("issuer", &self.config.issuer, "https://id.example.com/");
        let audiences = self.names("audience", &self.config.audience, "api");
        let keys = self.keys();
        let source = self.source(issuers.as_ref().and_then(|issuers| issuers.as_deref()));
        if self.config.keys.is_empty() && self.config.jwks.is_none() {
            self.diagnostics.error(
                self.at.clone(),
                "no key is named, so no token could be verified",
                "add `jwks: auto` (or a URL or file), or `keys: [ { file: issuer.pem } ]`",
            );
            return None;
        }
        let (mut keys, source) = (keys?, source?);
        let fetched = match source {
            None => None,
            Some(Source::Set(set)) => {
                keys.extend(set.0);
                None
            }
            Some(Source::Wish(wish)) => Some(
                before(self.name, &wish).unwrap_or_else(|| Arc::new(Fetched::new(self.name, wish))),
            ),
        };
        Some(Jwt {
            name: self.name.into(),
            place: place?,
            forward: self.config.forward,
            issuers: issuers?.map(Into::into),
            audiences: audiences?.map(Into::into),
            leeway: self.config.leeway.get().as_secs(),
            consumer: self.config.consumer.as_deref().map(Into::into),
            keys: KeySet(keys),
            fetched,
            consumers: Arc::clone(consumers),
            verified: Cache::new(),
        })
    }

    fn place(&mut self) -> Option<Place> {
        let JwtConfig { header: in_header, cookie, .. } = self.config;
        match (in_header, cookie) {
            (Some(_), Some(_)) => {
                self.diagnostics.error(
                    self.at.key("cookie"),
                    "the token is in a header and in a cookie",
                    "keep one of them; a second method may look in the other place",
                );
                None
            }
            (None, None) => Some(Place::Scheme("Bearer")),
            (Some(name), None) if name.eq_ignore_ascii_case("authorization") => {
                Some(Place::Scheme("Bearer"))
            }
            (Some(name), None) => header(name)
                .map_err(|(what, help)| self.diagnostics.error(self.at.key("header"), what, help))
                .ok()
                .map(Place::Header),
            (None, Some(name)) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                if name.is_empty() || !name.bytes().all(plain) {
                    self.diagnostics.error(
                        self.at.key("cookie"),
                        format!("{name:?} is not a cookie's name"),
                        "use letters, digits, `-`, `_` and `.`, such as session",
                    );
                    return None;
                }
                Some(Place::Cookie(name.as_str().into()))
            }
        }
    }

    /// Outer none: a mistake; inner none: `none`.
    #[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
    fn names(
        &mut self,
        key: &str,
        names: &OneOrMany,
        such_as: &str,
    ) -> Option<Option<Vec<String>>> {
        match &*names.0 {
            [] => {
                self.diagnostics.error(
                    self.at.clone(),
                    format!("the key \"{key}\" is missing"),
                    format!(
                        "add `{key}: \"{such_as}\"`, or `{key}: none` not to look at the claim"
                    ),
                );
                None
            }
            [one] if one == "none" => Some(None),
            all if all.iter().any(|name| name.is_empty() || name == "none") => {
                self.diagnostics.error(
                    self.at.key(key),
                    "`none` and nothing can't stand in a list",
                    format!("name those that count, or write `{key}: none` alone"),
                );
                None
            }
            all => Some(Some(all.to_vec())),
        }
    }

    fn keys(&mut self) -> Option<Vec<Key>> {
        let (mut keys, mut sound) = (Vec::new(), true);
        for (index, key) in self.config.keys.iter().enumerate() {
            let at = self.at.key("keys").index(index);
            match self.key(key, &at) {
                Some(key) => keys.push(key),
                None => sound = false,
            }
        }
        sound.then_some(keys)
    }

    fn key(&mut self, written: &JwtKeyConfig, at: &At) -> Option<Key> {
        let own = if written.algorithms.is_empty() {
            &self.config.algorithms
        } else {
            &written.algorithms
        };
        let wanted = Algorithms::of(own);
        let (read, at) = match (&written.pem, &written.file, &written.secret) {
            (Some(pem), None, None) => (Key::from_pem(pem.as_bytes(), wanted), at.key("pem")),
            (None, Some(file), None) => {
                let at = at.key("file");
                (Key::from_pem(&self.file(file, &at)?, wanted), at)
            }
            (None, None, Some(secret)) => {
                let wanted =
                    if own.is_empty() { Algorithms::one(Algorithm::Hs256) } else { wanted };
                (Key::secret(secret.expose().as_bytes(), wanted), at.key("secret"))
            }
            _ => {
                self.diagnostics.error(
                    at.clone(),
                    "a key is one of `pem`, `file` and `secret`",
                    "write one of them, such as { file: issuer.pem }",
                );
                return None;
            }
        };
        read.map(|key| key.named(written.kid.as_deref()))
            .map_err(|error| self.refuse(at, error))
            .ok()
    }

    fn refuse(&mut self, at: At, error: InvalidKey) {
        let help = match error {
            InvalidKey::NotPem => {
                "PEM begins with -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----"
            }
            InvalidKey::Private => "`openssl pkey -in private.pem -pubout` prints the public one",
            InvalidKey::Kind => "known are RSA, EC on P-256 and P-384, and Ed25519",
            InvalidKey::Short(..) => "`openssl rand -base64 48` makes one",
            InvalidKey::Algorithm => {
                "RS* and PS* need an RSA key, ES256 and ES384 one on P-256 or P-384, EdDSA one of \
                 Ed25519, HS* a secret"
            }
            _ => "have the issuer make a new key",
        };
        self.diagnostics.error(at, error.to_string(), help);
    }

    fn file(&mut self, file: &Path, at: &At) -> Option<Vec<u8>> {
        let read = (self.read_text)(file);
        read.map_err(|error| {
            self.diagnostics.error(
                at.clone(),
                format!("{} can't be read: {}", file.display(), unreadable(&error)),
                "the file must exist; a relative path starts at the configuration file's folder",
            );
        })
        .ok()
        .map(String::into_bytes)
    }

    /// Outer none: a mistake; inner none: there is no `jwks`.
    #[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
    fn source(&mut self, issuers: Option<&[String]>) -> Option<Option<Source>> {
        let Some(written) = &self.config.jwks else { return Some(None) };
        let at = self.at.key("jwks");
        let algorithms = Algorithms::of(&self.config.algorithms);
        let place = if written == "auto" {
            let Some([issuer]) = issuers else {
                let help = "name one issuer, or write the URL of its keys";
                self.diagnostics.error(at, "`auto` asks the issuer, and there is not one", help);
                return None;
            };
            let document = format!(
                "{}/.well-known/openid-configuration",
                issuer.strip_suffix('/').unwrap_or(issuer)
            );
            let document = self.url(&document, &self.at.key("issuer"))?;
            fetched::Place::Discovery { document, issuer: issuer.clone() }
        } else if written.contains("://") {
            fetched::Place::Set(self.url(written, &at)?)
        } else {
            let text = self.file(Path::new(written), &at)?;
            let read = KeySet::read(&text, algorithms, true);
            let Some(read) =
                read.filter(|read| !read.keys.0.is_empty() || !read.skipped.is_empty())
            else {
                let help = "a set of keys is JSON: { \"keys\": [ { \"kty\": ... } ] }";
                self.diagnostics.error(at, format!("{written} holds no keys for signatures"), help);
                return None;
            };
            if let Some((index, error)) = read.skipped.first() {
                self.refuse(at, *error);
                let what = format!("key {index} of {written} cannot be used");
                self.diagnostics.error(self.at.key("jwks"), what, "take it out of the file");
                return None;
            }
            return Some(Some(Source::Set(read.keys)));
        };
        let wish = Wish { place, algorithms, allow_http: self.config.allow_http };
        Some(Some(Source::Wish(wish)))
    }

    fn url(&mut self, text: &str, at: &At) -> Option<Url> {
        let url = Url::parse(text).map_err(|error| {
            let help = "write it like https://id.example.com/jwks.json";
            self.diagnostics.error(at.clone(), error.to_string(), help);
        });
        let url = url.ok()?;
        if url.is_private() {
            return Some(url);
        }
        if self.config.allow_http {
            self.diagnostics.warning(
                at.clone(),
                "keys are fetched by plain HTTP",
                "use https: whoever is on the way can put in keys of its own, and sign what it likes",
            );
            return Some(url);
        }
        self.diagnostics.error(
            at.clone(),
            "keys would be fetched by plain HTTP, where anybody on the way can put in others",
            "use https, or `allow_http: true` in a network that you trust",
        );
        None
    }
}

enum Source {
    Set(KeySet),
    Wish(Wish),
}

impl JwtConfig {
    /// The files that it names.
    pub(in super::super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let set = self.jwks.iter().filter(|text| *text != "auto" && !text.contains("://"));
        self.keys.iter().filter_map(|key| key.file.clone()).chain(set.map(PathBuf::from))
    }
}
