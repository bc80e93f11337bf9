//! The load: a fixed number of keep-alive connections, each with one request at a time.
//!
//! A closed loop measures cost, not latency: the next request leaves when an answer is there, so the proxy is
//! never idle for want of requests, and never has a queue longer than there are connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Failure, origin};

/// The key of the one consumer.
pub const KEY: &str = "bench_4f9d2c6a81e7b35094c8d1f2a6e3b7c0";
/// A path below the route.
pub const PATH: &str = "/users/4711/profile?fields=name,email,roles";

/// Longer than any request takes that will ever be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request as an ordinary HTTP library or a browser writes it.
fn request(path: &str, key: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: api.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: application/json, text/plain, */*\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         x-api-key: {key}\r\n\
         Origin: https://app.example.com\r\n\
         Referer: https://app.example.com/people\r\n\
         Cookie: session=5b1f0a7c2d9e4836; theme=dark\r\n\
         Cache-Control: no-cache\r\n\
         Connection: keep-alive\r\n\r\n"
    )
    .into_bytes()
}

/// One answer, as it came.
pub struct Answer {
    pub status: u16,
    /// The status line and the header lines.
    pub head: String,
    pub body: Vec<u8>,
}

/// Sends one request and reads its answer.
pub async fn ask(address: SocketAddr, path: &str, key: &str) -> Result<Answer, Failure> {
    timeout(PATIENCE, async {
        let mut connection = Connection::open(address).await?;
        let (status, end, length) = connection.exchange(&request(path, key)).await?;
        let buffer = &connection.buffer;
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        Ok(Answer { status, head, body: buffer[end..end + length].to_vec() })
    })
    .await?
}

/// The connections to one proxy.
pub struct Load {
    connections: Vec<Connection>,
    request: Arc<[u8]>,
}

impl Load {
    /// Opens `count` connections.
    pub async fn open(address: SocketAddr, count: usize) -> Result<Self, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(timeout(PATIENCE, Connection::open(address)).await??);
        }
        Ok(Self { connections, request: request(PATH, KEY).into() })
    }

    /// Sends `requests` requests over all connections and gives the time they took. Every answer must be the
    /// origin's.
    pub async fn run(&mut self, requests: usize) -> Result<Duration, Failure> {
        // A proxy that is stuck, or slower than a thousand requests a second, ends the run.
        let bound = PATIENCE + Duration::from_millis(u64::try_from(requests)?);
        let left = Arc::new(AtomicUsize::new(requests));
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        for connection in self.connections.drain(..) {
            tasks.spawn(connection.work(Arc::clone(&self.request), Arc::clone(&left)));
        }
        timeout(bound, async {
            while let Some(done) = tasks.join_next().await {
                self.connections.push(done??);
            }
            Ok::<_, Failure>(())
        })
        .await??;
        Ok(started.elapsed())
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    async fn work(mut self, request: Arc<[u8]>, left: Arc<AtomicUsize>) -> Result<Self, Failure> {
        while take(&left) {
            let (status, end, length) = self.exchange(&request).await?;
            if status != 200 || self.buffer[end..end + length] != *origin::BODY.as_bytes() {
                let answer = String::from_utf8_lossy(&self.buffer);
                return Err(format!("not the origin's answer:\n{answer}").into());
            }
        }
        Ok(self)
    }

    /// Sends a request and reads the whole answer into the buffer. Gives the status, where the head ends, and
    /// the length of the body.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, usize, usize), Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the proxy closed the connection".into());
            }
            if head.is_none() {
                head = parse_head(&self.buffer)?;
            }
            if let Some((status, end, length)) = head {
                match self.buffer.len() {
                    have if have < end + length => {}
                    have if have == end + length => return Ok((status, end, length)),
                    _ => return Err("more bytes than the answer has".into()),
                }
            }
        }
    }
}

/// Whether there was a request left to take.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
}

/// The status, the length of the head and that of the body; `None` if the head is not complete yet. The
/// origin always gives the length, and a proxy has no reason to change the framing.
fn parse_head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>, Failure> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|rest| rest.get(..3)).ok_or("not an HTTP/1.1 answer")?;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(Some((status.parse()?, end + 4, value.trim().parse()?)));
        }
    }
    Err(format!("an answer without a length:\n{head}").into())
}
