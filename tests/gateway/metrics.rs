//! The numbers agree with the log, the tools of Prometheus read them, and no client can make more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use http::Response;
use http_body_util::Full;
use portcullis::observe::metrics::{Extent, most_series};
use serde_json::Value;

use crate::support::gateway::TestSources;
use crate::support::{Answer, Client, Gateway, Origin, RawOrigin, eventually, get, python, send};

const KEY: &str = "planted-key-7q3z-for-metrics";

/// The numbers as a text, in the format of this `Accept`.
async fn scrape(gateway: &Gateway, accept: &str) -> Answer {
    let answer =
        get(gateway.addresses["admin"], "/metrics", &[("Host", "localhost"), ("Accept", accept)])
            .await;
    assert_eq!(answer.status, 200);
    answer
}

/// All samples: the series as written, and the value.
fn samples(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<_> = lines.map(|line| line.rsplit_once(' ').unwrap()).collect();
    let distinct: BTreeMap<_, _> = samples.iter().copied().collect();
    assert_eq!(distinct.len(), samples.len(), "a series stands there twice:\n{text}");
    distinct
}

/// The values of a family by those of some of its labels, added up over the others. Values are taken apart at
/// their quotes, which none of these tests puts into one.
fn sums(text: &str, family: &str, labels: &[&str]) -> BTreeMap<Vec<String>, u64> {
    let mut sums = BTreeMap::new();
    for (series, value) in samples(text) {
        let Some(rest) = series.strip_prefix(family).and_then(|rest| rest.strip_prefix('{')) else {
            continue;
        };
        let of = |label: &&str| {
            let found = rest.split(&format!("{label}=\"")).nth(1).unwrap();
            found.split('"').next().unwrap().to_owned()
        };
        *sums.entry(labels.iter().map(of).collect()).or_insert(0) += value.parse::<u64>().unwrap();
    }
    sums
}

/// The sample of a series that must be there.
fn value(text: &str, series: &str) -> u64 {
    let samples = samples(text);
    let value = samples.get(series).unwrap_or_else(|| panic!("{series} is missing:\n{text}"));
    value.parse().unwrap()
}

/// Runs a command with this input, without holding up the runtime.
async fn filter(mut command: Command, input: String) -> Output {
    let run = move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}: `make test` installs what is missing"));
        let mut stdin = child.stdin.take().unwrap();
        // The input can be longer than what the pipes hold, so that it is written beside the reading.
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _ = writing.join().unwrap();
        output
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// `make test` unpacks it, unless it is installed.
fn promtool() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/promtool/usr/bin/promtool");
    if own.exists() { own } else { "promtool".into() }
}

/// The samples as the reference parser of the format reads them.
async fn parsed(text: &str, format: &str) -> Vec<Value> {
    let mut command = Command::new(python::interpreter());
    command.arg(python::script("metrics.py")).arg(format);
    let output = filter(command, text.to_owned()).await;
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A gateway whose routes show every way for a request to end, and what stands behind it.
struct House {
    gateway: Gateway,
    _origin: Origin,
    _broken: RawOrigin,
}

impl House {
    async fn start() -> Self {
        let origin = Origin::with(|seen| {
            let status = seen.target.rsplit('/').next().and_then(|last| last.parse().ok());
            let body = Full::new("a body".into());
            Response::builder().status(status.unwrap_or(200_u16)).body(body).unwrap()
        })
        .await;
        let broken = RawOrigin::saying(b"").await;
        let gone = Origin::start("gone").await.kill().await;
        let gateway = Gateway::start(&format!(
            r#"
admin: {{ address: "127.0.0.1:0" }}
upstreams:
  svc: {{ targets: [ "{}" ], health: none }}
  broken: {{ targets: [ "{}" ], health: none, retries: {{ max: 1 }} }}
  gone: {{ targets: [ "{gone}" ], health: none, retries: {{ max: 1 }} }}
consumers: {{ app: {{ api_keys: [ "{}" ] }}, other: {{ api_keys: [ "{}" ] }} }}
routes:
  open: {{ path: /open, to: svc, auth: none, body_limit: 100B }}
  keyed: {{ path: /keyed, to: svc }}
  narrow: {{ path: /narrow, to: svc, methods: [ GET ], allow: {{ consumers: [ other ] }} }}
  broken: {{ path: /broken, to: broken, auth: none }}
  gone: {{ path: /gone, to: gone, auth: none }}
  told: {{ path: /told, auth: none, respond: {{ status: 200, body: told }} }}
  unused: {{ path: /unused, to: svc, auth: none }}
"#,
            origin.address,
            broken.address,
            portcullis::auth::Digest::of(KEY.as_bytes()),
            portcullis::auth::Digest::of(b"other"),
        ))
        .await;
        Self { gateway, _origin: origin, _broken: broken }
    }

    /// A request of each kind, and how many that were.
    async fn mixed_load(&self) -> u64 {
        let at = self.gateway.address();
        let key = [("X-Api-Key", KEY)];
        let mut asked = 0;
        let mut client = Client::connect(at).await;
        for (method, target, headers) in [
            ("GET", "/open", &[][..]),
            ("HEAD", "/open", &[]),
            ("DELETE", "/open/204", &[]),
            ("OPTIONS", "/open", &[]),
            ("PURGE", "/open", &[]),
            ("GET", "/open/304", &[]),
            ("GET", "/open/404", &[]),
            ("GET", "/open/501", &[]),
            ("GET", "/open/299", &[]),
            ("GET", "/keyed", &[]),
            ("GET", "/keyed", &key),
            ("GET", "/keyed", &[("X-Api-Key", "wrong")]),
            ("GET", "/narrow", &key),
            ("POST", "/narrow", &key),
            ("GET", "/told", &[]),
            ("GET", "/nowhere", &[]),
            ("TRACE", "/open", &[]),
        ] {
            for _ in 0..3 {
                client.ask(method, target, headers).await;
                asked += 1;
            }
        }
        for (method, target, body) in [
            ("POST", "/open", &b"short"[..]),
            ("PUT", "/open/201", b"short"),
            ("PATCH", "/open", b"short"),
            ("POST", "/open", &[b'x'; 101]),
            ("POST", "/broken", b"short"),
            ("GET", "/broken", b""),
            ("GET", "/gone", b""),
            ("POST", "/gone", b"short"),
        ] {
            send(at, method, target, &[], body).await;
            asked += 1;
        }
        // An answer of a target that is a server error, and one who leaves before the answer.
        get(at, "/open/500", &[]).await;
        asked + 1
    }
}

fn counted(text: &str) -> u64 {
    sums(text, "portcullis_requests_total", &[]).values().sum()
}

/// The numbers as soon as this many requests are over.
async fn after(gateway: &Gateway, requests: u64) -> String {
    let mut text = String::new();
    eventually(&format!("{requests} requests are counted"), async || {
        scrape(gateway, "").await.text().clone_into(&mut text);
        counted(&text) >= requests
    })
    .await;
    text
}

/// The status as a label: those that are not registered are one.
fn label(status: &Value) -> String {
    match status.as_u64().unwrap() {
        299 => "other".to_owned(),
        status => status.to_string(),
    }
}

fn add(map: &mut BTreeMap<Vec<String>, u64>, key: &[&str], number: u64) {
    *map.entry(key.iter().map(|&part| part.to_owned()).collect()).or_insert(0) += number;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_those_of_the_access_log() {
    let house = House::start().await;
    let asked = house.mixed_load().await;
    let lines = usize::try_from(asked).unwrap();
    let log = house.gateway.log(lines).await;
    assert_eq!(log.len(), lines);
    let text = after(&house.gateway, asked).await;

    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let (mut requests, mut routes, mut whys, mut tries) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for line in &log {
        let (route, status) = (word(line, "route"), label(&line["status"]));
        add(&mut requests, &[&route, &status], 1);
        add(&mut routes, &[&route], 1);
        if let Some(why) = line["why"].as_str() {
            add(&mut whys, &[why], 1);
        }
        if let Some(tried) = line["tries"].as_u64().filter(|tries| *tries > 0) {
            add(&mut tries, &[&word(line, "upstream")], tried);
        }
    }
    let statuses: BTreeSet<_> = requests.keys().map(|key| key[1].as_str()).collect();
    let wanted =
        ["200", "201", "204", "304", "401", "403", "404", "405", "413", "500", "501", "502", "503"];
    assert!(wanted.iter().all(|status| statuses.contains(status)), "{statuses:?}");

    assert_eq!(sums(&text, "portcullis_requests_total", &["route", "status"]), requests);
    assert_eq!(sums(&text, "portcullis_request_duration_seconds_count", &["route"]), routes);
    let mut told = sums(&text, "portcullis_rejections_total", &["why"]);
    assert_eq!(told.len(), portcullis::reject::CODES.len(), "every word is there from the start");
    told.retain(|_, count| *count > 0);
    assert_eq!(told, whys);
    assert_eq!(sums(&text, "portcullis_upstream_tries_total", &["upstream"]), tries);
    for (_, in_flight) in sums(&text, "portcullis_requests_in_flight", &["route"]) {
        assert_eq!(in_flight, 0, "{text}");
    }
    assert!(!text.contains("unused"), "a route without a request has no series");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failed_try_has_one_reason() {
    let house = House::start().await;
    let asked = house.mixed_load().await;
    let text = after(&house.gateway, asked).await;
    let outcomes = sums(&text, "portcullis_upstream_tries_total", &["upstream", "outcome"]);
    let reasons = sums(&text, "portcullis_upstream_failures_total", &["upstream", "reason"]);
    let outcome =
        |upstream: &str, outcome: &str| outcomes[&vec![upstream.to_owned(), outcome.to_owned()]];
    let reason =
        |upstream: &str, reason: &str| reasons[&vec![upstream.to_owned(), reason.to_owned()]];
    for upstream in ["svc", "broken", "gone"] {
        let all: u64 =
            reasons.iter().filter(|(key, _)| key[0] == upstream).map(|(_, count)| count).sum();
        assert_eq!(
            all,
            outcome(upstream, "failed") + outcome(upstream, "error"),
            "{upstream}\n{text}"
        );
    }
    // The 501 speaks about the request and not about the target.
    assert_eq!((outcome("svc", "error"), reason("svc", "status_5xx")), (1, 1));
    // POST once, GET twice.
    assert_eq!((outcome("broken", "failed"), reason("broken", "broken")), (3, 3));
    // Nothing was sent, so that both are tried again.
    assert_eq!((outcome("gone", "failed"), reason("gone", "connect")), (4, 4));
    let first_bytes = sums(&text, "portcullis_upstream_first_byte_seconds_count", &["upstream"]);
    let answered = outcome("svc", "answered") + outcome("svc", "error");
    assert_eq!(first_bytes, BTreeMap::from([(vec!["svc".to_owned()], answered)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say() {
    let house = House::start().await;
    let asked = house.mixed_load().await;
    let text = after(&house.gateway, asked).await;
    let mut command = Command::new(promtool());
    command.args(["check", "metrics"]);
    let output = filter(command, text.clone()).await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_say_the_same_to_their_own_parsers() {
    let house = House::start().await;
    let asked = house.mixed_load().await;
    after(&house.gateway, asked).await;
    let plain = scrape(&house.gateway, "text/plain").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let open = scrape(&house.gateway, "application/openmetrics-text;version=1.0.0").await;
    assert_eq!(
        open.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(open.text().ends_with("\n# EOF\n") && !plain.text().contains("# EOF"));
    let of_requests = |samples: Vec<Value>| -> BTreeMap<String, String> {
        let ours = |sample: &&Value| {
            let name = sample["name"].as_str().unwrap();
            name.starts_with("portcullis_request") || name.starts_with("portcullis_upstream")
        };
        let samples = samples.iter().filter(ours);
        samples
            .map(|s| (format!("{} {}", s["name"], s["labels"]), s["value"].to_string()))
            .collect()
    };
    let (plain, open) = (
        of_requests(parsed(plain.text(), "text").await),
        of_requests(parsed(open.text(), "openmetrics").await),
    );
    assert!(plain.len() > 100, "{plain:?}");
    assert_eq!(plain, open);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_hosts_and_methods_add_no_series() {
    const CONNECTIONS: u64 = 20;
    const BATCH: u64 = 500;
    const EACH: u64 = 5_000;
    let house = House::start().await;
    // What the load will meet, once.
    let mut client = Client::connect(house.gateway.address()).await;
    for (method, target) in [("GET", "/told/a"), ("GET", "/nowhere/a"), ("BREW", "/told/a")] {
        client.ask(method, target, &[]).await;
    }
    let before = after(&house.gateway, 3).await;

    let address = house.gateway.address();
    let load = (0..CONNECTIONS).map(|connection| {
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for batch in 0..EACH / BATCH {
                let mut requests = String::new();
                for number in 0..BATCH {
                    let n = (connection * EACH) + (batch * BATCH) + number;
                    let (method, target) = match n % 10 {
                        0 => (format!("M{n}"), "told"),
                        odd if odd % 2 == 1 => ("GET".to_owned(), "told"),
                        _ => ("GET".to_owned(), "nowhere"),
                    };
                    requests.push_str(&format!(
                        "{method} /{target}/{n}?q={n} HTTP/1.1\r\nHost: h{n}.test\r\n\
                         User-Agent: a{n}\r\nX-Api-Key: k{n}\r\n\r\n"
                    ));
                }
                client.write(requests.as_bytes()).await;
                for _ in 0..BATCH {
                    client.read(false).await;
                }
            }
        })
    });
    for connection in load.collect::<Vec<_>>() {
        connection.await.unwrap();
    }

    let text = after(&house.gateway, 3 + CONNECTIONS * EACH).await;
    assert_eq!(counted(&text), 3 + CONNECTIONS * EACH);
    let names = |text| samples(text).into_keys().map(str::to_owned).collect::<BTreeSet<String>>();
    assert_eq!(names(&text), names(&before));
    let bound = most_series(Extent {
        routes: 7,
        upstreams: 3,
        targets: 3,
        listeners: 1,
        codes: 17,
        ..Extent::default()
    });
    assert!(samples(&text).len() <= bound, "{} and not {bound}", samples(&text).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_requests_are_seen_while_they_last() {
    let slow = RawOrigin::with(async |stream| {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(stream);
    })
    .await;
    let gateway = Gateway::start(&format!(
        r#"
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ slow: {{ targets: [ "{}" ], health: none }} }}
routes: {{ slow: {{ path: /, to: slow, auth: none }} }}
"#,
        slow.address
    ))
    .await;
    let idle = Client::connect(gateway.address()).await;
    let mut busy = Client::connect(gateway.address()).await;
    busy.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let target = format!(r#"{{upstream="slow",target="{}"}}"#, slow.address);
    let shows = async |open: u64, in_flight: u64| {
        let text = scrape(&gateway, "").await.text().to_owned();
        let route = sums(&text, "portcullis_requests_in_flight", &["route"]);
        value(&text, r#"portcullis_connections_open{listener="public"}"#) == open
            && route.values().sum::<u64>() == in_flight
            && value(&text, &format!("portcullis_upstream_target_in_flight{target}")) == in_flight
    };
    eventually("two connections and a request", async || shows(2, 1).await).await;
    drop((idle, busy));
    eventually("nothing is left", async || shows(0, 0).await).await;
    let text = after(&gateway, 1).await;
    assert_eq!(value(&text, r#"portcullis_connections_accepted_total{listener="public"}"#), 2);
    let left = format!(
        r#"portcullis_upstream_tries_total{{upstream="slow",target="{}",outcome="abandoned"}}"#,
        slow.address
    );
    assert_eq!(value(&text, &left), 1);
    assert_eq!(value(&text, r#"portcullis_rejections_total{why="client_closed"}"#), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_quotes_are_read_back_as_they_are() {
    let gateway = Gateway::start(
        r#"
admin: { address: "127.0.0.1:0" }
routes: { 'say "hi" \ there': { path: /, auth: none, respond: { status: 200, body: hi } } }
"#,
    )
    .await;
    get(gateway.address(), "/", &[]).await;
    let text = after(&gateway, 1).await;
    let samples = parsed(&text, "text").await;
    let names: BTreeSet<_> =
        samples.iter().filter_map(|sample| sample["labels"]["route"].as_str()).collect();
    assert_eq!(names, BTreeSet::from([r#"say "hi" \ there"#]));
}

#[test]
fn a_new_configuration_goes_on_with_the_counts_of_what_keeps_its_name() {
    use portcullis::observe::metrics::{Format, Metrics};
    let load = |routes: &str| {
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\nroutes: {{ {routes} }}\n"
        );
        let loaded = portcullis::loading::load_text(&text, &TestSources::default());
        loaded.compiled.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(""))).snapshot
    };
    let old = load(
        "kept: { path: /kept, auth: none, respond: { status: 200 } }, \
         gone: { path: /gone, auth: none, respond: { status: 200 } }",
    );
    let record = |snapshot: &portcullis::snapshot::Snapshot| {
        for (_, route) in snapshot.routes.iter() {
            route.meter.record(Some(&http::Method::GET), 200, Duration::from_millis(1));
        }
    };
    record(&old);
    let new = load(
        "kept: { path: /elsewhere, auth: none, respond: { status: 201 } }, \
         new: { path: /new, auth: none, respond: { status: 200 } }",
    );
    new.carry_on(&old);
    record(&new);
    // A request that began before is still on its way.
    record(&old);
    let metrics = Metrics::new(&[], std::iter::empty(), std::time::SystemTime::now());
    let text = String::from_utf8(metrics.encode(&new.view(), 0, Format::Text)).unwrap();
    let counts = sums(&text, "portcullis_requests_total", &["route"]);
    let named = |name: &str, count| (vec![name.to_owned()], count);
    assert_eq!(counts, BTreeMap::from([named("kept", 3), named("new", 1)]));
}
