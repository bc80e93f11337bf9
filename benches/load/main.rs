//! What the gateway's duties cost: CPU time per request of the whole process, beside a bare Pingora proxy.
//!
//! `cargo bench --bench load` starts an origin, then in turn the bare proxy and `portcullis run`, each in a
//! process of its own with one worker, and sends both the same requests over the same number of
//! connections. What is compared is the time that the process spent on a core, as the kernel counts it, in
//! all its threads: unlike a rate or a latency it does not depend on how much of the machine the load
//! generator was left with. benches/README.md has the cost model and the figures.
//!
//! The origin and the bare proxy are this program again, under a subcommand. So the bare proxy is built with
//! the same profile, features and allocator as the gateway.

mod bare;
mod client;
mod compare;
mod origin;
mod process;
mod report;
mod variant;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use compare::Plan;
use variant::Variant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Anything that makes a measurement worthless. There is nothing to do about it but to tell it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares CPU time per request with that of a bare Pingora proxy.
#[derive(Parser)]
#[command(name = "load")]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,

    /// What is measured, in turn; the first is what the others are compared with
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Variant::Bare, Variant::Full])]
    variants: Vec<Variant>,

    /// How often each is measured; one more round goes before and is thrown away
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// Requests in a round, beside those that warm the process up
    #[arg(long, default_value_t = 30_000)]
    requests: usize,

    /// Keep-alive connections, each with one request at a time
    #[arg(long, default_value_t = 32)]
    connections: usize,

    /// Leave the choice of cores to the system
    #[arg(long)]
    no_pin: bool,

    /// Fail if any variant's median is more than this many times the first one's
    #[arg(long)]
    at_most: Option<f64>,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program is when it starts itself.
#[derive(Subcommand)]
enum Role {
    /// Answer every request, on a port told on standard output
    #[command(hide = true)]
    Origin,
    /// Forward every request
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        origin: SocketAddr,
        #[arg(long)]
        timeouts: bool,
        #[arg(long)]
        no_stealing: bool,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.role {
        Some(Role::Origin) => return origin::run().map(|()| ExitCode::SUCCESS),
        Some(Role::Bare { listen, origin, timeouts, no_stealing }) => {
            bare::run(listen, origin, timeouts, !no_stealing)
        }
        None => {}
    }
    if !args.bench {
        // `cargo test --all-targets` runs this too; a measurement there would say nothing and take minutes.
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan {
        variants: args.variants,
        rounds: args.rounds.max(1),
        requests: args.requests.max(1),
        connections: args.connections.max(1),
        pin: !args.no_pin,
    };
    let results = compare::compare(&plan)?;
    let text = report::summary(&plan, &results);
    writeln!(io::stdout(), "{text}")?;
    match args.at_most {
        Some(bound) if report::worst_ratio(&results) > bound => {
            writeln!(io::stdout(), "above the bound of {bound}")?;
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
