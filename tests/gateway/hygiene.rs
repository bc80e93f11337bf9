//! What a client sends reaches an upstream clean or not at all.

mod answers;
pub mod cases;
mod clients;
pub mod recorder;

use std::collections::BTreeSet;

use crate::support::{Client, Gateway, eventually};
use cases::{BAD, Case, GOOD};
use recorder::Recorder;

async fn before(recorder: &Recorder) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ origin: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ all: {{ path: /, to: origin, auth: none }} }}\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n",
        recorder.address
    ))
    .await
}

async fn metric(gateway: &Gateway, line: &str) -> u64 {
    let mut client = Client::connect(gateway.addresses["admin"]).await;
    let text = client.ask("GET", "/metrics", &[("Host", "localhost")]).await;
    let text = text.text();
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{line} is missing:\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_with_their_status_and_reach_nobody() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    let mut lines = 0;
    for Case { name, stream, before, status, reason } in BAD {
        let mut client = Client::connect(gateway.address()).await;
        // What is refused early need not be read to its end.
        client.try_write(&stream.bytes()).await;
        for _ in 0..*before {
            assert_eq!(client.read(false).await.status, 200, "{name}");
        }
        let answer = client.read(false).await;
        assert_eq!(answer.status, *status, "{name}: {answer:?}");
        assert!(answer.complete, "{name}: {answer:?}");
        assert_eq!(answer.header("connection"), "close", "{name}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{name}");
        assert_eq!(answer.json()["status"], *status, "{name}");
        assert_eq!(answer.header("x-request-id"), answer.json()["request_id"], "{name}");
        assert!(client.is_closed().await, "{name}");
        lines += before + 1;
        let log = gateway.log(lines).await;
        let id = answer.header("x-request-id");
        let line = log.iter().find(|line| line["request_id"] == id).expect("a line in the log");
        assert_eq!((&line["status"], &line["detail"]), (&(*status).into(), &(*reason).into()));
        assert_eq!(line["why"], answer.code().as_str(), "{name}");
    }
    // Whoever reads what the origin got reads it as we did, and sees the end of no request that was refused.
    let whole: usize = BAD.iter().map(|case| case.before).sum();
    assert_eq!(recorder.requests(), whole);
    let reasons: BTreeSet<_> = BAD.iter().map(|case| case.reason).collect();
    for reason in reasons {
        let cases = BAD.iter().filter(|case| case.reason == reason).count() as u64;
        let series = format!("portcullis_clients_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(metric(&gateway, &series).await, cases, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_requests_pass_on_one_connection() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    let mut expected = 0;
    for (stream, requests) in GOOD {
        let stream = stream.bytes();
        let mut client = Client::connect(gateway.address()).await;
        let shown = stream.escape_ascii().to_string();
        if stream.len() > 600 && shown.contains("X: y") && !shown.contains("chunked") {
            // As large as a head may be, it is too large for the origin with what the gateway adds.
            continue;
        }
        client.write(&stream).await;
        for _ in 0..*requests {
            let answer = client.read(false).await;
            // Odd targets are clean on the wire, and another rule refuses them.
            let refused = shown.contains("%zz") || shown.starts_with("OPTIONS *");
            assert_eq!(answer.status, if refused { 400 } else { 200 }, "{shown}: {answer:?}");
            expected += usize::from(!refused);
        }
    }
    eventually("the origin has them", async || recorder.requests() == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_line_is_logged_as_far_as_it_is_clean() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"PUT /a?token=secret HTTP/1.0\r\nHost: a,b\r\n\r\n").await;
    assert_eq!(client.read(false).await.status, 400);
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"PUT /a?token=secret HTTP/1.1\nHost: a\n\n").await;
    assert_eq!(client.read(false).await.status, 400);
    let log = gateway.log(2).await;
    let line = |detail: &str| log.iter().find(|line| line["detail"] == detail).unwrap();
    let clean = line("host_invalid");
    assert_eq!((&clean["method"], &clean["path"]), (&"PUT".into(), &"/a".into()));
    assert_eq!((&clean["query"], &clean["protocol"]), (&"token=***".into(), &"HTTP/1.0".into()));
    assert_eq!(clean["client"], "127.0.0.1");
    let unclean = line("bare_lf");
    for absent in ["method", "path", "query", "protocol", "host", "route", "upstream"] {
        assert!(unclean[absent].is_null(), "{absent}: {unclean}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_is_refused_without_a_body() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"HEAD / HTTP/1.1\r\n\r\n").await;
    let answer = client.read(true).await;
    assert_eq!(answer.status, 400);
    assert!(client.is_closed().await);
}
