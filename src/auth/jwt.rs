//! Signed tokens (JWT, RFC 7519).
//!
//! What lets a token in is written in the configuration: the keys and what each may be used for, who issues, and for
//! whom. Nothing of that is taken from a token. A verified one is remembered by its digest until it expires, so that
//! its signature is paid for once; what is remembered is forgotten with the keys it was verified by.
//!
//! A token never becomes a consumer by accident: unless `consumer` says which claim names one, its bearer is
//! `METHOD:SUBJECT`, and no consumer of the configuration may have a name that begins so.

mod algorithm;
mod claims;
mod compile;
mod config;
mod fetched;
mod jwks;
mod key;
mod token;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use serde_json::Value;

use super::cache::{Cache, second};
use super::consumer::{Consumer, Registry, plain};
use super::key::Digest;
use super::keyring::Reason;
use super::method::{Details, Identity};
use super::place::Place;
use crate::strict;
pub use algorithm::Algorithm;
pub(super) use algorithm::Algorithms;
pub use claims::Claims;
pub(super) use compile::Compiler;
pub use config::{JwtConfig, JwtKeyConfig};
pub use fetched::KeySetStatus;
pub(in crate::auth) use fetched::{Fetched, Wish};
use jwks::KeySet;
pub(super) use key::{InvalidKey, Key};
use token::Token;

/// The longest subject (of `OpenID` Connect Core, section 2).
const LONGEST_SUBJECT: usize = 255;

/// A method: signed tokens of one issuer.
#[derive(Debug)]
pub(super) struct Jwt {
    name: Box<str>,
    pub(super) place: Place,
    pub(super) forward: bool,
    issuers: Option<Box<[String]>>,
    audiences: Option<Box<[String]>>,
    leeway: u64,
    /// The claim that names a consumer.
    consumer: Option<Box<str>>,
    keys: KeySet,
    pub(super) fetched: Option<Arc<Fetched>>,
    consumers: Arc<Registry>,
    verified: Cache<Identity>,
}

/// Why a token does not let in now.
pub(super) enum Unverified {
    /// It does not.
    Refused(Reason),
    /// It may, with keys that are not here yet.
    KeysAwaited(Reason),
}

impl From<Reason> for Unverified {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl Jwt {
    /// Whom a request proves to be from.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Identity, Unverified> {
        let token = self.place.find(headers)?;
        if token.len() > token::LONGEST {
            return Err(Reason::Malformed.into());
        }
        let second = second(now);
        let version = self.fetched.as_ref().map_or(0, |fetched| fetched.version());
        let digest = Digest::of(token);
        if let Some(identity) = self.verified.get(&digest, second, version) {
            return Ok(identity);
        }
        let (identity, until) = self.verify(token, second)?;
        self.verified.put(digest, identity.clone(), until, second, version);
        Ok(identity)
    }

    /// Until a fetch of the keys is over that has been asked for by this; none if there is nothing to wait for.
    pub(super) fn refetch(&self) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
        self.fetched.as_ref()?.refetch()
    }

    /// Verifies a token, whatever is remembered; tells until which second it lets in.
    pub(super) fn verify(&self, text: &[u8], second: u64) -> Result<(Identity, u64), Unverified> {
        let token = Token::read(text)?;
        let payload = self.payload(&token)?;
        let claims = Claims(strict::object(&payload).ok_or(Reason::Malformed)?);
        let until = self.check(&claims, second)?;
        Ok((self.bearer(claims)?, until))
    }

    /// Who the bearer of a token is that says this.
    pub(super) fn bearer(&self, claims: Claims) -> Result<Identity, Reason> {
        let consumer = self.consumer(&claims)?;
        let details = Details { claims, headers: Vec::new() };
        Ok(Identity { consumer, details: Some(Arc::new(details)), body: None })
    }

    fn payload(&self, token: &Token<'_>) -> Result<Vec<u8>, Unverified> {
        let here = token.payload(&self.keys);
        let Some(fetched) = &self.fetched else { return Ok(here?) };
        if let Ok(payload) = here {
            return Ok(payload);
        }
        let set = fetched.set();
        let reason = match set.as_deref() {
            None => Reason::KeysUnavailable,
            Some(set) => match token.payload(set) {
                Ok(payload) => return Ok(payload),
                Err(Reason::KeyUnknown) => Reason::KeyUnknown,
                Err(reason) => return Err(reason.into()),
            },
        };
        // Nobody shall have the keys of one issuer fetched by tokens of another.
        let claims = token.unverified().and_then(|payload| strict::object(&payload));
        self.is_issued(&Claims(claims.ok_or(Reason::Malformed)?))?;
        Err(Unverified::KeysAwaited(reason))
    }

    /// Whether the claims hold, and until when.
    fn check(&self, claims: &Claims, second: u64) -> Result<u64, Reason> {
        let until = time(claims, "exp")?.ok_or(Reason::Claims)?.saturating_add(self.leeway);
        if second >= until {
            return Err(Reason::Expired);
        }
        let latest = second.saturating_add(self.leeway);
        for name in ["nbf", "iat"] {
            if time(claims, name)?.is_some_and(|from| from > latest) {
                return Err(Reason::Early);
            }
        }
        self.is_issued(claims)?;
        if let Some(wanted) = &self.audiences {
            let meant =
                |name: &Value| name.as_str().is_some_and(|name| wanted.iter().any(|w| w == name));
            let fits = match claims.0.get("aud") {
                Some(Value::Array(all)) => {
                    all.iter().all(Value::is_string) && all.iter().any(meant)
                }
                Some(one) => meant(one),
                None => false,
            };
            if !fits {
                return Err(Reason::Audience);
            }
        }
        Ok(until)
    }

    fn is_issued(&self, claims: &Claims) -> Result<(), Reason> {
        let Some(wanted) = &self.issuers else { return Ok(()) };
        let issuer = claims.0.get("iss").and_then(Value::as_str).ok_or(Reason::Issuer)?;
        if wanted.iter().any(|known| known == issuer) { Ok(()) } else { Err(Reason::Issuer) }
    }

    /// Who the bearer is.
    fn consumer(&self, claims: &Claims) -> Result<Option<Arc<Consumer>>, Reason> {
        if let Some(claim) = &self.consumer
            && let Some(name) = claims.get(claim).and_then(Value::as_str)
            && let Some(consumer) = self.consumers.find(name)
        {
            return if consumer.is_disabled() {
                Err(Reason::Disabled)
            } else {
                Ok(Some(Arc::clone(consumer)))
            };
        }
        match claims.0.get("sub") {
            None => Ok(None),
            Some(Value::String(subject)) if (1..=LONGEST_SUBJECT).contains(&subject.len()) => {
                let name = format!("{}:{}", self.name, plain(subject));
                Consumer::unlisted(&name)
                    .map(|consumer| Some(Arc::new(consumer)))
                    .ok_or(Reason::Claims)
            }
            Some(_) => Err(Reason::Claims),
        }
    }

    /// Whether a consumer could prove by a token who it is.
    pub(super) fn knows(&self, consumer: &Consumer) -> Result<(), Reason> {
        if self.consumer.is_none() {
            return Err(Reason::Missing);
        }
        if consumer.is_disabled() { Err(Reason::Disabled) } else { Ok(()) }
    }

    /// The name's beginning that its bearers have, and nobody else may.
    pub(super) fn prefix(&self) -> String {
        format!("{}:", self.name)
    }
}

/// A point in time, in seconds since 1970; parts of a second are cut off.
fn time(claims: &Claims, name: &str) -> Result<Option<u64>, Reason> {
    let Some(value) = claims.0.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Reason::Claims) };
    if let Some(whole) = number.as_u64() {
        return Ok(Some(whole));
    }
    match number.as_f64() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is bounded"
        )]
        Some(part) if (0.0..=1e15).contains(&part) => Ok(Some(part as u64)),
        _ => Err(Reason::Claims),
    }
}
