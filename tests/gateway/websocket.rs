//! A WebSocket goes through the gate: the upgrade is asked for like any other request, and then bytes flow.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Client, Gateway, Origin, PATIENCE, RawOrigin, eventually};

const KEY: &str = "chat-1-secret-7q3z";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, and then gives back every byte in upper case until the other side ends.
async fn loud_echo() -> RawOrigin {
    RawOrigin::with(async |mut stream: TcpStream| {
        stream.write_all(SWITCH).await.unwrap();
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            if &buffer[..length] == b"close" {
                break;
            }
            stream.write_all(&buffer[..length].to_ascii_uppercase()).await.unwrap();
        }
        let _ = stream.shutdown().await;
    })
    .await
}

async fn gateway(address: std::net::SocketAddr) -> Gateway {
    gateway_with(address, "timeouts: { total: 5s }").await
}

async fn gateway_with(address: std::net::SocketAddr, more: &str) -> Gateway {
    let digest = portcullis::auth::Digest::of(KEY.as_bytes());
    Gateway::start(&format!(
        r#"
upstreams: {{ chat: {{ targets: [ "{address}" ], health: none, {more}, gateway_secret: {{ header: x-gate, value: only-us-7q3z }} }} }}
consumers: {{ browser: {{ api_keys: [ "{digest}" ] }} }}
defaults: {{ body_limit: 1KiB }}
routes: {{ chat: {{ path: /chat, to: chat, strip_prefix: true }} }}
"#
    ))
    .await
}

fn upgrade(path: &str, key: Option<&str>) -> Vec<u8> {
    let key = key.map(|key| format!("X-Api-Key: {key}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{key}\r\n"
    )
    .into_bytes()
}

/// Reads exactly so much, or fails.
async fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("in time").unwrap();
    bytes
}

/// Reads up to the blank line.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read_exactly(stream, 1).await);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_admitted_by_key_and_then_bytes_flow_both_ways() {
    let origin = loud_echo().await;
    let gateway = gateway(origin.address).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(&upgrade("/chat/room?x=1", Some(KEY))).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in
        ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: ", "x-request-id: "]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");

    for said in ["hello", "again", "and again"] {
        stream.write_all(said.as_bytes()).await.unwrap();
        assert_eq!(read_exactly(&mut stream, said.len()).await, said.to_uppercase().as_bytes());
    }
    // More than any buffer on the way holds at once.
    let large = "abcdefgh".repeat(16 << 10);
    let (mut reader, mut writer) = stream.split();
    let mut back = vec![0; large.len()];
    let (_, written) = tokio::join!(
        async { timeout(PATIENCE, reader.read_exact(&mut back)).await.expect("in time").unwrap() },
        writer.write_all(large.as_bytes()),
    );
    written.unwrap();
    assert_eq!(back, large.to_uppercase().as_bytes());

    stream.write_all(b"close").await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends").unwrap();
    assert!(rest.is_empty());

    let asked = origin.heads()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /room?x=1 http/1.1\r\n"), "{asked}");
    for line in [
        "upgrade: websocket\r\n",
        "sec-websocket-key: ",
        "x-gate: only-us-7q3z\r\n",
        "x-consumer-name: browser\r\n",
    ] {
        assert!(asked.contains(line), "{line} in {asked}");
    }
    assert!(asked.contains("connection: ") && !asked.contains(KEY), "{asked}");
    let line = &gateway.log(1).await[0];
    assert_eq!((line["status"].as_u64(), line["consumer"].as_str()), (Some(101), Some("browser")));
    assert!(line.get("why").is_none(), "{line}");
    for bytes in ["bytes_in", "bytes_out"] {
        assert!(line[bytes].as_u64() >= Some(128 << 10), "{bytes}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_may_end_it_too() {
    let origin = loud_echo().await;
    let gateway = gateway(origin.address).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(&upgrade("/chat", Some(KEY))).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("http/1.1 101 "));
    stream.write_all(b"bye").await.unwrap();
    assert_eq!(read_exactly(&mut stream, 3).await, b"BYE");
    stream.shutdown().await.unwrap();
    drop(stream);
    assert_eq!(gateway.log(1).await[0]["status"], 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_there_is_no_upgrade() {
    let origin = loud_echo().await;
    let gateway = gateway(origin.address).await;
    for key in [None, Some("wrong")] {
        let mut client = Client::connect(gateway.address()).await;
        client.write(&upgrade("/chat", key)).await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"));
    }
    assert!(origin.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_upstream_refuses_is_an_ordinary_answer() {
    let origin = Origin::start("no sockets here").await;
    let gateway = gateway(origin.address).await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(&upgrade("/chat", Some(KEY))).await;
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.text()), (200, "no sockets here"));
    assert_eq!(
        (answer.header("upgrade"), answer.headers("connection").contains(&"upgrade")),
        ("", false)
    );
    assert_eq!(gateway.log(1).await[0]["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_switches_unasked_is_not_passed_on() {
    let origin = RawOrigin::saying(SWITCH).await;
    let gateway = gateway(origin.address).await;
    let mut client = Client::connect(gateway.address()).await;
    let answer = client.ask("GET", "/chat", &[("X-Api-Key", KEY)]).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"));
}

/// Takes a request and never says a word.
async fn silent() -> RawOrigin {
    RawOrigin::with(async |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn until_it_has_begun_it_is_bounded_like_any_request() {
    for (wish, more, code) in [
        ("websocket", "timeouts: { read: 200ms }, retries: { max: 0 }", "upstream_timeout"),
        ("websocket", "timeouts: { total: 200ms }", "deadline_exceeded"),
        ("h2c", "timeouts: { read: 200ms }, retries: { max: 0 }", "upstream_timeout"),
        ("h2c", "timeouts: { total: 200ms }", "deadline_exceeded"),
        ("x", "timeouts: { read: 200ms }, retries: { max: 0 }", "upstream_timeout"),
        ("x", "timeouts: { total: 200ms }", "deadline_exceeded"),
    ] {
        let origin = silent().await;
        let gateway = gateway_with(origin.address, more).await;
        let mut client = Client::connect(gateway.address()).await;
        let request = String::from_utf8(upgrade("/chat", Some(KEY))).unwrap();
        let request = request.replace("Upgrade: websocket", &format!("Upgrade: {wish}"));
        client.write(request.as_bytes()).await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.code().as_str()), (504, code), "{wish}, {more}");
        // It may read what it was sent only now.
        eventually("it is asked", async || !origin.heads().is_empty()).await;
        let asked = origin.heads()[0].to_ascii_lowercase();
        assert_eq!(asked.contains("upgrade"), wish == "websocket", "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_stalls_is_bounded_too() {
    for more in ["timeouts: { read: 1s }", "timeouts: { total: 1s }"] {
        let origin = RawOrigin::with(async |mut stream: TcpStream| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
            stream.write_all(head).await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
        })
        .await;
        let gateway = gateway_with(origin.address, more).await;
        let mut client = Client::connect(gateway.address()).await;
        client.write(&upgrade("/chat", Some(KEY))).await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.complete, answer.text()), (200, false, "half"), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_has_begun_neither_the_read_timeout_nor_the_deadline_ends_it() {
    let origin = loud_echo().await;
    let gateway = gateway_with(origin.address, "timeouts: { read: 500ms, total: 800ms }").await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(&upgrade("/chat", Some(KEY))).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("http/1.1 101 "));
    // Rests that are longer than either.
    for said in ["hello", "again"] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        assert_eq!(read_exactly(&mut stream, said.len()).await, said.to_uppercase().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_switches_at_once_is_as_good() {
    let origin = loud_echo().await;
    let gateway = gateway(origin.address).await;
    for _ in 0..200 {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(&upgrade("/chat", Some(KEY))).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("http/1.1 101 "));
        stream.write_all(b"hello").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 5).await, b"HELLO");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_or_an_old_version_cannot_switch() {
    let origin = RawOrigin::saying(SWITCH).await;
    let gateway = gateway_with(origin.address, "retries: { max: 0 }").await;
    for (from, to) in [("GET", "POST"), ("Connection: keep-alive, Upgrade", "Connection: close")] {
        let request = String::from_utf8(upgrade("/chat", Some(KEY))).unwrap().replace(from, to);
        let mut client = Client::connect(gateway.address()).await;
        client.write(request.as_bytes()).await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"), "{to}");
    }
    assert!(origin.heads().iter().all(|head| !head.to_ascii_lowercase().contains("upgrade:")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_speaks_http_2_is_not_asked() {
    let origin = silent().await;
    let gateway = gateway_with(origin.address, "protocol: h2").await;
    for n in 1..=3 {
        let mut client = Client::connect(gateway.address()).await;
        client.write(&upgrade("/chat", Some(KEY))).await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.code().as_str()), (501, "no_websocket"));
        let line = &gateway.log(n).await[n - 1];
        assert!(line.get("target").is_none() && line.get("tries").is_none(), "{line}");
    }
    assert!(origin.heads().is_empty());
}
