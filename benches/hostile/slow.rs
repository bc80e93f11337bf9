//! Clients that take their time, and those who are served beside them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::floods::tenths;
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, begin, block, frame};
use crate::gateway::{Gateway, HEAD, HTTP2_IDLE, HTTP2_OPENING, STALL, TOTAL};

/// How much later than due a cut may come.
const SLACK: Duration = Duration::from_secs(3);
/// The most that p99 may grow by.
const RATIO: f64 = 2.0;
/// The most memory that slow clients may hold, and leave behind, in KiB.
const MOST: u64 = 100 << 10;
const LEFT: u64 = 30 << 10;
/// Those who are served: so many connections, each with a request every so often.
const OTHERS: u32 = 8;
const EVERY: Duration = Duration::from_millis(16);
/// How long calm lasts.
const CALM: Duration = Duration::from_secs(20);

/// What a slow client does: first it sends something, then one piece a second for ever, while it reads or does not.
struct Slow {
    name: &'static str,
    first: fn() -> Vec<u8>,
    drip: fn() -> Vec<u8>,
    reads: bool,
    /// Whether it ends its side at once.
    half: bool,
    /// When it is cut at the latest.
    due: Duration,
}

const HTTP1: Slow =
    Slow { name: "", first: Vec::new, drip: Vec::new, reads: true, half: false, due: HEAD };

/// HTTP/2 has no `timeouts.head` of a stream: a head that does not end keeps no request going.
const KINDS: [Slow; 12] = [
    Slow { name: "silent", ..HTTP1 },
    Slow { name: "half-closed, silent", half: true, ..HTTP1 },
    Slow {
        name: "dribbling head",
        first: || b"GET / HTTP/1.1\r\nHost: bench.test\r\nX: ".to_vec(),
        drip: || b"x".to_vec(),
        ..HTTP1
    },
    Slow {
        name: "half-closed within a head",
        first: || b"GET / HTTP/1.1\r\nHost: ben".to_vec(),
        half: true,
        ..HTTP1
    },
    Slow {
        name: "dribbling body",
        first: || b"POST / HTTP/1.1\r\nHost: bench.test\r\nContent-Length: 100000\r\n\r\n".to_vec(),
        drip: || b"x".to_vec(),
        due: STALL,
        ..HTTP1
    },
    Slow {
        name: "half-closed within a body",
        first: || b"POST / HTTP/1.1\r\nHost: bench.test\r\nContent-Length: 100\r\n\r\nx".to_vec(),
        half: true,
        due: STALL,
        ..HTTP1
    },
    Slow {
        name: "reads nothing",
        first: || b"GET /large HTTP/1.1\r\nHost: bench.test\r\n\r\n".to_vec(),
        reads: false,
        due: STALL,
        ..HTTP1
    },
    Slow { name: "HTTP/2, half a preface", first: || b"PRI * HT".to_vec(), due: HEAD, ..HTTP1 },
    Slow {
        name: "HTTP/2, no first frame",
        first: || crate::frames::PREFACE.to_vec(),
        due: HTTP2_OPENING,
        ..HTTP1
    },
    Slow {
        name: "HTTP/2, a head without end",
        first: || [begin(65_535), frame(HEADERS, END_STREAM, 1, &block(false, "/"))].concat(),
        due: HTTP2_IDLE,
        ..HTTP1
    },
    Slow {
        name: "HTTP/2, dribbling body",
        first: || [begin(65_535), frame(HEADERS, END_HEADERS, 1, &block(true, "/"))].concat(),
        drip: || frame(DATA, 0, 1, b"x"),
        due: Duration::from_secs(TOTAL.as_secs() + HTTP2_IDLE.as_secs()),
        ..HTTP1
    },
    Slow {
        name: "HTTP/2, takes nothing of an answer",
        first: || {
            [begin(0), frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(false, "/large"))]
                .concat()
        },
        due: Duration::from_secs(STALL.as_secs() + HTTP2_IDLE.as_secs()),
        ..HTTP1
    },
];

/// Measures calm, and then with slow clients. Whether each bound holds.
pub async fn measure(gateway: &mut Gateway, count: usize) -> Result<bool, Failure> {
    // What is not warm yet counts for nothing.
    others(gateway.plain, Duration::from_secs(2)).await?;
    let mut calm = others(gateway.plain, CALM).await?;
    let before = gateway.resident()?;
    let busy = Arc::new(AtomicBool::new(true));
    let served = tokio::spawn(others_while(gateway.plain, busy.clone()));
    let slow: Vec<JoinHandle<(usize, Duration)>> = (0..count)
        .map(|number| tokio::spawn(client(gateway.plain, number % KINDS.len())))
        .collect();
    let all = futures::future::join_all(slow);
    tokio::pin!(all);
    let mut most = before;
    let ends = loop {
        tokio::select! {
            ends = &mut all => break ends,
            () = sleep(Duration::from_millis(200)) => most = most.max(gateway.resident()?),
        }
    };
    busy.store(false, Ordering::Relaxed);
    let mut hostile = served.await??;
    sleep(Duration::from_secs(3)).await;
    let left = gateway.resident()?.saturating_sub(before);
    gateway.still_runs()?;
    let mut good = true;
    tell!("\n| slow client | how many | due after | cut between |\n|---|---|---|---|");
    let ends: Vec<_> = ends.into_iter().filter_map(Result::ok).collect();
    for (kind, slow) in KINDS.iter().enumerate() {
        let lives = || ends.iter().filter(|end| end.0 == kind).map(|end| end.1);
        let (first, last) = (lives().min().unwrap_or_default(), lives().max().unwrap_or_default());
        let count = lives().count();
        if slow.reads {
            good &= last <= slow.due + SLACK;
            tell!("| {} | {count} | {:?} | {first:.1?} and {last:.1?} |", slow.name, slow.due);
        } else {
            // What was on its way to such a client hides the end from it; the gateway counts it.
            let cut = gateway.slow_readers().await?;
            good &= cut == count;
            tell!("| {} | {count} | {:?} | {cut} of them, by the count |", slow.name, slow.due);
        }
    }
    let (calm, hostile) = (summary("calm", &mut calm), summary("with slow clients", &mut hostile));
    let ratio = hostile.div_duration_f64(calm);
    let added = most.saturating_sub(before);
    tell!(
        "p99 over calm: {ratio:.2}; memory added at most {} MiB, left {} MiB",
        tenths(added),
        tenths(left)
    );
    Ok(good && ends.len() == count && ratio <= RATIO && added <= MOST && left <= LEFT)
}

/// How long a slow client was let be.
async fn client(address: SocketAddr, kind: usize) -> (usize, Duration) {
    let slow = &KINDS[kind];
    let began = Instant::now();
    // Beyond this it counts as never cut.
    let _ = timeout(slow.due + SLACK * 3, live(address, slow)).await;
    (kind, began.elapsed())
}

async fn live(address: SocketAddr, slow: &Slow) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if !slow.reads {
        // What the system takes in its name is little.
        socket.set_recv_buffer_size(4096)?;
    }
    let (mut reader, mut writer) = socket.connect(address).await?.into_split();
    writer.write_all(&(slow.first)()).await?;
    if slow.half {
        writer.shutdown().await?;
    }
    let drip = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            let bytes = (slow.drip)();
            if !slow.half && !bytes.is_empty() && writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let hear = async {
        let mut buffer = [0; 4096];
        if !slow.reads {
            // Longer than it is let be.
            sleep(slow.due + SLACK).await;
            return;
        }
        while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
    };
    tokio::select! { () = drip => {}, () = hear => {} }
    Ok(())
}

async fn others(address: SocketAddr, length: Duration) -> Result<Vec<Duration>, Failure> {
    let busy = Arc::new(AtomicBool::new(true));
    let all = tokio::spawn(others_while(address, busy.clone()));
    sleep(length).await;
    busy.store(false, Ordering::Relaxed);
    all.await?
}

/// The latencies of clients that do nothing wrong.
async fn others_while(
    address: SocketAddr,
    busy: Arc<AtomicBool>,
) -> Result<Vec<Duration>, Failure> {
    let each = (0..OTHERS)
        .map(|number| tokio::spawn(other(address, EVERY * number / OTHERS, busy.clone())));
    let mut all = Vec::new();
    for latencies in futures::future::join_all(each).await {
        all.extend(latencies??);
    }
    Ok(all)
}

async fn other(
    address: SocketAddr,
    offset: Duration,
    busy: Arc<AtomicBool>,
) -> Result<Vec<Duration>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut due, mut all) = (Instant::now() + offset, Vec::new());
    let mut seen = Vec::new();
    while busy.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due.into()).await;
        // A timer has milliseconds; who was late in the last request began when it was due.
        let began = if due.elapsed() > EVERY { due } else { Instant::now() };
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n").await?;
        seen.clear();
        while !seen.ends_with(b"\r\n\r\nok") {
            if timeout(Duration::from_secs(30), stream.read_buf(&mut seen)).await?? == 0 {
                return Err("a connection was closed".into());
            }
        }
        all.push(began.elapsed());
        due += EVERY;
    }
    Ok(all)
}

/// Prints what they are like; the 99th percentile.
fn summary(what: &str, all: &mut [Duration]) -> Duration {
    all.sort_unstable();
    let at = |part: usize| all.get(all.len() * part / 1000).copied().unwrap_or_default();
    tell!(
        "{what}: {} requests, p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}",
        all.len(),
        at(500),
        at(990),
        at(999)
    );
    at(990)
}
