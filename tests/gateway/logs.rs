//! One line a request: what was done with it and why, and nothing that opens a door.

use std::net::SocketAddr;
use std::sync::Mutex;

use http::Response;
use http_body_util::Full;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::Value;

use crate::support::gateway::TestSources;
use crate::support::process::Program;
use crate::support::{Client, Gateway, Origin, RawOrigin, get, send};

const KEY: &str = "planted-key-7q3z";
const GATE: &str = "planted-gate-7q3z";
/// All that is planted has this in it, and no id, which is made of hexadecimal digits.
const MARK: &str = "7q3z";

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

/// What the process log was given while it was listened to.
struct Heard {
    lines: Mutex<Vec<(Level, String, String)>>,
}

static HEARD: Heard = Heard { lines: Mutex::new(Vec::new()) };

impl Log for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        if line.contains(MARK) {
            self.lines.lock().unwrap().push((record.level(), record.target().to_owned(), line));
        }
    }

    fn flush(&self) {}
}

/// Headers with something in them that must not be told.
const PLANTED: &[(&str, &str)] = &[
    ("X-Api-Key", KEY),
    ("Authorization", "Bearer planted-bearer-7q3z"),
    ("Cookie", "session=planted-cookie-7q3z; other=1"),
    ("Proxy-Authorization", "Basic planted-proxy-7q3z"),
    ("X-Gate", "planted-forged-7q3z"),
    ("Referer", "https://a.test/?planted-referer-7q3z"),
    ("X-Request-Id", "planted-id-7q3z"),
    ("X-Forwarded-For", "planted-for-7q3z"),
    ("Traceparent", "00-planted-trace-7q3z-01"),
    ("Tracestate", "planted=state-7q3z"),
];

/// Targets of all fates with something in the query that must not be told.
const TARGETS: &[&str] = &[
    "/svc?api_key=planted-query-7q3z&planted-bare-7q3z&a=b;c=planted-query-7q3z",
    "/open/x?token=planted-query-7q3z",
    "/narrow?token=planted-query-7q3z",
    "/broken?token=planted-query-7q3z",
    "/none?token=planted-query-7q3z",
    "/none%00?token=planted-query-7q3z",
    "/..%2f?token=planted-query-7q3z",
    "*?token=planted-query-7q3z",
    "http://gateway.test/svc?token=planted-query-7q3z",
    "/svc?%zz=planted-query-7q3z&x=%00planted-query-7q3z",
];

/// Heads that the parser refuses by itself.
const UNREADABLE: &[&str] = &[
    "GET /svc HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Api-Key: planted-key-7q3z\r\n\r\n",
    "GET /svc?planted-query-7q3z HTTP/1.1\r\nHost: a\r\nX-Api-Key planted-key-7q3z\r\n\r\n",
    "GET http://planted-user-7q3z@gateway.test/svc HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "POST /svc HTTP/1.1\r\nHost: a\r\nContent-Length: planted-7q3z\r\nX-Api-Key: planted-key-7q3z\r\n\r\n",
    "planted-line-7q3z\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_gets_into_a_log() {
    log::set_logger(&HEARD).expect("no other test of this binary sets a logger");
    log::set_max_level(LevelFilter::Trace);
    let origin = Origin::with(|_| {
        Response::builder()
            .header("Set-Cookie", "session=planted-answer-7q3z")
            .header("X-Token", "planted-answer-7q3z")
            .header("Location", "/there?token=planted-answer-7q3z")
            .body(Full::new("planted-body-7q3z".into()))
            .unwrap()
    })
    .await;
    let broken = RawOrigin::saying(b"").await;
    let gateway = gateway(&origin, &broken).await;
    for target in TARGETS {
        for headers in [PLANTED, &PLANTED[1..]] {
            get(gateway.address(), target, headers).await;
        }
    }
    let wrong = [("X-Api-Key", "planted-wrong-7q3z"), ("x-api-key", "planted-second-7q3z")];
    get(gateway.address(), "/svc", &wrong).await;
    send(gateway.address(), "POST", "/svc", PLANTED, b"planted-body-7q3z").await;
    for unreadable in UNREADABLE {
        let mut client = Client::connect(gateway.address()).await;
        client.write(unreadable.as_bytes()).await;
        client.read_any(false).await;
    }
    let lines = gateway.log(2 * TARGETS.len() + 2).await;
    for line in &lines {
        assert!(!line.to_string().contains(MARK), "{line}");
    }
    assert!(gateway.stop().await);
    log::set_max_level(LevelFilter::Off);
    // Of our own lines none at any level; of libraries none at the levels that can reach an output, which
    // are those down to info: below that Pingora prints whole heads.
    let heard = HEARD.lines.lock().unwrap();
    let told: Vec<_> = heard
        .iter()
        .filter(|(level, target, _)| target.starts_with("portcullis") || *level <= Level::Info)
        .collect();
    assert!(told.is_empty(), "{told:#?}");
    assert!(heard.iter().any(|(_, target, _)| target.starts_with("pingora")), "nothing was heard");
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
    assert!(!told.contains(MARK), "{told}");
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
