//! Explanations against live traffic, over generated configurations and requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use portcullis::explain::{Explanation, Question, explain};
use portcullis::loading;
use portcullis::snapshot::Snapshot;

use crate::support::gateway::TestSources;
use crate::support::reloading::Reloading;
use crate::support::{Answer, Client, Origin, Seen, eventually, secrets};

/// Configurations, each a reload of the one before. They are tried in lanes side by side, each with a gateway and
/// origins of its own, since a test that waits for sockets and reloads leaves time for others.
const CONFIGURATIONS: usize = 1000;
const LANES: usize = 4;
/// Requests for each configuration.
const REQUESTS: usize = 2;

/// Another one is tried with `EXPLAIN_SEED=n cargo test --test gateway explain`.
const SEED: u64 = 20_261_120;

/// Chance with a memory: the same seed gives the same test.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const SEGMENTS: [&str; 4] = ["a", "b", "users", "v1"];
const HOSTS: [&str; 4] = ["a.test", "b.a.test", "x.test", "*.a.test"];
const KEYS: [(&str, &str); 2] = [("one", "key-of-one-7q3z"), ("two", "key-of-two-7q3z")];

/// The path of a route, with the names of its captures.
fn path(dice: &mut Dice) -> (String, Vec<String>) {
    let (mut path, mut captures) = (String::new(), Vec::new());
    for depth in 0..dice.below(4) {
        path.push('/');
        if dice.percent(35) {
            captures.push(format!("p{depth}"));
            write!(path, "{{p{depth}}}").unwrap();
        } else {
            path.push_str(dice.pick(&SEGMENTS));
        }
    }
    (if path.is_empty() { "/".to_owned() } else { path }, captures)
}

/// A text for templates, of what can be known before a request is sent.
fn template(dice: &mut Dice, captures: &[String]) -> String {
    let mut text = dice
        .pick(&["x", "${request.path}", "${request.query}", "${request.host}", "${consumer.name}"])
        .to_owned();
    text.push_str(dice.pick(&["", "-${route.name}", "-${client.ip}", "-${header.x-in}"]));
    if let Some(name) = captures.first() {
        write!(text, "-${{path.{name}}}").unwrap();
    }
    text
}

fn header_ops(dice: &mut Dice, captures: &[String]) -> String {
    let mut parts = Vec::new();
    if dice.percent(60) {
        parts.push(format!("set: {{ X-Set: \"{}\" }}", template(dice, captures)));
    }
    if dice.percent(40) {
        parts.push(format!("add: {{ X-Add: [ \"1\", \"{}\" ] }}", template(dice, captures)));
    }
    if dice.percent(40) {
        parts.push(format!("remove: [ {} ]", dice.pick(&["X-Out", "X-In", "User-Agent"])));
    }
    if dice.percent(30) {
        parts.push("rename: { X-Old: X-New }".to_owned());
    }
    format!("{{ {} }}", parts.join(", "))
}

fn action(dice: &mut Dice, path: &str, captures: &[String]) -> String {
    match dice.below(10) {
        0 => format!("respond: {{ status: 418, body: \"{}\" }}", template(dice, captures)),
        1 => format!("redirect: {{ to: \"/new{}\" }}", "${request.path}"),
        2 => "health: true".to_owned(),
        _ => {
            let mut action = format!("to: {}", dice.pick(&["one", "two"]));
            let first = path.split('/').nth(1).filter(|s| !s.is_empty() && !s.starts_with('{'));
            match (dice.below(4), first) {
                (0, _) => action.push_str(", strip_prefix: true"),
                (1, Some(first)) => write!(action, ", strip_prefix: /{first}").unwrap(),
                (2, _) => match captures.last() {
                    Some(name) => write!(action, ", rewrite: \"/r/${{path.{name}}}\"").unwrap(),
                    None => action.push_str(", rewrite: /r"),
                },
                _ => {}
            }
            write!(action, ", request_headers: {}", header_ops(dice, captures)).unwrap();
            action
        }
    }
}

fn route(dice: &mut Dice) -> String {
    let (path, captures) = path(dice);
    let mut route = format!("path: \"{path}\", {}", action(dice, &path, &captures));
    if dice.percent(25) {
        write!(route, ", host: \"{}\"", dice.pick(&HOSTS)).unwrap();
    }
    if dice.percent(15) {
        route.push_str(", exact: true");
    }
    if dice.percent(20) {
        write!(route, ", methods: [ {} ]", dice.pick(&["GET", "GET, POST", "PUT, GET", "PURGE"]))
            .unwrap();
    }
    if dice.percent(8) {
        write!(route, ", headers: {{ X-V: \"{}\" }}", dice.pick(&["1", "*"])).unwrap();
    }
    if dice.percent(8) {
        write!(route, ", query: {{ q: \"{}\" }}", dice.pick(&["1", "*"])).unwrap();
    }
    match dice.below(4) {
        0 => route.push_str(", allow: { consumers: [ one ] }"),
        1 => {}
        _ => route.push_str(", auth: none"),
    }
    if dice.percent(40) {
        route.push_str(", body_limit: 10B");
    }
    route.push_str(&policy(dice));
    route
}

/// What a route says of browsers and of maintenance.
fn policy(dice: &mut Dice) -> String {
    let mut policy = String::new();
    if dice.percent(20) {
        policy.push_str(dice.pick(&[
            ", cors: { origins: [ \"https://app.test\" ] }",
            ", cors: { origins: [ \"https://*.app.test\" ], credentials: true, expose: [ X-Total ] }",
            ", cors: { origins: \"*\", headers: [ X-Trace ], max_age: 5m }",
        ]));
    }
    if dice.percent(20) {
        policy.push_str(dice.pick(&[
            ", security_headers: basic",
            ", security_headers: strict",
            ", security_headers: none",
            ", security_headers: { preset: basic, frame_options: none, referrer_policy: origin }",
        ]));
    }
    if dice.percent(8) {
        policy.push_str(dice.pick(&[
            ", maintenance: { message: We move house., retry_after: 15m }",
            ", maintenance: { allow: [ 127.0.0.0/8 ] }",
            ", maintenance: false",
        ]));
    }
    policy
}

fn configuration(dice: &mut Dice, origins: &[Origin; 2], log: &Path) -> String {
    let mut text = format!(
        "version: 1\nworkers: 2\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
         logs: {{ access: {} }}\n",
        log.display()
    );
    if dice.percent(25) {
        text.push_str("trusted_proxies: [ 127.0.0.1 ]\n");
    }
    if dice.percent(25) {
        text.push_str("forwarded_header: true\n");
    }
    text.push_str("consumers:\n");
    for (name, key) in KEYS {
        writeln!(text, "  {name}: {{ api_keys: [ \"{}\" ] }}", portcullis::auth::digest(key))
            .unwrap();
    }
    text.push_str("upstreams:\n");
    for (name, origin) in ["one", "two"].iter().zip(origins) {
        let host = dice.pick(&["preserve", "target", "svc.internal:81"]);
        let secret =
            dice.pick(&["", ", gateway_secret: { header: x-api-key, value: \"gate-7q3z\" }"]);
        writeln!(
            text,
            "  {name}: {{ targets: [ \"{}\" ], health: none, host: \"{host}\"{secret} }}",
            origin.address
        )
        .unwrap();
    }
    let defaults = header_ops(dice, &[]);
    let policy = if dice.percent(15) { policy(dice) } else { String::new() };
    writeln!(text, "defaults: {{ request_headers: {defaults}{policy} }}\nroutes:").unwrap();
    for number in 0..=dice.below(7) {
        writeln!(text, "  r{number}: {{ {} }}", route(dice)).unwrap();
    }
    text
}

/// A target that may lead anywhere, or nowhere.
fn wild(dice: &mut Dice) -> String {
    let mut target = String::new();
    for _ in 0..=dice.below(3) {
        target.push_str(dice.pick(&["/", "/", "/", "/", "//", "/./", "/a/../"]));
        target.push_str(dice.pick(&[
            "a", "b", "users", "v1", "users2", "%61", "x%2fy", "a;b", "A", "%c3%a4", "..", "%zz",
            "x%5c", "",
        ]));
    }
    target
}

/// A target at or below the path of one of the routes.
fn tame(dice: &mut Dice, text: &str) -> String {
    let paths: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("{ path: \"")?.1.split_once('"'))
        .map(|(path, _)| path)
        .collect();
    let mut target = String::new();
    for segment in dice.pick(&paths).split('/').filter(|segment| !segment.is_empty()) {
        let caught = dice.pick(&["a", "7", "%c3%a4", "x%2fy", "b;c"]);
        target.push('/');
        target.push_str(if segment.starts_with('{') { caught } else { segment });
    }
    target.push_str(dice.pick(&["", "", "", "/", "/7", "/a//b", "/./x"]));
    if target.is_empty() { "/".to_owned() } else { target }
}

/// Headers that change something, or that nobody may send.
fn some_headers(dice: &mut Dice, question: &mut Question) {
    for (name, values) in [
        ("X-V", ["1", "2"]),
        ("X-In", ["in", "a b"]),
        ("X-Out", ["out", ""]),
        ("X-Old", ["old", "older"]),
        ("X-Add", ["client's", "0"]),
        ("X-Consumer-Name", ["root", "one"]),
        ("X-Forwarded-For", ["203.0.113.7", "1.1.1.1, 127.0.0.1"]),
        ("X-Forwarded-Proto", ["https", "http"]),
        ("X-Real-Ip", ["6.6.6.6", "7.7.7.7"]),
        ("User-Agent", ["curl/8", "x"]),
        ("Authorization", ["Bearer abcdef-7q3z", "Basic eHg="]),
        ("Traceparent", ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "00-0-0-00"]),
        ("Tracestate", ["a=1,b=2", "no state"]),
        ("Via", ["1.0 edge", "2 a, 1.1 b"]),
        ("Connection", ["X-Hop", "keep-alive, X-In"]),
        ("X-Hop", ["1", "2"]),
        ("TE", ["trailers", "gzip"]),
    ] {
        if dice.percent(20) {
            question.headers.push((name.to_owned(), dice.pick(&values).to_owned()));
        }
    }
}

/// A request for a configuration; `Host` and the size of the body are part of it.
fn question(dice: &mut Dice, text: &str) -> Question {
    let mut target = if dice.percent(20) { wild(dice) } else { tame(dice, text) };
    target.push_str(dice.pick(&["", "", "", "?q=1", "?q=2&x=%20", "?", "?a+b"]));
    let method =
        dice.pick(&["GET", "GET", "GET", "POST", "PUT", "HEAD", "DELETE", "PURGE", "TRACE"]);
    let preflight = dice.percent(10);
    let mut question = Question::new(if preflight { "OPTIONS" } else { method }, &target).unwrap();
    if preflight {
        question.headers.push(("Access-Control-Request-Method".to_owned(), method.to_owned()));
        if dice.percent(50) {
            let names = dice.pick(&["content-type", "x-trace", "x-other"]).to_owned();
            question.headers.push(("Access-Control-Request-Headers".to_owned(), names));
        }
    }
    if dice.percent(if preflight { 90 } else { 20 }) {
        let origin = dice.pick(&["https://app.test", "https://x.app.test", "null", "http://evil"]);
        question.headers.push(("Origin".to_owned(), origin.to_owned()));
    }
    let host = dice.pick(&[
        "a.test",
        "b.a.test",
        "A.TEST:80",
        "x.test",
        "localhost",
        "c.b.a.test.",
        "a.test",
        "b.a.test",
        "x.test",
        "a..test",
    ]);
    host.clone_into(&mut question.host);
    if host == "a..test" {
        // Refused before the rest of its head is read, so that its origin is told nothing.
        question.headers.clear();
    }
    some_headers(dice, &mut question);
    if dice.percent(20) {
        // Log lines are told apart by it.
        question.headers.push(("X-Request-Id".to_owned(), format!("id-{:x}", dice.next())));
    }
    if dice.percent(75) {
        let keys = [
            "key-of-one-7q3z",
            "key-of-one-7q3z",
            "key-of-one-7q3z",
            "key-of-two-7q3z",
            "wrong-7q3z",
            "",
        ];
        let key = dice.pick(&keys);
        question.headers.push(("X-Api-Key".to_owned(), key.to_owned()));
    }
    if !preflight && matches!(method, "POST" | "PUT") {
        question.body_size = Some(dice.below(21) as u64);
    }
    question
}

async fn ask(address: SocketAddr, question: &Question) -> Answer {
    let mut client = Client::connect(address).await;
    let length = question.body_size.map(|size| size.to_string());
    let mut headers: Vec<(&str, &str)> = vec![("Host", &question.host)];
    headers.extend(question.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    headers.extend(length.as_deref().map(|length| ("Content-Length", length)));
    let body = vec![b'x'; question.body_size.unwrap_or(0).try_into().unwrap()];
    let mut bytes = format!("{} {} HTTP/1.1\r\n", question.method, question.target);
    for (name, value) in headers {
        write!(bytes, "{name}: {value}\r\n").unwrap();
    }
    bytes.push_str("\r\n");
    client.write(bytes.as_bytes()).await;
    client.try_write(&body).await;
    client.read(question.method == "HEAD").await
}

/// The headers in an order of their own, without those that no two requests share.
fn comparable(headers: &http::HeaderMap, trusted_id: bool) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8(value.as_bytes().to_vec()).unwrap();
            let new = (name == "x-request-id" && !trusted_id) || name == "traceparent";
            (name.to_string(), if new { "new".to_owned() } else { value })
        })
        .collect();
    // Stable, so that the values of one header keep their order.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// What became of one request.
struct Became {
    answer: Answer,
    /// What each origin has seen of it.
    seen: [Vec<Seen>; 2],
}

/// What is put on an answer beside its body's own.
const ON_ANSWERS: [&str; 15] = [
    "location",
    "allow",
    "www-authenticate",
    "retry-after",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
];

/// All values of a header.
fn all(headers: &[(String, String)], name: &str) -> String {
    let values = headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value);
    values.collect::<Vec<_>>().join("; ")
}

fn differences(
    told: &Explanation,
    became: &Became,
    line: &serde_json::Value,
    trusts: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, told: String, became: String| {
        if told != became {
            wrong.push(format!("{what}: explained {told}, became {became}"));
        }
    };
    let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
    let or = |value: Option<&str>| value.unwrap_or("-").to_owned();
    same("route", or(told.route.as_deref()), text("route"));
    let reached = became.seen.iter().zip(["one", "two"]).find(|(seen, _)| !seen.is_empty());
    let forward = told.forward.as_ref();
    same("upstream", or(forward.map(|f| &*f.upstream)), or(reached.map(|(_, name)| name)));
    match (&told.answer, reached) {
        (Some(answer), _) => {
            same("status", answer.status.to_string(), became.answer.status.to_string());
            same("why", or(answer.code), text("why"));
            for name in ON_ANSWERS {
                same(name, all(&answer.headers, name), became.answer.headers(name).join("; "));
            }
        }
        (None, Some((seen, _))) if seen.len() == 1 => {
            let seen = &seen[0];
            same("status", "200".to_owned(), became.answer.status.to_string());
            for name in ON_ANSWERS {
                let told = forward.map_or_else(String::new, |f| all(&f.answer, name));
                same(name, told, became.answer.headers(name).join("; "));
            }
            let sent = told.sent().unwrap();
            let target = String::from_utf8_lossy(sent.raw_path());
            same("target", target.into_owned(), seen.target.clone());
            let (one, two) = (comparable(&sent.headers, trusts), comparable(&seen.headers, trusts));
            same("headers", format!("{one:#?}"), format!("{two:#?}"));
            if let Some(host) = forward.and_then(|forward| forward.host.as_deref()) {
                same("host", host.to_owned(), seen.header("host").to_owned());
            }
        }
        (None, _) => same("tries", "1".to_owned(), "other".to_owned()),
    }
    // The routes' own verdicts say the same as the search.
    let takes: Vec<&str> =
        told.routes.iter().filter(|v| v.takes).map(|v| v.route.as_str()).collect();
    same("taker", or(told.route.as_deref()), takes.first().copied().unwrap_or("-").to_owned());
    same("takers", (takes.len() <= 1).to_string(), "true".to_owned());
    wrong
}

/// `--as` leads where the consumer's key leads.
fn knowing_the_name_is_as_good_as_the_key(
    snapshot: &Snapshot,
    port: u16,
    question: &Question,
    by_key: &Explanation,
) {
    let key = question.headers.iter().find(|(name, _)| name == "X-Api-Key");
    let Some((consumer, _)) = KEYS.iter().find(|(_, known)| key.is_some_and(|(_, k)| k == known))
    else {
        return;
    };
    let mut by_name = question.clone();
    by_name.headers.retain(|(name, _)| name != "X-Api-Key");
    by_name.consumer = Some((*consumer).to_owned());
    let by_name = explain(snapshot, port, &by_name).unwrap();
    let became = |told: &Explanation| {
        let sent = told.sent().map(|sent| comparable(&sent.headers, false));
        let status = told.answer.as_ref().map(|answer| (answer.status, answer.code));
        (told.route.clone(), status, sent)
    };
    assert_eq!(became(&by_name), became(by_key), "{question:#?}");
}

/// A request, what was told of it, and what became of it.
struct Tried {
    question: Question,
    told: Explanation,
    became: Became,
    trusts: bool,
    text: Arc<str>,
}

/// Tries this many configurations, one after the other, on one gateway.
async fn lane(seed: u64, configurations: usize) -> Vec<Tried> {
    let mut dice = Dice(seed);
    let origins = [Origin::start("one").await, Origin::start("two").await];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let mut gateway: Option<Reloading> = None;
    let mut folder = Some(folder);
    let (mut all, mut done) = (Vec::new(), 0);
    while done < configurations {
        let text = configuration(&mut dice, &origins, &log);
        // Two routes that can't be told apart refuse the file.
        let Some(compiled) = loading::load_text(&text, &TestSources::default()).compiled else {
            continue;
        };
        match &gateway {
            Some(gateway) => {
                gateway.write_all(&text);
                let outcome = gateway.reload().await;
                assert!(outcome.accepted, "{}\n{text}", outcome.report);
            }
            None => gateway = Some(Reloading::start_whole(folder.take().unwrap(), &text)),
        }
        let address = gateway.as_ref().unwrap().address();
        let text: Arc<str> = text.into();
        for _ in 0..REQUESTS {
            let question = question(&mut dice, &text);
            let before = [0, 1].map(|origin: usize| origins[origin].seen().len());
            let answer = ask(address, &question).await;
            let came = [0, 1].map(|origin: usize| origins[origin].seen().split_off(before[origin]));
            let told = explain(&compiled.snapshot, address.port(), &question).unwrap();
            let port = address.port();
            knowing_the_name_is_as_good_as_the_key(&compiled.snapshot, port, &question, &told);
            let trusts = text.contains("\ntrusted_proxies")
                && question.headers.iter().any(|(name, _)| name == "X-Request-Id");
            let (became, text) = (Became { answer, seen: came }, Arc::clone(&text));
            all.push(Tried { question, told, became, trusts, text });
        }
        done += 1;
    }
    agree(seed, &all, &log).await;
    assert!(gateway.unwrap().stop().await);
    all
}

/// Holds what was told against what became of it.
async fn agree(seed: u64, all: &[Tried], log: &Path) {
    let lines = lines(log, all.len()).await;
    for (number, tried) in all.iter().enumerate() {
        let id = tried.became.answer.header("x-request-id");
        let line = &lines.get(id).unwrap_or_else(|| panic!("no line of {id}"));
        let wrong = differences(&tried.told, &tried.became, line, tried.trusts);
        assert!(
            wrong.is_empty(),
            "EXPLAIN_SEED={seed}, request {number} of a lane:\n{}\n{:#?}\n{}\n{}",
            wrong.join("\n"),
            tried.question,
            tried.text,
            tried.told.to_text()
        );
    }
}

/// The lines of the access log by the request's id, once there are so many.
async fn lines(log: &Path, count: usize) -> BTreeMap<String, serde_json::Value> {
    let mut text = String::new();
    eventually(&format!("{count} lines in the access log"), async || {
        text = std::fs::read_to_string(log).unwrap_or_default();
        text.ends_with('\n') && text.lines().count() >= count
    })
    .await;
    secrets::none_in("the access log", &text);
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines().map(line).map(|l| (l["request_id"].as_str().unwrap().to_owned(), l)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_agree_with_live_traffic() {
    let seed =
        std::env::var("EXPLAIN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    // With the seed of a lane that failed, the first lane does what that lane did.
    let lanes = (0..LANES as u64).map(|number| lane(seed + number, CONFIGURATIONS / LANES));
    let lanes = futures::future::join_all(lanes).await;
    let (mut done, mut forwarded) = (0, 0);
    let (mut statuses, mut codes) = (BTreeMap::new(), BTreeMap::new());
    for lane in lanes {
        for Tried { told, .. } in lane {
            done += 1;
            forwarded += usize::from(told.forward.is_some());
            let code = told.answer.as_ref().and_then(|answer| answer.code);
            *codes.entry(code.unwrap_or("-")).or_insert(0) += 1;
            *statuses.entry(told.answer.map_or(0, |answer| answer.status)).or_insert(0) += 1;
        }
    }
    println!("{done} requests, {forwarded} forwarded, by status: {statuses:?}, by code: {codes:?}");
    // A test in which nothing happens would hold too.
    assert!(done >= 1000 && forwarded >= 200, "{statuses:?}");
    for status in [200, 204, 307, 400, 401, 403, 404, 405, 413, 418, 503] {
        assert!(statuses.contains_key(&status), "{status}: {statuses:?}");
    }
    for code in ["maintenance", "cors_refused"] {
        assert!(codes.contains_key(code), "{code}: {codes:?}");
    }
}
