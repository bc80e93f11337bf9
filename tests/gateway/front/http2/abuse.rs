//! What a client must not send in HTTP/2: each has its end, and nothing of it reaches an upstream that two readers
//! could understand differently.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::House;
use super::cases::{Case, End, cases};
use super::frames::{GOAWAY, HEADERS, PING, RST_STREAM, frame, status};
use super::{get, send, speak};
use crate::hygiene::recorder::Recorder;
use crate::support::PATIENCE;

/// Sends a case, and a PING behind it, whose answer tells that the connection goes on.
async fn end_of(address: SocketAddr, case: &Case) -> End {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    // The gateway may close while there is still something to send. Its answer is what counts.
    let _ = writer.write_all(&case.bytes).await;
    let _ = writer.write_all(&frame(PING, 0, 0, b"are you?")).await;
    let (mut of_stream, mut of_connection, mut lives) = (None, None, false);
    let mut head = [0; 9];
    while !(lives && of_stream.is_some()) {
        if reader.read_exact(&mut head).await.is_err() {
            return of_connection.unwrap_or(End::Closed);
        }
        if head.starts_with(b"HTTP/1.1 ") {
            let mut digits = [0; 3];
            reader.read_exact(&mut digits).await.unwrap();
            let _ = reader.read_to_end(&mut Vec::new()).await;
            return End::Http1(std::str::from_utf8(&digits).unwrap().parse().unwrap());
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if reader.read_exact(&mut payload).await.is_err() {
            return of_connection.unwrap_or(End::Closed);
        }
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            PING => lives = true,
            GOAWAY => of_connection = Some(End::GoAway(code(4))),
            HEADERS if stream == case.stream => {
                of_stream.get_or_insert_with(|| End::Status(status(&payload)));
            }
            RST_STREAM if stream == case.stream => {
                of_stream.get_or_insert_with(|| End::Reset(code(0)));
            }
            _ => {}
        }
    }
    of_stream.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_abuse_has_its_end_and_reaches_nobody_in_two_readings() {
    let recorder = Recorder::start().await;
    let house = House::with(&[]);
    let gateway = house
        .open(&format!(
            "listeners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
             upstreams: {{ origin: {{ targets: [ \"{}\" ] }} }}\n\
             routes: {{ all: {{ path: /, to: origin, auth: none }} }}\n",
            recorder.address
        ))
        .await;
    let mut calm = speak(TcpStream::connect(gateway.address()).await.unwrap()).await;
    let cases = cases();
    let mut wrong = Vec::new();
    let (mut passed, mut flawed) = (0, 0);
    for case in &cases {
        let end = timeout(PATIENCE, end_of(gateway.address(), case)).await;
        if end != Ok(case.end) {
            wrong.push(format!("{}: {:?} instead of {:?}", case.name, end.ok(), case.end));
        }
        let (whole, flaws) = recorder.read();
        if whole - passed != case.passes {
            wrong.push(format!("{}: the origin got {} whole requests", case.name, whole - passed));
        }
        wrong.extend(flaws[flawed..].iter().map(|flaw| format!("{}: {flaw}", case.name)));
        (passed, flawed) = (whole, flaws.len());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(send(&mut calm, get("http://one.test/")).await.status().as_u16(), 200);
}
