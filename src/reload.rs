//! A reload puts another configuration in force while the process serves.
//!
//! It is asked for by SIGHUP, by a file that changed ([`watch`]), or by an operator ([`crate::admin`]). The
//! file is read, compiled and tested off the request path; what did not change is taken over from the
//! configuration in force; then one pointer is swapped. A request that has begun ends by the configuration it
//! began with, and the next one sees the new one whole.
//!
//! A file that is refused changes nothing: the mistakes go to the process log, to whoever asked, and into the
//! [`Status`] that `/readyz` shows. It is not tried again until something about it changes.
//!
//! Whatever takes time, freeing included, is done by a thread of its own that gives way to the workers
//! (`beside`): a reload of 10,000 routes must not be seen in the latency of requests.
//!
//! One task does all reloads, one after the other. What is asked for while one is under way is answered by
//! the next, all of it by one: a burst of signals costs two reloads at most, and everybody gets the answer of a
//! reload that began after they asked.

mod beside;
mod retire;
mod status;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::diagnostic::{At, Diagnostics};
use crate::live::Live;
use crate::loading::{self, Loaded};
use crate::snapshot::{Mark, Snapshot};
use crate::upstream::Upstream;

use beside::{beside, free};
pub use status::{Outcome, Status, Trigger};
use watch::Watch;

/// So many may wait for the next reload; more have to wait to wait.
const WAITING: usize = 64;

/// Is told of every reload, good or refused.
pub type Observer = Box<dyn Fn(&Outcome) + Send + Sync>;

/// Somebody who wants a reload, and perhaps to know what became of it.
#[derive(Debug)]
struct Ask {
    trigger: Trigger,
    answer: Option<oneshot::Sender<Arc<Outcome>>>,
}

/// Asks for reloads and tells what became of them. Clones are handles on the same.
#[derive(Clone)]
pub struct Reloader(Arc<Shared>);

struct Shared {
    live: Arc<Live>,
    status: Mutex<Status>,
    /// Held while targets' states are taken over or changed, so that no drain is lost between two
    /// configurations.
    taking_over: Mutex<()>,
    observer: OnceLock<Observer>,
    /// The way to the task that reloads; there is none if the configuration did not come from a file.
    asks: OnceLock<mpsc::Sender<Ask>>,
    /// The event loops of the workers, once there are any.
    workers: OnceLock<Vec<Handle>>,
}

impl Reloader {
    /// For the configuration that the process started with.
    #[must_use]
    pub fn new(live: Arc<Live>) -> Self {
        Self(Arc::new(Shared {
            live,
            status: Mutex::new(Status::started(SystemTime::now())),
            taking_over: Mutex::new(()),
            observer: OnceLock::new(),
            asks: OnceLock::new(),
            workers: OnceLock::new(),
        }))
    }

    /// Follows this file, whose text had this mark when the configuration in force was loaded. The task does
    /// the reloads, and has to be run.
    #[must_use]
    pub fn follow(&self, file: &Path, mark: Mark) -> Task {
        let (sender, asks) = mpsc::channel(WAITING);
        // A second follower would be deaf, and is a mistake of the wiring, not of a user.
        let _ = self.0.asks.set(sender);
        let record = self.0.live.now().record.clone();
        let watch = Watch::new(watch::marks(file, mark, &record));
        Task { file: file.to_owned(), asks, watch, shared: Arc::clone(&self.0) }
    }

    /// Who is told of every reload from now on; there can be one.
    pub fn observe(&self, observer: Observer) {
        let _ = self.0.observer.set(observer);
    }

    /// The event loops on which the workers serve: what belongs to each of them is begun there.
    pub fn working_on(&self, workers: Vec<Handle>) {
        let _ = self.0.workers.set(workers);
    }

    /// What is in force, and what became of the last reloads.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }

    /// Asks for a reload without waiting for it.
    pub fn trigger(&self, trigger: Trigger) {
        match self.0.asks.get() {
            // If it is full, those who wait will see the file as it is now too.
            Some(asks) => drop(asks.try_send(Ask { trigger, answer: None })),
            None => log::warn!("{trigger}: the configuration did not come from a file"),
        }
    }

    /// Asks for a reload and waits for its end. `None` if there is no file to reload from, or the process
    /// is ending.
    pub async fn reload(&self, trigger: Trigger) -> Option<Arc<Outcome>> {
        let (answer, outcome) = oneshot::channel();
        let asks = self.0.asks.get()?;
        asks.send(Ask { trigger, answer: Some(answer) }).await.ok()?;
        outcome.await.ok()
    }

    /// Takes a target of the configuration in force out of service, or back into it. Returns whether there
    /// is one.
    pub fn drain(&self, upstream: &str, label: &str, drained: bool) -> bool {
        let _still = self.0.taking_over.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.0.live.now();
        snapshot.upstreams.get(upstream).is_some_and(|upstream| upstream.drain(label, drained))
    }
}

impl Shared {
    /// The one step.
    fn put_in_force(&self, previous: Arc<Snapshot>, new: Arc<Snapshot>) {
        let still = self.taking_over.lock().unwrap_or_else(PoisonError::into_inner);
        for (upstream, old) in changed(&previous, &new) {
            upstream.follow(old, Instant::now());
        }
        new.carry_on(&previous);
        let auth = Arc::clone(&new.auth);
        let old = self.live.swap(new);
        drop(still);
        // What is left to free is what is retired.
        drop(previous);
        retire::retire(old, &auth);
    }

    fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the reloads.
pub struct Task {
    file: PathBuf,
    asks: mpsc::Receiver<Ask>,
    watch: Watch,
    shared: Arc<Shared>,
}

impl Task {
    /// Reloads whenever it is asked for, until the task is dropped.
    pub async fn run(mut self) {
        loop {
            let ask = tokio::select! {
                ask = self.asks.recv() => ask,
                () = self.watch.changed() => Some(Ask { trigger: Trigger::File, answer: None }),
            };
            let Some(ask) = ask else { return };
            let mut asks = vec![ask];
            while let Ok(more) = self.asks.try_recv() {
                asks.push(more);
            }
            let outcome = Arc::new(self.reload(asks[0].trigger).await);
            self.tell(&outcome);
            for answer in asks.into_iter().filter_map(|ask| ask.answer) {
                // Whoever left does not want to know.
                let _ = answer.send(Arc::clone(&outcome));
            }
        }
    }

    async fn reload(&mut self, trigger: Trigger) -> Outcome {
        let began = Instant::now();
        let previous = Arc::clone(&self.shared.live.now());
        let (file, before) = (self.file.clone(), Arc::clone(&previous));
        let (mut snapshot, mut diagnostics) = (None, Diagnostics::new());
        match beside(move || Read::of(&file, &before)).await {
            Some(read) => {
                self.watch.loaded(read.marks);
                diagnostics = read.diagnostics;
                snapshot = read.snapshot;
            }
            None => broke_off(&mut diagnostics),
        }
        if let Some(new) = &snapshot
            && !begin(&self.shared, &previous, new, &mut diagnostics).await
        {
            free(snapshot.take());
        }
        let mut accepted = false;
        if let Some(new) = snapshot {
            let shared = Arc::clone(&self.shared);
            let kept = new.limiter.quotas.clone();
            let left = previous
                .limiter
                .quotas
                .clone()
                .filter(|old| !kept.is_some_and(|kept| kept.are_kept_with(old)));
            // It takes locks that requests take too, so it must not give way.
            let step = spawn_blocking(move || shared.put_in_force(previous, new));
            accepted = step.await.is_ok();
            if !accepted {
                broke_off(&mut diagnostics);
            } else if let Some(left) = left {
                // What came in until now is kept, and the file is left, however long a request still holds on to it.
                left.close(SystemTime::now()).await;
            }
        }
        let report = diagnostics.render(&self.file.display().to_string());
        let (at, took) = (SystemTime::now(), began.elapsed());
        Outcome { at, took, trigger, accepted, diagnostics, report }
    }

    fn tell(&self, outcome: &Arc<Outcome>) {
        let (file, trigger, took) = (self.file.display(), outcome.trigger, outcome.took);
        if outcome.accepted {
            let doubts = outcome.diagnostics.len();
            log::info!("reload ({trigger}): {file} is in force after {took:?}, warnings: {doubts}");
        } else {
            let report = outcome.report.trim_end();
            log::error!(
                "reload ({trigger}): {file} is refused, the configuration before stays in force:\n{report}"
            );
        }
        self.shared.status().note(Arc::clone(outcome));
        if let Some(observer) = self.shared.observer.get() {
            observer(outcome);
        }
    }
}

/// What a load found, and nothing else of it: the rest is freed where it was made.
struct Read {
    snapshot: Option<Arc<Snapshot>>,
    diagnostics: Diagnostics,
    marks: BTreeMap<PathBuf, Mark>,
}

impl Read {
    fn of(file: &Path, previous: &Snapshot) -> Self {
        let (loaded, mark) = loading::load_after(Some(previous), file);
        let Loaded { compiled, diagnostics, record, .. } = loaded;
        let marks = watch::marks(file, mark, &record);
        let snapshot = compiled.map(|compiled| Arc::new(compiled.snapshot));
        Self { snapshot, diagnostics, marks }
    }
}

fn broke_off(diagnostics: &mut Diagnostics) {
    let help = "this is a mistake of the program: report it, with what it wrote to standard error";
    diagnostics.error(At::root(), "the reload broke off", help);
}

/// The upstreams of the new configuration that are not those of the old one, if it had one of the name.
fn changed<'a>(
    old: &'a Snapshot,
    new: &'a Snapshot,
) -> impl Iterator<Item = (&'a Arc<Upstream>, &'a Arc<Upstream>)> {
    let pairs =
        new.upstreams.iter().filter_map(|(name, new)| Some((new, old.upstreams.get(name)?)));
    pairs.filter(|(new, old)| !Arc::ptr_eq(new, old))
}

/// Starts the new upstreams and waits for the first resolution of their names. One that had targets and
/// would have none now refuses the reload: a name server that is down must not take a service down.
async fn begin(
    shared: &Shared,
    old: &Snapshot,
    new: &Snapshot,
    diagnostics: &mut Diagnostics,
) -> bool {
    let handle = Handle::current();
    // For those that are taken over both do nothing.
    new.upstreams.values().for_each(|upstream| upstream.start(&handle));
    new.library.iter().for_each(|library| library.start(&handle));
    new.auth.start(&handle);
    let workers = shared.workers.get().map(Vec::as_slice).unwrap_or_default();
    let stored = async {
        match &new.store {
            Some(store) => {
                store.start(workers);
                workers.is_empty() || store.ready().await
            }
            None => true,
        }
    };
    let (_, (), stored) = tokio::join!(
        join_all(new.upstreams.values().map(|upstream| upstream.ready())),
        new.auth.ready(),
        stored,
    );
    let before = diagnostics.len();
    if !stored && old.store.as_ref().is_some_and(|store| store.is_up()) {
        let trouble = new.store.as_ref().and_then(|store| store.status().trouble);
        diagnostics.error(
            At::root().key("store"),
            format!("it does not answer ({})", trouble.unwrap_or_default()),
            "the one before does, and stays in use; look after the new one, and reload again",
        );
    }
    if let Some(quotas) = &new.limiter.quotas
        && let Err((place, what, help)) = quotas.open(SystemTime::now()).await
    {
        diagnostics.error(At::root().key("quota_file"), format!("{place}: {what}"), help);
    }
    for (upstream, old) in changed(old, new) {
        if upstream.known_targets().is_empty() && !old.known_targets().is_empty() {
            diagnostics.error(
                At::root().key("upstreams").key(&**upstream.name()).key("targets"),
                "none of the host names can be resolved now, and requests would find no target",
                "look after the name server, and reload again",
            );
        }
    }
    diagnostics.len() == before
}
