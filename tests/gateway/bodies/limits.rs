//! `body_limit`: judged by the announced length before a byte is read, and while a body streams.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Rest, sending, with_limit};
use crate::support::origin::listen;
use crate::support::{Client, Gateway, Origin, RawOrigin, Seen, send};

const UPLOAD: usize = 20_000_000;

/// A body in chunks of 64 KiB.
fn chunked(size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in vec![b'c'; size].chunks(1 << 16) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_body_is_judged_before_it_is_read() {
    let origin = Origin::start("never").await;
    let gateway = with_limit(origin.address, "1MiB").await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n");
    // Not a byte of the body was sent, and the answer is there.
    let mut client = sending(&gateway, head.as_bytes()).await;
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(answer.header("connection"), "close");
    assert!(client.is_closed().await);
    // A client that first sends all of it can still read the answer.
    let mut client = sending(&gateway, head.as_bytes()).await;
    assert!(client.try_write(&vec![b'x'; UPLOAD]).await, "the upload was reset");
    assert_eq!(client.read(false).await.status, 413);
    assert!(origin.seen().is_empty());
    for line in gateway.log(2).await {
        assert_eq!(line["why"], "body_too_large");
        assert_eq!((&line["status"], &line["bytes_in"]), (&413.into(), &0.into()), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_judged_as_it_streams() {
    let rest = Rest::default();
    let reader = rest.clone();
    let origin = RawOrigin::with(move |mut stream: TcpStream| {
        let reader = reader.clone();
        async move { reader.read(&mut stream).await }
    })
    .await;
    let gateway = with_limit(origin.address, "1MiB").await;
    let mut client =
        sending(&gateway, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
    assert!(client.try_write(&chunked(UPLOAD)).await, "the upload was reset");
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    let got = rest.ended().await;
    assert!(!got.ends_with(b"0\r\n\r\n"), "the origin saw the end of a request that was refused");
    assert!(got.len() < 2 << 20, "{} bytes went on", got.len());
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["why"]), (&413.into(), &"body_too_large".into()));
    assert!(line["bytes_in"].as_u64().unwrap() > 1 << 20, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_just_the_limit_passes() {
    let origin =
        Origin::with(|seen: &Seen| Response::new(Full::from(seen.body.len().to_string()))).await;
    let gateway = with_limit(origin.address, "100KiB").await;
    let limit: usize = 100 << 10;
    for (size, status) in [(limit - 1, 200), (limit, 200), (limit + 1, 413)] {
        let answer = send(gateway.address(), "PUT", "/", &[], &vec![b'x'; size]).await;
        assert_eq!(answer.status, status, "{size} with a length");
        let mut client =
            sending(&gateway, b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
        client.write(&chunked(size)).await;
        let answer = client.read(false).await;
        assert_eq!(answer.status, status, "{size} in chunks");
        if status == 200 {
            assert_eq!(answer.text(), size.to_string());
        }
    }
    let lines = gateway.log(6).await;
    let passed = lines.iter().filter(|line| line["bytes_in"] == limit && line["status"] == 200);
    assert_eq!(passed.count(), 2, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_sent_again_is_counted_once() {
    // The first target reads most of the body (some came with the head) and hangs up; the second answers.
    let broken = RawOrigin::with(async |mut stream: TcpStream| {
        super::read_exactly(&mut stream, 30_000).await;
    })
    .await;
    let sound =
        Origin::with(|seen: &Seen| Response::new(Full::from(seen.body.len().to_string()))).await;
    let gateway = Gateway::start(&format!(
        "upstreams: {{ pair: {{ targets: [ \"{}\", \"{}\" ], retries: {{ max: 2 }} }} }}\n\
         routes: {{ all: {{ path: /, to: pair, auth: none, body_limit: 50KiB }} }}\n",
        broken.address, sound.address
    ))
    .await;
    // In turn, so that one of two requests begins at the broken one.
    for _ in 0..2 {
        let mut client = Client::connect(gateway.address()).await;
        client.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n").await;
        client.write(&vec![b'x'; 40_000]).await;
        let answer = client.read(false).await;
        assert_eq!((answer.status, answer.text()), (200, "40000"));
    }
    let lines = gateway.log(2).await;
    assert!(lines.iter().any(|line| line["tries"] == 2), "{lines:?}");
    assert!(lines.iter().all(|line| line["bytes_in"] == 40_000), "{lines:?}");
}

/// Answers over HTTP/2, without TLS, with the length of what it was sent, once that has come to its end.
async fn reads_all(stream: TcpStream) {
    let answer = hyper::service::service_fn(async |request: Request<Incoming>| {
        let Ok(body) = request.into_body().collect().await else { std::future::pending().await };
        let length = body.to_bytes().len().to_string();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(length))))
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_judged_at_once_where_the_upstream_speaks_http2() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let listener = listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(reads_all(stream));
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ targets: [ \"{address}\" ], protocol: h2 }} }}\n\
         routes: {{ all: {{ path: /, to: origin, auth: none, body_limit: 1MiB }} }}\n"
    ))
    .await;
    for (size, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let mut client = sending(&gateway, HEAD).await;
        assert!(client.try_write(&chunked(size)).await, "the upload was reset");
        let answer = client.read(false).await;
        assert_eq!(answer.status, status, "{size}: {}", answer.text());
    }
    let lines = gateway.log(2).await;
    assert_eq!(lines[1]["why"], "body_too_large", "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_has_answered_may_leave_the_rest_unread() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n").await;
        let _ = stream.shutdown().await;
        Rest::default().read(&mut stream).await;
    })
    .await;
    let gateway = with_limit(origin.address, "100MiB").await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n");
    let mut client = sending(&gateway, head.as_bytes()).await;
    // The answer is there before the body, and is not lost when the body follows.
    client.write(&[b'x'; 1000]).await;
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.text()), (403, "no\n"));
    assert_eq!(answer.header("connection"), "close");
    drop(client);
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["bytes_out"]), (&403.into(), &3.into()), "{line}");
    assert_eq!(line["why"], serde_json::Value::Null, "{line}");
}
