//! What must never be told, and the ears that would hear it: the whole suite is one test of that.
//!
//! Every secret of the stories has [`MARK`] in it, or is one of the keys that the examples are made with. The
//! client of the stories sends some along with every request ([`ALONG`]). What is told is looked through while
//! the stories run, at every level: the process log of this process ([`listen`]) and of every program they
//! start, the access log of every gateway, the answers of operators' listeners and all refusals, and what
//! `explain` and operators are shown of every configuration that is served.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use log::{Log, Metadata, Record};
use portcullis::admin;
use portcullis::explain::{Question, explain};
use portcullis::observe::process_log::{MOST, may_speak};
use portcullis::snapshot::Snapshot;

use super::Answer;

/// In every secret; and in no id, since those are made of hexadecimal digits.
pub const MARK: &str = "7q3z";

/// The secrets without it: their digests stand in examples. The last is how every signed token of the stories begins.
const OTHERS: [&str; 5] = ["secret002oUdaRJA", "secret003", "secret004", "hunter2", "eyJhbGciOi"];

/// Sent with every request that has none of its own.
pub const ALONG: [(&str, &str); 2] =
    [("Authorization", "Bearer along-bearer-7q3z"), ("Cookie", "session=along-cookie-7q3z; a=1")];

/// Of the routes of a configuration, so many are asked about.
const MOST_ROUTES: usize = 20;

/// The secret that stands in this, if one does.
pub fn told_in(text: &str) -> Option<&'static str> {
    OTHERS.into_iter().chain([MARK]).find(|secret| text.contains(secret))
}

/// Holds that no secret stands in this.
pub fn none_in(place: &str, text: &str) {
    // The demo's key is everybody's, and told for that.
    let told = text.lines().filter(|line| !line.starts_with("  curl -H")).find_map(told_in);
    // A test that fails already must not be made to abort by a second panic.
    if !std::thread::panicking()
        && let Some(secret) = told
    {
        panic!("{place} tells a secret ({secret}):\n{text}");
    }
}

static EARS: Ears = Ears { heard: AtomicUsize::new(0) };

/// The process log with the filter `trace`, behind the same gate as the program's own.
struct Ears {
    heard: AtomicUsize,
}

impl Log for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        may_speak(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !may_speak(record.metadata()) {
            return;
        }
        self.heard.fetch_add(1, Ordering::Relaxed);
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        if let Some(secret) = told_in(&line) {
            // A panic would end a task of the gateway and no test; so the run ends, and cannot be overseen.
            let _ =
                writeln!(std::io::stderr(), "the process log tells a secret ({secret}):\n{line}");
            std::process::exit(101);
        }
    }

    fn flush(&self) {}
}

/// Listens to the process log from now on, until the run ends.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&EARS).expect("no other logger in this binary");
        log::set_max_level(MOST);
    });
}

/// How many records were listened to.
pub fn heard() -> usize {
    EARS.heard.load(Ordering::Relaxed)
}

/// The operators' listeners of the gateways that run.
static OPERATORS: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

/// An operators' listener, until this is dropped.
pub struct Operators(Option<SocketAddr>);

impl Operators {
    pub fn at(address: Option<&SocketAddr>) -> Self {
        OPERATORS.lock().unwrap().extend(address);
        Self(address.copied())
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        if let Some(address) = self.0 {
            OPERATORS.lock().unwrap().remove(&address);
        }
    }
}

/// Holds that an answer of the gateway's own tells none: all that operators are answered, and all refusals.
pub fn none_in_answer(from: SocketAddr, answer: &Answer) {
    let for_operators = OPERATORS.lock().unwrap().contains(&from);
    if for_operators || answer.status >= 400 {
        let text = format!("{:?}\n{}", answer.headers, String::from_utf8_lossy(&answer.body));
        none_in(&format!("the answer {} of {from}", answer.status), &text);
    }
}

/// Holds that nothing that can be shown of a configuration tells any: neither to operators, nor to somebody who
/// asks what would become of a request, with credentials in all places, to each of its routes.
pub fn none_shown_of(snapshot: &Snapshot, port: u16) {
    for (path, shown) in admin::shown(snapshot) {
        none_in(path, &shown.to_string());
    }
    for route in snapshot.config.routes.values().take(MOST_ROUTES) {
        let host = route.host.0.first().map_or("gateway.test", String::as_str).replace('*', "x");
        let segments = route
            .path
            .split('/')
            .map(|segment| if segment.starts_with('{') { "x" } else { segment });
        let path = segments.collect::<Vec<_>>().join("/");
        let target = format!("{path}?token=query-7q3z&a=1&API_KEY=query-too-7q3z");
        let method = route.methods.first().map_or("GET", String::as_str);
        let Ok(mut question) = Question::new(method, &format!("http://{host}{target}")) else {
            continue;
        };
        // Not by a listener that only sends clients elsewhere.
        question.tls = None;
        let planted = ALONG.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let keys = snapshot.auth.credential_headers().iter();
        question.headers.extend(keys.map(|name| (name.to_string(), "some-key-7q3z".to_owned())));
        question.headers.extend(planted);
        question.headers.push(("Proxy-Authorization".to_owned(), "Basic proxy-7q3z".to_owned()));
        match explain(snapshot, port, &question) {
            Ok(told) => {
                none_in("explain", &told.to_text());
                none_in("explain --json", &told.to_json());
                none_in("an explanation's Debug", &format!("{told:?}"));
            }
            Err(error) => none_in("explain", &format!("{error} {}", error.help)),
        }
    }
}
