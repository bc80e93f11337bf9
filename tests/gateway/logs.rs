//! One line a request: what was done with it and why, and nothing that opens a door.

use serde_json::Value;

use crate::support::gateway::TestSources;
use crate::support::{Client, Gateway, Origin, RawOrigin, get, send};

const KEY: &str = "planted-key-7q3z";
const GATE: &str = "planted-gate-7q3z";

async fn gateway(origin: &Origin, broken: &RawOrigin) -> Gateway {
    let digest = portcullis::auth::Digest::of(KEY.as_bytes());
    let mut sources = TestSources::default();
    sources.env.insert("GATE".to_owned(), GATE.to_owned());
    Gateway::start_with(
        &format!(
            r#"
trusted_proxies: []
upstreams:
  svc: {{ targets: [ "{}" ], health: none, gateway_secret: {{ header: x-gate, value: "${{env:GATE}}" }} }}
  broken: {{ targets: [ "{}" ], health: none }}
consumers:
  app: {{ api_keys: [ "{digest}" ] }}
  other: {{ api_keys: [ "{}" ] }}
routes:
  svc: {{ path: /svc, to: svc }}
  narrow: {{ path: /narrow, methods: [ GET ], to: svc, allow: {{ consumers: [ other ] }} }}
  open: {{ path: /open, to: svc, auth: none, strip_prefix: true }}
  broken: {{ path: /broken, to: broken, auth: none }}
  told: {{ path: /told, auth: none, respond: {{ status: 200, body: told }} }}
"#,
            origin.address,
            broken.address,
            portcullis::auth::Digest::of(b"other")
        ),
        sources,
    )
    .await
}

/// The line of a request, by its id.
async fn line(gateway: &Gateway, count: usize, id: &str) -> Value {
    let lines = gateway.log(count).await;
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines.into_iter().find(|line| line["request_id"] == id).expect("a line with this id")
}

fn fields(line: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_request_leaves_one_line_with_all_that_was_done() {
    let origin = Origin::start("answer").await;
    let broken = RawOrigin::saying(b"").await;
    let gateway = gateway(&origin, &broken).await;
    let headers = [("X-Api-Key", KEY), ("Host", "Api.Test:80")];
    let answer =
        send(gateway.address(), "POST", "//svc/./a%20b?x=1&y&=z", &headers, b"12345").await;
    assert_eq!(answer.status, 200);
    let line = line(&gateway, 1, answer.header("x-request-id")).await;
    assert_eq!(
        fields(&line),
        [
            "bytes_in",
            "bytes_out",
            "client",
            "connect_ms",
            "consumer",
            "duration_ms",
            "first_byte_ms",
            "gateway_ms",
            "host",
            "method",
            "path",
            "protocol",
            "query",
            "request_id",
            "route",
            "status",
            "target",
            "time",
            "tries",
            "upstream",
            "upstream_ms",
        ]
    );
    for (field, value) in [
        ("client", Value::from("127.0.0.1")),
        ("method", "POST".into()),
        ("host", "Api.Test:80".into()),
        ("path", "//svc/./a%20b".into()),
        ("query", "x=***&***&=***".into()),
        ("protocol", "HTTP/1.1".into()),
        ("route", "svc".into()),
        ("consumer", "app".into()),
        ("upstream", "svc".into()),
        ("target", origin.address.to_string().into()),
        ("tries", 1.into()),
        ("status", 200.into()),
        ("bytes_in", 5.into()),
        ("bytes_out", 6.into()),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    let whole = line["duration_ms"].as_f64().unwrap();
    for part in ["gateway_ms", "connect_ms", "first_byte_ms", "upstream_ms"] {
        assert!((0.0..=whole).contains(&line[part].as_f64().unwrap()), "{part}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_answered_ourselves_says_why_in_the_word_of_the_answer() {
    let origin = Origin::start("answer").await;
    let broken = RawOrigin::saying(b"").await;
    let gateway = gateway(&origin, &broken).await;
    let mut count = 0;
    let own = [("X-Api-Key", KEY)];
    let wrong = [("X-Api-Key", "planted-wrong-7q3z")];
    for (method, target, headers, route, consumer, detail) in [
        ("GET", "/svc%00?q=1", &[][..], "", "", ""),
        ("GET", "/none", &[], "", "", ""),
        ("GET", "/svc", &[], "svc", "", "credential_missing"),
        ("GET", "/svc", &wrong, "svc", "", "credential_unknown"),
        ("GET", "/narrow", &own, "narrow", "app", "consumer_not_allowed"),
        ("POST", "/narrow", &own, "", "", ""),
        ("GET", "/broken", &[], "broken", "", "*"),
    ] {
        let answer = Client::connect(gateway.address()).await.ask(method, target, headers).await;
        count += 1;
        let line = line(&gateway, count, answer.header("x-request-id")).await;
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("why"), answer.code(), "{line}");
        assert_eq!(line["status"], answer.status);
        assert_eq!(
            (text("route"), text("consumer")),
            (route.to_owned(), consumer.to_owned()),
            "{line}"
        );
        assert!(detail == "*" || text("detail") == detail, "{line}");
        // Only who was let in has to do with an upstream.
        assert_eq!(line.get("upstream").is_some(), route == "broken", "{line}");
        assert_eq!(line.get("tries").is_some(), route == "broken", "{line}");
        assert_eq!(line["bytes_out"], answer.body.len(), "{line}");
    }
    let answer = get(gateway.address(), "/told", &[]).await;
    let line = line(&gateway, count + 1, answer.header("x-request-id")).await;
    assert!(line.get("why").is_none() && line.get("upstream").is_none(), "{line}");
    assert_eq!((&line["route"], &line["status"]), (&"told".into(), &200.into()));
}
