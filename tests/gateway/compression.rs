//! Answers are compressed for who accepts it, and for nobody else.

use std::io::Read as _;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::support::{Answer, Client, Gateway, Origin, RawOrigin, Seen, get, origin, send};

fn unpacked(answer: &Answer) -> Vec<u8> {
    let bytes = &answer.body[..];
    let mut out = Vec::new();
    match answer.header("content-encoding") {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        "" => {
            out.extend_from_slice(bytes);
            Ok(0)
        }
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

fn text() -> Vec<u8> {
    (0..3000).flat_map(|n: u32| format!("{{ \"line\": {n} }}\n").into_bytes()).collect()
}

/// An upstream with a long JSON text; its path says what is odd about the answer.
async fn talkative() -> Origin {
    Origin::with(|seen: &Seen| {
        let builder = Response::builder()
            .header("Content-Type", "application/json")
            .header("ETag", "\"v1\"")
            .header("Accept-Ranges", "bytes");
        let known = seen.headers.get("if-none-match").is_some_and(|tag| tag == "W/\"v1\"");
        let (builder, body) = match &*seen.target {
            "/small" => (builder, b"{}".to_vec()),
            "/encoded" => (builder.header("Content-Encoding", "gzip"), text()),
            "/final" => (builder.header("Cache-Control", "no-transform"), text()),
            "/part" => (builder.status(206).header("Content-Range", "bytes 0-9/99"), text()),
            "/events" => {
                let builder = Response::builder().header("Content-Type", "text/event-stream");
                (builder, text())
            }
            _ if known => (builder.status(304), Vec::new()),
            _ => (builder, text()),
        };
        builder.body(Full::new(Bytes::from(body))).unwrap()
    })
    .await
}

async fn gateway(origin: std::net::SocketAddr) -> Gateway {
    Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{origin}" ] }} }}
routes:
  plain: {{ path: /plain, strip_prefix: true, to: users, auth: none }}
  fixed:
    path: /fixed
    auth: none
    respond: {{ status: 200, body: "{}" }}
    compress: true
  users: {{ path: /, to: users, auth: none, compress: true }}
"#,
        "all the same ".repeat(200)
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_chooses_the_coding() {
    let users = talkative().await;
    let gateway = gateway(users.address).await;
    let mut client = Client::connect(gateway.address()).await;
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip;q=0", ""),
        ("", ""),
    ] {
        let answer = client.ask("GET", "/long", &[("Accept-Encoding", accept)]).await;
        assert_eq!(answer.header("content-encoding"), coding, "{accept:?}");
        assert_eq!(answer.headers("vary").concat(), "Accept-Encoding", "{accept:?}");
        assert!(answer.complete && unpacked(&answer) == text(), "{accept:?}");
        if coding.is_empty() {
            assert_eq!(answer.header("content-length"), text().len().to_string());
            assert_eq!(answer.header("etag"), "\"v1\"");
        } else {
            assert!(answer.body.len() < text().len() / 4, "{accept:?}: {}", answer.body.len());
            assert_eq!(answer.headers("content-length"), [""; 0]);
            assert_eq!(answer.header("etag"), "W/\"v1\"");
            assert_eq!(answer.header("accept-ranges"), "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_stay_as_it_is_stays() {
    let users = talkative().await;
    let gateway = gateway(users.address).await;
    let accept = [("Accept-Encoding", "br, gzip")];
    for path in ["/small", "/encoded", "/final", "/part", "/events", "/plain/long"] {
        let answer = get(gateway.address(), path, &accept).await;
        let coding = if path == "/encoded" { "gzip" } else { "" };
        assert_eq!(answer.header("content-encoding"), coding, "{path}");
        assert_eq!(answer.header("vary"), "", "{path}");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{path}");
        if path != "/events" {
            assert_eq!(answer.header("etag"), "\"v1\"", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_304_speak_of_what_get_brings() {
    let users = talkative().await;
    let gateway = gateway(users.address).await;
    let accept = ("Accept-Encoding", "gzip");
    let mut client = Client::connect(gateway.address()).await;
    let head = client.ask("HEAD", "/long", &[accept]).await;
    let told = ["content-encoding", "content-length", "etag", "vary"].map(|name| head.header(name));
    assert_eq!(told, ["gzip", "", "W/\"v1\"", "Accept-Encoding"]);
    // The connection is still good, so nothing was taken for a body.
    let answer = client.ask("GET", "/long", &[accept, ("If-None-Match", "W/\"v1\"")]).await;
    assert_eq!((answer.status, answer.header("etag")), (304, "W/\"v1\""));
    assert_eq!(client.ask("GET", "/small", &[accept]).await.text(), "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_our_own_are_compressed_too() {
    let gateway = gateway("127.0.0.1:1".parse().unwrap()).await;
    let accept = [("Accept-Encoding", "br")];
    let answer = get(gateway.address(), "/fixed", &accept).await;
    assert_eq!(answer.header("content-encoding"), "br");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(unpacked(&answer), "all the same ".repeat(200).into_bytes());
    let head = send(gateway.address(), "HEAD", "/fixed", &accept, b"").await;
    assert_eq!(head.header("content-length"), answer.header("content-length"));
    // A problem is too small to be worth it.
    let refused = get(gateway.address(), "/long", &accept).await;
    assert_eq!((refused.status, refused.header("content-encoding")), (503, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stream_is_not_held_back() {
    // The upstream says the next word when the client has read the last one.
    static READ: Semaphore = Semaphore::const_new(0);
    let users = RawOrigin::with(async |mut stream: TcpStream| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..5 {
            stream.write_all(b"5\r\nword \r\n").await.unwrap();
            READ.acquire().await.unwrap().forget();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let gateway = gateway(users.address).await;
    let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"GET /stream HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = std::io::BufReader::new(stream);
        let mut line = String::new();
        let mut coding = false;
        while line != "\r\n" {
            line.clear();
            std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
            coding |= line.eq_ignore_ascii_case("content-encoding: gzip\r\n");
        }
        assert!(coding);
        let mut words = flate2::read::GzDecoder::new(Chunks { reader, left: 0 });
        for _ in 0..5 {
            let mut word = [0; 5];
            words.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"word ");
            READ.add_permits(1);
        }
        let mut rest = Vec::new();
        words.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    });
    read.await.unwrap();
}

/// The bytes of a chunked body, as they come.
struct Chunks<R> {
    reader: R,
    left: usize,
}

impl<R: std::io::BufRead> std::io::Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line == "\r\n" {
                line.clear();
                self.reader.read_line(&mut line)?;
            }
            self.left = usize::from_str_radix(line.trim(), 16).unwrap();
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = buffer.len().min(self.left);
        let read = self.reader.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_is_cut_for_the_client_too() {
    let users = RawOrigin::saying(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\nonly the beginning",
    )
    .await;
    let gateway = gateway(users.address).await;
    let answer = get(gateway.address(), "/cut", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, "gzip"));
    assert!(!answer.complete);
    let lines = gateway.log(1).await;
    assert_eq!(lines[0]["why"], "upstream_broken");
}

/// To HTTP/1.0 there are no chunks: the end of the connection ends the body.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_gets_a_body_that_ends_with_the_connection() {
    let users = talkative().await;
    let gateway = gateway(users.address).await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"GET /long HTTP/1.0\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n").await;
    let answer = client.read(false).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(answer.header("transfer-encoding"), "");
    assert!(unpacked(&answer) == text());
    assert!(client.is_closed().await);
}

/// An upstream of HTTP/2 may end a body with trailers, after which no last piece comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trailers_end_is_whole() {
    let listener = origin::listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(async |request: Request<Incoming>| {
                let trailers = http::HeaderMap::from_iter([(
                    http::HeaderName::from_static("x-sum"),
                    http::HeaderValue::from_static("1"),
                )]);
                let mut frames = vec![Frame::data(Bytes::from(text())), Frame::data("end".into())];
                if request.uri().path() == "/trailers" {
                    frames.push(Frame::trailers(trailers));
                }
                let frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
                let body = StreamBody::new(futures::stream::iter(frames));
                let builder = Response::builder().header("Content-Type", "application/json");
                Ok::<_, std::convert::Infallible>(builder.body(body).unwrap())
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{address}" ], protocol: h2 }} }}
routes: {{ users: {{ path: /, to: users, auth: none, compress: true }} }}
"#
    ))
    .await;
    let whole = [text(), b"end".to_vec()].concat();
    for path in ["/plain", "/trailers"] {
        for accept in ["gzip", "br", "zstd"] {
            let answer = get(gateway.address(), path, &[("Accept-Encoding", accept)]).await;
            assert_eq!(answer.header("content-encoding"), accept, "{path}");
            assert!(answer.complete && unpacked(&answer) == whole, "{path} {accept}");
        }
    }
}
