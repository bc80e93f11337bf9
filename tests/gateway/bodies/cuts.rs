//! One side leaves in the middle: the other is told, the log says who it was, and the connection is not used again.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Rest, before, sending};
use crate::support::{Client, RawOrigin, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_upstream_is_cut_for_the_client() {
    for (answer, sent) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"[..], 5),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 5),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo", 7),
    ] {
        let origin = RawOrigin::saying(answer).await;
        let gateway = before(origin.address).await;
        let mut client = sending(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let got = client.read(false).await;
        assert_eq!(got.status, 200);
        assert!(!got.complete, "{}: {got:?}", String::from_utf8_lossy(answer));
        let line = &gateway.log(1).await[0];
        assert_eq!((&line["status"], &line["why"]), (&200.into(), &"upstream_broken".into()));
        assert_eq!(line["bytes_out"], sent, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_http_is_a_bad_gateway() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ] {
        let origin = RawOrigin::saying(answer).await;
        let gateway = before(origin.address).await;
        let mut client =
            sending(&gateway, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        let got = client.read(false).await;
        let shown = String::from_utf8_lossy(answer);
        assert_eq!((got.status, got.code().as_str()), (502, "upstream_broken"), "{shown}");
        assert_eq!(gateway.log(1).await[0]["why"], "upstream_broken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_its_upload_takes_the_upstream_connection_along() {
    let rest = Rest::default();
    let reader = rest.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let reader = reader.clone();
        async move { reader.read(&mut stream).await }
    })
    .await;
    let gateway = before(origin.address).await;
    for (n, framing, part) in [
        (1, "Content-Length: 1000", &b"12345"[..]),
        (2, "Transfer-Encoding: chunked", b"5\r\n12345\r\n"),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        client.write(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes()).await;
        client.write(part).await;
        eventually("the origin has the head", async || origin.heads().len() == n).await;
        drop(client);
        let line = gateway.log(n).await[n - 1].clone();
        assert_eq!((&line["status"], &line["why"]), (&499.into(), &"client_closed".into()));
        assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &0.into()), "{line}");
        let got = rest.ended().await;
        assert!(!got.ends_with(b"0\r\n\r\n"), "the origin saw a whole request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_its_download_takes_the_upstream_connection_along() {
    let rest = Rest::default();
    let reader = rest.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let reader = reader.clone();
        async move {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello";
            stream.write_all(head).await.unwrap();
            reader.read(&mut stream).await;
        }
    })
    .await;
    let gateway = before(origin.address).await;
    let mut client = sending(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_head().await;
    drop(client);
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["why"]), (&200.into(), &"client_closed".into()));
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&0.into(), &5.into()), "{line}");
    rest.ended().await;
    // The next request has a connection of its own.
    let _client = sending(&gateway, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("a second connection", async || origin.heads().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_is_not_waited_for() {
    let rest = Rest::default();
    let reader = rest.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let reader = reader.clone();
        async move { reader.read(&mut stream).await }
    })
    .await;
    let gateway = before(origin.address).await;
    let client = sending(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the origin has the request", async || origin.heads().len() == 1).await;
    drop(client);
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["why"]), (&499.into(), &"client_closed".into()), "{line}");
    assert_eq!(line["tries"], 1, "nobody is left to try again for: {line}");
    assert!(rest.ended().await.is_empty());
}
