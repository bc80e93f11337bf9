use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::tests::{BOUND, bare, record};
use super::super::{Access, AccessLog, Config, Record};
use super::*;

fn config() -> Config {
    Config { access: Access::Journald, ..Config::default() }
}

/// The fields of an entry, by the protocol.
fn fields(mut entry: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|b| *b == b'\n').expect("a line");
        let line = std::str::from_utf8(&entry[..end]).expect("text");
        let (name, value) = if let Some((name, value)) = line.split_once('=') {
            entry = &entry[end + 1..];
            (name, value.to_owned())
        } else {
            let (length, rest) = entry[end + 1..].split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
            let (value, rest) = rest.split_at(usize::try_from(length).expect("a length"));
            entry = rest.strip_prefix(b"\n").expect("the end of a field");
            (line, String::from_utf8(value.to_vec()).expect("text"))
        };
        let fit = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        assert!(name.bytes().all(fit) && name.as_bytes()[0].is_ascii_uppercase(), "{name}");
        assert_eq!(fields.insert(name.to_owned(), value), None, "{name} twice");
    }
    fields
}

#[test]
fn an_entry_is_a_datagram_of_fields() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let socket = UnixDatagram::bind(&path).expect("binds");
    let log = AccessLog::open_at(&config(), &path).expect("opens");
    let next = || {
        let mut buffer = vec![0; 64 << 10];
        socket.set_read_timeout(Some(BOUND)).expect("a timeout");
        let length = socket.recv(&mut buffer).expect("an entry");
        fields(&buffer[..length])
    };
    log.write(record());
    let entry = next();
    let get = |name: &str| entry.get(name).map_or("", String::as_str);
    for (name, value) in [
        ("SYSLOG_IDENTIFIER", "portcullis"),
        ("PRIORITY", "6"),
        ("MESSAGE", "GET /users/1?page=***&token=*** 200 12.345ms"),
        ("TIME", "2026-01-02T03:04:05.678Z"),
        ("REQUEST_ID", "req-1"),
        ("TRACE_ID", "req-1"),
        ("CLIENT", "192.0.2.7"),
        ("QUERY", "page=***&token=***"),
        ("STATUS", "200"),
        ("BYTES_OUT", "1234"),
        ("DURATION_MS", "12.345"),
        ("ROUTE", "users"),
    ] {
        assert_eq!(get(name), value, "{name}");
    }
    assert_eq!(entry.len(), 25, "{entry:?}");

    let path = "/a\nMESSAGE=forged\n";
    log.write(Record { path: Some(path.into()), status: 503, ..bare() });
    let entry = next();
    assert_eq!((&*entry["PATH"], &*entry["PRIORITY"]), (path, "4"));
    assert_eq!((&*entry["WHY"], &*entry["DETAIL"]), ("no_route", "no route has this host"));
    assert!(entry["MESSAGE"].starts_with("GET \"/a\\nMESSAGE=forged\\n\""), "{entry:?}");

    // Nobody listens: what is lost is counted, and told when somebody listens again. A copy of the socket may
    // live on for a moment in a process that another test is about to start.
    socket.shutdown(std::net::Shutdown::Both).expect("shuts down");
    drop(socket);
    log.write(record());
    assert!(log.flush(BOUND));
    assert_eq!(log.dropped(), 1);
    let path = folder.path().join("socket");
    std::fs::remove_file(&path).expect("removes");
    let socket = UnixDatagram::bind(&path).expect("binds");
    log.write(record());
    let mut buffer = vec![0; 64 << 10];
    socket.set_read_timeout(Some(BOUND)).expect("a timeout");
    let length = socket.recv(&mut buffer).expect("an entry");
    assert_eq!(fields(&buffer[..length])["DROPPED"], "1");
}

#[test]
fn without_a_journal_there_is_no_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let refused = || {
        let outcome = || AccessLog::open_at(&config(), &path).err();
        wait_for("that nobody listens", outcome).to_string()
    };
    let expected = format!(
        "cannot send the access log to the journal at {}: is systemd-journald running?",
        path.display()
    );
    assert_eq!(refused(), expected);
    // A socket that a journald of the past has left behind.
    drop(UnixDatagram::bind(&path).expect("binds"));
    assert_eq!(refused(), expected);
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A journald of its own, as systemd would start it for a namespace.
struct Journald {
    folder: tempfile::TempDir,
    child: Child,
}

impl Journald {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let within = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).expect("a folder");
            path
        };
        let paths = ["/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald"];
        let program = paths.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("systemd-journald (scripts/install-deps test installs it)");
        let child = Command::new(program)
            .arg("portcullis-test")
            .env("RUNTIME_DIRECTORY", within("run"))
            .env("LOGS_DIRECTORY", within("log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let journald = Self { folder, child };
        wait_for("its socket", || journald.socket().exists().then_some(()));
        journald
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run/socket")
    }

    /// The one entry with this id, as the journal gives it back.
    fn entry(&self, id: &str) -> Value {
        wait_for(id, || {
            let output = Command::new("journalctl")
                .arg("-D")
                .arg(self.folder.path().join("log"))
                .args(["-o", "json", "--all", "--quiet", &format!("REQUEST_ID={id}")])
                .output()
                .expect("journalctl");
            let text = String::from_utf8(output.stdout).expect("text");
            text.lines().next().map(|line| serde_json::from_str(line).expect("JSON"))
        })
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_real_journal_gives_back_what_it_was_sent() {
    let journald = Journald::start();
    let log = AccessLog::open_at(&config(), &journald.socket()).expect("opens");
    log.write(record());
    // More than any datagram holds.
    let path = format!("/{}", "x".repeat(700 << 10));
    log.write(Record { request_id: "long".into(), path: Some(path.clone().into()), ..bare() });
    assert!(log.flush(BOUND));
    assert_eq!(log.dropped(), 0);
    let entry = journald.entry("req-1");
    for (name, value) in [
        ("MESSAGE", "GET /users/1?page=***&token=*** 200 12.345ms"),
        ("SYSLOG_IDENTIFIER", "portcullis"),
        ("PRIORITY", "6"),
        ("UPSTREAM", "users"),
        ("TARGET", "127.0.0.1:8001"),
        ("UPSTREAM_MS", "11.005"),
    ] {
        assert_eq!(entry[name], value, "{name}: {entry}");
    }
    let entry = journald.entry("long");
    assert_eq!((&entry["PATH"], &entry["WHY"]), (&path.into(), &"no_route".into()));
}
