//! What is shown of the counts, and how much of it there can be.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;

use super::*;
use crate::diagnostic::{At, Diagnostics};
use crate::listen::Refusal;
use crate::upstream::config::TargetSpec;
use crate::upstream::{self, HashKey, Outcome};

const CODES: [&str; 2] = ["no_route", "forbidden"];

fn metrics() -> Metrics {
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    Metrics::new(&CODES, ["public", "inside"].into_iter(), start)
}

fn upstream(name: &str, targets: &[&str]) -> Arc<Upstream> {
    let spec = |url: &&str| TargetSpec { url: (*url).to_owned(), weight: 1 };
    let config = upstream::Config::to(targets.iter().map(spec).collect());
    let mut diagnostics = Diagnostics::new();
    let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    Upstream::compile(name, &config, &At::root(), &read, &mut diagnostics).unwrap()
}

fn record(
    metrics: &Metrics,
    route: Option<&RouteMeter>,
    method: &Method,
    status: u16,
    why: Option<&'static str>,
) {
    metrics.record(route, Some(method), status, Duration::from_millis(2), why);
}

fn text(metrics: &Metrics, view: &View<'_>) -> String {
    String::from_utf8(metrics.encode(view, 5, Format::Text)).unwrap()
}

fn series(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
}

const NOTHING: View<'_> = View {
    routes: Vec::new(),
    upstreams: Vec::new(),
    limits: Vec::new(),
    store: None,
    limit_keys: 0,
    quotas_unsaved: 0,
    gates: Vec::new(),
    capped_plans: Vec::new(),
    tls: Vec::new(),
    key_sets: Vec::new(),
};

#[test]
fn requests_are_counted_at_their_route_or_at_none() {
    let (metrics, route) = (metrics(), RouteMeter::default());
    record(&metrics, Some(&route), &Method::GET, 200, None);
    record(&metrics, Some(&route), &Method::GET, 200, None);
    record(&metrics, Some(&route), &Method::POST, 403, Some("forbidden"));
    record(&metrics, None, &Method::TRACE, 404, Some("no_route"));
    record(&metrics, None, &Method::GET, 299, Some("a word of nobody's"));
    let view = View { routes: vec![("a \"b\"", &route)], ..NOTHING };
    let text = text(&metrics, &view);
    let of = |labels: &str| format!("portcullis_requests_total{{{labels}}}");
    has(&text, &(of(r#"route="a \"b\"",method="GET",status="200""#) + " 2"));
    has(&text, &(of(r#"route="a \"b\"",method="POST",status="403""#) + " 1"));
    has(&text, &(of(r#"route="",method="other",status="404""#) + " 1"));
    has(&text, &(of(r#"route="",method="GET",status="other""#) + " 1"));
    has(&text, r#"portcullis_request_duration_seconds_bucket{route="a \"b\"",le="0.0025"} 3"#);
    has(&text, r#"portcullis_request_duration_seconds_sum{route="a \"b\""} 0.006"#);
    has(&text, r#"portcullis_rejections_total{why="forbidden"} 1"#);
    has(&text, r#"portcullis_rejections_total{why="no_route"} 1"#);
    has(&text, "portcullis_access_log_dropped_lines_total 5");
    assert!(!text.contains("sent") && !text.contains("nobody"), "{text}");
}

#[test]
fn a_refused_reload_is_shown_until_the_next_good_one() {
    let metrics = metrics();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let first = text(&metrics, &NOTHING);
    has(&first, "portcullis_last_reload_successful 1");
    has(&first, "portcullis_last_reload_success_timestamp_seconds 1700000000.25");
    metrics.reloaded(false, at(1_800_000_000));
    let refused = text(&metrics, &NOTHING);
    has(&refused, "portcullis_last_reload_successful 0");
    has(&refused, "portcullis_last_reload_success_timestamp_seconds 1700000000.25");
    metrics.reloaded(true, at(1_900_000_000));
    let applied = text(&metrics, &NOTHING);
    has(&applied, "portcullis_last_reload_successful 1");
    has(&applied, "portcullis_last_reload_success_timestamp_seconds 1900000000");
    has(&applied, r#"portcullis_reloads_total{result="applied"} 1"#);
    has(&applied, r#"portcullis_reloads_total{result="refused"} 1"#);
}

#[test]
fn every_try_is_counted_once_with_what_became_of_it() {
    let (metrics, up) = (metrics(), upstream("up", &["127.0.0.1:1", "127.0.0.1:2"]));
    let now = std::time::Instant::now();
    let go = |tried: &[_]| up.attempt(HashKey::NONE, tried, now).unwrap();
    let first = go(&[]);
    let other = go(&[first.target().clone()]);
    let (label, bad) = (first.target().label().clone(), other.target().label().clone());
    first.answered(200, now);
    other.connect_failed(now);
    other.note(Outcome::ConnectTimeout);
    let view = || View { upstreams: vec![&*up], ..NOTHING };
    has(
        &text(&metrics, &view()),
        &format!(r#"portcullis_upstream_target_in_flight{{upstream="up",target="{label}"}} 1"#),
    );
    drop((first, other));
    drop(go(&[]));
    let text = text(&metrics, &view());
    let tries = |target: &str, outcome: &str, count| {
        let labels = format!(r#"upstream="up",target="{target}",outcome="{outcome}""#);
        has(&text, &format!("portcullis_upstream_tries_total{{{labels}}} {count}"));
    };
    tries(&label, "answered", 1);
    tries(&label, "abandoned", 1);
    tries(&bad, "failed", 1);
    tries(&bad, "answered", 0);
    has(&text, r#"portcullis_upstream_failures_total{upstream="up",reason="connect_timeout"} 1"#);
    has(&text, r#"portcullis_upstream_failures_total{upstream="up",reason="connect"} 0"#);
    has(&text, r#"portcullis_upstream_first_byte_seconds_count{upstream="up"} 1"#);
    for (name, number) in [("target_ejected", 1), ("ejections_total", 1), ("target_healthy", 1)] {
        let labels = format!(r#"{{upstream="up",target="{bad}"}}"#);
        has(&text, &format!("portcullis_upstream_{name}{labels} {number}"));
    }
}

#[test]
fn an_upstream_that_replaces_another_goes_on_with_its_counts() {
    let (old, new) =
        (upstream("up", &["127.0.0.1:1"]), upstream("up", &["127.0.0.1:1", "127.0.0.1:2"]));
    let now = std::time::Instant::now();
    let under_way = old.attempt(HashKey::NONE, &[], now).unwrap();
    new.carry_on(&old);
    under_way.answered(200, now);
    drop(under_way);
    assert_eq!(new.tallies()[0].outcomes()[0], 1);
    assert_eq!(new.tallies()[1].outcomes()[0], 0);
    assert_eq!(new.first_byte().unwrap().read().count(), 1);
}

#[test]
fn the_formula_is_what_there_can_be_and_no_more() {
    let metrics = metrics();
    let routes: Vec<RouteMeter> = (0..3).map(|_| RouteMeter::default()).collect();
    let names = ["a", "b", "c"];
    let upstreams =
        [upstream("one", &["127.0.0.1:1", "127.0.0.1:2"]), upstream("two", &["127.0.0.1:3"])];
    for meter in routes.iter().map(Some).chain([None]) {
        for method in METHODS {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for status in 0..1000 {
                record(&metrics, meter, &method, status, None);
            }
        }
        for rule in Observed::ALL {
            if let Some(meter) = meter {
                meter.observe(rule);
            }
        }
        for found in Validated::ALL {
            if let Some(meter) = meter {
                meter.validated(found);
            }
        }
    }
    let now = std::time::Instant::now();
    for upstream in &upstreams {
        upstream.attempt(HashKey::NONE, &[], now).unwrap().answered(200, now);
    }
    let view = View {
        key_sets: Vec::new(),
        routes: names.into_iter().zip(&routes).collect(),
        upstreams: upstreams.iter().map(Arc::as_ref).collect(),
        ..NOTHING
    };
    for (listener, _) in &metrics.listeners {
        let traffic = metrics.traffic(listener);
        let peer = ([127, 0, 0, 1], 1).into();
        for reason in Refusal::ALL {
            traffic.refuse(listener, peer, reason, "");
        }
        traffic.shake_hands(false);
        traffic.shake_hands(true);
    }
    let text = text(&metrics, &view);
    let all = series(&text);
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "a series stands there twice");
    assert_eq!(
        all.len(),
        most_series(Extent {
            routes: 3,
            upstreams: 2,
            targets: 3,
            listeners: 2,
            codes: CODES.len(),
            ..Extent::default()
        }),
        "{all:#?}"
    );
}

#[test]
fn the_documentation_has_every_family_and_the_formula() {
    let doc = include_str!("../../../docs/metrics.md");
    let text = text(&metrics(), &NOTHING);
    let told: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let tables = doc.lines().filter(|line| line.starts_with("| `") && line.contains('_'));
    let documented: BTreeSet<&str> = tables
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .filter(|name| ["portcullis_", "process_", "jemalloc_"].iter().any(|p| name.starts_with(p)))
        .collect();
    assert_eq!(told, documented);

    let number = |before: &str, after: &str| -> usize {
        let formula = doc.split("```").find(|block| block.contains("(R + 1)")).unwrap();
        let rest = formula.split(before).nth(1).unwrap().split(after).next().unwrap();
        rest.trim().parse().unwrap()
    };
    assert_eq!(number("(R + 1) × (", "methods"), METHODS.len());
    assert_eq!(number("methods ×", "statuses"), STATUSES.len() + 1);
    let histogram = number("statuses +", "of the histogram");
    let codes = number("1 P\n  +", "codes");
    let reasons = number("codes +", "reasons for refusals");
    let process = number("refusals +", "of the process");
    assert_eq!(
        most_series(Extent { codes, ..Extent::default() }),
        8 * 61 + histogram + codes + reasons + process
    );
    let of = |routes, upstreams, targets, listeners| {
        most_series(Extent { routes, upstreams, targets, listeners, ..Extent::default() })
            - most_series(Extent::default())
    };
    assert_eq!(of(1, 0, 0, 0), 8 * 61 + histogram + number("histogram) +", "R"));
    assert_eq!(
        of(0, 1, 0, 0),
        number("U × (", "of the") + number("U × (17 of the histogram +", "reasons")
    );
    assert_eq!(of(0, 0, 1, 0), number("T × (", "outcomes") + number("outcomes +", ")"));
    assert_eq!(of(0, 0, 0, 1), number("L × (", "+") + number("L × (4 +", "reasons"));
    assert_eq!(number("L × (4 +", "reasons"), Refusal::ALL.len());
    assert_eq!(
        most_series(Extent { certificates: 1, ..Extent::default() })
            - most_series(Extent::default()),
        2
    );
    assert_eq!(
        most_series(Extent { key_sets: 1, ..Extent::default() }) - most_series(Extent::default()),
        3
    );
    assert_eq!(
        most_series(Extent { stores: 1, ..Extent::default() }) - most_series(Extent::default()),
        24
    );
    assert_eq!(
        most_series(Extent { limits: 1, ..Extent::default() }) - most_series(Extent::default()),
        4
    );
    assert_eq!(
        most_series(Extent { gates: 1, capped_plans: 1, ..Extent::default() })
            - most_series(Extent::default()),
        number("4 M\n  +", "G") + number("12 G +", "P")
    );
}
