//! Every message ends where its framing says: pipelines, messages without bodies, chunks, interim answers.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Rest, before, read_exactly, sending};
use crate::support::origin::listen;
use crate::support::{Gateway, Origin, RawOrigin, Seen, http2};

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::with(|seen: &Seen| {
        let body = String::from_utf8_lossy(&seen.body);
        Response::new(Full::from(format!("{} {} {body}", seen.method, seen.target)))
    })
    .await;
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ all: {{ path: /a, to: origin, auth: none }} }}\n",
        origin.address
    ))
    .await;
    let mut client = sending(
        &gateway,
        b"GET /a/1 HTTP/1.1\r\nHost: a\r\n\r\n\
          POST /a/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo\
          GET /none HTTP/1.1\r\nHost: a\r\n\r\n\
          HEAD /a/4 HTTP/1.1\r\nHost: a\r\n\r\n\
          POST /a/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfive\r\n0\r\n\r\n\
          GET /a/6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    for (head_only, status, body) in [
        (false, 200, "GET /a/1 "),
        (false, 200, "POST /a/2 two"),
        (false, 404, ""),
        (true, 200, ""),
        (false, 200, "POST /a/5 five"),
        (false, 200, "GET /a/6 "),
    ] {
        let answer = client.read(head_only).await;
        assert_eq!(answer.status, status, "{body}");
        if status == 200 {
            assert_eq!(answer.text(), body);
        }
    }
    assert!(client.is_closed().await);
    let lines = gateway.log(6).await;
    // Lines of requests that end close together may change places.
    for (path, size) in
        [("/a/1", 0), ("/a/2", 3), ("/none", 0), ("/a/4", 0), ("/a/5", 4), ("/a/6", 0)]
    {
        let line = lines.iter().find(|line| line["path"] == path).expect(path);
        assert_eq!(line["bytes_in"], size, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_leave_the_connection_usable() {
    for (method, answer, status, length) in [
        ("HEAD", &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"[..], 200, "100"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, ""),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 200, ""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("DELETE", b"HTTP/1.1 204 No Content\r\nX-Own: v\r\n\r\n", 204, ""),
        (
            "GET",
            b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 100\r\n\r\n",
            304,
            "100",
        ),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, ""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "0"),
    ] {
        let origin = RawOrigin::saying(answer).await;
        let gateway = before(origin.address).await;
        let shown = format!("{method}: {}", String::from_utf8_lossy(answer));
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut client = sending(&gateway, request.as_bytes()).await;
        for again in [true, false] {
            let got = client.read(method == "HEAD").await;
            assert_eq!((got.status, got.header("content-length")), (status, length), "{shown}");
            assert_eq!(got.header("connection"), "keep-alive", "{shown}");
            if again {
                client.write(request.as_bytes()).await;
            }
        }
        let lines = gateway.log(2).await;
        assert!(lines.iter().all(|line| line["bytes_out"] == 0), "{shown}: {lines:?}");
        assert!(lines.iter().all(|line| line["why"].is_null()), "{shown}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_pass_and_trailers_do_not() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
            5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        super::Rest::default().read(&mut stream).await;
    })
    .await;
    let gateway = before(origin.address).await;
    let mut client = sending(
        &gateway,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          3;a=b\r\nabc\r\n0\r\nX-Sum: 2\r\n\r\n",
    )
    .await;
    let answer = client.read(false).await;
    assert_eq!((answer.status, answer.text()), (200, "hello world"));
    assert_eq!((answer.header("transfer-encoding"), answer.header("trailer")), ("chunked", ""));
    let head = origin.heads()[0].to_ascii_lowercase();
    assert!(!head.contains("x-sum") && !head.contains("\r\ntrailer"), "{head}");
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&3.into(), &11.into()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_of_http_1_0_ends_its_answer_by_closing() {
    for answer in [&b"HTTP/1.0 200 OK\r\n\r\nhello"[..], b"HTTP/1.1 200 OK\r\n\r\nhello"] {
        let origin = RawOrigin::saying(answer).await;
        let gateway = before(origin.address).await;
        let mut client = sending(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let got = client.read(false).await;
        assert_eq!((got.status, got.text(), got.complete), (200, "hello", true));
        // The client need not close for it.
        let got = client.ask("GET", "/", &[]).await;
        assert_eq!((got.status, got.text(), got.complete), (200, "hello", true));
        let lines = gateway.log(2).await;
        assert!(lines.iter().all(|l| l["bytes_out"] == 5 && l["why"].is_null()), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_gets_neither_chunks_nor_interim_answers() {
    for (answer, length) in [
        (&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..], ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "5"),
    ] {
        let origin = RawOrigin::saying(answer).await;
        let gateway = before(origin.address).await;
        for keep in ["", "Connection: keep-alive\r\n"] {
            let head = format!("GET / HTTP/1.0\r\nHost: a\r\n{keep}\r\n");
            let mut client = sending(&gateway, head.as_bytes()).await;
            let got = client.read_any(false).await.unwrap();
            assert_eq!((got.status, got.text()), (200, "hello"), "{got:?}");
            assert_eq!(got.header("transfer-encoding"), "");
            assert_eq!(got.header("content-length"), length);
            let kept = !keep.is_empty() && !length.is_empty();
            assert_eq!(got.header("connection"), if kept { "keep-alive" } else { "close" });
            if kept {
                client.write(head.as_bytes()).await;
                assert_eq!(client.read(false).await.text(), "hello");
            } else {
                assert!(client.is_closed().await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_pass_in_order() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let interim =
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        stream.write_all(interim).await.unwrap();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let body = read_exactly(&mut stream, 4).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await.unwrap();
        stream.write_all(&body).await.unwrap();
    })
    .await;
    let gateway = before(origin.address).await;
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut client = sending(&gateway, head).await;
    for status in [102, 103, 100] {
        let interim = client.read_any(false).await.unwrap();
        assert_eq!(interim.status, status);
        assert_eq!(interim.header("link"), if status == 103 { "</a>" } else { "" });
    }
    client.write(b"body").await;
    let answer = client.read_any(false).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "body"));
    assert_eq!(answer.header("connection"), "keep-alive");
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["bytes_in"]), (&200.into(), &4.into()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_100_and_is_refused_need_not_send_the_body() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        super::Rest::default().read(&mut stream).await;
    })
    .await;
    let gateway = before(origin.address).await;
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut client = sending(&gateway, head).await;
    let answer = client.read_any(false).await.unwrap();
    assert_eq!((answer.status, answer.text()), (403, "no"));
    // The client neither sends nor leaves: the gateway ends the connection that it said it would close.
    assert_eq!(answer.header("connection"), "close");
    assert!(client.is_closed().await);
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["why"]), (&403.into(), &serde_json::Value::Null), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_while_the_body_is_still_on_its_way() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nearly";
        stream.write_all(head).await.unwrap();
        let body = read_exactly(&mut stream, 5).await;
        stream.write_all(&body).await.unwrap();
    })
    .await;
    let gateway = before(origin.address).await;
    let mut client =
        sending(&gateway, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await;
    let head = client.read_head().await;
    assert_eq!(head.status, 200);
    client.write(b"later").await;
    let answer = client.read_body(head).await;
    assert_eq!((answer.text(), answer.complete), ("earlylater", true));
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &10.into()), "{line}");
    assert!(line["why"].is_null(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_has_sent_does_not_wait_for_what_it_has_not() {
    for (head, part) in [
        ("Content-Length: 10", "event"),
        ("Transfer-Encoding: chunked", "5\r\nevent\r\n"),
        ("Content-Type: text/event-stream", "event"),
    ] {
        let origin = RawOrigin::with(move |mut stream: TcpStream| async move {
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            // More only when the client has shown that it got this.
            read_exactly(&mut stream, 3).await;
            for _ in 0..2 {
                stream.write_all(part.as_bytes()).await.unwrap();
                read_exactly(&mut stream, 3).await;
            }
            if head.starts_with("Transfer") {
                stream.write_all(b"0\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let gateway = before(origin.address).await;
        let mut client =
            sending(&gateway, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await;
        let answer = client.read_head().await;
        assert_eq!(answer.status, 200, "{head}");
        for _ in 0..2 {
            client.write(b"got").await;
            client.see(b"event").await;
        }
        client.write(b"got").await;
        let answer = client.read_body(answer).await;
        assert_eq!((answer.text(), answer.complete), ("eventevent", true), "{head}");
    }
}

/// A body over HTTP/2 may end with an empty frame of data, as that of a client does which learns late that there is no
/// more. Towards HTTP/1 it has one end all the same: what stands behind that would be another request.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_http2_that_ends_with_an_empty_frame_ends_once() {
    let rest = Rest::default();
    let reader = rest.clone();
    let listener = listen("127.0.0.1:0".parse().unwrap());
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ targets: [ \"{}\" ], health: none }} }}\n\
         routes: {{ all: {{ path: /, to: origin, auth: none }} }}\n",
        listener.local_addr().unwrap()
    ))
    .await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        reader.read(&mut stream).await;
    });
    let mut requests = http2(gateway.address()).await;
    let frames = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("abc")))]);
    let request = Request::post("http://a.test/").body(StreamBody::new(frames)).unwrap();
    assert_eq!(requests.send_request(request).await.unwrap().status(), 200);
    let behind = rest.ended().await;
    assert!(behind.is_empty(), "behind the end: {}", behind.escape_ascii());
}
