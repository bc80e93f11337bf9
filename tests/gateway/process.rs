//! The program as users start it: its commands, its exit codes, its signals.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use portcullis::demo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::support::process::{Program, free_ports};
use crate::support::{Client, Origin, RawOrigin, eventually, get};

/// A configuration in a file of its own.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        std::fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Of the demo's key.
const DEMO_DIGEST: &str = "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6";

/// One open route to one target.
fn open_route(listener: &str, target: SocketAddr, more: &str) -> File {
    File::with(&format!(
        r#"
version: 1
listeners: {{ public: {{ address: "{listener}" }} }}
upstreams: {{ users: {{ targets: [ "{target}" ], health: none }} }}
routes: {{ users: {{ path: /, to: users, auth: none }} }}
{more}
"#
    ))
}

/// A target where nobody listens, for configurations that are not to be served.
fn nobody() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

/// Where a started program serves.
async fn serving(program: &Program) -> SocketAddr {
    let mark = "listener public: serving on ";
    program.says(mark).await;
    let errors = program.errors();
    let (_, rest) = errors.split_once(mark).unwrap();
    let address = || rest.split_whitespace().next()?.parse().ok();
    address().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_ends_the_start_with_a_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = open_route(&address.to_string(), nobody(), "");
    let ended = Program::run(&["run", file.path()]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let told = format!("listener public: cannot listen on {address}");
    assert!(ended.errors.contains(&told), "{}", ended.errors);
    assert!(ended.errors.contains("another process listens there"), "{}", ended.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_port_in_use_ends_it_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let more = format!("admin: {{ address: \"{address}\" }}");
    let file = open_route("127.0.0.1:0", nobody(), &more);
    let ended = Program::run(&["run", file.path()]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.errors.contains("listener admin: cannot listen"), "{}", ended.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_log_that_cannot_be_written_ends_the_start() {
    let more = "logs: { access: /nowhere/at/all/access.log }";
    let file = open_route("127.0.0.1:0", nobody(), more);
    let ended = Program::run(&["run", file.path()]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let told = "cannot open the access log /nowhere/at/all/access.log: No such file or directory";
    assert!(ended.errors.contains(told), "{}", ended.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_refused() {
    for command in ["run", "check"] {
        let ended = Program::run(&[command, "/nowhere/portcullis.yaml"]).await;
        assert_eq!(ended.code, Some(3), "{command}: {ended:?}");
        assert!(ended.errors.contains("/nowhere/portcullis.yaml"), "{}", ended.errors);
        assert!(ended.errors.contains("cannot be read"), "{}", ended.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_starts_nothing() {
    let port = free_ports(1);
    let listener = format!("127.0.0.1:{port}");
    let file = open_route(&listener, nobody(), "routse: {}\ndrain: soon");
    for command in ["run", "check"] {
        let ended = Program::run(&[command, file.path()]).await;
        assert_eq!(ended.code, Some(3), "{command}: {ended:?}");
        // All mistakes at once, each with its line.
        for words in ["routse", "did you mean", "routes", "drain", "portcullis.yaml:7", ":8"] {
            assert!(ended.errors.contains(words), "{command}: {words}: {}", ended.errors);
        }
        assert!(!ended.errors.contains("serving on"), "{}", ended.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_good_from_doubtful() {
    let keyed = |more: &str| {
        File::with(&format!(
            r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:0" }} }}
upstreams: {{ users: {{ targets: [ "127.0.0.1:9" ], {more} }} }}
consumers: {{ demo: {{ api_keys: [ "{DEMO_DIGEST}" ] }} }}
routes: {{ users: {{ path: /users, to: users }} }}
"#
        ))
    };
    let doubtful = keyed("tls: { sni: users.internal }");
    let ended = Program::run(&["check", doubtful.path()]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.output.contains("good (1 route, 1 upstream, 1 warning)"), "{ended:?}");
    assert!(ended.errors.contains("no effect"), "{ended:?}");
    let ended = Program::run(&["check", "--strict", doubtful.path()]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.errors.contains("refused by --strict, 1 warning"), "{ended:?}");

    let good = keyed("");
    let ended = Program::run(&["check", "--strict", good.path()]).await;
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.output.contains("good (1 route, 1 upstream)"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_told_apart() {
    for arguments in [&["serve"][..], &[], &["run", "a", "b"], &["demo", "--port", "many"]] {
        assert_eq!(Program::run(arguments).await.code, Some(2), "{arguments:?}");
    }
    let help = Program::run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for command in ["run", "check", "schema", "key", "verify-backend", "demo"] {
        assert!(help.output.contains(command), "{}", help.output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_shown_once_with_the_digest_that_lets_it_in() {
    let ended = Program::run(&["key", "new"]).await;
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    let value = |name: &str| {
        let line = ended.output.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the line").trim().to_owned()
    };
    let (key, digest) = (value("key:"), value("digest:"));
    assert!(key.len() >= 32, "{key}");
    assert_eq!(ended.output.matches(&key).count(), 1);
    assert_ne!(Program::run(&["key", "new"]).await.output, ended.output);

    for input in [key.clone(), format!("{key}\n"), format!("{key}\r\n")] {
        let told = Program::fed(&["key", "digest"], &input).ended().await;
        assert_eq!((told.code, told.output.trim()), (Some(0), digest.as_str()));
        assert!(!told.errors.contains(&key));
    }
    assert_eq!(Program::fed(&["key", "digest"], "\n").ended().await.code, Some(1));

    // And the gateway lets it in.
    let users = Origin::start("users").await;
    let file = File::with(&format!(
        r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:0" }} }}
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
consumers: {{ mobile: {{ api_keys: [ "{digest}" ] }} }}
routes: {{ users: {{ path: /, to: users }} }}
"#,
        users.address
    ));
    let program = Program::start(&["run", file.path()]);
    let address = serving(&program).await;
    assert_eq!(get(address, "/", &[("x-api-key", &key)]).await.status, 200);
    assert_eq!(get(address, "/", &[("x-api-key", &digest)]).await.status, 401);
    program.signal("TERM");
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The log went to standard output, and has no key in it.
    assert_eq!(ended.output.lines().count(), 2, "{}", ended.output);
    assert!(!ended.output.contains(&key) && !ended.errors.contains(&key));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_json_and_knows_the_words() {
    let ended = Program::run(&["schema"]).await;
    assert_eq!(ended.code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    for key in ["version", "listeners", "upstreams", "routes", "consumers", "workers"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

/// A configuration whose one upstream has these targets, and a secret.
fn guarded(targets: &[SocketAddr]) -> File {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    File::with(&format!(
        r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:0" }} }}
upstreams:
  users:
    targets: [ {} ]
    gateway_secret: {{ value: "${{env:NO_SUCH_SECRET:-s3cret-7q3z}}" }}
consumers: {{ demo: {{ api_keys: [ "{DEMO_DIGEST}" ] }} }}
routes: {{ users: {{ path: /, to: users }} }}
"#,
        targets.join(", ")
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_are_open_to_everybody_are_found() {
    let any = "127.0.0.1:0".parse().unwrap();
    let one = demo::start(demo::Kind::Users, "users-1", any, "s3cret-7q3z").await.unwrap();
    let two = demo::start(demo::Kind::Users, "users-2", any, "s3cret-7q3z").await.unwrap();
    let closed = guarded(&[one.addr, two.addr]);
    let verify = async |file: &File, more: &[&str]| {
        let arguments = [&["verify-backend", "--config", file.path()], more].concat();
        Program::run(&arguments).await
    };
    let ended = verify(&closed, &["--path", "/1"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.output.matches("refuses: GET /1 without the secret: 403").count(), 2);
    assert_eq!(verify(&closed, &["users"]).await.code, Some(0));

    let open = Origin::start("open").await;
    let ended = verify(&guarded(&[one.addr, open.address]), &[]).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.output.contains("NOT CLOSED: GET / without the secret: 200"), "{ended:?}");
    assert!(ended.errors.contains("1 of the targets did not refuse"), "{ended:?}");
    assert!(open.seen().iter().all(|seen| seen.header("x-api-key").is_empty()));

    let gone = Origin::start("gone").await.kill().await;
    let ended = verify(&guarded(&[gone]), &[]).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.output.contains("cannot connect"), "{ended:?}");

    let ended = verify(&closed, &["user"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.errors.contains("users"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("s3cret-7q3z"));
}

/// Runs a line of the banner with the real curl; the status and the body.
fn curl(line: &str) -> (String, String) {
    let line = format!("{line} -sS --max-time 20 -o - -w '\\n%{{http_code}}'");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_as_its_banner_says_and_stops_on_ctrl_c() {
    let base = free_ports(13);
    let port = base.to_string();
    let mut program = Program::start(&["demo", "--port", &port, "--backends", &port]);
    eventually("the banner", async || program.output().contains("Ctrl-C stops it all")).await;
    let banner = program.output();
    let lines: Vec<_> = banner.lines().filter(|line| line.trim().starts_with("curl ")).collect();
    assert_eq!(lines.len(), 5, "{banner}");
    for (line, status) in lines.iter().zip(["200", "200", "200", "401", "403"]) {
        // The banner is there a moment before the listener serves; the socket is bound already, so curl waits.
        let (got, body) = curl(line);
        assert_eq!(got, status, "{line}: {body}");
    }
    // The page of its APIs is told of, and is there.
    let page = banner.lines().map(str::trim).find(|line| line.ends_with("/docs")).expect("a page");
    assert_eq!(curl(&format!("curl -L {page}")).0, "200", "{page}");
    // The instances take turns, and say so.
    let instance = |_| curl(lines[0]).1.split_once("\"instance\":").unwrap().1.to_owned();
    let instances: HashSet<_> = (0..4).map(instance).collect();
    assert_eq!(instances.len(), 2, "{instances:?}");

    assert!(program.runs());
    program.signal("INT");
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.output.contains(demo::GATEWAY_SECRET));
    // All its ports are free again.
    for offset in [0, 1, 11, 2, 12, 3] {
        assert!(TcpStream::connect(("127.0.0.1", base + offset)).await.is_err(), "{offset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_ports_are_taken_says_how_to_move_it() {
    let base = free_ports(13);
    let gateway = TcpListener::bind(("127.0.0.1", base)).unwrap();
    let port = base.to_string();
    let ended = Program::run(&["demo", "--port", &port, "--backends", &port]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.errors.contains("--port"), "{ended:?}");
    drop(gateway);
    let _backend = TcpListener::bind(("127.0.0.1", base + 11)).unwrap();
    let ended = Program::run(&["demo", "--port", &port, "--backends", &port]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.errors.contains("--backends"), "{ended:?}");
}

/// A program with one request under way, and what lets it end.
async fn busy(more: &str) -> (Program, Client, Arc<Semaphore>, RawOrigin, File) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let opened = opened.clone();
        async move {
            opened.acquire().await.unwrap().forget();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        }
    })
    .await;
    let file = open_route("127.0.0.1:0", origin.address, more);
    let program = Program::start(&["run", file.path()]);
    let mut client = Client::connect(serving(&program).await).await;
    client.write(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n").await;
    eventually("the request is under way", async || origin.heads().len() == 1).await;
    (program, client, gate, origin, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_slow_request_end() {
    for signal in ["TERM", "INT"] {
        let (program, mut client, gate, _origin, _file) = busy("").await;
        let address = serving(&program).await;
        program.signal(signal);
        eventually("new connections are refused", async || {
            TcpStream::connect(address).await.is_err()
        })
        .await;
        gate.add_permits(1);
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.text()), (200, "done"));
        let ended = program.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.output.lines().count(), 1, "the last line of the log: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_of_a_stop_cuts_and_says_so() {
    let (program, mut client, _gate, _origin, _file) = busy("drain: 200ms").await;
    program.signal("TERM");
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("some requests had to be cut"), "{ended:?}");
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let (program, mut client, _gate, _origin, _file) = busy("drain: 1h").await;
    program.signal("TERM");
    program.says("waiting up to").await;
    program.signal("TERM");
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_does_not_kill() {
    let (mut program, mut client, gate, _origin, _file) = busy("").await;
    program.signal("HUP");
    program.says("SIGHUP").await;
    gate.add_permits(1);
    assert_eq!(client.read(false).await.status, 200);
    assert!(program.runs());
    program.signal("TERM");
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_log_tells_of_targets_and_not_of_broken_clients() {
    let origin = Origin::start("origin").await;
    let address = origin.address;
    let file = File::with(&format!(
        r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:0" }} }}
upstreams: {{ users: {{ targets: [ "{address}" ], health: {{ path: /, every: 100ms, unhealthy_after: 2 }} }} }}
routes: {{ users: {{ path: /, to: users, auth: none }} }}
"#
    ));
    let program = Program::told(&["run", file.path()], &[("PORTCULLIS_LOG", "")]);
    let gateway = serving(&program).await;
    // A client that resets its connection inside a head.
    let client = TcpStream::connect(gateway).await.unwrap().into_std().unwrap();
    (&client).write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);

    let address = origin.kill().await;
    let label = format!("upstream users: target {address}");
    program.says(&format!("{label} is unhealthy: cannot connect")).await;
    let _back = Origin::bind(address, |_| http::Response::default()).await;
    program.says(&format!("{label} is healthy again")).await;
    program.signal("TERM");
    let ended = program.ended().await;
    assert!(!ended.errors.contains("ERROR"), "{}", ended.errors);
    assert!(!ended.errors.contains("becomes"), "{}", ended.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loudest_log_costs_no_answer() {
    let origin =
        RawOrigin::saying(b"HTTP/1.1 200 OK\r\nX-Odd: \xff\xfe\r\nContent-Length: 2\r\n\r\nok")
            .await;
    let file = File::with(&format!(
        "version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
         upstreams: {{ odd: {{ targets: [ \"{}\" ], health: none }} }}\n\
         routes: {{ odd: {{ path: /, to: odd, auth: none }} }}\n",
        origin.address
    ));
    let program = Program::start(&["run", file.path()]);
    let gateway = serving(&program).await;
    let answer = get(gateway, "/", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    program.signal("TERM");
    let ended = program.ended().await;
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
}

/// A file that takes a while to read: a pipe that gives nothing before somebody writes to it.
#[tokio::test(flavor = "multi_thread")]
async fn signals_while_the_file_is_read_are_outlived() {
    let folder = tempfile::tempdir().unwrap();
    let (file, pipe) = (folder.path().join("gateway.yaml"), folder.path().join("keys"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = "version: 1\nlisteners: { public: { address: \"127.0.0.1:0\" } }\n\
                auth: { key: { api_key: { keys_file: keys } } }\n\
                routes: { r: { path: /, auth: none, respond: { status: 204 } } }\n";
    std::fs::write(&file, text).unwrap();
    let program = Program::start(&["run", file.to_str().unwrap()]);
    // Opens as soon as the program reads.
    let mut keys =
        tokio::task::spawn_blocking(move || std::fs::File::create(pipe).unwrap()).await.unwrap();
    program.signal("HUP");
    program.signal("USR1");
    keys.write_all(b"# none\n").unwrap();
    drop(keys);
    let gateway = serving(&program).await;
    assert_eq!(get(gateway, "/", &[]).await.status, 204);
}
