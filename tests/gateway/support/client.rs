//! A client that sends the bytes it is given and reads one answer at a time.

use std::net::SocketAddr;

use hyper::body::Body;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, secrets};

/// An answer, with its body whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Lines as sent, in their order: name (lower case) and value.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing says, and was not cut.
    pub complete: bool,
}

impl Answer {
    /// A header's first value, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The `code` of a problem.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One connection.
pub struct Client {
    address: Option<SocketAddr>,
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// What carries its bytes.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = Box::new(TcpStream::connect(address).await.unwrap());
        Self { address: Some(address), stream, buffer: Vec::new() }
    }

    /// Over a connection that is there already.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { address: None, stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends bytes, whether or not anybody still reads them.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Sends a request with no body and reads the answer.
    pub async fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.write(&head(method, target, headers)).await;
        self.read(method == "HEAD").await
    }

    /// Reads one answer; interim (1xx) ones are passed over.
    pub async fn read(&mut self, head_only: bool) -> Answer {
        loop {
            let answer =
                self.read_any(head_only).await.expect("the connection ended before an answer");
            if answer.status >= 200 || answer.status == 101 {
                return answer;
            }
        }
    }

    /// Reads one answer, interim ones too. `None` if the connection ends first.
    pub async fn read_any(&mut self, head_only: bool) -> Option<Answer> {
        timeout(PATIENCE, self.read_answer(head_only)).await.expect("no answer in time")
    }

    /// Reads an answer's head and leaves its body where it is.
    pub async fn read_head(&mut self) -> Answer {
        let head = timeout(PATIENCE, self.head()).await.expect("no answer in time");
        head.expect("the connection ended before an answer")
    }

    /// Reads the body that belongs to this head.
    pub async fn read_body(&mut self, head: Answer) -> Answer {
        timeout(PATIENCE, self.body(head)).await.expect("no body in time")
    }

    /// Waits for more bytes that hold this; they stay where they are.
    pub async fn see(&mut self, part: &[u8]) {
        let count = |buffer: &[u8]| buffer.windows(part.len()).filter(|w| *w == part).count();
        let before = count(&self.buffer);
        while count(&self.buffer) <= before {
            let more = timeout(PATIENCE, self.fill()).await.expect("the bytes did not come");
            assert!(more, "the connection ended before the bytes came");
        }
    }

    async fn read_answer(&mut self, head_only: bool) -> Option<Answer> {
        let answer = self.head().await?;
        let answer = if head_only || answer.status < 200 || matches!(answer.status, 204 | 304) {
            answer
        } else {
            self.body(answer).await
        };
        if let Some(address) = self.address {
            secrets::none_in_answer(address, &answer);
        }
        Some(answer)
    }

    async fn head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        Some(parse_head(&String::from_utf8_lossy(&head)))
    }

    async fn body(&mut self, mut answer: Answer) -> Answer {
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            answer.complete = self.read_chunks(&mut answer.body).await;
        } else if let Ok(length) = answer.header("content-length").parse::<usize>() {
            while self.buffer.len() < length && self.fill().await {}
            answer.complete = self.buffer.len() >= length;
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while self.fill().await {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        answer
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(line) = self.line().await else { return false };
            let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
            while self.buffer.len() < size + 2 {
                if !self.fill().await {
                    let rest = size.min(self.buffer.len());
                    body.extend(self.buffer.drain(..rest));
                    return false;
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return true;
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Whether the other side has closed the connection, once it does anything at all.
    pub async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !timeout(PATIENCE, self.fill()).await.expect("nothing happens")
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = vec![0; 16 << 10];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&buffer[..n]);
                true
            }
        }
    }
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: gateway.test\r\n");
    }
    let sends = |along: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(along));
    let along = secrets::ALONG.iter().filter(|(name, _)| !sends(name));
    for (name, value) in headers.iter().chain(along) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn parse_head(text: &str) -> Answer {
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(':').expect("a header line has a colon"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: Vec::new(), complete: true }
}

/// GET over a connection of its own.
pub async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    Client::connect(address).await.ask("GET", target, headers).await
}

/// A request with a body over a connection of its own.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut client = Client::connect(address).await;
    let length = body.len().to_string();
    let mut all = headers.to_vec();
    all.push(("Content-Length", &length));
    client.write(&head(method, target, &all)).await;
    client.write(body).await;
    client.read(method == "HEAD").await
}

/// A client of HTTP/2 over this stream.
pub async fn http2_over<B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> SendRequest<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync,
{
    let io = TokioIo::new(stream);
    let (requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    requests
}

/// A client of HTTP/2 over a connection of its own, without TLS.
pub async fn http2<B>(address: SocketAddr) -> SendRequest<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync,
{
    http2_over(TcpStream::connect(address).await.unwrap()).await
}
