//! The rounds: one process after the other, in turn, each measured by the same requests.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::client::Load;
use crate::process::{self, Process};
use crate::variant::{self, Variant};
use crate::{Failure, report};

/// Requests that a fresh process answers before it is measured: until then its connections, pools and caches
/// are made.
const WARM_UP: usize = 5_000;
/// How long a log may take until the last line is in the file.
const LAST_LINE: Duration = Duration::from_secs(5);

/// What is measured, and how.
pub struct Plan {
    pub variants: Vec<Variant>,
    pub rounds: usize,
    pub requests: usize,
    pub connections: usize,
    pub pin: bool,
}

/// What one round found.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// CPU time per request in microseconds.
    pub cpu_us: f64,
    /// The part of it that the program spent outside the kernel; an estimate.
    pub user_us: f64,
    /// Requests a second; depends on the load generator too, and is for information only.
    pub rate: f64,
    /// Memory in use after the round, in KiB.
    pub resident_kib: u64,
}

/// All samples of one variant, in the order of the rounds.
pub struct Series {
    pub variant: Variant,
    pub samples: Vec<Sample>,
}

/// Runs all rounds. A line for each is written as it is found.
///
/// Each round has fresh processes: how a process lies in memory is luck that it keeps for life, and can be
/// worth a few per cent.
pub fn compare(plan: &Plan) -> Result<Vec<Series>, Failure> {
    let core = if plan.pin { process::last_core() } else { None };
    if core.is_some() {
        process::pin_self(0)?;
    }
    // One core is enough for the load, and leaves the other to the proxy.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (_origin, origin) = start_origin()?;
    let series = |variant: &Variant| Series { variant: *variant, samples: Vec::new() };
    let mut all: Vec<Series> = plan.variants.iter().map(series).collect();
    let mut out = io::stdout();
    write!(out, "{}", report::heading(plan, core))?;
    for round in 0..=plan.rounds {
        for series in &mut all {
            let sample = measure(plan, series.variant, origin, core, &runtime)?;
            series.samples.push(sample);
        }
        write!(out, "{}", report::line(round, &all))?;
        out.flush()?;
        if round == 0 {
            for series in &mut all {
                series.samples.clear();
            }
        }
    }
    Ok(all)
}

fn start_origin() -> Result<(Process, SocketAddr), Failure> {
    let mut command = process::program(&variant::own_path()?, None);
    let mut origin = Process::start(command.arg("origin").stdout(Stdio::piped()))?;
    let stdout = origin.stdout().ok_or("no pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok((origin, line.trim().parse()?))
}

fn measure(
    plan: &Plan,
    variant: Variant,
    origin: SocketAddr,
    core: Option<usize>,
    runtime: &Runtime,
) -> Result<Sample, Failure> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("access.log");
    let listen = process::free_address()?;
    let mut command = variant.command(listen, origin, folder.path(), core)?;
    // Warnings, such as of a route without a key, are meant here; they are shown if there is no start.
    let said = folder.path().join("stderr");
    let mut process = Process::start(command.stderr(File::create(&said)?))?;
    process
        .wait_until_listening(listen)
        .map_err(|error| format!("{error}\n{}", fs::read_to_string(&said).unwrap_or_default()))?;

    let checked = runtime.block_on(variant.verify(listen))?;
    let mut load = runtime.block_on(Load::open(listen, plan.connections))?;
    runtime.block_on(load.run(WARM_UP))?;
    let logged = |requests| if variant.logs() { wait_for_lines(&log, requests) } else { Ok(()) };
    logged(checked + WARM_UP)?;

    let before = process.usage()?;
    let took = runtime.block_on(load.run(plan.requests))?;
    // Writing the last lines is part of the cost.
    logged(checked + WARM_UP + plan.requests)?;
    let used = process.usage()?.since(&before)?;
    let requests = f64::from(u32::try_from(plan.requests)?);
    let cpu_us = used.total.as_secs_f64() * 1e6 / requests;
    Ok(Sample {
        cpu_us,
        user_us: cpu_us * (1.0 - used.kernel),
        rate: requests / took.as_secs_f64(),
        resident_kib: process.resident_kib()?,
    })
}

/// Waits until a log has exactly this many lines. One that drops lines would be too cheap.
fn wait_for_lines(log: &Path, wanted: usize) -> Result<(), Failure> {
    let until = Instant::now() + LAST_LINE;
    loop {
        let lines = memchr::memchr_iter(b'\n', &fs::read(log)?).count();
        if lines == wanted {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("{lines} lines in the log after {wanted} requests").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
