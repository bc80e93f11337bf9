//! Keys that an issuer publishes: fetched at the start, from time to time, and once for a key that is not known.
//!
//! The last good set stays in use whatever becomes of the key server. A token that names an unknown key causes one
//! fetch for all who wait, and then none for a while: whoever invents names must not have us ask for each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwapOption, Guard};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::super::cache::second;
use super::algorithm::Algorithms;
use super::jwks::KeySet;
use crate::fetch::{Ask, Client, Url};

/// How long one document may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest document.
const MOST_BYTES: usize = 256 << 10;
/// Between two fetches that nobody asked for, give or take a tenth.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// After a failure; each further one doubles it, up to a minute.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const MOST_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// After a fetch for an unknown key none is made for another one, so long.
const COOLDOWN: Duration = Duration::from_secs(30);
/// So long a request waits for one at most.
const WAIT: Duration = Duration::from_secs(1);
/// So long a start or a reload waits for the first one.
const FIRST: Duration = Duration::from_secs(3);

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At this URL.
    Set(Url),
    /// Where the issuer says in its discovery document, at this URL.
    Discovery { document: Url, issuer: String },
}

/// What decides which keys are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::auth) struct Wish {
    pub(super) place: Place,
    /// What the keys may be used for.
    pub(super) algorithms: Algorithms,
    /// Whether plain HTTP will do.
    pub(super) allow_http: bool,
}

/// Keys that are fetched. When it is dropped, so is the task that does it.
#[derive(Debug)]
pub(in crate::auth) struct Fetched {
    shared: Arc<Shared>,
    task: OnceLock<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    method: String,
    wish: Wish,
    set: ArcSwapOption<KeySet>,
    /// Changes with the set.
    version: AtomicU64,
    /// When the set was last known to be the newest, in seconds since 1970; 0: never.
    read: AtomicU64,
    counts: [AtomicU64; 2],
    /// Fetches that are over.
    over: watch::Sender<u64>,
    /// Whether one is under way or asked for.
    awaited: AtomicBool,
    asked: Mutex<Option<Instant>>,
    wake: Notify,
}

/// A set of keys, for metrics.
#[derive(Debug, Clone)]
pub struct KeySetStatus {
    /// The name of the method.
    pub method: String,
    /// How long ago the set was last known to be the newest; none if there is none.
    pub age: Option<Duration>,
    /// How many keys there are.
    pub keys: usize,
    /// Fetches that brought a set.
    pub good: u64,
    /// Those that did not.
    pub failed: u64,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetched {
    pub(super) fn new(method: &str, wish: Wish) -> Self {
        let shared = Shared {
            method: method.to_owned(),
            wish,
            set: ArcSwapOption::empty(),
            version: AtomicU64::new(0),
            read: AtomicU64::new(0),
            counts: [const { AtomicU64::new(0) }; 2],
            over: watch::channel(0).0,
            awaited: AtomicBool::new(true),
            asked: Mutex::new(None),
            wake: Notify::new(),
        };
        Self { shared: Arc::new(shared), task: OnceLock::new() }
    }

    /// Whether it fetches just these keys.
    pub(in crate::auth) fn is_for(&self, method: &str, wish: &Wish) -> bool {
        self.shared.method == method && self.shared.wish == *wish
    }

    /// The set now.
    pub(super) fn set(&self) -> Guard<Option<Arc<KeySet>>> {
        self.shared.set.load()
    }

    /// A number that changes with the set.
    pub(super) fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Begins to fetch, on this runtime. A second call does nothing.
    pub(in crate::auth) fn start(&self, handle: &Handle) {
        self.task.get_or_init(|| handle.spawn(Arc::clone(&self.shared).run()).abort_handle());
    }

    /// Until the first fetch is over, or has taken too long.
    pub(in crate::auth) async fn ready(&self) {
        let mut over = self.shared.over.subscribe();
        // It cannot be closed as long as this is here.
        let _ = tokio::time::timeout(FIRST, over.wait_for(|count| *count > 0)).await;
    }

    /// Asks for a fetch, if none has been made of late, and waits for it; none if there is nothing to wait for.
    pub(super) fn refetch(&self) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
        let shared = &self.shared;
        let mut asked = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut over = shared.over.subscribe();
        let seen = *over.borrow();
        if !shared.awaited.load(Ordering::Acquire) {
            let now = Instant::now();
            if asked.is_some_and(|at| now.saturating_duration_since(at) < COOLDOWN) {
                return None;
            }
            *asked = Some(now);
            shared.awaited.store(true, Ordering::Release);
            shared.wake.notify_one();
        }
        drop(asked);
        let shared = Arc::clone(shared);
        Some(async move {
            let _ = tokio::time::timeout(WAIT, over.wait_for(|count| *count > seen)).await;
            drop(shared);
        })
    }

    /// For metrics.
    pub(in crate::auth) fn status(&self, now: SystemTime) -> KeySetStatus {
        let shared = &self.shared;
        let read = Some(shared.read.load(Ordering::Relaxed)).filter(|read| *read > 0);
        let age =
            |read| now.duration_since(UNIX_EPOCH + Duration::from_secs(read)).unwrap_or_default();
        KeySetStatus {
            method: shared.method.clone(),
            age: read.map(age),
            keys: self.set().as_ref().map_or(0, |set| set.0.len()),
            good: shared.counts[0].load(Ordering::Relaxed),
            failed: shared.counts[1].load(Ordering::Relaxed),
        }
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut pause = AFTER_FAILURE;
        let mut last = Vec::new();
        let mut complaint = String::new();
        loop {
            let wait = match self.fetch(&mut last).await {
                Ok(()) => {
                    if !complaint.is_empty() {
                        complaint.clear();
                        log::info!("auth {}: its keys can be fetched again", self.method);
                    }
                    pause = AFTER_FAILURE;
                    EVERY.mul_f64(0.9 + 0.2 * chance())
                }
                Err(told) => {
                    if told != complaint {
                        log::warn!("auth {}: its keys cannot be fetched: {told}", self.method);
                        complaint = told;
                    }
                    let wait = pause;
                    pause = (pause * 2).min(MOST_AFTER_FAILURE);
                    wait
                }
            };
            {
                // Whoever asks now is to be woken by the next one.
                let _asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                self.awaited.store(false, Ordering::Release);
                self.over.send_modify(|count| *count += 1);
            }
            let _ = tokio::time::timeout(wait, self.wake.notified()).await;
        }
    }

    async fn fetch(&self, last: &mut Vec<u8>) -> Result<(), String> {
        let fetched = self.text().await;
        self.counts[usize::from(fetched.is_err())].fetch_add(1, Ordering::Relaxed);
        let text = fetched?;
        let now = second(SystemTime::now());
        if **last != *text {
            let read = KeySet::read(&text, self.wish.algorithms, false);
            let read = read.filter(|read| !read.keys.0.is_empty());
            let Some(read) = read else {
                self.counts[0].fetch_sub(1, Ordering::Relaxed);
                self.counts[1].fetch_add(1, Ordering::Relaxed);
                return Err("the answer is not a set with a key that can be used".to_owned());
            };
            for (index, why) in &read.skipped {
                log::warn!("auth {}: key {index} of its set is passed over: {why}", self.method);
            }
            log::info!("auth {}: its keys are fetched, usable: {}", self.method, read.keys.0.len());
            self.set.store(Some(Arc::new(read.keys)));
            self.version.fetch_add(1, Ordering::Release);
            text.clone_into(last);
        }
        self.read.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// The text of the set.
    async fn text(&self) -> Result<Vec<u8>, String> {
        let set = match &self.wish.place {
            Place::Set(url) => url.clone(),
            Place::Discovery { document, issuer } => {
                let text = get(document).await?;
                let found: Discovery = serde_json::from_slice(&text)
                    .map_err(|_| "the discovery document cannot be read".to_owned())?;
                if found.issuer != *issuer {
                    return Err("the discovery document is of another issuer".to_owned());
                }
                let url = Url::parse(&found.jwks_uri)
                    .map_err(|error| format!("`jwks_uri` of the discovery document: {error}"))?;
                if !url.is_private() && !self.wish.allow_http {
                    return Err("`jwks_uri` of the discovery document is not https".to_owned());
                }
                url
            }
        };
        get(&set).await
    }
}

async fn get(url: &Url) -> Result<Vec<u8>, String> {
    let answer = Client::new(url.clone()).ask(Ask::get(MOST_BYTES), PATIENCE).await;
    let answer = answer.map_err(|error| format!("{}: {error}", url.as_str()))?;
    if answer.status() != http::StatusCode::OK {
        return Err(format!("{} was answered with {}", url.as_str(), answer.status().as_u16()));
    }
    Ok(answer.into_body().into())
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}
