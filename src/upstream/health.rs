//! Active health checks: whether a target answers when nobody else asks it.
//!
//! A probe is a request like traffic's, with the same Host, secret and TLS, so that it fails when
//! traffic would. Without a path, it is a mere TCP connection.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use http::header::USER_AGENT;
use log::{debug, info, warn};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::net::{TcpStream, UnixStream};

use super::call::{CallRequest, Caller};
use super::config::Check;
use super::ejection::{Fault, Role};
use super::pool::Pool;
use super::target::Target;
use crate::diagnostic::{At, Diagnostics};
use crate::units::Statuses;

/// The shortest and longest time between probes.
const EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));

/// How to probe.
#[derive(Clone)]
pub(super) struct Probe {
    path: Option<String>,
    expect: Vec<Statuses>,
    pub every: Duration,
    timeout: Duration,
    healthy_after: usize,
    unhealthy_after: usize,
}

impl Probe {
    pub fn compile(check: &Check, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut sound = true;
        let mut refuse = |key: &str, what: String, help: &str| {
            diagnostics.error(at.key(key), what, help);
            sound = false;
        };
        if let Some(path) = check.path.as_deref()
            && !(path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok())
        {
            refuse("path", format!("{path:?} is not a path"), "write it like /healthz");
        }
        if !(EVERY.0..=EVERY.1).contains(&check.every.get()) {
            let what = format!("{} is not between 100ms and 1h", check.every);
            refuse("every", what, "5s is a good interval for most services");
        }
        if check.timeout.get().is_zero() {
            refuse("timeout", "0s is no time for a probe".to_owned(), "2s suits most services");
        }
        if check.expect.is_empty() {
            refuse(
                "expect",
                "the list is empty, so no target could be healthy".to_owned(),
                "write [ 200-299 ]",
            );
        }
        for (key, count) in
            [("healthy_after", check.healthy_after), ("unhealthy_after", check.unhealthy_after)]
        {
            if !(1..=100).contains(&count) {
                let what = format!("{count} is not between 1 and 100");
                refuse(key, what, "write how many probes in a row change a target's health");
            }
        }
        sound.then(|| Self {
            path: check.path.clone(),
            expect: check.expect.clone(),
            every: check.every.get(),
            timeout: check.timeout.get(),
            healthy_after: check.healthy_after as usize,
            unhealthy_after: check.unhealthy_after as usize,
        })
    }
}

/// Probes the targets of one upstream.
pub(super) struct Prober {
    pub probe: Probe,
    pub pool: Arc<Pool>,
    pub caller: Arc<Caller>,
}

impl Prober {
    /// Probes a target once. The error says why it failed, for the log.
    async fn probe(&self, target: &Target) -> Result<(), String> {
        let deadline = Instant::now() + self.probe.timeout;
        let Some(path) = &self.probe.path else {
            return connect(target.address(), deadline).await;
        };
        let agent = (USER_AGENT, HeaderValue::from_static("portcullis-health"));
        let request = CallRequest { path, headers: &[agent], with_secret: true, most_body: 0 };
        let answer =
            self.caller.call(target, request, deadline).await.map_err(|e| e.to_string())?;
        let status = answer.status.as_u16();
        if self.probe.expect.iter().any(|expected| expected.holds(status)) {
            Ok(())
        } else {
            Err(format!("it answered {status}"))
        }
    }
}

async fn connect(address: &SocketAddr, deadline: Instant) -> Result<(), String> {
    let connect = async {
        match address {
            SocketAddr::Inet(address) => TcpStream::connect(address).await.map(drop),
            SocketAddr::Unix(address) => match address.as_pathname() {
                Some(path) => UnixStream::connect(path).await.map(drop),
                None => Err(std::io::ErrorKind::InvalidInput.into()),
            },
        }
    };
    match tokio::time::timeout_at(deadline.into(), connect).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot connect: {error}")),
        Err(_) => Err("cannot connect in time".to_owned()),
    }
}

#[async_trait]
impl HealthCheck for Prober {
    async fn check(&self, backend: &Backend) -> pingora::Result<()> {
        let known = self.pool.load().get(&backend.addr).cloned();
        // An address that has just gone needs no verdict.
        let Some(target) = known else { return Ok(()) };
        let result = self.probe(&target).await;
        let now = Instant::now();
        match &result {
            Ok(()) => self.pool.probed(&target, now),
            Err(error) => {
                debug!("upstream {}: probe of {}: {error}", self.pool.name, target.label());
                target.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone_from(error);
                // What never worked need not fail several probes first. Think of a host name with
                // an IPv6 address where the service listens on IPv4 only.
                if !target.proven.load(Ordering::Relaxed) {
                    self.pool.failed(&target, Fault::Unproven, Role::Normal, now);
                }
            }
        }
        result.map_err(|error| Error::explain(ErrorType::new("ProbeFailed"), error))
    }

    async fn health_status_change(&self, backend: &Backend, healthy: bool) {
        let targets = self.pool.load();
        let Some(target) = targets.get(&backend.addr) else { return };
        target.healthy.store(healthy, Ordering::Relaxed);
        // The library tells of it too; the process log leaves that out.
        let (name, label) = (&self.pool.name, target.label());
        if healthy {
            info!("upstream {name}: target {label} is healthy again: it answers probes");
        } else {
            let why = target.complaint.lock().unwrap_or_else(PoisonError::into_inner);
            warn!("upstream {name}: target {label} is unhealthy: {why}");
        }
    }

    fn backend_summary(&self, backend: &Backend) -> String {
        let targets = self.pool.load();
        let label = targets.get(&backend.addr).map_or("that is gone", |target| target.label());
        format!("upstream {}: target {label} ({})", self.pool.name, backend.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        if success { self.probe.healthy_after } else { self.probe.unhealthy_after }
    }
}
