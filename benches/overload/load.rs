//! Clients that ask when they want to, and not when the others have been answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Failure, PATIENCE};

/// The plans, the most important first, and how many of a hundred requests are each one's.
pub const PLANS: [(&str, u32); 3] = [("high", 10), ("normal", 40), ("low", 50)];

/// The key of whoever has this plan.
pub fn key(plan: &str) -> String {
    format!("pk_the-key-of-the-{plan}-plan-0001")
}

/// A load.
pub struct Load {
    pub address: SocketAddr,
    /// Requests a second.
    pub rate: f64,
    /// How long it goes on before it counts.
    pub warm: Duration,
    pub length: Duration,
}

/// What became of the requests of one plan.
#[derive(Debug, Default)]
pub struct Tally {
    /// How long those took that were answered in time, in milliseconds.
    pub latencies: Vec<f64>,
    pub turned_away: usize,
    pub late: usize,
}

impl Tally {
    /// The part that was answered in time.
    pub fn share(&self) -> f64 {
        let all = self.latencies.len() + self.turned_away + self.late;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = self.latencies.len() as f64 / all.max(1) as f64;
        share
    }

    /// A percentile, in milliseconds, of all that were not turned away: who was late waited at least so long.
    pub fn percentile(&mut self, percent: f64) -> f64 {
        let mut all = self.latencies.clone();
        all.extend(std::iter::repeat_n(PATIENCE.as_secs_f64() * 1000.0, self.late));
        all.sort_by(f64::total_cmp);
        #[expect(clippy::cast_possible_truncation, reason = "an index")]
        #[expect(clippy::cast_sign_loss, reason = "an index")]
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let index =
            ((all.len() as f64 * percent / 100.0) as usize).min(all.len().saturating_sub(1));
        all.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// What became of one request.
enum Outcome {
    InTime(Duration),
    TurnedAway,
    Late,
}

/// Connections that are kept, to be used again.
type Kept = Arc<Mutex<Vec<TcpStream>>>;

impl Load {
    /// Goes on until its end, and for the answers that are due then.
    pub async fn run(&self) -> Result<[Tally; PLANS.len()], Failure> {
        let kept = Kept::default();
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        let (counts, end) = (began + self.warm, began + self.warm + self.length);
        let mut random = 1_u64;
        let mut draw = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
        };
        let mut due = began;
        while due < end {
            sleep_until(due).await;
            let mut share = draw() * 100.0;
            let plan = PLANS.iter().position(|(_, of)| {
                share -= f64::from(*of);
                share <= 0.0
            });
            let plan = plan.unwrap_or(PLANS.len() - 1);
            let (kept, address) = (Arc::clone(&kept), self.address);
            tasks.spawn(async move { (plan, due >= counts, ask(kept, address, plan, due).await) });
            // As they come: the time to the next one does not depend on the last.
            due += Duration::from_secs_f64(-(1.0 - draw()).max(1e-9).ln() / self.rate);
        }
        let mut tallies: [Tally; PLANS.len()] = Default::default();
        while let Some(done) = tasks.join_next().await {
            let (plan, counts, outcome) = done?;
            let (outcome, tally) = (outcome?, &mut tallies[plan]);
            match outcome {
                _ if !counts => {}
                Outcome::InTime(took) => tally.latencies.push(took.as_secs_f64() * 1000.0),
                Outcome::TurnedAway => tally.turned_away += 1,
                Outcome::Late => tally.late += 1,
            }
        }
        Ok(tallies)
    }
}

/// Asks, and leaves when the answer takes too long.
async fn ask(
    kept: Kept,
    address: SocketAddr,
    plan: usize,
    due: Instant,
) -> Result<Outcome, Failure> {
    let pop = || kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let asked = async {
        let mut stream = match pop() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        let key = key(PLANS[plan].0);
        let request = format!("GET / HTTP/1.1\r\nHost: bench.test\r\nX-Api-Key: {key}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let status = answer(&mut stream).await?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        Ok::<_, Failure>(status)
    };
    match timeout_at(due + PATIENCE, asked).await {
        Ok(Ok(200)) => Ok(Outcome::InTime(due.elapsed())),
        Ok(Ok(503)) => Ok(Outcome::TurnedAway),
        Ok(Ok(status)) => Err(format!("an answer with status {status}").into()),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Outcome::Late),
    }
}

/// Reads an answer to its end, and returns its status.
async fn answer(stream: &mut TcpStream) -> Result<u16, Failure> {
    let mut read = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err("the connection ended before an answer".into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(begin) = head.parse(&read)? {
            let length =
                head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
            let length = length.ok_or("an answer without a length")?;
            let length: usize = std::str::from_utf8(length.value)?.trim().parse()?;
            let status = head.code.ok_or("an answer without a status")?;
            while read.len() < begin + length {
                if stream.read_buf(&mut read).await? == 0 {
                    return Err("an answer that is cut".into());
                }
            }
            return Ok(status);
        }
    }
}
