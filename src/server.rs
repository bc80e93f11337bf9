//! The one wiring function: from a compiled configuration to a process that serves.
//!
//! Pingora's own `Server` is not used: it stays up when a listener cannot be bound, and its stop sleeps
//! for a fixed time. What is used of Pingora is its proxy, its connectors and its load balancing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora_timeout::fast_timeout::set_fast_timeout_to_tokio_threshold;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::admin::{self, Admin, AdminBindError, Bound, Scrape};
use crate::gateway::{Gateway, Refusals};
use crate::listen::{self, BindError, Caps, Connections, House, Listener, Porter, Shutdown, Visit};
use crate::live::Live;
use crate::observe::access_log::{AccessLog, OpenError};
use crate::observe::metrics::Metrics;
use crate::observe::process_log::LogLevel;
use crate::reject;
use crate::reload::{self, Reloader};
use crate::snapshot::{Compiled, Mark};
use crate::units::Secret;
use crate::workers::Workers;

/// Idle connections kept to all upstreams together, for each worker.
const UPSTREAM_POOL: usize = 512;
/// More than any route's own number of tries: the retry policy decides, not this.
const MAX_TRIES: usize = 16;
/// How long the start waits for the first resolution of host names.
const FIRST_RESOLUTION: Duration = Duration::from_secs(3);

/// Between two looks at the certificates.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Between two tables of limits that are swept.
const A_SECOND: Duration = Duration::from_secs(1);

/// How long the stop waits for the last lines of the access log.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operators' listener cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminBindError),
    /// What was used of quotas cannot be read or kept.
    #[error("quota_file: {place}: {what} ({help})")]
    Quotas {
        /// The file.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What helps.
        help: &'static str,
    },
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    /// The runtime refused a socket or a thread.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A process that has everything it needs, and serves nobody yet.
pub struct Server {
    live: Arc<Live>,
    listeners: Vec<Listener>,
    admin: Option<(Bound, Option<Secret>)>,
    log: Arc<AccessLog>,
    log_level: Option<Arc<LogLevel>>,
    reloader: Reloader,
    reloads: Option<reload::Task>,
    metrics: Arc<Metrics>,
    workers: usize,
}

impl Server {
    /// Opens the log and binds every address. Nothing is served before [`Server::run`].
    pub fn bind(compiled: Compiled) -> Result<Self, StartError> {
        let log = Arc::new(AccessLog::open(&compiled.logs)?);
        let bind = |(name, address): &(String, SocketAddr)| Listener::bind(name, *address);
        let listeners = compiled.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let admin = match compiled.admin {
            Some(admin) => Some((Bound::bind(&admin.address)?, admin.token)),
            None => None,
        };
        let live = Arc::new(Live::new(Arc::new(compiled.snapshot)));
        let names = listeners.iter().map(|listener| listener.name.as_str());
        let metrics = Arc::new(Metrics::new(&reject::CODES, names, SystemTime::now()));
        let reloader = Reloader::new(Arc::clone(&live));
        let told = Arc::clone(&metrics);
        reloader.observe(Box::new(move |outcome| told.reloaded(outcome.accepted, outcome.at)));
        Ok(Self {
            reloader,
            reloads: None,
            live,
            listeners,
            admin,
            log,
            log_level: None,
            metrics,
            workers: compiled.workers,
        })
    }

    /// Reloads from this file while it runs; its text had this mark when the configuration was loaded.
    #[must_use]
    pub fn following(mut self, file: &Path, mark: Mark) -> Self {
        self.reloads = Some(self.reloader.follow(file, mark));
        self
    }

    /// Lets operators change what the process log tells.
    #[must_use]
    pub fn logging_by(mut self, level: Arc<LogLevel>) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Asks for reloads, before and while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The addresses that are listened on, by the listener's name; `admin` is among them if there is one.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let public = self.listeners.iter().map(|l| (l.name.clone(), l.address));
        let admin = self.admin.iter().filter_map(|(bound, _)| bound.ip_address());
        public.chain(admin.map(|address| ("admin".to_owned(), address))).collect()
    }

    /// The access log, for whoever ends the process past [`Server::run`].
    #[must_use]
    pub fn access_log(&self) -> Arc<AccessLog> {
        self.log.clone()
    }

    /// Serves until `stop` is ready; then accepts nothing new, and returns as soon as the last request
    /// in flight is answered, or after the configured bound. Returns whether all were answered.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<bool, StartError> {
        let (stopping, shutdown) = watch::channel(false);
        // Timers of the workers' own event loops: on one thread they cost less than Pingora's, whose tree has a place
        // for every hundredth of a second and is locked against the thread that fires them.
        set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
        let quotas = self.live.now().limiter.quotas.clone();
        if let Some(quotas) = quotas {
            let failed = |(place, what, help)| StartError::Quotas { place, what, help };
            quotas.open(SystemTime::now()).await.map_err(failed)?;
        }

        // Without it, what many connections have held would stay with the process until others come. Not every
        // platform has it; there the memory is used again all the same.
        let _ = tikv_jemalloc_ctl::background_thread::write(true);
        let proxy = |worker| self.proxy(worker, shutdown.clone());
        let workers = Arc::new(Workers::start(self.workers, proxy)?);
        self.reloader.working_on(workers.handles().cloned().collect());
        self.start_upstreams(&workers).await;
        let connections = Connections::default();
        self.open_doors(&workers, &shutdown, &connections)?;
        let admin = self.admin.take().map(|(bound, token)| {
            log::info!("admin: serving on {}", bound.address());
            let admin = Admin {
                live: self.live.clone(),
                reloader: self.reloader.clone(),
                shutdown,
                log_level: self.log_level.clone(),
                scrape: Arc::new(Scrape::new(
                    self.live.clone(),
                    self.log.clone(),
                    self.metrics.clone(),
                )),
            };
            tokio::spawn(async move { admin::serve(bound, token.as_ref(), admin).await })
        });
        let reloads = self.reloads.take().map(|task| tokio::spawn(task.run()));
        let expiry = tokio::spawn(watch_certificates(self.live.clone()));
        let sweeping = tokio::spawn(sweep_limits(self.live.clone()));
        let saving = tokio::spawn(save_quotas(self.live.clone()));

        stop.await;
        let drain = self.live.now().config.drain;
        log::info!("stopping: waiting up to {drain} for requests in flight");
        expiry.abort();
        sweeping.abort();
        if let Some(task) = reloads {
            task.abort();
        }
        // Nobody listening any more is no reason not to stop.
        let _ = stopping.send(true);
        // Wakes the connections that wait for a next request, so that only busy ones are waited for.
        join_all(workers.apps().map(|proxy| proxy.cleanup())).await;
        let drained = tokio::time::timeout(drain.get(), connections.ended()).await.is_ok();
        if !drained {
            log::warn!("stopping: some requests took longer than {drain} and were cut");
        }
        if let Some(task) = admin {
            task.abort();
        }
        saving.abort();
        let quotas = self.live.now().limiter.quotas.clone();
        if let Some(quotas) = quotas {
            quotas.close(SystemTime::now()).await;
        }
        // Waiting for the disk would hold up a worker of the runtime.
        let log = self.log.clone();
        let _ = tokio::task::spawn_blocking(move || log.flush(LAST_LINES)).await;
        Ok(drained)
    }

    /// Has every listener accept.
    fn open_doors(
        &mut self,
        workers: &Arc<Workers<HttpProxy<Gateway>>>,
        shutdown: &Shutdown,
        connections: &Connections,
    ) -> Result<(), StartError> {
        let caps = Arc::new(Caps::default());
        let (live, log) = (self.live.clone(), self.log.clone());
        let refusals = Arc::new(Refusals::new(live, log, self.metrics.clone()));
        for listener in std::mem::take(&mut self.listeners) {
            log::info!("listener {}: serving on {}", listener.name, listener.address);
            let porter = Porter {
                house: Rules {
                    live: self.live.clone(),
                    listener: listener.name.clone(),
                    refusals: refusals.clone(),
                },
                shutdown: shutdown.clone(),
                guard: connections.guard(),
                traffic: self.metrics.traffic(&listener.name),
                caps: caps.clone(),
            };
            let accept = listen::accept(listener.into_tokio()?, workers.clone(), porter);
            tokio::spawn(accept);
        }
        Ok(())
    }

    async fn start_upstreams(&self, workers: &Workers<HttpProxy<Gateway>>) {
        let snapshot = self.live.now().clone();
        let handles: Vec<Handle> = workers.handles().cloned().collect();
        if let Some(store) = &snapshot.store {
            store.start(&handles);
        }
        let handle = Handle::current();
        for upstream in snapshot.upstreams.values() {
            upstream.start(&handle);
        }
        if let Some(library) = &snapshot.library {
            library.start(&handle);
        }
        snapshot.auth.start(&handle);
        let ready = join_all(snapshot.upstreams.values().map(|upstream| upstream.ready()));
        let stored = async {
            match &snapshot.store {
                Some(store) => store.ready().await,
                None => true,
            }
        };
        let (first, (), stored) = tokio::join!(
            tokio::time::timeout(FIRST_RESOLUTION, ready),
            snapshot.auth.ready(),
            stored,
        );
        if !stored {
            log::warn!("the store does not answer yet; serving all the same");
        }
        if first.is_err() {
            log::warn!("some host names are not resolved yet; serving all the same");
        }
    }

    fn proxy(&self, worker: usize, shutdown: Shutdown) -> HttpProxy<Gateway> {
        let conf = ServerConf {
            threads: 1,
            upstream_keepalive_pool_size: UPSTREAM_POOL,
            max_retries: MAX_TRIES,
            ..ServerConf::default()
        };
        let (live, log) = (self.live.clone(), self.log.clone());
        let gateway = Gateway::new(worker, live, log, self.metrics.clone(), shutdown);
        let mut proxy = HttpProxy::new(gateway, Arc::new(conf));
        proxy.h2_options = Some(listen::http2_options());
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(listen::HTTP2_IDLE);
        proxy.server_options = Some(options);
        proxy.handle_init_modules();
        proxy
    }
}

/// Warns once a day of certificates that expire soon; at the start and at a reload the configuration's own
/// doubts do.
async fn watch_certificates(live: Arc<Live>) {
    loop {
        tokio::time::sleep(A_DAY).await;
        for door in live.now().doors.values() {
            let pairs = door.tls.iter().flat_map(|tls| tls.certificates().iter());
            for pair in pairs {
                if let Some(doubt) = pair.dates().doubt(SystemTime::now()) {
                    log::warn!("listener {}: {}: {doubt}", door.name, pair.path().display());
                }
            }
        }
    }
}

/// Leaves out the buckets of limits that are full again, one table after the other: each about once a minute.
async fn sweep_limits(live: Arc<Live>) {
    for turn in 0_usize.. {
        tokio::time::sleep(A_SECOND).await;
        let local = live.now().limiter.local.clone();
        local.sweep(turn, local.moment(Instant::now()));
    }
}

/// Keeps what was used of quotas, once a second.
async fn save_quotas(live: Arc<Live>) {
    loop {
        tokio::time::sleep(A_SECOND).await;
        let quotas = live.now().limiter.quotas.clone();
        if let Some(quotas) = quotas {
            quotas.save(SystemTime::now()).await;
        }
    }
}

/// What the configuration in force says of one listener's connections.
struct Rules {
    live: Arc<Live>,
    listener: String,
    refusals: Arc<Refusals>,
}

impl House for Rules {
    fn visit(&self, peer: IpAddr) -> Option<Visit> {
        let now = self.live.now();
        let door = now.doors.get(&self.listener)?;
        Some(Visit {
            clients: door.clients(|| self.refusals.clone()),
            door: Arc::clone(door),
            limits: now.connections,
            trusted: now.trusted.contains(peer.to_canonical()),
        })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.live.now().trusted.contains(address.to_canonical())
    }
}
