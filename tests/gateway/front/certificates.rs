//! Which certificate a client gets, what is refused, and what a changed file changes.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{ECHO, House, ask, comes_to, metric, whole, write};
use crate::support::pki::{Authority, TlsClient};
use crate::support::{Client, PATIENCE, Reloading, eventually};

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn shown_for(gateway: &Reloading, client: &TlsClient, name: &str) -> CertificateDer<'static> {
    shown(&client.connect(gateway.address(), name).await.unwrap())
}

/// A gateway with three certificates, and the client that believes them.
async fn three(tls: &str) -> (Reloading, TlsClient, Authority) {
    let authority = Authority::new();
    let [one, wild, two] =
        [&["one.test", "127.0.0.1"][..], &["*.wild.test"], &["two.test", "in.wild.test"]]
            .map(|names| authority.sign(names));
    let house = House::with(&[
        ("one.pem", &one.cert),
        ("one.key", &one.key),
        ("wild.pem", &wild.cert),
        ("wild.key", &wild.key),
        ("two.pem", &two.cert),
        ("two.key", &two.key),
    ]);
    let pairs =
        ["one", "wild", "two"].map(|n| format!("{{ cert: {n}.pem, key: {n}.key }}")).join(", ");
    let gateway = house
        .open(&format!(
            "listeners: {{ public: {{ address: \"127.0.0.1:0\", tls: {{ certificates: [ {pairs} ]{tls} }} }} }}\n\
             routes:\n{ECHO}"
        ))
        .await;
    let client = TlsClient::new(&authority);
    (gateway, client, authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_certificate_for_the_name_it_asks_for() {
    let (gateway, client, _) = three("").await;
    for name in ["one.test", "a.wild.test", "two.test", "in.wild.test", "ONE.test"] {
        // The client verifies that the certificate covers the name.
        let stream = client.connect(gateway.address(), name).await.unwrap();
        let (status, body) = ask(&mut Client::over(stream), name, "/echo").await;
        assert_eq!((status, body.starts_with("https 127.0.0.1 ")), (200, true), "{name}: {body}");
    }
    // Without a name, the first.
    let one = shown_for(&gateway, &client, "one.test").await;
    assert_eq!(shown_for(&gateway, &client, "127.0.0.1").await, one);
    for name in ["a.b.wild.test", "wild.test", "other.test"] {
        let refused = client.connect(gateway.address(), name).await.unwrap_err();
        assert!(refused.to_string().contains("not valid for name"), "{refused}");
    }
    let admin = gateway.admin();
    let alerts = "portcullis_connections_refused_total{listener=\"public\",reason=\"tls_alert\"}";
    eventually("the clients' alerts are counted", async || metric(admin, alerts).await == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_covers_can_be_refused() {
    let (gateway, client, _) = three(", unknown_names: refuse").await;
    assert!(client.connect(gateway.address(), "one.test").await.is_ok());
    for name in ["other.test", "127.0.0.1"] {
        let refused = client.connect(gateway.address(), name).await.unwrap_err();
        assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    }
    let refused =
        "portcullis_connections_refused_total{listener=\"public\",reason=\"tls_unknown_name\"}";
    comes_to(gateway.admin(), refused, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_reaches_new_connections_and_leaves_open_ones_alone() {
    let (gateway, client, authority) = three("").await;
    let admin = gateway.admin();
    let before = client.connect(gateway.address(), "one.test").await.unwrap();
    let old = shown(&before);
    let mut open = Client::over(before);
    // The certificate alone, so that its key is another's for the moment: the pair stays, and that is told.
    let next = authority.sign(&["one.test", "127.0.0.1"]);
    write(&gateway.path("one.pem"), &next.cert);
    let stale = "portcullis_tls_certificate_stale{listener=\"public\",certificate=\"one.pem\"}";
    eventually("a broken pair is told", async || metric(admin, stale).await == 1).await;
    assert_eq!(shown_for(&gateway, &client, "one.test").await, old);
    let outcome = gateway.reload().await;
    assert!(
        outcome.accepted && outcome.report.contains("is not that of the certificate in one.pem")
    );
    // And now the key.
    write(&gateway.path("one.key"), &next.key);
    eventually("the new pair is in use", async || {
        shown_for(&gateway, &client, "one.test").await != old
    })
    .await;
    assert_eq!(metric(admin, stale).await, 0);
    assert_eq!(ask(&mut open, "one.test", "/echo").await.0, 200);
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_resumed_even_after_a_reload() {
    let (gateway, client, authority) = three("").await;
    let resumed = async || {
        let mut stream = client.connect(gateway.address(), "one.test").await.unwrap();
        // The ticket comes with the first bytes of the answer.
        stream
            .write_all(b"GET /echo HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    };
    assert!(!resumed().await && resumed().await);
    let next = authority.sign(&["one.test"]);
    write(&gateway.path("one.pem"), &next.cert);
    write(&gateway.path("one.key"), &next.key);
    assert!(gateway.reload().await.accepted);
    assert!(resumed().await);
    let admin = gateway.admin();
    for (kind, count) in [("full", 1), ("resumed", 2)] {
        let series =
            format!("portcullis_tls_handshakes_total{{listener=\"public\",kind=\"{kind}\"}}");
        comes_to(admin, &series, count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_is_counted_with_its_reason() {
    let (gateway, client, _) = three(", handshake_timeout: 300ms").await;
    let admin = gateway.admin();
    let counted = async |reason: &str, count: u64| {
        let series = format!(
            "portcullis_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}"
        );
        eventually(reason, async || metric(admin, &series).await == count).await;
    };
    // One that is silent, and one that stops amid its first message.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut slow = TcpStream::connect(gateway.address()).await.unwrap();
        slow.write_all(bytes).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "it is cut");
    }
    counted("tls_timeout", 2).await;
    let mut plain = TcpStream::connect(gateway.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await;
    counted("tls_not_tls", 1).await;
    drop(TcpStream::connect(gateway.address()).await.unwrap());
    counted("tls_closed", 1).await;
    let mut other = (*client.0).clone();
    other.alpn_protocols = vec![b"spdy/3".to_vec()];
    assert!(TlsClient(other.into()).connect(gateway.address(), "one.test").await.is_err());
    counted("tls_no_protocol", 1).await;
    let stranger = TlsClient::new(&Authority::new());
    assert!(stranger.connect(gateway.address(), "one.test").await.is_err());
    counted("tls_alert", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_rotate_under_load_without_a_failure() {
    let (gateway, client, authority) = three("").await;
    let address = gateway.address();
    // Resumed sessions see no certificate, so half of the load resumes none.
    let mut config = (*client.0).clone();
    config.resumption = rustls::client::Resumption::disabled();
    let full = TlsClient(config.into());
    let done = Arc::new(AtomicBool::new(false));
    let mut load = Vec::new();
    for client in [&client, &client, &full, &full] {
        let (client, done) = (client.clone(), done.clone());
        load.push(tokio::spawn(async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let stream = client.connect(address, "one.test").await.unwrap();
                let (status, _) = ask(&mut Client::over(stream), "one.test", "/echo").await;
                assert_eq!(status, 200);
                count += 1;
            }
            count
        }));
    }
    // One connection that is there before the first and after the last.
    let mut kept = Client::over(client.connect(address, "one.test").await.unwrap());
    let (_, first) = ask(&mut kept, "one.test", "/echo").await;
    for number in 0..100 {
        let next = authority.sign(&["one.test", "127.0.0.1"]);
        write(&gateway.path("one.pem"), &next.cert);
        write(&gateway.path("one.key"), &next.key);
        assert!(gateway.reload().await.accepted);
        let written = CertificateDer::from_pem_slice(next.cert.as_bytes()).unwrap();
        let shown = shown_for(&gateway, &full, "one.test").await;
        assert!(shown == written, "the certificate of rotation {number} is not shown");
        assert_eq!(ask(&mut kept, "one.test", "/echo").await, (200, first.clone()));
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_for_a_listener_can_change_while_it_runs() {
    let authority = Authority::new();
    let pair = authority.sign(&["one.test"]);
    let house = House::with(&[("one.pem", &pair.cert), ("one.key", &pair.key)]);
    let text = |tls: &str| {
        format!("listeners: {{ public: {{ address: \"127.0.0.1:0\"{tls} }} }}\nroutes:\n{ECHO}")
    };
    let gateway = house.open(&text("")).await;
    let mut plain = Client::connect(gateway.address()).await;
    assert_eq!(ask(&mut plain, "one.test", "/echo").await.0, 200);
    gateway
        .write_all(&whole(&text(", tls: { certificates: [ { cert: one.pem, key: one.key } ] }")));
    assert!(gateway.reload().await.accepted);
    let stream = TlsClient::new(&authority).connect(gateway.address(), "one.test").await.unwrap();
    assert_eq!(ask(&mut Client::over(stream), "one.test", "/echo").await.0, 200);
    assert_eq!(ask(&mut plain, "one.test", "/echo").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_handshakes() {
    let (gateway, _, _) = three("").await;
    let mut slow = TcpStream::connect(gateway.address()).await.unwrap();
    slow.write_all(b"\x16").await.unwrap();
    let admin = gateway.admin();
    let open = "portcullis_connections_open{listener=\"public\"}";
    eventually("it is accepted", async || metric(admin, open).await == 1).await;
    let stopped = tokio::time::timeout(Duration::from_secs(8), gateway.stop()).await;
    assert_eq!(stopped, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_every_version() {
    let (gateway, _, authority) = three("").await;
    let ca = gateway.path("ca.pem");
    write(&ca, &authority.pem());
    let port = gateway.address().port();
    for (options, said) in [
        (&["--http1.1"][..], "1.1"),
        (&["--http2"], "2"),
        (&["--http2", "--tls-max", "1.2"], "2"),
        (&["--http1.1", "--tlsv1.3"], "1.1"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "-w", " %{http_version}", "--cacert"]).arg(&ca);
        curl.args(["--resolve", &format!("one.test:{port}:127.0.0.1")]).args(options);
        curl.arg(format!("https://one.test:{port}/echo"));
        let output = tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with("https 127.0.0.1 "), "{options:?}: {told} {error}");
        assert!(told.ends_with(&format!(" {said}")), "{options:?}: {told}");
    }
}
