//! What a large configuration costs to load, and what reloading it costs those who are served meanwhile.
//!
//! `cargo bench --bench reload` makes 10,000 routes over 100 upstreams and a file of 1,000,000 keys. First they
//! are loaded some times, as `portcullis check` does it. Then `portcullis run` serves them in a process of its
//! own to a light load (1,000 requests a second over 8 connections, each with an API key), in turn calm and
//! with one reload after another; each of them finds other routes *and* other keys. What is compared is the
//! 99th percentile of all latencies. A request that waited for the one before it counts from the time at
//! which it was due. `--check` fails above 2 s for a load, and above twice the calm latency.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis::auth::Digest;
use portcullis::loading;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Anything that makes a measurement worthless. There is nothing to do about it but to tell it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const KEY: &str = "pk_the-one-key-that-is-used-by-the-load-00001";
/// The bounds.
const LOAD: Duration = Duration::from_secs(2);
const RATIO: f64 = 2.0;

/// Measures loads and reloads of a large configuration.
#[derive(Parser)]
#[command(name = "reload")]
struct Args {
    /// Routes
    #[arg(long, default_value_t = 10_000)]
    routes: usize,
    /// Keys in the keys file
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// Keep the keys as they are over the reloads
    #[arg(long)]
    same_keys: bool,
    /// How often it is loaded, and how often calm and reloads are measured in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each of them lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Requests a second, of all connections together
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Keep-alive connections
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Fail above the bounds
    #[arg(long)]
    check: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Failure> {
    let mut out = io::stdout();
    let files = Files::make(args)?;
    let load = measure_load(&files, args, &mut out)?;
    let mut gateway = Gateway::start(&files)?;
    let (mut calm, mut busy, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reloads, mut slowest) = (0, Duration::ZERO);
    // What is not warm yet counts for nothing.
    measure(files.public, args, Duration::from_secs(1), || Ok(()))?;
    for _ in 0..args.rounds {
        let length = Duration::from_secs(args.seconds);
        let mut one = measure(files.public, args, length, || Ok(()))?;
        let mut turn = || {
            let took = files.reload()?;
            reloads += 1;
            slowest = slowest.max(took);
            Ok(())
        };
        let mut other = measure(files.public, args, length, &mut turn)?;
        ratios.push(percentile(&mut other, 99.0).div_duration_f64(percentile(&mut one, 99.0)));
        calm.extend(one);
        busy.extend(other);
    }
    gateway.still_runs()?;
    report(&mut out, "calm", &mut calm)?;
    report(&mut out, "reloading", &mut busy)?;
    writeln!(out, "{reloads} reloads, the slowest took {slowest:.1?}")?;
    let ratio = percentile(&mut busy, 99.0).div_duration_f64(percentile(&mut calm, 99.0));
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    writeln!(out, "p99 reloading over calm: {ratio:.2}, median of the rounds {median:.2}")?;
    Ok(!args.check || (load <= LOAD && ratio <= RATIO))
}

fn measure_load(files: &Files, args: &Args, out: &mut impl io::Write) -> Result<Duration, Failure> {
    let mut took = Vec::new();
    for _ in 0..args.rounds {
        let began = Instant::now();
        let (loaded, _) = loading::load_after(None, &files.file);
        took.push(began.elapsed());
        let compiled = loaded.compiled.ok_or_else(|| loaded.diagnostics.render("it"))?;
        assert_eq!(compiled.snapshot.routes.len(), args.routes);
        assert_eq!(compiled.snapshot.auth.keys(), args.keys);
    }
    took.sort();
    let (median, first, last) = (took[took.len() / 2], took[0], took[took.len() - 1]);
    let (routes, keys) = (args.routes, args.keys);
    writeln!(
        out,
        "load of {routes} routes and {keys} keys: {median:.1?} ({first:.1?} to {last:.1?})"
    )?;
    Ok(median)
}

/// Two configurations with a file of keys each, and a link that is one or the other.
struct Files {
    folder: tempfile::TempDir,
    file: PathBuf,
    public: SocketAddr,
    second: AtomicBool,
}

impl Files {
    fn make(args: &Args) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let public = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let origin = serve()?;
        for turn in 0..2_u64 {
            let keys = if args.same_keys { 0 } else { turn };
            write_keys(&folder.path().join(format!("keys-{turn}")), args.keys, turn)?;
            let text = configuration(folder.path(), args.routes, public, origin, turn, keys);
            std::fs::write(folder.path().join(format!("gateway-{turn}.yaml")), text)?;
        }
        let file = folder.path().join("gateway.yaml");
        std::os::unix::fs::symlink("gateway-0.yaml", &file)?;
        Ok(Self { folder, file, public, second: AtomicBool::new(false) })
    }

    /// Puts the other one in force, and tells how long that took.
    fn reload(&self) -> Result<Duration, Failure> {
        let now = !self.second.fetch_xor(true, Ordering::Relaxed);
        let draft = self.folder.path().join("draft");
        std::os::unix::fs::symlink(format!("gateway-{}.yaml", u8::from(now)), &draft)?;
        std::fs::rename(draft, &self.file)?;
        let began = Instant::now();
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock"))?;
        stream.write_all(b"POST /reload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(format!("the reload was refused: {answer}").into());
        }
        Ok(began.elapsed())
    }
}

fn configuration(
    folder: &Path,
    routes: usize,
    public: SocketAddr,
    origin: SocketAddr,
    turn: u64,
    keys: u64,
) -> String {
    let mut text = format!(
        "version: 1\nlisteners: {{ public: {{ address: \"{public}\" }} }}\n\
         admin: {{ address: \"unix:{}\" }}\nlogs: {{ access: \"off\" }}\n\
         auth: {{ key: {{ api_key: {{ keys_file: keys-{keys} }} }} }}\nupstreams:\n",
        folder.join("admin.sock").display()
    );
    let upstreams = 100.min(routes);
    for number in 0..upstreams {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  service-{number}: {{ targets: [ \"{origin}\" ], health: none }}");
    }
    text.push_str("routes:\n");
    for number in 0..routes {
        let _ = writeln!(
            text,
            "  # The routes of team {number}.\n  team-{number}-orders:\n    path: /team-{number}/v1/orders\n    \
             methods: [ GET, POST ]\n    to: service-{}\n    strip_prefix: /team-{number}\n    \
             request_headers:\n      set: {{ X-Team: \"{number}\", X-Turn: \"{turn}\" }}",
            number % upstreams
        );
    }
    text
}

/// Digests of one key and of others that nobody has.
fn write_keys(file: &Path, count: usize, turn: u64) -> io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    writeln!(out, "{} load", Digest::of(KEY.as_bytes()))?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 + turn;
    for number in 1..count {
        write!(out, "sha256:")?;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            write!(out, "{state:016x}")?;
        }
        writeln!(out, " consumer-{}", number % 1000)?;
    }
    out.flush()
}

/// A service that gives every request the same answer.
fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut seen = Vec::new();
    loop {
        if !read_until(&mut stream, &mut seen, b"\r\n\r\n")? {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
}

/// Reads until this has come, and forgets all up to it. Whether it came.
fn read_until(stream: &mut TcpStream, seen: &mut Vec<u8>, end: &[u8]) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = memchr::memmem::find(seen, end) {
            seen.drain(..at + end.len());
            return Ok(true);
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(false),
            n => seen.extend_from_slice(&buffer[..n]),
        }
    }
}

/// The program, killed when it is dropped.
struct Gateway(Child);

impl Gateway {
    fn start(files: &Files) -> Result<Self, Failure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let mut gateway = Self(
            command
                .arg("run")
                .arg(&files.file)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(files.public).is_err() {
            gateway.still_runs()?;
            if Instant::now() > until {
                return Err("the gateway does not listen".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }

    fn still_runs(&mut self) -> Result<(), Failure> {
        match self.0.try_wait()? {
            Some(status) => Err(format!("the gateway ended: {status}").into()),
            None => Ok(()),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The latencies of all requests while `work` is done again and again.
fn measure(
    address: SocketAddr,
    args: &Args,
    length: Duration,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<Duration>, Failure> {
    let until = Instant::now() + length;
    let every = Duration::from_secs(1) * args.connections / args.rate;
    let routes = args.routes;
    let clients: Vec<_> = (0..args.connections)
        .map(|number| {
            let offset = every * number / args.connections;
            thread::spawn(move || client(address, routes, every, offset, until))
        })
        .collect();
    while Instant::now() < until {
        work()?;
        // Calm has nothing to do, and must not do it all the time.
        thread::sleep(Duration::from_millis(50));
    }
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.join().map_err(|_| "a client broke off")??);
    }
    Ok(all)
}

fn client(
    address: SocketAddr,
    routes: usize,
    every: Duration,
    offset: Duration,
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    // Another answer than the expected one does not end either.
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut due, mut seen, mut all) = (Instant::now() + offset, Vec::new(), Vec::new());
    let mut number = 0_usize;
    while due < until {
        let late = Instant::now() >= due;
        if !late {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let began = if late { due } else { Instant::now() };
        number = (number + 7919) % routes;
        let request = format!(
            "GET /team-{number}/v1/orders?page=1 HTTP/1.1\r\nHost: bench.test\r\nX-Api-Key: {KEY}\r\n\
             Accept: application/json\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        if !read_until(&mut stream, &mut seen, b"\r\n\r\nok")? {
            return Err("a connection was closed".into());
        }
        all.push(began.elapsed());
        due += every;
    }
    Ok(all)
}

/// So many percent of all are as fast as this; the values are sorted by it.
fn percentile(all: &mut [Duration], percent: f64) -> Duration {
    all.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index among thousands"
    )]
    let index = (all.len() as f64 * percent / 100.0) as usize;
    all.get(index.min(all.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn report(out: &mut impl io::Write, what: &str, all: &mut [Duration]) -> io::Result<()> {
    let [half, most, nearly, last] = [50.0, 99.0, 99.9, 100.0].map(|p| percentile(all, p));
    writeln!(
        out,
        "{what}: {} requests, p50 {half:.1?}, p99 {most:.1?}, p99.9 {nearly:.1?}, slowest {last:.1?}",
        all.len()
    )
}
