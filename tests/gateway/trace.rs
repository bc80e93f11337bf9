//! W3C trace context: whose word is taken, what goes on, and what the log says.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{Gateway, Origin, RawOrigin, get};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

async fn gateway(origin: &Origin, file: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
{file}
upstreams: {{ svc: {{ targets: [ "{}" ], health: none }} }}
defaults: {{ auth: none }}
routes:
  svc: {{ path: /svc, to: svc, request_headers: {{ set: {{ X-Trace: "${{trace.id}}" }} }} }}
  bare: {{ path: /bare, to: svc, request_headers: {{ remove: [ traceparent, tracestate ] }} }}
  told: {{ path: /told, respond: {{ status: 200, body: "${{trace.id}}" }} }}
"#,
        origin.address
    ))
    .await
}

const TRUSTED: &str = "trusted_proxies: [ 127.0.0.1 ]";

/// Trace, parent and flags of a `traceparent`.
fn parts(value: &str) -> (&str, &str, &str) {
    let parts: Vec<&str> = value.split('-').collect();
    let &["00", trace, parent, flags] = &parts[..] else { panic!("{value}") };
    let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    assert!(trace.len() == 32 && parent.len() == 16 && hex(trace) && hex(parent), "{value}");
    (trace, parent, flags)
}

async fn log_line(gateway: &Gateway, count: usize, id: &str) -> Value {
    let lines = gateway.log(count).await;
    lines.into_iter().find(|line| line["request_id"] == id).expect("a line with this id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_trace_ends_at_the_gate_and_each_request_begins_one() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin, "").await;
    let mut parents = HashSet::new();
    let claims = [("traceparent", PARENT), ("tracestate", "vendor=1"), ("Traceparent", PARENT)];
    for (count, headers) in [&[][..], &claims[..1], &claims[..2], &claims].into_iter().enumerate() {
        let answer = get(gateway.address(), "/svc", headers).await;
        let (seen, id) = (origin.last(), answer.header("x-request-id"));
        assert_eq!(seen.headers.get_all("traceparent").iter().count(), 1);
        let (trace, parent, flags) = parts(seen.header("traceparent"));
        assert_eq!((trace, flags, seen.header("x-trace")), (id, "03", id));
        assert_eq!(seen.header("tracestate"), "");
        assert!(parents.insert(parent.to_owned()), "{parent} twice");
        assert_eq!(log_line(&gateway, count + 1, id).await["trace_id"], id);
    }
    let answer = get(gateway.address(), "/told", &claims).await;
    assert_eq!(answer.text(), answer.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_peers_trace_goes_on() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin, TRUSTED).await;
    let claims = [
        ("traceparent", PARENT),
        ("tracestate", "vendor=1"),
        ("tracestate", "other=a b"),
        ("X-Request-Id", "from-the-edge"),
    ];
    let answer = get(gateway.address(), "/svc", &claims).await;
    assert_eq!(answer.header("x-request-id"), "from-the-edge");
    let seen = origin.last();
    let (trace, parent, flags) = parts(seen.header("traceparent"));
    // What the peer decided on recording is kept.
    assert_eq!((trace, flags), (TRACE, "00"));
    assert_ne!(parent, "00f067aa0ba902b7");
    assert_eq!((seen.header("tracestate"), seen.header("x-trace")), ("vendor=1,other=a b", TRACE));
    let line = log_line(&gateway, 1, "from-the-edge").await;
    assert_eq!((&line["trace_id"], &line["status"]), (&TRACE.into(), &200.into()));
    // Of answers of our own too.
    let answer = get(gateway.address(), "/none", &claims[..1]).await;
    let line = log_line(&gateway, 2, answer.header("x-request-id")).await;
    assert_eq!((&line["trace_id"], &line["why"]), (&TRACE.into(), &"no_route".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_trace_is_replaced_by_one() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin, TRUSTED).await;
    let upper = PARENT.to_ascii_uppercase();
    let claims = [("traceparent", &*upper), ("tracestate", "vendor=1")];
    for headers in [&claims[..], &claims[1..]] {
        let answer = get(gateway.address(), "/svc", headers).await;
        let seen = origin.last();
        assert_eq!(parts(seen.header("traceparent")).0, answer.header("x-request-id"));
        assert_eq!(seen.header("tracestate"), "");
    }
    // An id that is none of a trace cannot be its id.
    get(gateway.address(), "/svc", &[("X-Request-Id", "from-the-edge")]).await;
    let seen = origin.last();
    let trace = parts(seen.header("traceparent")).0;
    assert_eq!(trace, seen.header("x-trace"));
    assert_eq!(log_line(&gateway, 3, "from-the-edge").await["trace_id"], trace);
    // One that is, can.
    get(gateway.address(), "/svc", &[("X-Request-Id", TRACE)]).await;
    assert_eq!(parts(origin.last().header("traceparent")).0, TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_can_keep_it_from_its_upstream() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin, TRUSTED).await;
    get(gateway.address(), "/bare", &[("traceparent", PARENT), ("tracestate", "a=1")]).await;
    let seen = origin.last();
    assert!(!seen.headers.contains_key("traceparent") && !seen.headers.contains_key("tracestate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_try_has_a_parent_of_its_own() {
    let broken = [RawOrigin::saying(b"").await, RawOrigin::saying(b"").await];
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{}", "{}" ], health: none }} }}
routes: {{ svc: {{ path: /, to: svc, auth: none }} }}
"#,
        broken[0].address, broken[1].address
    ))
    .await;
    let answer = get(gateway.address(), "/", &[]).await;
    assert_eq!(answer.status, 502);
    let heads: Vec<String> = broken.iter().flat_map(RawOrigin::heads).collect();
    let parents: Vec<_> = heads
        .iter()
        .flat_map(|head| head.lines())
        .filter_map(|line| line.strip_prefix("traceparent: "))
        .map(parts)
        .collect();
    let [one, two] = parents[..] else { panic!("{heads:?}") };
    assert_eq!((one.0, two.0), (answer.header("x-request-id"), answer.header("x-request-id")));
    assert_ne!(one.1, two.1);
}
