//! An origin that keeps every byte it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use portcullis::listen::{Flaw, Guard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::origin::listen;

/// Answers each whole request with 200.
pub struct Recorder {
    pub address: SocketAddr,
    /// What came on each connection.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: JoinSet<()>,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = listen("127.0.0.1:0".parse().unwrap());
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = heard.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let place = {
                    let mut heard = notes.lock().unwrap();
                    heard.push(Vec::new());
                    heard.len() - 1
                };
                connections.spawn(serve(stream, place, notes.clone()));
            }
        });
        Self { address, heard, _tasks: tasks }
    }

    /// How many whole requests it got; that what it got reads in one way only is checked with it.
    pub fn requests(&self) -> usize {
        let (whole, flaws) = self.read();
        assert!(flaws.is_empty(), "{}", flaws.join("\n"));
        whole
    }

    /// How many whole requests it got, and what it got that does not read in one way only.
    pub fn read(&self) -> (usize, Vec<String>) {
        let heard = self.heard.lock().unwrap();
        let (mut whole, mut flaws) = (0, Vec::new());
        for bytes in heard.iter() {
            let (requests, flaw) = whole_requests(bytes);
            whole += requests;
            flaws.extend(
                flaw.map(|flaw| format!("the origin got what is {flaw}: {}", bytes.escape_ascii())),
            );
        }
        (whole, flaws)
    }
}

/// How many whole requests these bytes begin with, and what is wrong with what follows.
fn whole_requests(bytes: &[u8]) -> (usize, Option<Flaw>) {
    let (mut guard, mut rest, mut requests) = (Guard::default(), bytes, 0);
    while !rest.is_empty() {
        match guard.feed(rest) {
            Ok(passed) => rest = &rest[passed..],
            Err(flaw) => return (requests, Some(flaw)),
        }
        if !guard.is_complete() {
            break;
        }
        requests += 1;
        guard.next();
    }
    (requests, None)
}

async fn serve(mut stream: TcpStream, place: usize, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut buffer = vec![0; 1 << 16];
    let mut answered = 0;
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        let whole = {
            let mut heard = heard.lock().unwrap();
            heard[place].extend_from_slice(&buffer[..read]);
            whole_requests(&heard[place]).0
        };
        while answered < whole {
            answered += 1;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
