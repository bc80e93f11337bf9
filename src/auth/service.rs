//! A service that is asked who may pass.
//!
//! It is sent what carries the credentials, and (unless the file says otherwise) what is asked for; the status of its
//! answer decides. What is not clearly a yes or a no is neither, and lets nobody in. One question at a time is asked of
//! whatever is alike, and its answer holds for a moment, so that a page with fifty pictures asks once.

mod config;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use http::header::{COOKIE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::watch;

use super::cache::Cache;
use super::compile::header;
use super::consumer::{Consumer, Registry, plain};
use super::guard::{Presented, Sent};
use super::key::{Digest, Hashing};
use super::keyring::Reason;
use super::method::{Details, Identity, Refused};
use crate::diagnostic::{At, Diagnostics};
use crate::fetch::{Ask, Client, FetchError, Url};
pub use config::ForwardAuthConfig;

/// So many questions may be open at once.
const MOST_OPEN: usize = 1024;
/// The longest name of a caller.
const LONGEST_NAME: usize = 255;
/// The longest time in which an answer must come, and that for which one may hold.
const LONGEST_TIMES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(5 * 60)];

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
        let mut headers = HeaderMap::new();
        for name in &self.send {
            for value in presented.headers.get_all(name).iter().filter(|value| !value.is_empty()) {
                headers.append(name, value.clone());
            }
        }
        if headers.is_empty() {
            return Err(Reason::Missing);
        }
        if self.request {
            let sent = presented.request.as_ref().ok_or(Reason::Missing)?;
            tell(sent, &mut headers).ok_or(Reason::Malformed)?;
        }
        let digest = digest(&headers);
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(match self.shared.verdicts.get(&digest, second, 0) {
            Some(verdict) => Look::Known(verdict),
            None => Look::Ask(Question { digest, headers, second }),
        })
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

/// What is asked for, as the client wrote it.
fn tell(sent: &Sent<'_>, headers: &mut HeaderMap) -> Option<()> {
    let client = sent.client.to_string();
    let values: [&[u8]; 5] = [
        sent.method.as_str().as_bytes(),
        sent.scheme.as_bytes(),
        sent.authority.as_bytes(),
        sent.target,
        client.as_bytes(),
    ];
    for (name, value) in FORWARDED.into_iter().zip(values) {
        headers.insert(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(())
}

/// Of all that is sent, so that a word holds for just that.
fn digest(headers: &HeaderMap) -> Digest {
    let mut hashing = Hashing::default();
    for (name, value) in headers {
        hashing.add(name.as_str().as_bytes());
        hashing.add(value.as_bytes());
    }
    hashing.done()
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
            StatusCode::FORBIDDEN => Err(Reason::NotAllowed.into()),
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
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let rest: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    if rest.is_empty() {
        return Some(first.clone());
    }
    let all = [&[first.as_bytes()], &*rest].concat().join(&b", "[..]);
    HeaderValue::from_bytes(&all).ok()
}

impl Service {
    /// Reads the method.
    pub(super) fn compile(
        name: &str,
        config: &ForwardAuthConfig,
        consumers: &Arc<Registry>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let url = url(config, at, diagnostics);
        let send = names(&config.send, true, &at.key("send"), diagnostics);
        let take = names(&config.take, false, &at.key("take"), diagnostics);
        if send.is_empty() && diagnostics.len() == before {
            diagnostics.error(
                at.key("send"),
                "no header carries the credentials",
                "name those that do, such as `send: authorization`",
            );
        }
        let consumer = config.consumer.as_deref().and_then(|written| {
            let name = HeaderName::from_bytes(written.as_bytes()).ok();
            if name.is_none() {
                let what = format!("{written:?} is not a header's name");
                diagnostics.error(at.key("consumer"), what, "write it like x-auth-user");
            }
            name
        });
        let times = [("timeout", config.timeout, 1), ("cache", config.cache, 0)];
        for ((key, time, least), most) in times.into_iter().zip(LONGEST_TIMES) {
            if time.get() > most || time.get() < Duration::from_millis(least) {
                let (what, help) = (
                    format!("{time} is out of bounds"),
                    format!("the most are {}s", most.as_secs()),
                );
                diagnostics.error(at.key(key), what, help);
            }
        }
        if diagnostics.len() > before && url.is_none() {
            return None;
        }
        let gone = |name: &&HeaderName| !config.forward && **name != COOKIE;
        let stripped = send.iter().filter(gone).chain(&take).cloned().collect();
        Some(Self {
            stripped,
            send: send.into(),
            request: config.request,
            shared: Arc::new(Shared {
                name: name.into(),
                client: Client::new(url?).ready(),
                timeout: config.timeout.get(),
                holds: config.cache.get().as_millis().div_ceil(1000).try_into().unwrap_or(0),
                take: take.into(),
                consumer,
                consumers: Arc::clone(consumers),
                verdicts: Cache::new(),
                open: Mutex::default(),
                down: AtomicBool::new(false),
            }),
        })
    }
}

fn url(config: &ForwardAuthConfig, at: &At, diagnostics: &mut Diagnostics) -> Option<Url> {
    if config.url.is_empty() {
        let help = "add `url: \"http://127.0.0.1:9000/check\"`, where it is asked";
        diagnostics.error(at.clone(), "the key \"url\" is missing", help);
        return None;
    }
    let at = at.key("url");
    match Url::parse(&config.url) {
        Ok(url) if url.is_private() => Some(url),
        Ok(url) if config.allow_http => {
            diagnostics.warning(
                at,
                "credentials are sent by plain HTTP to another machine",
                "use https: whoever is on the way can read them, and say yes in the service's place",
            );
            Some(url)
        }
        Ok(_) => {
            diagnostics.error(
                at,
                "credentials would be sent by plain HTTP, where anybody on the way can read them",
                "use https, or `allow_http: true` in a network that you trust",
            );
            None
        }
        Err(error) => {
            let help = "write it like https://auth.example.com/check";
            diagnostics.error(at, error.to_string(), help);
            None
        }
    }
}

fn names(
    written: &crate::units::OneOrMany,
    cookie: bool,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Vec<HeaderName> {
    let mut all = Vec::new();
    for (index, name) in written.0.iter().enumerate() {
        let at = if written.0.len() == 1 { at.clone() } else { at.index(index) };
        let read =
            if cookie && name.eq_ignore_ascii_case("cookie") { Ok(COOKIE) } else { header(name) };
        match read {
            Ok(name) if all.contains(&name) => {
                diagnostics.error(
                    at,
                    format!("\"{name}\" stands here twice"),
                    "take one of them out",
                );
            }
            Ok(name) => all.push(name),
            Err((what, help)) => diagnostics.error(at, what, help),
        }
    }
    all
}
