//! All families, in the order in which they are shown.

use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use super::write::{Exposition, Kind};
use super::{Format, METHODS, Metrics, Observed, STATUSES, Validated, View};
use super::{caps, limits, process};
use crate::auth::KeySetStatus;
use crate::counter::{BOUNDS, Histogram};
use crate::listen::tls::Tls;
use crate::listen::{Flaw, Refusal};
use crate::upstream::{Outcome, TargetStatus, Upstream};

/// The samples of one histogram: its buckets, the one without a bound, sum and count.
const HISTOGRAM: usize = BOUNDS.len() + 3;
/// The words for what became of a try.
const OUTCOMES: [&str; 4] = ["answered", "abandoned", "error", "failed"];
/// Healthy, ejected, ejections, addresses, in flight.
const OF_TARGETS: usize = 5;
/// Accepted, open, handshakes in full and resumed.
const OF_A_LISTENER: usize = 4;
/// Its age and its fetches (2).
const OF_A_KEY_SET: usize = 3;
/// Its end, and whether it is stale.
const OF_A_CERTIFICATE: usize = 2;
/// Build, reloads (2), last good one (2), lines dropped, buckets, process (7), allocator (5).
const OF_THE_PROCESS: usize = 19;

/// How much of what metrics are kept of there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// Routes.
    pub routes: usize,
    /// Upstreams.
    pub upstreams: usize,
    /// Targets in all of them.
    pub targets: usize,
    /// Listeners.
    pub listeners: usize,
    /// Certificates.
    pub certificates: usize,
    /// Auth methods whose keys are fetched.
    pub key_sets: usize,
    /// Limits.
    pub limits: usize,
    /// Stores that limits are shared in: one or none.
    pub stores: usize,
    /// Routes and upstreams with a `concurrency` of their own.
    pub gates: usize,
    /// Plans with one.
    pub capped_plans: usize,
    /// Words for why we answer ourselves.
    pub codes: usize,
}

/// The largest number of series that a configuration of this size can have, whatever clients send. The formula
/// of `docs/metrics.md`.
#[must_use]
pub const fn most_series(extent: Extent) -> usize {
    let Extent {
        routes,
        upstreams,
        targets,
        listeners,
        certificates,
        key_sets,
        limits,
        stores,
        gates,
        capped_plans,
        codes,
    } = extent;
    // Requests that no route took have no number in flight.
    let of_a_route = METHODS.len() * (STATUSES.len() + 1) + HISTOGRAM;
    let of_an_upstream = HISTOGRAM + Outcome::ALL.len() - 2;
    (routes + 1) * of_a_route
        + routes * (1 + Observed::ALL.len() + Validated::ALL.len())
        + key_sets * OF_A_KEY_SET
        + upstreams * of_an_upstream
        + targets * (OUTCOMES.len() + OF_TARGETS)
        + listeners * (OF_A_LISTENER + Refusal::ALL.len())
        + certificates * OF_A_CERTIFICATE
        + limits * limits::OF_A_LIMIT
        + stores * (limits::OF_A_STORE + HISTOGRAM)
        + 1
        + gates * caps::OF_A_GATE
        + capped_plans
        + codes
        + Flaw::ALL.len()
        + OF_THE_PROCESS
}

impl Metrics {
    /// All numbers now, with those of the configuration in force; `dropped` are the lines that the access
    /// log lost.
    #[must_use]
    pub fn encode(&self, view: &View<'_>, dropped: u64, format: Format) -> Vec<u8> {
        let mut out = Exposition::new(format);
        let out_ref = &mut out;
        self.write_requests(view, out_ref);
        self.write_rejections(out_ref);
        self.write_refused(out_ref);
        self.write_connections(out_ref);
        write_observed(view, out_ref);
        write_validations(view, out_ref);
        write_key_sets(&view.key_sets, out_ref);
        write_certificates(&view.tls, out_ref);
        write_tries(&view.upstreams, out_ref);
        write_targets(&view.upstreams, out_ref);
        limits::write(view, out_ref);
        caps::write(view, out_ref);
        self.write_state(dropped, out_ref);
        process::write(out_ref);
        out.finish()
    }

    fn write_requests(&self, view: &View<'_>, out: &mut Exposition) {
        let matched = || view.routes.iter().copied().filter(|(_, meter)| meter.is_used());
        let all = || std::iter::once(("", &self.unmatched)).chain(matched());
        out.family(
            "portcullis_requests_total",
            Kind::Counter,
            "Requests that are over, by route, method and status of the answer.",
        );
        for (route, meter) in all() {
            for (method, status, count) in meter.requests() {
                let status = status.map(|status| status.to_string());
                let status = status.as_deref().unwrap_or("other");
                out.sample(&[("route", route), ("method", method), ("status", status)], count);
            }
        }
        out.family(
            "portcullis_request_duration_seconds",
            Kind::Histogram,
            "From the head of a request to the last byte of its answer.",
        );
        for (route, meter) in all() {
            if let Some(durations) = meter.durations() {
                out.histogram(&[("route", route)], &durations);
            }
        }
        out.family(
            "portcullis_requests_in_flight",
            Kind::Gauge,
            "Requests that a route has taken and that are not over.",
        );
        for (route, meter) in matched() {
            out.sample(&[("route", route)], meter.in_flight());
        }
    }

    fn write_rejections(&self, out: &mut Exposition) {
        out.family(
            "portcullis_rejections_total",
            Kind::Counter,
            "Requests that the gateway answered by itself because they were refused or failed.",
        );
        for (why, count) in &self.rejections {
            out.sample(&[("why", why)], count.read()[0]);
        }
    }

    fn write_refused(&self, out: &mut Exposition) {
        out.family(
            "portcullis_clients_refused_total",
            Kind::Counter,
            "Clients that were refused or cut below their requests, by the reason.",
        );
        for flaw in Flaw::ALL {
            let count = self.refused[flaw as usize].load(Ordering::Relaxed);
            out.sample(&[("reason", flaw.word())], count);
        }
    }

    fn write_connections(&self, out: &mut Exposition) {
        out.family(
            "portcullis_connections_accepted_total",
            Kind::Counter,
            "Connections from clients that were accepted.",
        );
        for (listener, traffic) in &self.listeners {
            out.sample(&[("listener", listener)], traffic.accepted());
        }
        out.family("portcullis_connections_open", Kind::Gauge, "Connections from clients.");
        for (listener, traffic) in &self.listeners {
            out.sample(&[("listener", listener)], traffic.open());
        }
        out.family(
            "portcullis_connections_refused_total",
            Kind::Counter,
            "Connections that ended before a request could be read, by the reason.",
        );
        for (listener, traffic) in &self.listeners {
            for (reason, count) in traffic.refused().filter(|(_, count)| *count > 0) {
                out.sample(&[("listener", listener), ("reason", reason.as_str())], count);
            }
        }
        out.family(
            "portcullis_tls_handshakes_total",
            Kind::Counter,
            "TLS handshakes that were done, in full or by resuming an earlier session.",
        );
        for (listener, traffic) in &self.listeners {
            for (kind, count) in ["full", "resumed"].into_iter().zip(traffic.handshakes()) {
                if count > 0 {
                    out.sample(&[("listener", listener), ("kind", kind)], count);
                }
            }
        }
    }

    fn write_state(&self, dropped: u64, out: &mut Exposition) {
        let reloads = &self.reloads;
        out.family(
            "portcullis_reloads_total",
            Kind::Counter,
            "Attempts to change the configuration.",
        );
        out.sample(&[("result", "applied")], reloads.applied.load(Ordering::Relaxed));
        out.sample(&[("result", "refused")], reloads.refused.load(Ordering::Relaxed));
        out.family(
            "portcullis_last_reload_successful",
            Kind::Gauge,
            "Whether the last attempt to change the configuration was applied (1 at the start).",
        );
        out.sample(&[], reloads.in_step.load(Ordering::Relaxed));
        out.family(
            "portcullis_last_reload_success_timestamp_seconds",
            Kind::Gauge,
            "When the configuration in force was applied.",
        );
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ms")]
        out.sample(&[], reloads.last_good.load(Ordering::Relaxed) as f64 / 1000.0);
        out.family(
            "portcullis_access_log_dropped_lines_total",
            Kind::Counter,
            "Lines that the access log lost.",
        );
        out.sample(&[], dropped);
        out.family("portcullis_build_info", Kind::Gauge, "The version that runs.");
        out.sample(&[("version", env!("CARGO_PKG_VERSION"))], true);
    }
}

fn write_observed(view: &View<'_>, out: &mut Exposition) {
    out.family(
        "portcullis_observed_total",
        Kind::Counter,
        "Requests that a rule would have refused, did it not only observe.",
    );
    for (route, meter) in &view.routes {
        for (rule, count) in Observed::ALL.into_iter().zip(meter.observed()) {
            if count > 0 {
                out.sample(&[("route", route), ("rule", rule.word())], count);
            }
        }
    }
}

fn write_validations(view: &View<'_>, out: &mut Exposition) {
    out.family(
        "portcullis_validations_total",
        Kind::Counter,
        "Requests that were held to an OpenAPI document, by what was found.",
    );
    for (route, meter) in &view.routes {
        for (found, count) in Validated::ALL.into_iter().zip(meter.validations()) {
            if count > 0 {
                out.sample(&[("route", route), ("found", found.word())], count);
            }
        }
    }
}

fn write_key_sets(sets: &[KeySetStatus], out: &mut Exposition) {
    out.family(
        "portcullis_auth_keys_age_seconds",
        Kind::Gauge,
        "How long ago the keys of an auth method were last known to be the newest.",
    );
    for set in sets {
        if let Some(age) = set.age {
            out.sample(&[("method", &set.method)], age.as_secs());
        }
    }
    out.family(
        "portcullis_auth_keys_fetches_total",
        Kind::Counter,
        "Fetches of the keys of an auth method.",
    );
    for set in sets {
        for (result, count) in [("good", set.good), ("failed", set.failed)] {
            out.sample(&[("method", &set.method), ("result", result)], count);
        }
    }
}

fn write_certificates(listeners: &[(&str, &Tls)], out: &mut Exposition) {
    let all = || {
        listeners.iter().flat_map(|(listener, tls)| {
            tls.certificates()
                .iter()
                .map(|pair| (*listener, pair.path().display().to_string(), pair))
        })
    };
    out.family(
        "portcullis_tls_certificate_not_after_timestamp_seconds",
        Kind::Gauge,
        "When a certificate expires.",
    );
    for (listener, path, pair) in all() {
        let end = pair.dates().not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.sample(&[("listener", listener), ("certificate", &path)], end.as_secs());
    }
    out.family(
        "portcullis_tls_certificate_stale",
        Kind::Gauge,
        "Whether the certificate's files changed to something that cannot be used.",
    );
    for (listener, path, pair) in all() {
        out.sample(&[("listener", listener), ("certificate", &path)], pair.is_stale());
    }
}

fn write_tries(upstreams: &[&Upstream], out: &mut Exposition) {
    out.family(
        "portcullis_upstream_tries_total",
        Kind::Counter,
        "Tries of requests at targets, by what became of them.",
    );
    for upstream in upstreams {
        for tally in upstream.tallies() {
            for (outcome, count) in OUTCOMES.into_iter().zip(in_four(tally.outcomes())) {
                let labels = [
                    ("upstream", &**upstream.name()),
                    ("target", tally.label()),
                    ("outcome", outcome),
                ];
                out.sample(&labels, count);
            }
        }
    }
    out.family(
        "portcullis_upstream_failures_total",
        Kind::Counter,
        "Tries that failed, by the reason.",
    );
    for upstream in upstreams {
        let all: Vec<_> = upstream.tallies().iter().map(|tally| tally.outcomes()).collect();
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            let Some(reason) = outcome.reason() else { continue };
            let count: u64 = all.iter().map(|outcomes| outcomes[index]).sum();
            out.sample(&[("upstream", upstream.name()), ("reason", reason)], count);
        }
    }
    out.family(
        "portcullis_upstream_first_byte_seconds",
        Kind::Histogram,
        "From the start of a try to the head of the target's answer.",
    );
    for upstream in upstreams {
        if let Some(reading) = upstream.first_byte().map(Histogram::read) {
            out.histogram(&[("upstream", upstream.name())], &reading);
        }
    }
}

/// The outcomes as [`OUTCOMES`] has them.
fn in_four(outcomes: [u64; Outcome::ALL.len()]) -> [u64; OUTCOMES.len()] {
    let [answered, abandoned, error, failed @ ..] = outcomes;
    [answered, abandoned, error, failed.iter().sum()]
}

/// The state of all addresses that one target of the configuration stands for.
#[derive(Default)]
struct Addresses {
    known: u64,
    healthy: u64,
    ejected: u64,
    in_flight: u64,
}

impl Addresses {
    fn of(label: &str, targets: &[TargetStatus]) -> Self {
        let mut all = Self::default();
        for target in targets.iter().filter(|target| &*target.label == label) {
            all.known += 1;
            all.healthy += u64::from(target.healthy);
            all.ejected += u64::from(target.ejected_until.is_some());
            all.in_flight += target.in_flight as u64;
        }
        all
    }
}

fn write_targets(upstreams: &[&Upstream], out: &mut Exposition) {
    let mut rows = Vec::new();
    for upstream in upstreams {
        let targets = upstream.targets();
        for tally in upstream.tallies() {
            let labels = [("upstream", &**upstream.name()), ("target", &**tally.label())];
            rows.push((labels, Addresses::of(tally.label(), &targets), tally.ejections()));
        }
    }
    out.family(
        "portcullis_upstream_target_healthy",
        Kind::Gauge,
        "Whether the target has an address and its probes find all of them well.",
    );
    for (labels, all, _) in &rows {
        out.sample(labels, all.known > 0 && all.healthy == all.known);
    }
    out.family(
        "portcullis_upstream_target_ejected",
        Kind::Gauge,
        "Addresses of the target that are left out because they failed requests.",
    );
    for (labels, all, _) in &rows {
        out.sample(labels, all.ejected);
    }
    out.family(
        "portcullis_upstream_target_addresses",
        Kind::Gauge,
        "Addresses that the target stands for now.",
    );
    for (labels, all, _) in &rows {
        out.sample(labels, all.known);
    }
    out.family(
        "portcullis_upstream_target_in_flight",
        Kind::Gauge,
        "Requests that the target is working on.",
    );
    for (labels, all, _) in &rows {
        out.sample(labels, all.in_flight);
    }
    out.family(
        "portcullis_upstream_ejections_total",
        Kind::Counter,
        "Times that an address of the target was left out because it failed requests.",
    );
    for (labels, _, ejections) in &rows {
        out.sample(labels, *ejections);
    }
}
