//! A [`Method`]: one way to prove who one is, and who that is then.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::basic::{self, Basic};
use super::certificate::Certificates;
use super::consumer::Consumer;
use super::guard::Scheme;
use super::jwt::{Claims, Jwt, Unverified};
use super::keyring::{Keyring, Reason};
use super::place::BEFORE_A_SCHEME;
use super::presented::Presented;
use super::service::{self, Service};
use super::signature::{self, Signatures, SignedBody};
use super::wait::{Wait, settled};

/// A way to prove who one is. A new one is a variant here, and the compiler shows the places.
#[derive(Debug)]
pub(super) enum Method {
    /// A key in a header.
    ApiKey(ApiKey),
    /// The certificate that the connection showed.
    Mtls(Certificates),
    /// A signed token.
    Jwt(Box<Jwt>),
    /// A user name and a password.
    Basic(Box<Basic>),
    /// Whatever a service takes for a proof.
    Service(Box<Service>),
    /// A signature of the request.
    Signature(Box<Signatures>),
}

/// Who somebody is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) consumer: Option<Arc<Consumer>>,
    pub(super) details: Option<Arc<Details>>,
    /// The body that it has vouched for.
    pub(super) body: Option<SignedBody>,
}

/// What else is known of somebody.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) claims: Claims,
    /// What the service that judged the request has upstreams told.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Details {
    /// What is known by both. Where they say different things of one name, the first counts.
    pub(super) fn and(&self, other: &Self) -> Self {
        let claims = self.claims.and(&other.claims);
        let known = |name: &HeaderName| self.headers.iter().any(|(one, _)| one == name);
        let others = other.headers.iter().filter(|(name, _)| !known(name));
        Self { claims, headers: self.headers.iter().chain(others).cloned().collect() }
    }
}

impl From<&Arc<Consumer>> for Identity {
    fn from(consumer: &Arc<Consumer>) -> Self {
        Self { consumer: Some(Arc::clone(consumer)), details: None, body: None }
    }
}

/// Why it is not known who somebody is.
pub(super) enum Halt {
    Refused(Refused),
    Wait(Wait),
}

/// Why a method does not know who somebody is, and what it wants instead, if it says so.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) challenge: Option<HeaderValue>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, challenge: None }
    }
}

impl<R: Into<Refused>> From<R> for Halt {
    fn from(refused: R) -> Self {
        Self::Refused(refused.into())
    }
}

/// A key in a header.
#[derive(Debug)]
pub(super) struct ApiKey {
    pub(super) header: HeaderName,
    pub(super) keys: Keyring,
}

impl Method {
    /// Whom this request proves to be from.
    pub(super) fn identify(
        self: &Arc<Self>,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<Identity, Halt> {
        if let Some(outcome) = settled(presented.settled, self) {
            return Ok(outcome?);
        }
        match &**self {
            Self::ApiKey(method) => Ok(method.identify(presented.headers, now)?.into()),
            Self::Mtls(method) => Ok(method.find(presented.certificate)?.into()),
            Self::Jwt(_) => self.verify_token(presented.headers, now),
            Self::Signature(method) => match method.identify(presented, now)? {
                (identity, None) => Ok(identity),
                // Whoever asks again within this request is told the same.
                (identity, Some(once)) => Err(Halt::Wait(Wait::new(self, async move {
                    once.take()?;
                    Ok(identity)
                }))),
            },
            Self::Basic(method) => match method.look(presented.headers, now)? {
                basic::Look::Known(identity) => Ok(identity),
                basic::Look::New(login) => {
                    let this = Arc::clone(self);
                    Err(Halt::Wait(Wait::new(self, async move {
                        let Self::Basic(method) = &*this else {
                            return Err(Reason::Missing.into());
                        };
                        Ok(method.verify(login, now).await?)
                    })))
                }
            },
            Self::Service(method) => match method.look(presented, now)? {
                service::Look::Known(verdict) => Ok(verdict?),
                service::Look::Ask(question) => {
                    let this = Arc::clone(self);
                    Err(Halt::Wait(Wait::new(self, async move {
                        let Self::Service(method) = &*this else {
                            return Err(Reason::Missing.into());
                        };
                        method.ask(question).await
                    })))
                }
            },
        }
    }

    fn verify_token(
        self: &Arc<Self>,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Identity, Halt> {
        let Self::Jwt(method) = &**self else { return Err(Reason::Missing.into()) };
        match method.identify(headers, now) {
            Ok(identity) => Ok(identity),
            Err(Unverified::Refused(reason)) => Err(reason.into()),
            Err(Unverified::KeysAwaited(reason)) => {
                let fetch = method.refetch().ok_or(reason)?;
                // What carries the token, since the request is not here to be asked meanwhile.
                let headers = method.place.carry(headers);
                let this = Arc::clone(self);
                Err(Halt::Wait(Wait::new(self, async move {
                    fetch.await;
                    let Self::Jwt(method) = &*this else { return Err(Reason::Missing.into()) };
                    method.identify(&headers, now).map_err(|error| match error {
                        Unverified::Refused(reason) | Unverified::KeysAwaited(reason) => {
                            reason.into()
                        }
                    })
                })))
            }
        }
    }

    /// Who this consumer, or somebody whose token says this, would prove to be in this way.
    pub(super) fn assume(
        &self,
        consumer: Option<&Arc<Consumer>>,
        claims: Option<&Claims>,
        now: SystemTime,
    ) -> Result<Identity, Reason> {
        if let (Self::Jwt(method), Some(claims)) = (self, claims) {
            return method.bearer(claims.clone());
        }
        let consumer = consumer.ok_or(Reason::Missing)?;
        match self {
            Self::ApiKey(method) => method.keys.best_of(consumer, now)?,
            Self::Mtls(method) => method.has(consumer)?,
            Self::Jwt(method) => method.knows(consumer)?,
            Self::Basic(method) => method.has(consumer)?,
            Self::Service(method) => method.knows(consumer)?,
            Self::Signature(method) => method.has(consumer)?,
        }
        Ok(consumer.into())
    }

    /// The headers and the cookie that carry the credential.
    pub(super) fn places(&self) -> (&[HeaderName], Option<&str>) {
        match self {
            Self::ApiKey(method) => (std::slice::from_ref(&method.header), None),
            Self::Mtls(_) => (&[], None),
            Self::Jwt(method) => (method.place.headers(), method.place.cookie()),
            Self::Basic(_) => (&BEFORE_A_SCHEME, None),
            Self::Service(method) => (&method.send, None),
            Self::Signature(_) => (&signature::HEADERS, None),
        }
    }

    /// What of a request no upstream gets: these, unless the method says otherwise, and what the method itself tells
    /// upstreams.
    pub(super) fn stripped(&self) -> (&[HeaderName], Option<&str>) {
        match self {
            Self::Jwt(method) if method.forward => (&[], None),
            Self::Service(method) => (&method.stripped, None),
            _ => self.places(),
        }
    }

    /// What a caller has to know.
    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::ApiKey(method) => Scheme::ApiKey { header: method.header.clone() },
            Self::Mtls(_) => Scheme::MutualTls,
            Self::Jwt(method) => method.place.scheme(),
            Self::Basic(_) => Scheme::Basic,
            Self::Service(method) => Scheme::Asked { headers: method.send.clone() },
            Self::Signature(_) => Scheme::Signature,
        }
    }

    /// The challenge of a 401 (RFC 9110, 11.6.1).
    pub(super) fn challenge(&self) -> &str {
        match self {
            Self::ApiKey(_) => "ApiKey",
            Self::Mtls(_) => "Certificate",
            Self::Jwt(_) => "Bearer",
            Self::Basic(method) => &method.challenge,
            Self::Service(method) => method.challenge(),
            Self::Signature(_) => "Signature",
        }
    }

    /// How many keys of consumers there are; none if that is not known here.
    pub(super) fn keys(&self) -> Option<usize> {
        match self {
            Self::ApiKey(method) => Some(method.keys.len()),
            Self::Mtls(method) => Some(method.len()),
            Self::Basic(method) => Some(method.len()),
            Self::Signature(method) => Some(method.len()),
            Self::Jwt(_) | Self::Service(_) => None,
        }
    }

    /// The name's beginning that only callers by this method may have.
    pub(super) fn prefix(&self) -> Option<String> {
        match self {
            Self::Jwt(method) => Some(method.prefix()),
            Self::Service(method) => Some(method.prefix()),
            Self::ApiKey(_) | Self::Mtls(_) | Self::Basic(_) | Self::Signature(_) => None,
        }
    }

    /// Whether nobody can prove anything this way.
    pub(super) fn admits_nobody(&self) -> bool {
        self.keys() == Some(0)
    }
}

impl ApiKey {
    fn identify(&self, headers: &HeaderMap, now: SystemTime) -> Result<&Arc<Consumer>, Reason> {
        let mut values = headers.get_all(&self.header).iter();
        let key = values.next().ok_or(Reason::Missing)?;
        // Which of two would count is a guess, and another server behind us might guess differently.
        if values.next().is_some() {
            return Err(Reason::Repeated);
        }
        if key.is_empty() {
            return Err(Reason::Missing);
        }
        self.keys.find(key.as_bytes(), now)
    }
}
