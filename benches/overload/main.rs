//! What becomes of a service that is asked for three times as much as it can do.
//!
//! `cargo bench --bench overload` starts a service in this process that has so many hands, each busy with a request for
//! so long; whoever finds none free waits in it, and it works on what nobody waits for any more, as most do. Before it
//! stands `portcullis run`, in a process of its own: once with `concurrency: adaptive`, and once without. Clients of
//! three plans ask as they come, whether or not others are answered, and leave after [`PATIENCE`]. What is told is how
//! much of what the service can do reaches a client in time, and how long the important ones wait. `--check` fails when
//! a bound is broken.

/// Prints a line; who does not read it does not end the measuring.
macro_rules! tell {
    ($($said:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($said)*);
    }};
}

mod gateway;
mod load;
#[path = "../support/program.rs"]
mod program;
mod service;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use gateway::Gateway;
use load::{Load, PLANS, Tally};
use service::Service;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Anything that makes a measurement worthless. There is nothing to do about it but to tell it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// The bounds: how much of what the service can do reaches clients, and how much longer the important ones may wait.
const GOODPUT: f64 = 0.9;
const RATIO: f64 = 2.0;

/// Measures what overload costs.
#[derive(Parser)]
#[command(name = "overload")]
struct Args {
    /// Requests that the service works on at once
    #[arg(long, default_value_t = 10)]
    hands: usize,
    /// How long it works on each, in milliseconds
    #[arg(long, default_value_t = 20)]
    work: u64,
    /// How many times as much is asked as it can do
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// How long each load lasts, after as much as does not count
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// What stands at the upstream, one after the other
    #[arg(long, default_values_t = ["concurrency: adaptive".to_owned(), String::new()])]
    variant: Vec<String>,
    /// Fail when a bound is broken
    #[arg(long)]
    check: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(&args)));
    match done {
        Ok(good) if good || !args.check => ExitCode::SUCCESS,
        Ok(_) => {
            let _ = writeln!(io::stderr(), "a bound is broken");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<bool, Failure> {
    let work = Duration::from_millis(args.work);
    let service = Service::start(args.hands, work).await?;
    let capacity = service.capacity(Duration::from_secs(3)).await?;
    tell!("{} hands, {work:?} each: {capacity:.0} requests/s", args.hands);
    tell!(
        "| at the upstream | asked | goodput | high: p50, p99 | normal, low: in time | turned away | limit |"
    );
    tell!("|---|---|---|---|---|---|---|");
    let mut good = true;
    for variant in &args.variant {
        let service = Service::start(args.hands, work).await?;
        let gateway = Gateway::start(service.address, variant)?;
        let measured = measure(args, &gateway, capacity, variant).await?;
        // Without anything the bounds are broken, which is what it is measured for.
        good &= measured.holds != variant.is_empty();
    }
    Ok(good)
}

/// What a variant came to.
struct Measured {
    holds: bool,
}

async fn measure(
    args: &Args,
    gateway: &Gateway,
    capacity: f64,
    variant: &str,
) -> Result<Measured, Failure> {
    let name = if variant.is_empty() { "nothing" } else { variant };
    let seconds = Duration::from_secs(args.seconds);
    let load = |times: f64| Load {
        address: gateway.address,
        rate: capacity * times,
        warm: seconds / 3,
        length: seconds,
    };
    let mut calm = load(0.5).run().await?;
    report(name, 0.5, &mut calm, capacity, seconds, gateway).await?;
    let mut over = load(args.times).run().await?;
    let goodput = report(name, args.times, &mut over, capacity, seconds, gateway).await?;
    let ratio = over[0].percentile(99.0) / calm[0].percentile(99.0);
    tell!("{name}: high p99 is {ratio:.2} times the calm one");
    Ok(Measured { holds: goodput >= GOODPUT && ratio <= RATIO })
}

/// Tells what became of a load. Returns its goodput, in relation to what the service can do.
async fn report(
    name: &str,
    times: f64,
    tallies: &mut [Tally; PLANS.len()],
    capacity: f64,
    length: Duration,
    gateway: &Gateway,
) -> Result<f64, Failure> {
    let in_time: usize = tallies.iter().map(|tally| tally.latencies.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let goodput = in_time as f64 / length.as_secs_f64() / capacity;
    let turned_away: usize = tallies.iter().map(|tally| tally.turned_away).sum();
    let [high, normal, low] = tallies;
    tell!(
        "| {name} | {times} x | {:.1} % | {:.1} %: {:.1}, {:.1} ms | {:.1} %, {:.1} % | {turned_away} | {} |",
        goodput * 100.0,
        high.share() * 100.0,
        high.percentile(50.0),
        high.percentile(99.0),
        normal.share() * 100.0,
        low.share() * 100.0,
        gateway.limit().await?,
    );
    Ok(goodput)
}
