//! Clients of HTTP/2 that only make work: how each ends, and what it costs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Failure;
use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, begin, block, frame,
};
use crate::gateway::Gateway;

/// How long a flood may go on.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many connections at once do the same.
const CONNECTIONS: u64 = 10;
/// The most memory that they may add, in KiB.
pub const MOST: u64 = 10 << 10;

/// A flood: its name, the window it begins with, and what is sent at each turn; nothing means that it waits.
struct Flood {
    name: &'static str,
    window: u32,
    turn: fn(u32) -> Option<Vec<u8>>,
    /// The most memory that all connections together may add, in KiB.
    bound: u64,
}

/// A hundred requests for much.
fn large(turn: u32) -> Option<Vec<u8>> {
    let open = || frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &block(false, "/large"));
    (turn < 100).then(open)
}

fn stream(turn: u32) -> u32 {
    turn * 2 + 1
}

/// A line of headers that goes into the table: 4,000 bytes under the name `x`.
fn large_line() -> Vec<u8> {
    // 127 and 3,873 in groups of seven bits.
    [&[0x40, 1, b'x', 127, 0xa1, 0x1e][..], &[b'x'; 4000]].concat()
}

const FLOOD: Flood = Flood { name: "", window: 65_535, turn: |_| None, bound: MOST };

const FLOODS: [Flood; 11] = [
    Flood {
        name: "rapid reset",
        turn: |turn| {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &block(false, "/"));
            Some([open, frame(RST_STREAM, 0, stream(turn), &8_u32.to_be_bytes())].concat())
        },
        ..FLOOD
    },
    Flood {
        name: "made-you-reset",
        turn: |turn| {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &block(false, "/"));
            Some([open, frame(WINDOW_UPDATE, 0, stream(turn), &[0; 4])].concat())
        },
        ..FLOOD
    },
    Flood {
        name: "continuation",
        turn: |turn| {
            Some(match turn {
                0 => frame(HEADERS, END_STREAM, 1, &block(false, "/")),
                _ => frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'].repeat(3000)),
            })
        },
        ..FLOOD
    },
    Flood {
        name: "HPACK bomb",
        turn: |turn| {
            // One line of 4,000 bytes, and then references to it alone.
            let lines = if turn == 0 { large_line() } else { vec![0xbe; 10] };
            let block = [block(false, "/"), lines].concat();
            Some(frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &block))
        },
        ..FLOOD
    },
    Flood {
        name: "HPACK held",
        window: 0,
        turn: |turn| {
            // A hundred requests with 60 KiB of headers each, made of few bytes, whose answers are not taken.
            let lines = if turn == 0 { large_line() } else { Vec::new() };
            let block = [block(false, "/large"), lines, vec![0xbe; 14]].concat();
            let open = || frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &block);
            (turn < 100).then(open)
        },
        ..FLOOD
    },
    Flood { name: "zero window", window: 0, turn: large, ..FLOOD },
    Flood {
        name: "zero window, as few as may be",
        window: 0,
        turn: |turn| large(turn).filter(|_| turn < 4),
        bound: MOST * CONNECTIONS,
    },
    Flood { name: "small windows", window: 1024, turn: large, bound: 2 * MOST * CONNECTIONS },
    Flood { name: "one window of 64 KiB", turn: large, bound: 2 * MOST * CONNECTIONS, ..FLOOD },
    Flood {
        name: "settings",
        turn: |_| Some(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(100)),
        ..FLOOD
    },
    Flood { name: "ping", turn: |_| Some(frame(PING, 0, 0, &[7; 8]).repeat(100)), ..FLOOD },
];

/// Measures all of them. Whether each bound holds.
pub async fn measure(origin: SocketAddr) -> Result<bool, Failure> {
    tell!(
        "\n| flood, {CONNECTIONS} connections each | ends with | after | adds at most, MiB |\n|---|---|---|---|"
    );
    let mut good = true;
    for flood in &FLOODS {
        // Each has a process of its own: what one leaves with the allocator would hide the next.
        let mut gateway = Gateway::start(origin)?;
        warm(gateway.plain).await?;
        let (before, began) = (gateway.resident()?, Instant::now());
        let tasks = (0..CONNECTIONS).map(|_| tokio::spawn(one(gateway.plain, flood)));
        let all = futures::future::join_all(tasks);
        tokio::pin!(all);
        let mut most = before;
        let ends = loop {
            tokio::select! {
                ends = &mut all => break ends,
                () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(gateway.resident()?),
            }
        };
        let took = began.elapsed();
        gateway.still_runs()?;
        let mut ends: Vec<_> = ends.into_iter().map(|end| end.unwrap_or(End::GoesOn)).collect();
        ends.sort();
        ends.dedup();
        let added = most.saturating_sub(before);
        good &= added <= flood.bound && !ends.contains(&End::GoesOn);
        let ends: Vec<_> = ends.iter().map(ToString::to_string).collect();
        tell!("| {} | {} | {took:.1?} | {} |", flood.name, ends.join(", "), tenths(added));
    }
    Ok(good)
}

/// What is there for any number of clients, such as connections to the origin.
async fn warm(address: SocketAddr) -> Result<(), Failure> {
    for _ in 0..16 {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: bench.test\r\n\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

/// KiB as MiB.
pub fn tenths(kib: u64) -> String {
    format!("{}.{}", kib >> 10, ((kib & 1023) * 10) >> 10)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    GoAway(u32),
    Closed,
    GoesOn,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GoAway(code) => write!(f, "GOAWAY {code}"),
            Self::Closed => f.write_str("closed"),
            Self::GoesOn => f.write_str("**goes on**"),
        }
    }
}

async fn one(address: SocketAddr, flood: &Flood) -> End {
    timeout(PATIENCE, attack(address, flood)).await.unwrap_or(End::GoesOn)
}

async fn attack(address: SocketAddr, flood: &Flood) -> End {
    let Ok(stream) = TcpStream::connect(address).await else { return End::Closed };
    let (mut reader, mut writer) = stream.into_split();
    if writer.write_all(&begin(flood.window)).await.is_err() {
        return End::Closed;
    }
    let sending = async {
        for turn in 0.. {
            let Some(bytes) = (flood.turn)(turn) else { return std::future::pending().await };
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let hearing = async {
        let (mut end, mut head) = (None, [0; 9]);
        while reader.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            if let (GOAWAY, [_, _, _, _, a, b, c, d, ..]) = (head[3], &payload[..]) {
                end = Some(End::GoAway(u32::from_be_bytes([*a, *b, *c, *d])));
            }
        }
        end.unwrap_or(End::Closed)
    };
    // Who can't send any more still hears how it ends, and who has nothing more to send waits for it.
    tokio::pin!(hearing);
    tokio::select! {
        end = &mut hearing => return end,
        () = sending => {}
    }
    hearing.await
}
