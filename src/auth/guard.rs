//! A [`Guard`] stands before a route and lets in who may pass. What it gives out is a [`Permit`],
//! which nobody else can make: forwarding a request without one does not compile.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::consumer::Consumer;
use super::jwt::Claims;
use super::keyring::Reason;
use super::method::{Details, Halt, Identity, Method, Refused};
use super::place::Places;
use super::presented::Presented;
use super::rules::Rules;
use super::signature::SignedBody;
use super::wait::Wait;

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
    /// A token in `Authorization`.
    Bearer,
    /// A token in this cookie.
    Cookie {
        /// Its name.
        name: Box<str>,
    },
    /// A user name and a password in `Authorization`.
    Basic,
    /// A signature of the request, in `Signature` and `Signature-Input`.
    Signature,
    /// What a service asks for, in these headers.
    Asked {
        /// Their names.
        headers: Box<[HeaderName]>,
    },
}

/// What a route demands of who calls it.
#[derive(Debug)]
pub struct Guard {
    demand: Demand,
    rules: Option<Box<Rules>>,
    /// Where it looks for credentials.
    places: Places,
    /// What of a request is a credential for the gateway, of any method, and ends there.
    credentials: Arc<Places>,
    /// The challenge, and that for a token that was refused.
    challenges: [HeaderValue; 2],
}

#[derive(Debug)]
pub(super) enum Demand {
    /// Everybody may pass.
    Nothing,
    /// Whom one of the methods knows may pass.
    AnyOf(Box<[Arc<Method>]>),
    /// Whom each of the methods knows may pass, if it is the same for all.
    AllOf(Box<[Arc<Method>]>),
}

/// Proof that a request may pass. Only a [`Guard`] makes one.
#[derive(Debug, Clone)]
pub struct Permit {
    consumer: Option<Arc<Consumer>>,
    details: Option<Arc<Details>>,
    /// The body that whoever was let in has signed, where that is how it proved who it is.
    body: Option<SignedBody>,
    /// Why it would not pass, if the rules were more than looked at.
    observed: Option<Reason>,
}

impl Permit {
    const OPEN: Self = Self { consumer: None, details: None, body: None, observed: None };

    /// Who was let in; none on an open route, and for tokens without a subject.
    #[must_use]
    pub const fn consumer(&self) -> Option<&Arc<Consumer>> {
        self.consumer.as_ref()
    }

    /// What the caller's token says; none if it came with something else.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.details.as_deref().map(|details| &details.claims)
    }

    /// What the upstream is told beside the consumer's name.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        self.details.as_deref().map_or(&[], |details| &details.headers)
    }

    /// The body that it was let in with, and no other.
    #[must_use]
    pub const fn body(&self) -> Option<&SignedBody> {
        self.body.as_ref()
    }

    /// Why it would have been denied by rules that only observe.
    #[must_use]
    pub fn observed(&self) -> Option<&'static str> {
        self.observed.map(Reason::as_str)
    }
}

/// Why a request may not pass.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// 401: nobody that is known. The client gets the same answer whatever the reason is, so that it
    /// cannot find out which keys exist.
    #[error("no valid credential")]
    Unauthorized {
        /// For the access log only.
        reason: Reason,
        /// What is wanted instead, if whoever refused it said so.
        challenge: Option<HeaderValue>,
    },
    /// 403: somebody that is known, but the route is not for it.
    #[error("this consumer may not call this route")]
    Forbidden {
        /// Who it is.
        consumer: Option<Arc<Consumer>>,
        /// For the access log only.
        reason: Reason,
    },
    /// 503: it cannot be found out now who it is.
    #[error("the credential cannot be verified now")]
    Unavailable {
        /// For the access log only.
        reason: Reason,
    },
    /// Not yet: something has to be waited for.
    #[error("the credential is not verified yet")]
    Undecided(Wait),
}

impl Denied {
    /// The reason in a word, for the access log only: it must never reach a client.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized { reason, .. }
            | Self::Unavailable { reason }
            | Self::Forbidden { reason, .. } => reason.as_str(),
            Self::Undecided(_) => Reason::Pending.as_str(),
        }
    }

    /// Whether the credential itself may be why: nobody has said that it is good.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        matches!(self, Self::Forbidden { reason: Reason::Declined, .. })
    }

    /// Who was denied, if that is known.
    #[must_use]
    pub const fn consumer(&self) -> Option<&Arc<Consumer>> {
        match self {
            Self::Forbidden { consumer, .. } => consumer.as_ref(),
            _ => None,
        }
    }
}

/// What stood in the way while one way in after the other was tried.
struct Obstacles {
    refused: Refused,
    wait: Option<Wait>,
}

impl Obstacles {
    const NONE: Self =
        Self { refused: Refused { reason: Reason::Missing, challenge: None }, wait: None };

    fn note(&mut self, halt: Halt) {
        match halt {
            // A credential that was refused tells more than one that was not sent; that one could not be judged
            // may be why none is known.
            Halt::Refused(refused) => {
                let (before, now) = (self.refused.reason, refused.reason);
                if before == Reason::Missing || (now.is_ours() && !before.is_ours()) {
                    self.refused = refused;
                }
            }
            Halt::Wait(wait) => self.wait = self.wait.take().or(Some(wait)),
        }
    }

    fn denied(self) -> Denied {
        let Refused { reason, challenge } = self.refused;
        match (self.wait, reason) {
            (Some(wait), _) => Denied::Undecided(wait),
            (None, reason) if reason.is_ours() => Denied::Unavailable { reason },
            // The service answers so to whom it knows, and may to whom it does not.
            (None, Reason::Declined) => Denied::Forbidden { consumer: None, reason },
            (None, reason) => Denied::Unauthorized { reason, challenge },
        }
    }
}

impl Guard {
    pub(super) fn new(demand: Demand, rules: Option<Rules>, credentials: &Arc<Places>) -> Self {
        let methods = demand.methods();
        let challenge = |bearer: &'static str| {
            let mut schemes: Vec<&str> = Vec::new();
            for method in methods {
                schemes.push(match (&**method, method.challenge()) {
                    (Method::Jwt(_), _) => bearer,
                    (_, other) => other,
                });
            }
            schemes.dedup();
            if schemes.is_empty() {
                schemes.push("ApiKey");
            }
            HeaderValue::from_str(&schemes.join(", ")).unwrap_or(HeaderValue::from_static("ApiKey"))
        };
        let challenges = [challenge("Bearer"), challenge("Bearer error=\"invalid_token\"")];
        Self {
            rules: rules.map(Box::new),
            places: Places::of(methods.iter().map(|method| method.places()))
                .signed(methods.iter().any(|method| matches!(**method, Method::Signature(_)))),
            demand,
            credentials: Arc::clone(credentials),
            challenges,
        }
    }

    /// Lets a request pass, or tells why not. Of several methods one suffices, and what another one
    /// thinks of the request does not matter then, unless all are demanded.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`] if no method knows who it is, [`Denied::Forbidden`] if the route is for
    /// others, and [`Denied::Undecided`] if something has to be waited for first.
    pub fn admit(&self, presented: &Presented<'_>, now: SystemTime) -> Result<Permit, Denied> {
        self.try_each(|method| method.identify(presented, now))
    }

    /// Lets a request pass as [`admit`](Self::admit) would, had it come with the best credential that this
    /// consumer has for the route, or with a token that says this: for questions about a configuration, whose author
    /// knows no keys. Traffic never comes here.
    ///
    /// # Errors
    /// As of [`admit`](Self::admit); a consumer whose keys are missing, expired or switched off is unknown.
    pub fn admit_as(
        &self,
        consumer: Option<&Arc<Consumer>>,
        claims: Option<&Claims>,
        now: SystemTime,
    ) -> Result<Permit, Denied> {
        self.try_each(|method| method.assume(consumer, claims, now).map_err(Halt::from))
    }

    /// Tries one way in after the other.
    fn try_each(
        &self,
        mut ask: impl FnMut(&Arc<Method>) -> Result<Identity, Halt>,
    ) -> Result<Permit, Denied> {
        let mut obstacles = Obstacles::NONE;
        match &self.demand {
            Demand::Nothing => return Ok(Permit::OPEN),
            Demand::AnyOf(methods) => {
                for method in methods {
                    match ask(method) {
                        Ok(identity) => return self.fits(identity),
                        Err(halt) => obstacles.note(halt),
                    }
                }
            }
            Demand::AllOf(methods) => {
                let mut known: Option<Identity> = None;
                for method in methods {
                    match ask(method) {
                        Ok(identity) => known = Some(joined(known, identity)?),
                        Err(halt) => {
                            obstacles.note(halt);
                            return Err(obstacles.denied());
                        }
                    }
                }
                if let Some(identity) = known {
                    return self.fits(identity);
                }
            }
        }
        Err(obstacles.denied())
    }

    /// Lets somebody pass for whom the route is.
    fn fits(&self, identity: Identity) -> Result<Permit, Denied> {
        let judged = self.rules.as_ref().map(|rules| (rules.judge(&identity), rules.observe));
        let Identity { consumer, details, body } = identity;
        match judged {
            Some((Err(reason), false)) => Err(Denied::Forbidden { consumer, reason }),
            judged => {
                let observed = judged.and_then(|(judged, _)| judged.err());
                Ok(Permit { consumer, details, body, observed })
            }
        }
    }

    /// The headers in which the route looks for a credential, in the order of its methods; none on an open
    /// route.
    pub fn asks_for(&self) -> impl Iterator<Item = &HeaderName> {
        self.places.headers.iter()
    }

    /// What a request presents in the headers and cookies in which the route looks.
    pub fn shown<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h [u8]> {
        self.places.values(headers)
    }

    /// The ways in which a caller can prove to this route who it is, and whether all are demanded.
    #[must_use]
    pub fn schemes(&self) -> (Vec<Scheme>, bool) {
        let schemes = self.demand.methods().iter().map(|method| method.scheme());
        (schemes.collect(), self.demands_all())
    }

    /// Whether each of its methods must know the caller.
    #[must_use]
    pub const fn demands_all(&self) -> bool {
        matches!(self.demand, Demand::AllOf(_))
    }

    /// Whether a certificate of the client may be what lets it pass.
    #[must_use]
    pub fn asks_for_certificate(&self) -> bool {
        self.demand.methods().iter().any(|method| matches!(&**method, Method::Mtls(_)))
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
        &self.credentials.headers
    }

    /// The cookies that carry credentials for the gateway, in the same way.
    #[must_use]
    pub fn credential_cookies(&self) -> &[Box<str>] {
        &self.credentials.cookies
    }

    /// `WWW-Authenticate` of a 401 (RFC 9110, 11.6.1): the schemes of the route's methods. No reason, so that it
    /// tells nothing but, of a token (RFC 6750, section 3.1), that it will not do.
    #[must_use]
    pub fn challenge(&self, denied: &Denied) -> HeaderValue {
        match denied {
            Denied::Unauthorized { challenge: Some(own), .. } => own.clone(),
            Denied::Unauthorized { reason, .. } if *reason != Reason::Missing => {
                self.challenges[1].clone()
            }
            _ => self.challenges[0].clone(),
        }
    }
}

/// Two proofs of one caller. A consumer that is named counts before somebody who is not.
fn joined(known: Option<Identity>, new: Identity) -> Result<Identity, Denied> {
    let Some(known) = known else { return Ok(new) };
    let id = |identity: &Identity| identity.consumer.as_ref().and_then(|consumer| consumer.id());
    let consumer = match (id(&known), id(&new)) {
        (Some(one), Some(other)) if one != other => {
            return Err(Denied::Forbidden { consumer: known.consumer, reason: Reason::Differ });
        }
        (None, Some(_)) => new.consumer,
        _ => known.consumer.or(new.consumer),
    };
    let details = match (known.details, new.details) {
        (Some(one), Some(other)) => Some(Arc::new(one.and(&other))),
        (one, other) => one.or(other),
    };
    // There is one method for signatures at most.
    Ok(Identity { consumer, details, body: known.body.or(new.body) })
}

impl Demand {
    fn methods(&self) -> &[Arc<Method>] {
        match self {
            Self::Nothing => &[],
            Self::AnyOf(methods) | Self::AllOf(methods) => methods,
        }
    }
}
