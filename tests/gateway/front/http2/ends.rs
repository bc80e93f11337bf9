//! How connections of HTTP/2 end: when they are old, have had their requests, or were never begun.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::{ECHO, House, comes_to};
use super::frames::{
    ACK, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, fields,
    frame, status,
};
use crate::support::{Origin, PATIENCE, Reloading};

async fn gateway(listener: &str) -> Reloading {
    let yaml = format!(
        "listeners: {{ public: {{ address: \"127.0.0.1:0\", {listener} }} }}\nroutes:\n{ECHO}"
    );
    House::with(&[]).open(&yaml).await
}

fn request(stream: u32) -> Vec<u8> {
    let lines =
        [(":method", "GET"), (":scheme", "http"), (":path", "/echo"), (":authority", "one.test")];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&lines))
}

/// Sends this, answers PINGs, and hears the statuses and codes of GOAWAY until the end.
async fn heard(gateway: &Reloading, bytes: &[u8]) -> (usize, Vec<u32>) {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (mut answers, mut codes, mut head) = (0, Vec::new(), [0; 9]);
    let hearing = async {
        while stream.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.unwrap();
            match (head[3], head[4]) {
                (HEADERS, _) => {
                    // Another one is told by the table, where the first has put it.
                    if answers == 0 {
                        assert_eq!(status(&payload), 200);
                    }
                    answers += 1;
                }
                (PING, 0) => stream.write_all(&frame(PING, ACK, 0, &payload)).await.unwrap(),
                (GOAWAY, _) => {
                    codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
                _ => {}
            }
        }
    };
    timeout(PATIENCE, hearing).await.expect("the connection ends");
    (answers, codes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_old_or_has_had_its_requests_is_told_to_end() {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let old = gateway("timeouts: { age: 1s }").await;
    let (answers, codes) = heard(&old, &[&begin[..], &request(1)].concat()).await;
    assert_eq!(answers, 1);
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == 0), "{codes:?}");

    let spent = gateway("max_requests: 2").await;
    let (answers, codes) = heard(&spent, &[&begin[..], &request(1), &request(3)].concat()).await;
    assert_eq!(answers, 2);
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == 0), "{codes:?}");
}

/// A stream that takes nothing of its answer is reset, and what it held is given back; others on its connection go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_nothing_is_reset() {
    let large = Bytes::from(vec![b'x'; 4 << 20]);
    let origin = Origin::with(move |_| Response::new(Full::new(large.clone()))).await;
    let yaml = format!(
        "listeners: {{ public: {{ address: \"127.0.0.1:0\", timeouts: {{ stall: 1s }}, min_rate: 1MiB }} }}\n\
         upstreams: {{ a: {{ targets: [ \"{}\" ] }} }}\n\
         routes:\n  all: {{ path: /, to: a, auth: none }}\n",
        origin.address
    );
    let gateway = House::with(&[]).open(&yaml).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let nothing = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    stream.write_all(&[PREFACE, &nothing, &request(1)].concat()).await.unwrap();
    let mut head = [0; 9];
    let reset = async {
        loop {
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            if head[3] == RST_STREAM {
                return head[8];
            }
        }
    };
    // Its number, which is the first.
    assert_eq!(timeout(PATIENCE, reset).await.expect("it is reset"), 1);
    let busy = "portcullis_requests_in_flight{route=\"all\"}";
    comes_to(gateway.admin(), busy, 0).await;
}

/// Who is told to leave and stays holds a stop up, though no longer than the stop's own bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_goaway_is_cut_when_a_stop_is_over() {
    let yaml = format!(
        "drain: 1s\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\nroutes:\n{ECHO}"
    );
    let mut gateway = House::with(&[]).open(&yaml).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &request(1)].concat();
    stream.write_all(&begin).await.unwrap();
    let (mut head, mut kinds) = ([0; 9], Vec::new());
    // It answers no PING, and stays.
    let hearing = async {
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            if head[3] == HEADERS {
                gateway.ask_to_stop();
            }
            kinds.push(head[3]);
        }
    };
    timeout(PATIENCE, hearing).await.expect("it is cut");
    assert!(kinds.contains(&GOAWAY), "{kinds:?}");
    assert!(!gateway.stop().await, "it did not leave by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_is_counted_with_the_reason() {
    let gateway = gateway("max_requests: 1000").await;
    let admin = gateway.admin();
    let refused = |reason: &str| format!("portcullis_clients_refused_total{{reason=\"{reason}\"}}");
    heard(&gateway, &[PREFACE, &request(1)].concat()).await;
    comes_to(admin, &refused("http2_opening"), 1).await;
    let pings = frame(PING, ACK, 0, &[7; 8]).repeat(5000);
    let (_, codes) =
        heard(&gateway, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &pings].concat()).await;
    assert!(codes.iter().all(|code| *code != 0), "{codes:?}");
    comes_to(admin, &refused("http2_flood"), 1).await;
    // By the library: streams are reset again and again, and a frame stands where none may.
    let resets: Vec<u8> = (0..500)
        .flat_map(|place| [request(place * 2 + 1), frame(RST_STREAM, 0, place * 2 + 1, &[0; 4])])
        .flatten()
        .collect();
    heard(&gateway, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &resets].concat()).await;
    comes_to(admin, &refused("http2_flood"), 2).await;
    let ping = frame(PING, 0, 1, &[7; 8]);
    heard(&gateway, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &ping].concat()).await;
    comes_to(admin, &refused("http2_broken"), 1).await;
}
