//! An upstream that answers oddly harms its own request at most, and never one of another client.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, Gateway, RawOrigin, eventually};

async fn before(origin: &RawOrigin) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ origin: {{ targets: [ \"{}\" ], health: none, retries: {{ max: 0 }} }} }}\n\
         routes: {{ all: {{ path: /, to: origin, auth: none }} }}\n",
        origin.address
    ))
    .await
}

/// Says these bytes to every head on a connection, which stays open.
async fn always(bytes: &'static [u8]) -> RawOrigin {
    RawOrigin::with(async move |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        loop {
            if stream.write_all(bytes).await.is_err() {
                return;
            }
            if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_frames_its_body_in_two_ways_is_a_bad_gateway() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let origin = always(answer).await;
        let gateway = before(&origin).await;
        let mut client = Client::connect(gateway.address()).await;
        let got = client.ask("GET", "/", &[]).await;
        let shown = answer.escape_ascii();
        assert_eq!((got.status, got.code().as_str()), (502, "upstream_broken"), "{shown}");
        // The next request has a connection of its own.
        let mut client = Client::connect(gateway.address()).await;
        client.ask("GET", "/", &[]).await;
        assert_eq!(origin.heads().len(), 2, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_a_coding_does_not_reach_the_client() {
    let origin = always(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let gateway = before(&origin).await;
    let got = Client::connect(gateway.address()).await.ask("GET", "/", &[]).await;
    assert_eq!((got.status, got.text(), got.complete), (200, "hello", true));
    assert_eq!((got.header("content-length"), got.header("transfer-encoding")), ("", "chunked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_ends_the_answer() {
    for chunk in [
        "g\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "3\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello",
    ] {
        let origin = RawOrigin::with(move |mut stream: TcpStream| async move {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = stream.write_all(format!("{head}{chunk}").as_bytes()).await;
            let _ = stream.read(&mut [0; 16]).await;
        })
        .await;
        let gateway = before(&origin).await;
        let mut client = Client::connect(gateway.address()).await;
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let got = client.read(false).await;
        assert!(got.status == 502 || !got.complete, "{chunk:?}: {got:?}");
        assert_eq!(gateway.log(1).await[0]["why"], "upstream_broken", "{chunk:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_too_many_is_nobodys_answer() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmineHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine and more",
    ] {
        let origin = always(answer).await;
        let gateway = before(&origin).await;
        let mut client = Client::connect(gateway.address()).await;
        for n in 1..=5 {
            let got = client.ask("GET", "/", &[]).await;
            assert_eq!((got.status, got.text()), (200, "mine"), "{}", answer.escape_ascii());
            assert_eq!(origin.heads().len(), n, "each has a connection of its own");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_connection_rests_is_nobodys_answer() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine";
            stream.write_all(answer).await.unwrap();
            told.send(stream).unwrap();
        }
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.address()).await;
    for n in 1..=5 {
        let got = client.ask("GET", "/", &[]).await;
        assert_eq!(got.text(), "mine");
        assert_eq!(origin.heads().len(), n);
        let mut stream = heard.recv().await.unwrap();
        // The gateway may have seen that already, and left.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged").await;
        eventually("the gateway lets the connection go", async || {
            !matches!(stream.read(&mut [0; 16]).await, Ok(1..))
        })
        .await;
    }
}
