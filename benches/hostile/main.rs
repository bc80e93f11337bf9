//! What hostile and idle clients cost the others, and how much memory they hold.
//!
//! `cargo bench --bench hostile` starts `portcullis run` in a process of its own, before an origin in this one, and
//! measures three things: 10,000 idle connections (`idle`); 500 slow clients while others are served (`slow`);
//! clients of HTTP/2 that only make work (`floods`). Each prints a table. `--check` fails when a bound is broken.

/// Prints a line; who does not read it does not end the measuring.
macro_rules! tell {
    ($($said:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($said)*);
    }};
}

mod floods;
mod frames;
mod gateway;
mod idle;
#[path = "../support/program.rs"]
mod program;
mod slow;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use gateway::Gateway;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Anything that makes a measurement worthless. There is nothing to do about it but to tell it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Connections that have had a request and rest
    Idle,
    /// Clients that take their time
    Slow,
    /// Clients of HTTP/2 that only make work
    Floods,
}

/// Measures what hostile and idle clients cost.
#[derive(Parser)]
#[command(name = "hostile")]
struct Args {
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "idle,slow,floods")]
    parts: Vec<Part>,
    /// Idle connections of each kind
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Slow clients
    #[arg(long, default_value_t = 500)]
    slow: usize,
    /// Wait until idle connections are reaped
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    reap: bool,
    /// Fail above the bounds
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
    let origin = gateway::origin().await?;
    let mut good = true;
    if args.parts.contains(&Part::Idle) {
        good &= idle::measure(origin, args.idle, args.reap).await?;
    }
    if args.parts.contains(&Part::Slow) {
        good &= slow::measure(&mut Gateway::start(origin)?, args.slow).await?;
    }
    if args.parts.contains(&Part::Floods) {
        good &= floods::measure(origin).await?;
    }
    Ok(good)
}
