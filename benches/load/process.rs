//! Processes that are measured: started, watched through /proc, and ended with their owner.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::Failure;

/// How long a process may take until it listens.
const START: Duration = Duration::from_secs(10);
/// The unit of the times in /proc/PID/stat. It is 100 a second for programs, whatever the kernel's own is.
const TICK: Duration = Duration::from_millis(10);

/// A running program, killed when it is dropped.
pub struct Process {
    child: Child,
}

/// What a process has used so far.
pub struct Usage {
    /// Nanoseconds on a core, by thread.
    threads: HashMap<String, u64>,
    /// The same for the whole process with the threads that have ended, in coarse units: in the program, and
    /// in the kernel.
    user_ticks: u32,
    system_ticks: u32,
}

/// What it has used between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Time on a core.
    pub total: Duration,
    /// The share of it that was spent in the kernel, from 0 to 1; an estimate by the kernel's clock.
    pub kernel: f64,
}

/// A program to be started on a core of its own, if a core is named.
pub fn program(path: &str, core: Option<usize>) -> Command {
    let mut words = Vec::new();
    // If this program is killed itself, nothing is left that could end the others.
    if is_there("setpriv") {
        words.extend(["setpriv".to_owned(), "--pdeathsig".to_owned(), "KILL".to_owned()]);
    }
    if let Some(core) = core {
        words.extend(["taskset".to_owned(), "-c".to_owned(), core.to_string()]);
    }
    words.push(path.to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The core that a proxy can have for itself; `None` if there is but one, or no means of pinning to it. To be
/// asked before this process is pinned itself.
pub fn last_core() -> Option<usize> {
    let cores = thread::available_parallelism().ok()?.get();
    (cores > 1 && is_there("taskset")).then(|| cores - 1)
}

/// Moves this process, and what it starts later without a core of its own, to a core.
pub fn pin_self(core: usize) -> Result<(), Failure> {
    let (core, own) = (core.to_string(), std::process::id().to_string());
    let status =
        Command::new("taskset").args(["-apc", &core, &own]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("taskset refused; try --no-pin".into()) }
}

fn is_there(tool: &str) -> bool {
    let quiet =
        Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// An address on which nobody listens at the moment.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.stdin(Stdio::null()).spawn()? })
    }

    /// What it writes to standard output, if that was asked for.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it accepts connections.
    pub fn wait_until_listening(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let until = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the process ended before it served: {status}").into());
            }
            if Instant::now() > until {
                return Err(format!("nobody listens on {address}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// CPU time so far. The kernel adds a thread's time when it leaves the core, so that it is exact while
    /// the process is idle.
    pub fn usage(&self) -> Result<Usage, Failure> {
        let folder = format!("/proc/{}", self.child.id());
        let mut threads = HashMap::new();
        for entry in fs::read_dir(format!("{folder}/task"))? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path().join("schedstat"))?;
            let nanoseconds = text.split(' ').next().ok_or("an empty schedstat")?.parse()?;
            threads.insert(entry.file_name().to_string_lossy().into_owned(), nanoseconds);
        }
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name, in brackets, may hold blanks. After it, utime and stime are the 12th and 13th words.
        let (_, rest) = stat.rsplit_once(") ").ok_or("a stat without a name")?;
        let mut words = rest.split(' ').skip(11).map(str::parse);
        let mut ticks = || words.next().ok_or("a stat without times");
        let (user_ticks, system_ticks) = (ticks()??, ticks()??);
        Ok(Usage { threads, user_ticks, system_ticks })
    }

    /// Memory in use, in KiB.
    pub fn resident_kib(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // If it has ended already, that is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Usage {
    /// The CPU time used between an earlier moment and this one.
    pub fn since(&self, before: &Self) -> Result<Used, Failure> {
        let threads = self.threads.iter().map(|(thread, now)| {
            now.saturating_sub(before.threads.get(thread).copied().unwrap_or(0))
        });
        let total = Duration::from_nanos(threads.sum());
        let user = TICK * (self.user_ticks - before.user_ticks);
        let kernel = TICK * (self.system_ticks - before.system_ticks);
        let coarse = user + kernel;
        // A thread that ended meanwhile took its time with it; then the two do not agree.
        if total.abs_diff(coarse) > 3 * TICK {
            return Err(format!("threads used {total:?}, but the process {coarse:?}").into());
        }
        let kernel = if coarse.is_zero() { 0.0 } else { kernel.div_duration_f64(coarse) };
        Ok(Used { total, kernel })
    }
}
