//! One line a request: what was done with it and why, and nothing that opens a door.

use std::net::SocketAddr;

use serde_json::Value;

use crate::secrets::PLANTED;
use crate::support::gateway::TestSources;
use crate::support::process::Program;
use crate::support::{Client, Gateway, Origin, RawOrigin, get, secrets, send};

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
            "trace_id",
            "tries",
            "upstream",
            "upstream_ms",
        ]
    );
    for (field, value) in [
        ("trace_id", Value::from(answer.header("x-request-id"))),
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

/// One route to a target that breaks every connection, which the gateway tells of at the level debug.
struct Telling {
    program: Program,
    public: SocketAddr,
    admin: SocketAddr,
    _broken: RawOrigin,
    _folder: tempfile::TempDir,
}

impl Telling {
    async fn start(filter: &str) -> Self {
        let broken = RawOrigin::saying(b"").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it.yaml");
        let text = format!(
            r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:0" }} }}
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ broken: {{ targets: [ "{}" ], health: none }} }}
routes: {{ broken: {{ path: /, to: broken, auth: none }} }}
logs: {{ access: "off" }}
"#,
            broken.address
        );
        std::fs::write(&file, text).unwrap();
        let env = [("PORTCULLIS_LOG", filter)];
        let program = Program::told(&["run", file.to_str().unwrap()], &env);
        let mut addresses = Vec::new();
        for mark in ["listener public: serving on ", "admin: serving on "] {
            program.says(mark).await;
            let errors = program.errors();
            let (_, rest) = errors.split_once(mark).unwrap();
            addresses.push(rest.split_whitespace().next().unwrap().parse().unwrap());
        }
        let (public, admin) = (addresses[0], addresses[1]);
        Self { program, public, admin, _broken: broken, _folder: folder }
    }

    /// The id of a request that fails.
    async fn fail(&self) -> String {
        let answer = get(self.public, "/?token=planted-query-7q3z", PLANTED).await;
        assert_eq!(answer.status, 502);
        answer.header("x-request-id").to_owned()
    }

    async fn set(&self, filter: &str) -> u16 {
        let body = format!("{{\"filter\": \"{filter}\"}}");
        let local = [("Host", "localhost"), ("Content-Type", "application/json")];
        send(self.admin, "PUT", "/log-level", &local, body.as_bytes()).await.status
    }

    /// What the process log told in all.
    async fn end(self) -> String {
        self.program.signal("TERM");
        self.program.ended().await.errors
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_tell_nothing_below_info_whatever_the_filter_says() {
    let telling = Telling::start("trace").await;
    let id = telling.fail().await;
    let told = telling.end().await;
    assert!(told.contains(&format!("request {id}: upstream_broken")), "{told}");
    for line in told.lines().filter(|line| line.contains(" DEBUG ") || line.contains(" TRACE ")) {
        assert!(line.contains(" portcullis"), "{line}");
    }
    assert!(!told.contains(secrets::MARK), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_a_module_can_be_changed_while_it_runs() {
    let telling = Telling::start("warn,portcullis=info").await;
    let silent = telling.fail().await;
    assert_eq!(telling.set("warn,portcullis=info,portcullis::gateway=debug").await, 200);
    let told = telling.fail().await;
    telling.program.says(&told).await;
    assert_eq!(telling.set("warn,portcullis=loud").await, 400);
    assert_eq!(telling.set("warn,portcullis=trace,portcullis::gateway=info").await, 200);
    let silent_again = telling.fail().await;
    let all = telling.end().await;
    assert!(all.contains(&told) && !all.contains(&silent) && !all.contains(&silent_again), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_none_refuses_the_start() {
    for filter in ["loud", "portcullis=loud", "warn,portcullis"] {
        let ended = Program::told(&["demo"], &[("PORTCULLIS_LOG", filter)]).ended().await;
        assert_eq!(ended.code, Some(4), "{ended:?}");
        let told = format!("error: PORTCULLIS_LOG: {filter:?} is not a filter: write a level");
        assert!(ended.errors.contains(&told), "{ended:?}");
    }
}
