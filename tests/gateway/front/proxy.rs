//! The PROXY protocol: whose address counts, and who may say so.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ECHO, House, ask, metric};
use crate::support::pki::{Authority, TlsClient};
use crate::support::{Client, Origin, PATIENCE, Reloading, eventually};

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n";

fn v2() -> Vec<u8> {
    let addresses = [203, 0, 113, 9, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10"[..], &addresses, &[4, 0, 1, 0]].concat()
}

fn yaml(trusted: &str, listener: &str, more: &str) -> String {
    format!(
        "trusted_proxies: [ {trusted} ]\n{more}\n\
         listeners: {{ public: {{ address: \"127.0.0.1:0\", proxy_protocol: true{listener} }} }}\n\
         routes:\n{ECHO}"
    )
}

async fn connect(gateway: &Reloading, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

async fn refused(gateway: &Reloading, reason: &str) -> u64 {
    let series =
        format!("portcullis_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}");
    metric(gateway.admin(), &series).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_whom_the_proxy_names() {
    let gateway = House::with(&[]).open(&yaml("127.0.0.1", "", "")).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, expected) in [
        (V1.to_vec(), "http 203.0.113.9 4711 "),
        (v2(), "http 203.0.113.9 4711 "),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n".to_vec(), "http 2001:db8::1 1 "),
        (local, "http 127.0.0.1 "),
        (b"PROXY UNKNOWN\r\n".to_vec(), "http 127.0.0.1 "),
    ] {
        let mut client = Client::over(connect(&gateway, &header).await);
        for _ in 0..2 {
            let (status, body) = ask(&mut client, "one.test", "/echo").await;
            assert_eq!((status, body.starts_with(expected)), (200, true), "{body}");
        }
        // And it may come with the request, or in pieces.
        let request = b"GET /echo HTTP/1.1\r\nHost: one.test\r\n\r\n";
        let mut client = Client::over(connect(&gateway, &[&header[..], request].concat()).await);
        assert!(client.read(false).await.text().starts_with(expected));
        let mut pieces = Client::connect(gateway.address()).await;
        for byte in &header {
            pieces.write(&[*byte]).await;
        }
        assert!(ask(&mut pieces, "one.test", "/echo").await.1.starts_with(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_named_client_is_no_trusted_proxy_itself() {
    let origin = Origin::start("a").await;
    let text = yaml("127.0.0.1", "", "").replace(
        "routes:\n",
        &format!(
            "upstreams: {{ a: {{ targets: [ \"{}\" ] }} }}\nroutes:\n  a: {{ path: /a, to: a, auth: none }}\n",
            origin.address
        ),
    );
    let gateway = House::with(&[]).open(&text).await;
    let mut client = Client::over(connect(&gateway, V1).await);
    let claims = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")];
    assert_eq!(client.ask("GET", "/a", &claims).await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-for"), "203.0.113.9");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert_eq!(seen.header("x-forwarded-port"), "443");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_before_the_handshake() {
    let authority = Authority::new();
    let pair = authority.sign(&["one.test"]);
    let house = House::with(&[("one.pem", &pair.cert), ("one.key", &pair.key)]);
    let tls = ", tls: { certificates: [ { cert: one.pem, key: one.key } ] }";
    let gateway = house.open(&yaml("127.0.0.1", tls, "")).await;
    for header in [V1.to_vec(), v2()] {
        let stream = connect(&gateway, &header).await;
        let stream = TlsClient::new(&authority).over(stream, "one.test").await.unwrap();
        let (status, body) = ask(&mut Client::over(stream), "one.test", "/echo").await;
        assert_eq!((status, body.starts_with("https 203.0.113.9 4711 ")), (200, true), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_speak_for_others_or_says_nonsense_is_cut() {
    let gateway = House::with(&[]).open(&yaml("192.0.2.1", "", "")).await;
    let mut stranger = Client::over(connect(&gateway, V1).await);
    assert!(stranger.is_closed().await);
    eventually("it is counted", async || refused(&gateway, "proxy_untrusted").await == 1).await;

    let gateway = House::with(&[]).open(&yaml("127.0.0.1", "", "")).await;
    for nonsense in [
        &b"GET /echo HTTP/1.1\r\nHost: one.test\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
    ] {
        let mut stream = connect(&gateway, nonsense).await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok() && answer.is_empty(), "{answer:?}");
    }
    eventually("they are counted", async || refused(&gateway, "proxy_malformed").await == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_for_the_named_client() {
    let more = "connections: { per_client: 1 }";
    let gateway = House::with(&[]).open(&yaml("127.0.0.1", "", more)).await;
    let mut served = Vec::new();
    for (address, expected) in [
        ("2001:db8::1", true),
        ("2001:db8::2", false),
        ("2001:db8:0:1::1", true),
        ("203.0.113.1", true),
        ("203.0.113.2", true),
        ("203.0.113.2", false),
        // The proxy itself, and another one.
        ("127.0.0.1", true),
        ("127.0.0.1", true),
    ] {
        let family = if address.contains(':') { "TCP6" } else { "TCP4" };
        let to = if address.contains(':') { "::1" } else { "127.0.0.1" };
        let header = format!("PROXY {family} {address} {to} 1 2\r\n");
        let mut client = Client::over(connect(&gateway, header.as_bytes()).await);
        client.try_write(b"GET /echo HTTP/1.1\r\nHost: one.test\r\n\r\n").await;
        let answer = client.read_any(false).await;
        assert_eq!(answer.is_some(), expected, "{address}");
        served.push(client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_says_nothing_is_cut() {
    let gateway = House::with(&[]).open(&yaml("127.0.0.1", "", "")).await;
    let mut slow = connect(&gateway, b"PROXY TCP4 ").await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
    eventually("it is counted", async || refused(&gateway, "proxy_timeout").await == 1).await;
}
