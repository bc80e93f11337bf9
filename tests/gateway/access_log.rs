//! The access log as operators shape it: the Combined format, samples, and files that are moved away.

use std::path::{Path, PathBuf};

use crate::support::gateway::TestSources;
use crate::support::process::Program;
use crate::support::{Gateway, Origin, eventually, get};

fn start(origin: &Origin, logs: &str) -> Gateway {
    let text = format!(
        r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:0" }} }}
{}"#,
        rest(origin, &format!("access: \"${{LOG}}\", {logs}"))
    );
    Gateway::start_file(&text, &TestSources::default())
}

fn rest(origin: &Origin, logs: &str) -> String {
    format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{}" ], health: none }} }}
consumers: {{ app: {{ api_keys: [ "{}" ] }} }}
routes:
  svc: {{ path: /svc, to: svc }}
  health: {{ path: /health, auth: none, health: true }}
  told: {{ path: /told, auth: none, respond: {{ status: 404, body: told }} }}
logs: {{ {logs} }}
"#,
        origin.address,
        portcullis::auth::Digest::of(b"key")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_combined_format_is_what_other_programs_read() {
    let origin = Origin::start("answer").await;
    let gateway = start(&origin, "format: combined");
    let headers = [
        ("X-Api-Key", "key"),
        ("Referer", "https://me:s3cret@a.test/from?token=s3cret"),
        ("User-Agent", "curl/8 \"quoted\" \\ \t"),
    ];
    get(gateway.address(), "/svc/%22?token=s3cret", &headers).await;
    get(gateway.address(), "/svc", &[("User-Agent", "")]).await;
    get(gateway.address(), "/health", &[]).await;
    let lines = gateway.log_lines(3).await;
    let with = |part: &str| lines.iter().find(|line| line.contains(part)).expect("a line");
    // The time stands in brackets, and is the only thing in them.
    let (before, rest) = with("/svc/").split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    assert_eq!(before, "127.0.0.1 - app ");
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    assert_eq!(
        after,
        r#" "GET /svc/%22?token=*** HTTP/1.1" 200 6 "https://***@a.test/from?token=***" "curl/8 \"quoted\" \\""#
    );
    let refused = with("\"GET /svc HTTP");
    assert!(refused.starts_with("127.0.0.1 - - ["), "{refused}");
    assert!(refused.contains("\" 401 ") && refused.ends_with(" \"-\" \"\""), "{refused}");
    assert!(with("/health").ends_with(" \"-\" \"-\""), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_rule_matches_only_its_share_is_logged_and_the_rest_is_whole() {
    let origin = Origin::start("answer").await;
    let sample = "sample: [ { route: health, keep: 0% }, { status: 403, keep: 0% }, \
                  { status: 2xx, keep: 50% } ]";
    let gateway = start(&origin, sample);
    let mut kept = Vec::new();
    for _ in 0..60 {
        assert_eq!(get(gateway.address(), "/health", &[]).await.status, 200);
        let answer = get(gateway.address(), "/svc", &[("X-Api-Key", "key")]).await;
        let id = answer.header("x-request-id").to_owned();
        // The last 56 bits say it, by the rule of tracing.
        if u64::from_str_radix(&id[18..], 16).unwrap() >= 1 << 55 {
            kept.push(id);
        }
    }
    assert!((5..55).contains(&kept.len()), "{}", kept.len());
    // Refused, and answered by the file: no rule names either.
    for path in ["/svc", "/none", "/told"] {
        let answer = get(gateway.address(), path, &[]).await;
        kept.push(answer.header("x-request-id").to_owned());
    }
    let lines = gateway.log(kept.len()).await;
    let mut logged: Vec<String> =
        lines.iter().map(|line| line["request_id"].as_str().unwrap().to_owned()).collect();
    logged.sort();
    kept.sort();
    assert_eq!(logged, kept);
    assert!(lines.iter().all(|line| line.get("dropped").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_logged_is_counted_all_the_same() {
    let origin = Origin::start("answer").await;
    let text = format!(
        "version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n{}",
        rest(&origin, "access: \"${LOG}\", sample: [ { keep: 0% }, { status: 401, keep: 0% } ]")
    );
    let gateway = Gateway::start_file(&text, &TestSources::default());
    for _ in 0..3 {
        get(gateway.address(), "/health", &[]).await;
        get(gateway.address(), "/svc", &[]).await;
    }
    get(gateway.address(), "/none", &[]).await;
    let local = [("Host", "localhost")];
    let metrics = get(gateway.addresses["admin"], "/metrics", &local).await;
    for line in [
        r#"portcullis_requests_total{route="health",method="GET",status="200"} 3"#,
        r#"portcullis_requests_total{route="svc",method="GET",status="401"} 3"#,
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }
    let lines = gateway.log(1).await;
    assert_eq!((lines.len(), &lines[0]["path"]), (1, &"/none".into()));
}

/// The program with this configuration, and its folder.
async fn program(
    origin: &Origin,
    sample: &str,
) -> (Program, std::net::SocketAddr, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.yaml");
    write(&file, origin, sample);
    let program = Program::start(&["run", file.to_str().unwrap()]);
    let mark = "listener public: serving on ";
    program.says(mark).await;
    let errors = program.errors();
    let address = errors.split_once(mark).unwrap().1.split_whitespace().next().unwrap().parse();
    (program, address.unwrap(), file, folder)
}

fn write(file: &Path, origin: &Origin, sample: &str) {
    let log = file.with_file_name("access.log");
    let logs = format!("access: \"{}\", sample: [ {sample} ]", log.display());
    let head = "version: 1\nlisteners: { public: { address: \"127.0.0.1:0\" } }\n";
    std::fs::write(file, format!("{head}{}", rest(origin, &logs))).unwrap();
}

async fn has_lines(path: &Path, count: usize) {
    eventually(&format!("{count} lines in {}", path.display()), async || {
        std::fs::read_to_string(path).is_ok_and(|text| text.lines().count() == count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigusr1_opens_a_file_that_was_moved_away_at_once() {
    let origin = Origin::start("answer").await;
    let (mut program, address, file, _folder) = program(&origin, "").await;
    let (log, moved) = (file.with_file_name("access.log"), file.with_file_name("access.log.1"));
    get(address, "/health", &[]).await;
    has_lines(&log, 1).await;
    std::fs::rename(&log, &moved).unwrap();
    program.signal("USR1");
    // There is nothing to write, and all the same the file is there again.
    has_lines(&log, 0).await;
    program.says("SIGUSR1").await;
    get(address, "/health", &[]).await;
    has_lines(&log, 1).await;
    has_lines(&moved, 1).await;
    assert!(program.runs());
    program.signal("TERM");
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sample_is_in_force_after_a_reload() {
    let origin = Origin::start("answer").await;
    let (program, address, file, _folder) = program(&origin, "{ route: health, keep: 0% }").await;
    let log = file.with_file_name("access.log");
    get(address, "/health", &[]).await;
    write(&file, &origin, "");
    program.signal("HUP");
    program.says("is in force").await;
    get(address, "/health?2", &[]).await;
    has_lines(&log, 1).await;
    assert!(std::fs::read_to_string(&log).unwrap().contains("\"query\":\"***\""));
}
