//! A service that is asked who may pass.
//!
//! It is sent what carries the credentials, and (unless the file says otherwise) what is asked for; the status of its
//! answer decides. What is not clearly a yes or a no is neither, and lets nobody in. One question at a time is asked of
//! whatever is alike, and its answer holds for a moment, so that a page with fifty pictures asks once.

mod compile;
mod config;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::watch;

use super::cache::{Cache, second};
use super::consumer::{Consumer, Registry, plain};
use super::key::{Digest, Hashing};
use super::keyring::Reason;
use super::method::{Details, Identity, Refused};
use super::place;
use super::presented::{Presented, Sent};
use crate::fetch::{Ask, Client, FetchError};
pub use config::ForwardAuthConfig;

/// So many questions may be open at once.
const MOST_OPEN: usize = 1024;
/// The longest name of a caller.
const LONGEST_NAME: usize = 255;

const FORWARDED: [HeaderName; 5] = [
    HeaderName::from_static("x-forwarded-method"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-forwarded-for"),
];

/// What the service says.
type Verdict = Result<Identity, Refused>;

/// A method: a service that is asked.
#[derive(Debug)]
pub(super) struct Service {
    /// The headers with credentials.
    pub(super) send: Box<[HeaderName]>,
    /// What upstreams must not get of a client: the credentials, and what only the service may say.
    pub(super) stripped: Box<[HeaderName]>,
    request: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: Box<str>,
    client: Client,
    timeout: Duration,
    /// How long a word of it holds, in seconds.
    holds: u64,
    take: Box<[HeaderName]>,
    consumer: Option<HeaderName>,
    consumers: Arc<Registry>,
    verdicts: Cache<Verdict>,
    open: Mutex<HashMap<Digest, watch::Receiver<Option<Verdict>>>>,
    /// Whether the last question had no answer.
    down: AtomicBool,
}

/// A question that was not answered yet.
pub(super) struct Question {
    digest: Digest,
    headers: HeaderMap,
    second: u64,
}

/// What is known at once of a request.
pub(super) enum Look {
    Known(Verdict),
    Ask(Question),
}

impl Service {
    /// What is to be asked about a request, if that is not known.
    pub(super) fn look(&self, presented: &Presented<'_>, now: SystemTime) -> Result<Look, Reason> {
        let sent = match (self.request, &presented.request) {
            (true, None) => return Err(Reason::Missing),
            (true, Some(sent)) => Some(sent),
            (false, _) => None,
        };
        let digest = self.digest(presented.headers, sent).ok_or(Reason::Missing)?;
        let second = second(now);
        if let Some(verdict) = self.shared.verdicts.get(&digest, second, 0) {
            return Ok(Look::Known(verdict));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in self.credentials(presented.headers) {
            headers.append(name, value.clone());
        }
        if let Some(sent) = sent {
            tell(sent, &mut headers).ok_or(Reason::Malformed)?;
        }
        Ok(Look::Ask(Question { digest, headers, second }))
    }

    /// What carries the credentials.
    fn credentials<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let all = self
            .send
            .iter()
            .flat_map(|name| headers.get_all(name).into_iter().map(move |value| (name, value)));
        all.filter(|(_, value)| !value.is_empty())
    }

    /// Of all that would be sent, so that a word holds for just that; none without a credential.
    fn digest(&self, headers: &HeaderMap, sent: Option<&Sent<'_>>) -> Option<Digest> {
        let mut hashing = Hashing::default();
        let mut any = false;
        for (name, value) in self.credentials(headers) {
            any = true;
            hashing.add(name.as_str().as_bytes());
            hashing.add(value.as_bytes());
        }
        if !any {
            return None;
        }
        if let Some(sent) = sent {
            hashing.add(sent.method.as_str().as_bytes());
            hashing.add(sent.written.scheme().as_bytes());
            hashing.add(sent.host.as_bytes());
            hashing.add(sent.path.as_bytes());
            // An empty query is another one than none.
            hashing.add(&[u8::from(sent.query.is_some())]);
            hashing.add(sent.query.unwrap_or_default().as_bytes());
            match sent.client {
                IpAddr::V4(address) => hashing.add(&address.octets()),
                IpAddr::V6(address) => hashing.add(&address.octets()),
            }
        }
        Some(hashing.done())
    }

    /// Asks, or waits for the answer to the same question of somebody else.
    pub(super) async fn ask(&self, question: Question) -> Verdict {
        let mut answer = self.shared.begin(question)?;
        // The question has a deadline, and whoever asks it must not be missed by a hair.
        let patience = self.shared.timeout + Duration::from_millis(250);
        let answered = answer.wait_for(Option::is_some);
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(verdict)) => verdict.clone().unwrap_or(Err(Reason::ServiceUnavailable.into())),
            _ => Err(Reason::ServiceUnavailable.into()),
        }
    }

    /// Whether the service could say that it is this consumer.
    pub(super) fn knows(&self, consumer: &Consumer) -> Result<(), Reason> {
        if self.shared.consumer.is_none() {
            return Err(Reason::Missing);
        }
        if consumer.is_disabled() { Err(Reason::Disabled) } else { Ok(()) }
    }

    /// The challenge where nothing was sent; which scheme it wants, only the service knows.
    pub(super) fn challenge(&self) -> &'static str {
        match self.send.first().map(HeaderName::as_str) {
            Some("authorization") => "Bearer",
            Some("cookie") => "Cookie",
            _ => "ApiKey",
        }
    }

    /// The name's beginning of callers whom no consumer of the file is named after.
    pub(super) fn prefix(&self) -> String {
        format!("{}:", self.shared.name)
    }
}

/// What is asked for: the very request that its route was found by and that goes on, and not what the client wrote for it.
fn tell(sent: &Sent<'_>, headers: &mut HeaderMap) -> Option<()> {
    let client = sent.client.to_string();
    let target = match sent.query {
        Some(query) => [sent.path, "?", query].concat(),
        None => sent.path.to_owned(),
    };
    let values = [sent.method.as_str(), sent.written.scheme(), sent.host, &*target, &*client];
    for (name, value) in FORWARDED.into_iter().zip(values) {
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(())
}

/// A question that is open; what becomes of the task that asks it, it ends.
struct Open(Arc<Shared>, Digest);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Shared {
    /// Asks, unless that is being asked already.
    fn begin(
        self: &Arc<Self>,
        question: Question,
    ) -> Result<watch::Receiver<Option<Verdict>>, Refused> {
        let Question { digest, headers, second } = question;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = open.get(&digest) {
            return Ok(answer.clone());
        }
        // It may have been answered between the look and the lock.
        if let Some(verdict) = self.verdicts.get(&digest, second, 0) {
            return Ok(watch::channel(Some(verdict)).1);
        }
        if open.len() >= MOST_OPEN {
            return Err(Reason::Busy.into());
        }
        let (tell, answer) = watch::channel(None);
        open.insert(digest, answer.clone());
        let asked = Open(Arc::clone(self), digest);
        // A task of its own, so that it goes on for others when the client that caused it leaves.
        tokio::spawn(async move {
            let shared = &asked.0;
            let verdict = shared.judged(headers).await;
            let is_word = !matches!(&verdict, Err(refused) if refused.reason.is_ours());
            if shared.holds > 0 && is_word {
                let until = second.saturating_add(shared.holds);
                shared.verdicts.put(digest, verdict.clone(), until, second, 0);
            }
            drop(asked);
            let _ = tell.send(Some(verdict));
        });
        Ok(answer)
    }

    async fn judged(&self, headers: HeaderMap) -> Verdict {
        let ask = Ask { headers, ..Ask::head_of_get() };
        let answer = self.client.ask(ask, self.timeout).await;
        let said = match &answer {
            Ok(answer) => self.read(answer),
            Err(_) => Err(Reason::ServiceUnavailable.into()),
        };
        self.complain(&said, answer.as_ref().map(Response::status));
        said
    }

    /// What an answer means.
    fn read<B>(&self, answer: &Response<B>) -> Verdict {
        let headers = answer.headers();
        match answer.status() {
            status if status.is_success() => {
                let take = |name: &HeaderName| Some((name.clone(), joined(headers, name)?));
                let details = Details {
                    headers: self.take.iter().filter_map(take).collect(),
                    ..Details::default()
                };
                Ok(Identity {
                    consumer: self.caller(headers)?,
                    details: Some(Arc::new(details)),
                    body: None,
                })
            }
            StatusCode::UNAUTHORIZED => {
                let challenge = joined(headers, &WWW_AUTHENTICATE);
                Err(Refused { reason: Reason::Unknown, challenge })
            }
            StatusCode::FORBIDDEN => Err(Reason::Declined.into()),
            _ => Err(Reason::ServiceUnavailable.into()),
        }
    }

    /// Who it says that it is.
    fn caller(&self, headers: &HeaderMap) -> Result<Option<Arc<Consumer>>, Reason> {
        let Some(value) = self.consumer.as_ref().and_then(|name| joined(headers, name)) else {
            return Ok(None);
        };
        let name = std::str::from_utf8(value.as_bytes()).map_err(|_| Reason::Malformed)?;
        if let Some(consumer) = self.consumers.find(name) {
            if consumer.is_disabled() {
                return Err(Reason::Disabled);
            }
            return Ok(Some(Arc::clone(consumer)));
        }
        if !(1..=LONGEST_NAME).contains(&name.len()) {
            return Err(Reason::Malformed);
        }
        let made = Consumer::unlisted(&format!("{}:{}", self.name, plain(name)));
        made.map(|consumer| Some(Arc::new(consumer))).ok_or(Reason::Malformed)
    }

    /// Tells the operator once that there is no answer, and once that there is again.
    fn complain(&self, said: &Verdict, status: Result<StatusCode, &FetchError>) {
        let down = matches!(said, Err(refused) if refused.reason == Reason::ServiceUnavailable);
        if self.down.swap(down, Ordering::Relaxed) == down {
            return;
        }
        let (name, url) = (&self.name, self.client.url().as_str());
        match status {
            _ if !down => log::info!("auth {name}: {url} answers again"),
            Ok(status) => log::warn!("auth {name}: {url} answers with {}", status.as_u16()),
            Err(error) => log::warn!("auth {name}: {url}: {error}"),
        }
    }
}

/// All values of a header in one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&place::joined(headers, name)?).ok()
}
