//! Clients of HTTP/2 that only make work: each is cut, and others are served meanwhile.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame,
};
use super::{get, house, send, speak};
use crate::support::{Origin, PATIENCE, Reloading};

/// GET `http://one.test/echo`.
fn block() -> Vec<u8> {
    fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/echo"),
        (":authority", "one.test"),
    ])
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// GOAWAY with this code.
    GoAway(u32),
    /// Closed without one.
    Closed,
}

/// Sends what `attack` makes for each turn until the connection ends; panics if it does not.
async fn flood(gateway: &Reloading, mut attack: impl FnMut(u32) -> Vec<u8>) -> End {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut end = End::Closed;
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            if head[3] == GOAWAY {
                end = End::GoAway(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        end
    });
    let sending = async {
        for turn in 0.. {
            if writer.write_all(&attack(turn)).await.is_err() {
                break;
            }
            // What was sent is looked at before there is more, as over a network.
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, sending).await.is_ok(), "the flood is not stopped");
    timeout(PATIENCE, reading).await.expect("the connection ends").unwrap()
}

fn stream(turn: u32) -> u32 {
    turn * 2 + 1
}

/// What is sent at each turn.
type Attack = Box<dyn FnMut(u32) -> Vec<u8>>;

fn attacks() -> Vec<(&'static str, Attack)> {
    let open = |turn| frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &block());
    let begin = |turn| frame(HEADERS, END_HEADERS, stream(turn), &block());
    let cancel = 8_u32.to_be_bytes();
    vec![
        ("pings", Box::new(|_| frame(PING, 0, 0, &[7; 8]))),
        ("answers to pings", Box::new(|_| frame(PING, ACK, 0, &[7; 8]))),
        ("settings", Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]))),
        ("empty settings", Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        ("priorities", Box::new(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]))),
        ("windows", Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("unknown frames", Box::new(|_| frame(0x42, 0, 0, &[]))),
        (
            "empty data",
            Box::new(move |turn| match turn {
                0 => begin(0),
                _ => frame(DATA, 0, 1, &[]),
            }),
        ),
        (
            "rapid resets",
            Box::new(move |turn| {
                [open(turn), frame(RST_STREAM, 0, stream(turn), &cancel)].concat()
            }),
        ),
        (
            "resets that we are made to send",
            Box::new(move |turn| {
                [begin(turn), frame(WINDOW_UPDATE, 0, stream(turn), &[0; 4])].concat()
            }),
        ),
        (
            "headers without end",
            Box::new(|turn| match turn {
                0 => frame(HEADERS, 0, 1, &block()),
                _ => frame(CONTINUATION, 0, 1, &[]),
            }),
        ),
        (
            "long headers without end",
            Box::new(|turn| {
                let field = [&[0x00, 1, b'a', 127, 0xa1, 0x1f][..], &[b'x'; 4128]].concat();
                match turn {
                    0 => frame(HEADERS, 0, 1, &block()),
                    _ => frame(CONTINUATION, 0, 1, &field),
                }
            }),
        ),
        ("a first frame that is no SETTINGS", Box::new(|_| frame(PING, 0, 0, &[0; 7]))),
        ("frames beyond their size", Box::new(|_| frame(DATA, 0, 1, &[0; 20_000]))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_makes_work_is_cut() {
    let origin = Origin::start("a").await;
    let (gateway, _) = house(&origin).await;
    let mut calm = speak(TcpStream::connect(gateway.address()).await.unwrap()).await;
    for (name, attack) in attacks() {
        let end = flood(&gateway, attack).await;
        eprintln!("{name}: {end:?}");
        let answer = send(&mut calm, get("http://one.test/echo")).await;
        assert_eq!(answer.status().as_u16(), 200, "after {name}");
    }
    assert!(origin.seen().is_empty());
}
