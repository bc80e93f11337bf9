//! A [`Source`]: where an upstream's spec comes from, and the last good one that came.
//!
//! A file is read when the configuration is. A path is asked for at the upstream's targets, as traffic would ask, in
//! the background: no start and no request waits for it. What cannot be read changes nothing but what is told of it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use log::{info, warn};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::merge::{Known, State};
use super::spec::Spec;
use super::tree::MOST_BYTES;
use crate::upstream::{CallRequest, Target, Upstream};

/// How long one target may take for all of its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many targets are asked, one after the other, until one answers.
const MOST_ASKED: usize = 3;

/// How often an upstream is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The longest time before the first look.
    pub first: Duration,
    /// The time between two looks.
    pub every: Duration,
    /// The time after the first look that failed; each further one doubles it, up to `every`.
    pub after_failure: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(300),
            every: Duration::from_secs(30),
            after_failure: Duration::from_secs(1),
        }
    }
}

/// Where an upstream's spec comes from, and the last good one.
pub struct Source {
    shared: Arc<Shared>,
    task: OnceLock<AbortHandle>,
}

struct Shared {
    upstream: Arc<Upstream>,
    /// The path at its targets; none if the spec came from a file.
    path: Option<String>,
    last: Mutex<Last>,
    version: AtomicU64,
    asked: AtomicUsize,
}

/// What the looks so far brought.
struct Last {
    known: Known,
    etag: Option<HeaderValue>,
    digest: Option<[u8; 32]>,
    /// When the spec that is shown was last known to be the newest.
    read: Option<SystemTime>,
    complaint: Option<String>,
}

/// A source for operators.
#[derive(Debug, Clone)]
pub struct Status {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The path at its targets; none for a file.
    pub path: Option<String>,
    /// How the last look ended.
    pub state: State,
    /// Why it was not good.
    pub complaint: Option<String>,
    /// When the spec that is shown was last known to be the newest.
    pub read: Option<SystemTime>,
    /// Its operations.
    pub operations: usize,
    /// Its references that led nowhere.
    pub lost: usize,
}

/// What one look brought.
enum Look {
    Same,
    New { text: bytes::Bytes, etag: Option<HeaderValue> },
}

impl Source {
    /// A spec that is there from the beginning.
    #[must_use]
    pub fn of_file(upstream: &Arc<Upstream>, text: &[u8], spec: Spec) -> Self {
        let known = Known { spec: Some(Arc::new(spec)), state: State::Good };
        let source = Self::new(upstream, None, known, Some(SystemTime::now()));
        source.shared.last().digest = Some(Sha256::digest(text).into());
        source
    }

    /// A spec that is to be asked for.
    #[must_use]
    pub fn of_path(upstream: &Arc<Upstream>, path: &str) -> Self {
        let known = Known { spec: None, state: State::Waiting };
        Self::new(upstream, Some(path.to_owned()), known, None)
    }

    fn new(
        upstream: &Arc<Upstream>,
        path: Option<String>,
        known: Known,
        read: Option<SystemTime>,
    ) -> Self {
        let last = Last { known, etag: None, digest: None, read, complaint: None };
        let shared = Shared {
            upstream: Arc::clone(upstream),
            path,
            last: Mutex::new(last),
            version: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), task: OnceLock::new() }
    }

    /// Whether it is the source of this very upstream, which has not changed then, and asks its targets.
    #[must_use]
    pub fn asks(&self, upstream: &Arc<Upstream>) -> bool {
        self.shared.path.is_some() && Arc::ptr_eq(&self.shared.upstream, upstream)
    }

    /// Whether it is the source of this very upstream, and came from a file with this text.
    #[must_use]
    pub fn holds(&self, upstream: &Arc<Upstream>, text: &[u8]) -> bool {
        self.shared.path.is_none()
            && Arc::ptr_eq(&self.shared.upstream, upstream)
            && self.shared.last().digest == Some(Sha256::digest(text).into())
    }

    /// The upstream's name.
    #[must_use]
    pub fn upstream(&self) -> &Arc<str> {
        self.shared.upstream.name()
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.shared.last().known.clone()
    }

    /// A number that changes whenever what is known does.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// For operators.
    #[must_use]
    pub fn status(&self) -> Status {
        let last = self.shared.last();
        let spec = last.known.spec.as_deref();
        Status {
            upstream: Arc::clone(self.upstream()),
            path: self.shared.path.clone(),
            state: last.known.state,
            complaint: last.complaint.clone(),
            read: last.read,
            operations: spec.map_or(0, Spec::len),
            lost: spec.map_or(0, |spec| spec.lost),
        }
    }

    /// Begins to ask, on this runtime, until this is dropped. A second call does nothing.
    pub fn start(&self, handle: &Handle, pace: Pace) {
        if self.shared.path.is_some() {
            self.task
                .get_or_init(|| handle.spawn(Arc::clone(&self.shared).run(pace)).abort_handle());
        }
    }

    /// Asks once and waits for the answer.
    pub async fn look(&self) {
        if self.shared.path.is_some() {
            self.shared.upstream.ready().await;
            self.shared.look().await;
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Shared {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, pace: Pace) {
        // Many gateways that start together must not ask together.
        tokio::time::sleep(pace.first.mul_f64(chance())).await;
        self.upstream.ready().await;
        let mut pause = pace.after_failure;
        loop {
            let wait = if self.look().await {
                pause = pace.after_failure;
                pace.every
            } else {
                let wait = pause;
                pause = (pause * 2).min(pace.every);
                wait
            };
            tokio::time::sleep(wait.mul_f64(0.9 + 0.2 * chance())).await;
        }
    }

    /// Looks once. Whether that ended well.
    async fn look(&self) -> bool {
        let found = match self.ask().await {
            Ok(Look::Same) => Ok(None),
            Ok(Look::New { text, etag }) => self.read(text, etag).await,
            Err(complaint) => Err(complaint),
        };
        let good = found.is_ok();
        self.note(found);
        good
    }

    /// Reads a text, unless it is that of before.
    async fn read(
        &self,
        text: bytes::Bytes,
        etag: Option<HeaderValue>,
    ) -> Result<Option<Arc<Spec>>, String> {
        let digest: [u8; 32] = Sha256::digest(&text).into();
        if self.last().digest == Some(digest) {
            self.last().etag = etag;
            return Ok(None);
        }
        // A large one would hold up a worker.
        let read = tokio::task::spawn_blocking(move || Spec::read(&text)).await;
        let spec = read.map_err(|error| format!("reading it broke off: {error}"))?;
        let spec = Arc::new(spec.map_err(|error| error.to_string())?);
        let mut last = self.last();
        last.etag = etag;
        last.digest = Some(digest);
        Ok(Some(spec))
    }

    fn note(&self, found: Result<Option<Arc<Spec>>, String>) {
        let name = self.upstream.name();
        let mut last = self.last();
        let before = (last.known.state, last.complaint.clone());
        match found {
            Ok(new) => {
                last.known.state = State::Good;
                last.complaint = None;
                last.read = Some(SystemTime::now());
                if new.is_some() || before.0 != State::Good {
                    last.known.spec = new.or_else(|| last.known.spec.take());
                    let operations = last.known.spec.as_deref().map_or(0, Spec::len);
                    info!(
                        "upstream {name}: its OpenAPI document is read, with {operations} operations"
                    );
                    self.version.fetch_add(1, Ordering::Release);
                }
            }
            Err(complaint) => {
                // It may be gone, and come back unchanged.
                last.etag = None;
                last.known.state = State::Broken;
                last.complaint = Some(complaint);
                if (last.known.state, &last.complaint) != (before.0, &before.1) {
                    let why = last.complaint.as_deref().unwrap_or_default();
                    warn!("upstream {name}: its OpenAPI document cannot be read: {why}");
                    self.version.fetch_add(1, Ordering::Release);
                }
            }
        }
    }

    async fn ask(&self) -> Result<Look, String> {
        let mut told = "no target is usable".to_owned();
        for target in self.targets() {
            match self.ask_target(&target).await {
                Ok(look) => return Ok(look),
                Err(complaint) => told = format!("{}: {complaint}", target.label()),
            }
        }
        Err(told)
    }

    /// The usable targets, each time another one first.
    fn targets(&self) -> Vec<Arc<Target>> {
        let known = self.upstream.known_targets();
        let states = self.upstream.targets();
        let usable = known.into_iter().zip(states);
        let mut usable: Vec<_> = usable
            .filter(|(_, state)| state.healthy && !state.drained && state.ejected_until.is_none())
            .map(|(target, _)| target)
            .collect();
        if !usable.is_empty() {
            let turn = self.asked.fetch_add(1, Ordering::Relaxed) % usable.len();
            usable.rotate_left(turn);
        }
        usable.truncate(MOST_ASKED);
        usable
    }

    async fn ask_target(&self, target: &Target) -> Result<Look, String> {
        let path = self.path.as_deref().unwrap_or_default();
        let accept =
            HeaderValue::from_static("application/json, application/yaml;q=0.9, */*;q=0.5");
        let mut headers =
            vec![(USER_AGENT, HeaderValue::from_static("portcullis-openapi")), (ACCEPT, accept)];
        let known = self.last().etag.clone();
        let conditional = known.is_some();
        headers.extend(known.map(|etag| (IF_NONE_MATCH, etag)));
        let request =
            CallRequest { path, headers: &headers, with_secret: true, most_body: MOST_BYTES + 1 };
        let answer = self.upstream.call(target, request, Instant::now() + PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status.as_u16() {
            // Nothing was said of compression, so this is for nobody to unpack.
            200 if is_packed(&answer.headers) => {
                Err(format!("GET {path} was answered with a compressed document"))
            }
            200 => Ok(Look::New { text: answer.body, etag: answer.headers.get(ETAG).cloned() }),
            304 if conditional => Ok(Look::Same),
            other => Err(format!("GET {path} was answered with {other}")),
        }
    }
}

fn is_packed(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity")
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
