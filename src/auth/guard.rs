//! A [`Guard`] stands before a route and lets in who may pass. What it gives out is a [`Permit`],
//! which nobody else can make: forwarding a request without one does not compile.

use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::certificate::Certificates;
use super::consumer::Consumer;
use super::keyring::{Keyring, Reason};
use crate::listen::ClientCertificate;

/// A way to prove who one is. A new one is a variant here, and the compiler shows the places.
#[derive(Debug)]
pub(super) enum Method {
    /// A key in a header.
    ApiKey(ApiKey),
    /// The certificate that the connection showed.
    Mtls(Certificates),
}

/// What a request shows of who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The certificate that its connection showed, verified.
    pub certificate: Option<&'a ClientCertificate>,
}

/// How a way to prove who one is shows in a request: what a caller has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// A key in this header.
    ApiKey {
        /// Its name.
        header: HeaderName,
    },
    /// A certificate that the connection shows.
    MutualTls,
}

/// A key in a header.
#[derive(Debug)]
pub(super) struct ApiKey {
    pub(super) header: HeaderName,
    pub(super) keys: Keyring,
}

impl Method {
    /// Whom this request proves to be from.
    fn identify(
        &self,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<&Arc<Consumer>, Reason> {
        match self {
            Self::ApiKey(method) => method.identify(presented.headers, now),
            Self::Mtls(method) => method.find(presented.certificate),
        }
    }

    /// Whether this consumer could prove who it is in this way.
    fn knows(&self, consumer: &Consumer, now: SystemTime) -> Result<(), Reason> {
        match self {
            Self::ApiKey(method) => method.keys.best_of(consumer, now),
            Self::Mtls(method) => method.has(consumer),
        }
    }

    /// The header that carries the credential, if one does.
    pub(super) const fn credential_header(&self) -> Option<&HeaderName> {
        match self {
            Self::ApiKey(method) => Some(&method.header),
            Self::Mtls(_) => None,
        }
    }

    /// What a caller has to know.
    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::ApiKey(method) => Scheme::ApiKey { header: method.header.clone() },
            Self::Mtls(_) => Scheme::MutualTls,
        }
    }

    /// The challenge of a 401 (RFC 9110, 11.6.1).
    const fn challenge(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "ApiKey",
            Self::Mtls(_) => "Certificate",
        }
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        match self {
            Self::ApiKey(method) => method.keys.len(),
            Self::Mtls(method) => method.len(),
        }
    }

    /// Whether nobody can prove anything this way.
    pub(super) fn admits_nobody(&self) -> bool {
        self.keys() == 0
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

/// What a route demands of who calls it.
#[derive(Debug)]
pub struct Guard {
    demand: Demand,
    credentials: Arc<[HeaderName]>,
    challenge: HeaderValue,
}

#[derive(Debug)]
pub(super) enum Demand {
    /// Everybody may pass.
    Nothing,
    /// Whom one of the methods knows may pass, if the list of consumers, by number, has it or there
    /// is none.
    AnyOf { methods: Box<[Arc<Method>]>, allowed: Option<HashSet<u32>> },
}

/// Proof that a request may pass. Only a [`Guard`] makes one.
#[derive(Debug, Clone)]
pub struct Permit {
    consumer: Option<Arc<Consumer>>,
}

impl Permit {
    /// Who was let in; none on an open route.
    #[must_use]
    pub const fn consumer(&self) -> Option<&Arc<Consumer>> {
        self.consumer.as_ref()
    }
}

/// Why a request may not pass.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Denied {
    /// 401: nobody that is known. The client gets the same answer whatever the reason is, so that it
    /// cannot find out which keys exist.
    #[error("no valid credential")]
    Unauthorized {
        /// For the access log only.
        reason: Reason,
    },
    /// 403: somebody that is known, but the route is not for it.
    #[error("this consumer may not call this route")]
    Forbidden {
        /// Who it is.
        consumer: Arc<Consumer>,
    },
}

impl Denied {
    /// The reason in a word, for the access log only: it must never reach a client.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized { reason } => reason.as_str(),
            Self::Forbidden { .. } => Reason::NotAllowed.as_str(),
        }
    }

    /// Who was denied, if that is known.
    #[must_use]
    pub const fn consumer(&self) -> Option<&Arc<Consumer>> {
        match self {
            Self::Unauthorized { .. } => None,
            Self::Forbidden { consumer } => Some(consumer),
        }
    }
}

impl Guard {
    pub(super) fn new(demand: Demand, credentials: &Arc<[HeaderName]>) -> Self {
        let challenge = match &demand {
            Demand::Nothing => HeaderValue::from_static("ApiKey"),
            Demand::AnyOf { methods, .. } => {
                let mut schemes: Vec<&str> = methods.iter().map(|m| m.challenge()).collect();
                schemes.dedup();
                HeaderValue::from_str(&schemes.join(", "))
                    .unwrap_or(HeaderValue::from_static("ApiKey"))
            }
        };
        Self { demand, credentials: Arc::clone(credentials), challenge }
    }

    /// Lets a request pass, or tells why not. Of several methods one suffices, and what another one
    /// thinks of the request does not matter then.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`] if no method knows who it is, [`Denied::Forbidden`] if the route is for
    /// others.
    pub fn admit(&self, presented: &Presented<'_>, now: SystemTime) -> Result<Permit, Denied> {
        let Demand::AnyOf { methods, .. } = &self.demand else {
            return Ok(Permit { consumer: None });
        };
        let mut reason = Reason::Missing;
        for method in methods {
            match method.identify(presented, now) {
                Ok(consumer) => return self.fits(consumer),
                // A credential that was refused tells more than one that was not sent.
                Err(found) if reason == Reason::Missing => reason = found,
                Err(_) => {}
            }
        }
        Err(Denied::Unauthorized { reason })
    }

    /// Lets a request pass as [`admit`](Self::admit) would, had it come with the best credential that this
    /// consumer has for the route: for questions about a configuration, whose author knows no keys. Traffic
    /// never comes here.
    ///
    /// # Errors
    /// As of [`admit`](Self::admit); a consumer whose keys are missing, expired or switched off is unknown.
    pub fn admit_as(&self, consumer: &Arc<Consumer>, now: SystemTime) -> Result<Permit, Denied> {
        let Demand::AnyOf { methods, .. } = &self.demand else {
            return Ok(Permit { consumer: None });
        };
        let mut reason = Reason::Missing;
        for method in methods {
            match method.knows(consumer, now) {
                Ok(()) => return self.fits(consumer),
                Err(found) if reason == Reason::Missing => reason = found,
                Err(_) => {}
            }
        }
        Err(Denied::Unauthorized { reason })
    }

    /// Lets a known consumer pass if the route is for it.
    fn fits(&self, consumer: &Arc<Consumer>) -> Result<Permit, Denied> {
        let consumer = Arc::clone(consumer);
        match &self.demand {
            Demand::AnyOf { allowed: Some(ids), .. } if !ids.contains(&consumer.id()) => {
                Err(Denied::Forbidden { consumer })
            }
            _ => Ok(Permit { consumer: Some(consumer) }),
        }
    }

    /// The headers in which the route looks for a credential, in the order of its methods; none on an open
    /// route.
    pub fn asks_for(&self) -> impl Iterator<Item = &HeaderName> {
        let methods = match &self.demand {
            Demand::Nothing => &[][..],
            Demand::AnyOf { methods, .. } => methods,
        };
        methods.iter().filter_map(|method| method.credential_header())
    }

    /// Whether a certificate of the client may be what lets it pass.
    #[must_use]
    pub fn asks_for_certificate(&self) -> bool {
        match &self.demand {
            Demand::Nothing => false,
            Demand::AnyOf { methods, .. } => {
                methods.iter().any(|method| matches!(&**method, Method::Mtls(_)))
            }
        }
    }

    /// Whether everybody may pass.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.demand, Demand::Nothing)
    }

    /// The headers that carry credentials for the gateway: those of all methods, on all routes. They
    /// are removed before the upstream sees a request.
    #[must_use]
    pub fn credential_headers(&self) -> &[HeaderName] {
        &self.credentials
    }

    /// `WWW-Authenticate` of a 401 (RFC 9110, 11.6.1): the schemes of the route's methods. No realm
    /// and no reason, so that it tells nothing about the route.
    #[must_use]
    pub fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }
}
