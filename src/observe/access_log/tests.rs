mod tls;

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::buffer::{Buffer, Pushed};
use super::line::{Lines, redact};
use super::*;

/// Far longer than any machine needs; a test that comes to it has failed.
pub(super) const BOUND: Duration = Duration::from_secs(60);

pub(super) fn record() -> Record {
    Record {
        time: UNIX_EPOCH + Duration::from_millis(1_767_323_045_678),
        request_id: "req-1".into(),
        trace_id: None,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        method: Some(Method::GET),
        host: Some("api.example.com".into()),
        path: Some("/users/1".into()),
        query: Some("page=2&token=hunter2".into()),
        protocol: Some("HTTP/1.1"),
        tls: None,
        route: Some("users".into()),
        consumer: Some(HeaderValue::from_static("demo")),
        upstream: Some("users".into()),
        target: Some("127.0.0.1:8001".into()),
        tries: 2,
        status: 200,
        bytes_in: 0,
        bytes_out: 1234,
        timings: Timings {
            total: Duration::from_micros(12_345),
            gateway: Some(Duration::from_micros(67)),
            connect: Some(Duration::from_nanos(1_999)),
            first_byte: Some(Duration::from_millis(10)),
            upstream: Some(Duration::from_micros(11_005)),
        },
        why: None,
        detail: None,
        limit: None,
        observed: None,
        agent: None,
    }
}

/// A request that was answered before anything was known of it.
pub(super) fn bare() -> Record {
    Record {
        host: None,
        query: None,
        route: None,
        consumer: None,
        upstream: None,
        target: None,
        tries: 0,
        status: 404,
        timings: Timings { total: Duration::from_micros(50), ..Timings::default() },
        why: Some("no_route"),
        detail: Some("no route has this host"),
        limit: None,
        observed: None,
        ..record()
    }
}

fn line(format: Format, record: &Record, dropped: u64) -> String {
    let mut out = Vec::new();
    Lines::new(format.into()).write(&mut out, record, dropped);
    String::from_utf8(out).expect("a line is text")
}

/// A sink that keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("text")
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_json_line_has_the_fields_of_the_table_in_its_order() {
    assert_eq!(
        line(Format::Json, &record(), 0),
        concat!(
            r#"{"time":"2026-01-02T03:04:05.678Z","request_id":"req-1","trace_id":"req-1","client":"192.0.2.7","#,
            r#""method":"GET","host":"api.example.com","path":"/users/1","#,
            r#""query":"page=***&token=***","protocol":"HTTP/1.1","route":"users","#,
            r#""consumer":"demo","upstream":"users","target":"127.0.0.1:8001","tries":2,"#,
            r#""status":200,"bytes_in":0,"bytes_out":1234,"duration_ms":12.345,"#,
            r#""gateway_ms":0.067,"connect_ms":0.001,"first_byte_ms":10.000,"upstream_ms":11.005}"#,
            "\n"
        )
    );
}

#[test]
fn what_is_not_known_is_not_written() {
    let line: Value = serde_json::from_str(&line(Format::Json, &bare(), 3)).expect("valid JSON");
    assert_eq!(
        line,
        json!({
            "time": "2026-01-02T03:04:05.678Z",
            "request_id": "req-1",
            "trace_id": "req-1",
            "client": "192.0.2.7",
            "method": "GET",
            "path": "/users/1",
            "protocol": "HTTP/1.1",
            "status": 404,
            "bytes_in": 0,
            "bytes_out": 1234,
            "duration_ms": 0.05,
            "why": "no_route",
            "detail": "no route has this host",
            "dropped": 3,
        })
    );
}

#[test]
fn a_text_line_begins_with_what_people_look_for() {
    assert_eq!(
        line(Format::Text, &record(), 0),
        "2026-01-02T03:04:05.678Z 200 GET /users/1?page=***&token=*** 12.345ms 192.0.2.7 req-1 \
         trace_id=req-1 host=api.example.com protocol=HTTP/1.1 route=users consumer=demo upstream=users \
         target=127.0.0.1:8001 tries=2 bytes_in=0 bytes_out=1234 gateway_ms=0.067 connect_ms=0.001 \
         first_byte_ms=10.000 upstream_ms=11.005\n"
    );
    assert_eq!(
        line(Format::Text, &Record { path: Some("/a b\n\"".into()), ..bare() }, 1),
        "2026-01-02T03:04:05.678Z 404 GET \"/a b\\n\\\"\" 0.050ms 192.0.2.7 req-1 \
         trace_id=req-1 protocol=HTTP/1.1 bytes_in=0 bytes_out=1234 why=no_route \
         detail=\"no route has this host\" dropped=1\n"
    );
}

#[test]
fn a_combined_line_is_that_of_apache() {
    let sent = |text: &str| Some(text.as_bytes().into());
    let agent = Agent { referer: sent("https://a.test/?q=s3cret"), user_agent: sent("a \"b\"") };
    let told = Record { agent: Some(Box::new(agent)), ..record() };
    assert_eq!(
        line(Format::Combined, &told, 7),
        "192.0.2.7 - demo [02/Jan/2026:03:04:05 +0000] \"GET /users/1?page=***&token=*** HTTP/1.1\" \
         200 1234 \"https://a.test/?q=***\" \"a \\\"b\\\"\"\n"
    );
    let none = Record {
        status: 0,
        bytes_out: 0,
        protocol: Some("HTTP/2"),
        path: Some("/a\n".into()),
        ..bare()
    };
    assert_eq!(
        line(Format::Combined, &none, 0),
        "192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] \"GET /a\\n HTTP/2.0\" - - \"-\" \"-\"\n"
    );
}

#[test]
fn a_trace_of_another_id_is_told_by_that() {
    let traced = Record { trace_id: Some("4bf92f35".into()), ..record() };
    assert!(line(Format::Json, &traced, 0).contains(r#""trace_id":"4bf92f35""#));
    assert!(line(Format::Text, &traced, 0).contains(" trace_id=4bf92f35 "));
}

#[test]
fn a_file_is_opened_anew_when_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    let config = Config { access: Access::File(path.clone()), ..Config::default() };
    let log = AccessLog::open(&config).expect("opens");
    let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    log.write(record());
    assert!(log.flush(BOUND));
    std::fs::rename(&path, &moved).expect("moves");
    // What was handed over before belongs to the old file.
    log.write(record());
    log.reopen();
    assert!(log.flush(BOUND));
    log.write(record());
    log.write(record());
    assert!(log.flush(BOUND));
    assert_eq!((lines(&moved), lines(&path)), (2, 2));

    // Where none can be opened the old one goes on, and nothing is lost.
    std::fs::remove_file(&path).expect("removes");
    std::fs::create_dir(&path).expect("a folder in its way");
    log.reopen();
    log.write(record());
    assert!(log.flush(BOUND));
    assert_eq!(log.dropped(), 0);
}

#[test]
fn times_out_of_the_calendar_are_survived() {
    for time in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH + Duration::from_secs(1 << 60)] {
        let line = line(Format::Json, &Record { time, ..record() }, 0);
        serde_json::from_str::<Value>(&line).expect("valid JSON");
    }
    let mut out = Vec::new();
    let mut lines = Lines::new(Shape::Text);
    for seconds in [1, 2, 1] {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        lines.write(&mut out, &Record { time, ..record() }, 0);
    }
    let text = String::from_utf8(out).expect("text");
    let seconds: Vec<&str> = text.lines().map(|line| &line[17..19]).collect();
    assert_eq!(seconds, ["01", "02", "01"]);
}

#[test]
fn an_address_is_written_in_its_own_family() {
    let client = "::ffff:192.0.2.7".parse().expect("an address");
    assert!(line(Format::Json, &Record { client, ..record() }, 0).contains(r#""192.0.2.7""#));
}

#[test]
fn no_value_of_a_query_is_written() {
    for (query, written) in [
        ("a=1&b=2", "a=***&b=***"),
        ("a=1=2&a=", "a=***&a=***"),
        ("eyJhbGciOi", "***"),
        ("a=1&&b", "a=***&&***"),
        ("a=1;b=2", "a=***"),
        ("=x", "=***"),
        ("", ""),
    ] {
        let mut out = String::new();
        redact(&mut out, query);
        assert_eq!(out, written, "{query}");
    }
}

#[test]
fn records_are_written_and_the_writer_sleeps_in_between() {
    let kept = Kept::default();
    let log = AccessLog::to(Box::new(kept.clone()), Format::Json).expect("starts");
    for round in 1..=3_usize {
        log.write(record());
        log.write(bare());
        assert!(log.flush(BOUND));
        assert_eq!(kept.text().lines().count(), 2 * round);
    }
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_record_wakes_the_writer_by_itself() {
    struct Told(Sender<Vec<u8>>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (told, lines) = channel();
    let log = AccessLog::to(Box::new(Told(told)), Format::Json).expect("starts");
    for _ in 0..3 {
        log.write(record());
        lines.recv_timeout(BOUND).expect("written without being asked for");
    }
}

#[test]
fn dropping_the_log_writes_the_last_lines_and_closing_it_ends_it() {
    let kept = Kept::default();
    let log = AccessLog::to(Box::new(kept.clone()), Format::Json).expect("starts");
    log.write(record());
    drop(log);
    assert_eq!(kept.text().lines().count(), 1);

    let log = AccessLog::to(Box::new(kept.clone()), Format::Json).expect("starts");
    assert!(log.close(BOUND));
    log.write(record());
    assert!(log.close(BOUND), "a second time is no harm");
    assert_eq!((log.dropped(), kept.text().lines().count()), (1, 1));
}

#[test]
fn many_threads_lose_nothing() {
    let kept = Kept::default();
    let log = AccessLog::to(Box::new(kept.clone()), Format::Json).expect("starts");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1_000).for_each(|_| log.write(record())));
        }
    });
    assert!(log.flush(BOUND));
    assert_eq!((log.dropped(), kept.text().lines().count()), (0, 8_000));
}

/// A sink that says that it was reached, then waits until it may go on.
struct Gate {
    reached: Sender<()>,
    go_on: Receiver<()>,
    kept: Kept,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.reached.send(());
        // An error means that the gate stands open for good.
        let _ = self.go_on.recv();
        self.kept.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_is_stuck_holds_up_nobody_and_every_lost_line_is_counted() {
    let (reached, is_reached) = channel();
    let (let_on, go_on) = channel();
    let kept = Kept::default();
    let gate = Gate { reached, go_on, kept: kept.clone() };
    let log = AccessLog::to(Box::new(gate), Format::Json).expect("starts");
    log.write(record());
    is_reached.recv_timeout(BOUND).expect("the writer is at the gate");

    let room = Shared::new(CAPACITY).capacity();
    for _ in 0..room + 5 {
        log.write(record());
    }
    assert_eq!(log.dropped(), 5);
    assert!(!log.flush(Duration::ZERO), "it is not written yet");

    drop(let_on);
    assert!(log.flush(BOUND));
    let text = kept.text();
    assert_eq!(text.lines().count(), 1 + room);
    let shown: Vec<u64> = text
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).expect("valid JSON")["dropped"].as_u64()
        })
        .collect();
    assert_eq!(shown, [5]);
}

/// A sink that takes `whole` bytes, then fails `failures` times, then takes everything.
struct Full {
    whole: usize,
    failures: usize,
    kept: Kept,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.whole > 0 {
            let part = self.whole.min(bytes.len());
            self.whole -= part;
            return self.kept.write(&bytes[..part]);
        }
        if self.failures > 0 {
            self.failures -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_lines_by_the_count_and_tears_none_of_the_next() {
    let kept = Kept::default();
    let one = line(Format::Json, &record(), 0).len();
    // A line and a half, then two failures: one for the rest of the piece, one for the next piece.
    let full = Full { whole: one + one / 2, failures: 2, kept: kept.clone() };
    let log = AccessLog::to(Box::new(full), Format::Json).expect("starts");
    for _ in 0..4 {
        log.write(record());
        assert!(log.flush(BOUND));
    }
    assert_eq!(log.dropped(), 2);
    let text = kept.text();
    let lines: Vec<Option<Value>> = text.lines().map(|l| serde_json::from_str(l).ok()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].is_some() && lines[1].is_none(), "the second is the torn one");
    assert_eq!(lines[2].as_ref().map(|line| &line["dropped"]), Some(&json!(2)));
}

#[test]
fn the_buffer_says_when_it_is_time_to_write() {
    let buffer = Buffer::new(0);
    let room = buffer.capacity();
    let outcomes: Vec<Pushed> = (0..=room).map(|_| buffer.push(record())).collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    assert_eq!(count(Pushed::HalfFull), buffer.shards());
    assert_eq!(count(Pushed::Dropped), 1);
    assert_eq!(buffer.dropped(), 1);
    assert!(!buffer.is_empty());
}

#[test]
fn a_log_that_is_off_takes_records_and_does_nothing() {
    let log = AccessLog::open(&Config { access: Access::Off, ..Config::default() }).expect("opens");
    assert!(!log.is_on());
    log.write(record());
    assert!(log.flush(Duration::ZERO) && log.close(Duration::ZERO));
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_file_is_appended_to_and_one_that_cannot_be_opened_is_an_error_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    std::fs::write(&path, "before\n").expect("writes");
    let config = Config { access: Access::File(path.clone()), ..Config::default() };
    let log = AccessLog::open(&config).expect("opens");
    log.write(record());
    drop(log);
    assert_eq!(std::fs::read_to_string(&path).expect("reads").lines().count(), 2);

    let missing = folder.path().join("missing/access.log");
    let config = Config { access: Access::File(missing.clone()), ..Config::default() };
    let error = AccessLog::open(&config).expect_err("no such folder").to_string();
    assert_eq!(error, format!("cannot open the access log {}", missing.display()));
}

/// Not a test by itself: [`standard_output_gets_the_lines`] runs it in a process of its own.
#[test]
#[ignore = "run by standard_output_gets_the_lines"]
fn writes_to_standard_output() {
    let log = AccessLog::open(&Config::default()).expect("opens");
    log.write(record());
    assert!(log.close(BOUND));
}

#[test]
fn standard_output_gets_the_lines() {
    let this = std::env::current_exe().expect("a test binary");
    let output = Command::new(this)
        .args(["--exact", "observe::access_log::tests::writes_to_standard_output", "--ignored"])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = line(Format::Json, &record(), 0);
    assert!(output.status.success() && text.contains(&wanted), "{text}");
}

#[test]
fn the_configuration_is_read_as_documented() {
    let read = |yaml: &str| serde_yaml::from_str::<Config>(yaml).map_err(|e| e.to_string());
    assert_eq!(read("{}"), Ok(Config::default()));
    assert_eq!(
        read("{ access: off, format: text }"),
        Ok(Config { access: Access::Off, format: Format::Text, ..Config::default() })
    );
    let file = Config { access: Access::File("/var/log/a.log".into()), ..Config::default() };
    assert_eq!(read("{ access: /var/log/a.log }").as_ref(), Ok(&file));
    let written = serde_yaml::to_string(&file).expect("serializes");
    assert_eq!(read(&written), Ok(file));
    let error = read("{ access: stdou }").expect_err("no such place");
    assert!(error.contains("write stdout, journald, off, or the path of a file"), "{error}");
    for refused in ["{ acces: off }", "{ format: xml }", "{ access: [stdout] }", "{ access: 5 }"] {
        assert!(read(refused).is_err(), "{refused}");
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let text = any::<String>;
    let maybe = || proptest::option::of(any::<String>());
    (
        (text(), text(), maybe(), maybe(), maybe(), maybe()),
        (any::<u64>(), any::<u8>(), any::<u16>(), any::<u32>(), any::<Option<u64>>()),
    )
        .prop_map(
            |((path, id, host, query, route, consumer), (bytes, tries, status, time, took))| {
                Record {
                    path: Some(path.into()),
                    request_id: id.into(),
                    host: host.map(Into::into),
                    query: query.map(Into::into),
                    route: route.map(Into::into),
                    consumer: consumer
                        .and_then(|name| HeaderValue::from_bytes(name.as_bytes()).ok()),
                    bytes_in: bytes,
                    tries,
                    status,
                    time: SystemTime::UNIX_EPOCH + Duration::from_millis(time.into()),
                    timings: Timings {
                        total: Duration::from_nanos(bytes),
                        upstream: took.map(Duration::from_nanos),
                        ..Timings::default()
                    },
                    ..record()
                }
            },
        )
}

proptest! {
    #[test]
    fn any_record_is_one_line_of_json_that_says_the_same(record in any_record(), dropped: u64) {
        let line = line(Format::Json, &record, dropped);
        prop_assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
        prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        let read: Value = serde_json::from_str(&line).expect("valid JSON");
        prop_assert_eq!(read["path"].as_str(), record.path.as_deref());
        prop_assert_eq!(read["request_id"].as_str(), Some(&*record.request_id));
        prop_assert_eq!(read["host"].as_str(), record.host.as_deref());
        prop_assert_eq!(read["route"].as_str(), record.route.as_deref());
        prop_assert_eq!(read["consumer"].as_str(), record.consumer());
        prop_assert_eq!(read["status"].as_u64(), Some(record.status.into()));
        prop_assert_eq!(read["bytes_in"].as_u64(), Some(record.bytes_in));
        prop_assert_eq!(read["dropped"].as_u64(), (dropped > 0).then_some(dropped));
        prop_assert!(read["duration_ms"].is_f64());
    }

    #[test]
    fn any_record_is_one_line_of_text(record in any_record(), dropped: u64) {
        let line = line(Format::Text, &record, dropped);
        prop_assert!(line.ends_with('\n'));
        prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
    }

    #[test]
    fn any_record_is_one_printable_line_of_the_combined_format(
        record in any_record(),
        user_agent: Vec<u8>,
    ) {
        let agent = Agent { referer: None, user_agent: Some(user_agent.into()) };
        let record = Record { agent: Some(Box::new(agent)), ..record };
        let line = line(Format::Combined, &record, 0);
        prop_assert!(line.ends_with('\n'));
        let quotes = line.trim_end_matches('\n').replace("\\\\", "").replace("\\\"", "");
        prop_assert!(quotes.bytes().all(|b| matches!(b, b' '..=b'~')));
        prop_assert_eq!(quotes.matches('"').count(), 6);
    }

    #[test]
    fn no_value_shows_through(names in proptest::collection::vec("[a-z%]{0,4}", 0..5)) {
        let query: Vec<String> = names.iter().map(|name| format!("{name}=SECRET")).collect();
        let mut out = String::new();
        redact(&mut out, &query.join("&"));
        prop_assert!(!out.contains("SECRET"));
        prop_assert_eq!(out.matches("=***").count(), names.len());
    }
}
