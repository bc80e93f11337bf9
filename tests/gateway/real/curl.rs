//! What curl does, passes: uploads that ask first, chunks, ranges, kept connections, HTTP/1.0, interim answers.

use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{KEY, Service, in_front_of};
use crate::support::origin::listen;
use crate::support::{Gateway, Origin, RawOrigin, Seen};

/// What curl says of what it got.
#[derive(Debug)]
pub(super) struct Curled {
    /// The status of the last answer.
    pub(super) status: u16,
    /// Heads and body, as they came (no body if it went to a file).
    pub(super) output: String,
    /// `-w` by line: new connections that were made for each URL.
    pub(super) connects: Vec<u32>,
    /// Bytes of the body that were sent.
    pub(super) sent: u64,
    /// curl's own tale, with what it sent and got.
    pub(super) tale: String,
}

impl Curled {
    /// The body: what follows the last blank line of the heads.
    pub(super) fn body(&self) -> &str {
        self.output.rsplit_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.body()).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs curl with the key.
pub(super) async fn curl(arguments: &[&str]) -> Curled {
    let key = format!("x-api-key: {KEY}");
    run(&[&["-H", &key], arguments].concat()).await
}

/// Runs curl, with nothing of the user's own settings.
async fn run(arguments: &[&str]) -> Curled {
    const SEPARATOR: &str = "\n--8<--";
    let told = format!("{SEPARATOR}%{{http_code}} %{{num_connects}} %{{size_upload}}\n");
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "-v", "--noproxy", "*", "--max-time", "120", "-D", "-"]);
    command.args(["-w", &told]).args(arguments);
    let output = super::output(command).await;
    let tale = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {}\n{tale}", output.status);
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut text = String::new();
    let mut told: Vec<Vec<u64>> = Vec::new();
    for (i, part) in all.split(SEPARATOR).enumerate() {
        let (numbers, rest) = match part.split_once('\n') {
            Some((numbers, rest)) if i > 0 => (Some(numbers), rest),
            _ => (None, part),
        };
        if let Some(numbers) = numbers {
            told.push(numbers.split(' ').map(|n| n.parse().unwrap()).collect());
        }
        text.push_str(rest);
    }
    let last = told.last().expect("curl tells what it did").clone();
    Curled {
        status: u16::try_from(last[0]).unwrap(),
        output: text,
        connects: told.iter().map(|n| u32::try_from(n[1]).unwrap()).collect(),
        sent: last[2],
        tale,
    }
}

/// A file of so many bytes.
fn file_of(size: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'u'; size]).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// A gateway in front of something that needs no secret.
async fn before(address: SocketAddr) -> (Gateway, String) {
    let gateway = Gateway::start(&in_front_of(address)).await;
    let base = format!("http://{}/api/v1", gateway.address());
    (gateway, base)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_used_with_curl() {
    let service = Service::start().await;
    let (gateway, base) = before(service.address).await;
    let url = |path: &str| format!("{base}{path}");

    let head = curl(&["-I", &url("/echo")]).await;
    assert_eq!(head.status, 200);
    assert!(
        head.output.to_lowercase().contains("content-length: ") && head.body().is_empty(),
        "{head:?}"
    );

    let file = file_of(3_000_000);
    let asked = curl(&["-T", path(&file), &url("/sink")]).await;
    assert_eq!((asked.status, asked.json()["size"].as_u64()), (200, Some(3_000_000)));
    assert!(asked.tale.contains("> Expect: 100-continue"), "{}", asked.tale);
    assert!(asked.tale.contains("< HTTP/1.1 100 Continue"), "{}", asked.tale);

    let chunked =
        curl(&["-T", path(&file), "-H", "Transfer-Encoding: chunked", &url("/sink")]).await;
    assert_eq!(chunked.json()["transfer_encoding"], "chunked", "{chunked:?}");
    assert_eq!(chunked.json()["size"], 3_000_000);

    let kept = curl(&[
        &url("/echo"),
        &url("/nothing"),
        &url("/etag"),
        &url("/download/100000"),
        &url("/items"),
        &url("/echo"),
    ])
    .await;
    assert_eq!(kept.connects, [1, 0, 0, 0, 0, 0]);

    let same = curl(&["-H", "If-None-Match: \"v1\"", &url("/etag"), &url("/etag")]).await;
    assert_eq!((same.status, &same.connects[..]), (304, &[1, 0][..]));

    let part = format!("file=@{}", path(&file));
    let form = curl(&["-F", "note=n", "-F", &part, &url("/upload")]).await;
    assert_eq!(form.json()["size"], 3_000_000);
    let followed = curl(&["-L", &url("/items?limit=4")]).await;
    assert_eq!((followed.status, followed.json()["limit"].as_u64()), (200, Some(4)));
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_encodings_are_the_origins_affair() {
    // gzip of "hello, hello, hello\n", made by gzip -n.
    const GZIP: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x40,
        0x27, 0xb9, 0, 0x00, 0, 0, 0, 0x14, 0, 0, 0,
    ];
    let origin = Origin::with(|seen: &Seen| {
        if seen.header("range") == "bytes=2-5" {
            return Response::builder()
                .status(206)
                .header("content-range", "bytes 2-5/10")
                .header("accept-ranges", "bytes")
                .body(Full::from("2345"))
                .unwrap();
        }
        let encoding =
            if seen.header("accept-encoding").contains("gzip") { "gzip" } else { "none" };
        Response::builder()
            .header("content-encoding", encoding)
            .header("content-length", GZIP.len())
            .body(Full::from(Bytes::from_static(GZIP)))
            .unwrap()
    })
    .await;
    let (_gateway, base) = before(origin.address).await;
    let part = curl(&["-r", "2-5", &base]).await;
    assert_eq!((part.status, part.body()), (206, "2345"));
    assert!(part.output.contains("content-range: bytes 2-5/10"), "{part:?}");
    // Not decoded by curl: the bytes are as the origin sent them.
    let raw = curl(&["-H", "Accept-Encoding: gzip", "--raw", "-o", "/dev/null", &base]).await;
    let tale = raw.tale.to_lowercase();
    assert!(tale.contains("< content-encoding: gzip"), "{tale}");
    assert!(tale.contains(&format!("< content-length: {}", GZIP.len())), "{tale}");
}

/// Answers once two million bytes of body are there. They may begin in the very read that ends the head.
async fn take_upload(mut stream: TcpStream) {
    let mut got = Vec::new();
    let body = |got: &[u8]| {
        got.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |end| got.len() - end - 4)
    };
    while body(&got) < 2_000_000 {
        if stream.read_buf(&mut got).await.unwrap() == 0 {
            return;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngot\n").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_never_says_continue_gets_the_body_all_the_same() {
    let listener = listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            tokio::spawn(take_upload(listener.accept().await.unwrap().0));
        }
    });
    let (gateway, base) = before(address).await;
    let file = file_of(2_000_000);
    let answer = curl(&["--expect100-timeout", "0.1", "-T", path(&file), &base]).await;
    assert_eq!((answer.status, answer.body(), answer.sent), (200, "got\n", 2_000_000));
    assert!(!answer.tale.contains("100 Continue"), "{}", answer.tale);
    assert_eq!(gateway.log(1).await[0]["bytes_in"], 2_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_is_not_sent() {
    let origin = Origin::start("never").await;
    let (gateway, base) = before(origin.address).await;
    let file = file_of(2_000_000);
    let key = format!("x-api-key: {KEY}");
    for (headers, status, code) in [
        (["x-api-key: wrong", "X-Own: v"], 401, "unauthorized"),
        ([&key, "Content-Length: 300000000"], 413, "body_too_large"),
    ] {
        // curl would send the body only after 100 s.
        let upload = ["--expect100-timeout", "100", "-T", path(&file), &base];
        let answer = run(&[&["-H", headers[0], "-H", headers[1]], &upload[..]].concat()).await;
        assert_eq!((answer.status, answer.sent), (status, 0), "{answer:?}");
        assert_eq!(answer.json()["code"], code);
    }
    assert!(origin.seen().is_empty());
    let lines = gateway.log(2).await;
    assert!(lines.iter().all(|line| line["bytes_in"] == 0), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_refuses_an_upload_is_heard() {
    let origin = RawOrigin::with(async |mut stream: TcpStream| {
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n";
        stream.write_all(answer).await.unwrap();
        // Open until the other side is done, as a server is that would read on.
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let (gateway, base) = before(origin.address).await;
    let file = file_of(2_000_000);
    let answer = curl(&["--expect100-timeout", "100", "-T", path(&file), &base]).await;
    assert_eq!((answer.status, answer.body(), answer.sent), (403, "no\n", 0), "{answer:?}");
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["why"]), (&403.into(), &serde_json::Value::Null), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_answered_in_its_own_way() {
    let service = Service::start().await;
    let (_gateway, base) = before(service.address).await;
    let (sized, streamed) =
        (format!("{base}/download/70000?length=true"), format!("{base}/download/70000"));
    let closed = curl(&["--http1.0", "-o", "/dev/null", "-o", "/dev/null", &sized, &sized]).await;
    assert_eq!((closed.status, &closed.connects[..]), (200, &[1, 1][..]));
    let keep = "Connection: keep-alive";
    let kept =
        curl(&["--http1.0", "-H", keep, "-o", "/dev/null", "-o", "/dev/null", &sized, &sized])
            .await;
    assert_eq!((kept.status, &kept.connects[..]), (200, &[1, 0][..]), "{}", kept.tale);
    for keep in ["X-Own: v", keep] {
        let unsized_ = curl(&["--http1.0", "--raw", "-H", keep, &streamed]).await;
        assert_eq!(unsized_.status, 200);
        let head = unsized_.output.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(!head.contains("transfer-encoding"), "HTTP/1.0 knows no chunks: {head}");
        assert!(!head.contains("keep-alive"), "the end of the body is the end of it: {head}");
        let got = curl(&["--http1.0", "-H", keep, "-o", "/dev/null", &streamed]).await;
        assert!(got.tale.contains("Closing connection"), "{}", got.tale);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn early_hints_pass() {
    let origin = RawOrigin::saying(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
          HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    let (gateway, base) = before(origin.address).await;
    let answer = curl(&[&base]).await;
    assert_eq!((answer.status, answer.body()), (200, "hello"));
    assert_eq!(answer.output.matches("HTTP/1.1 103 Early Hints\r\n").count(), 2, "{answer:?}");
    assert!(answer.output.to_lowercase().contains("link: </b.css>; rel=preload"), "{answer:?}");
    assert_eq!(gateway.log(1).await[0]["status"], 200);
}
