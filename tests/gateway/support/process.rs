//! Real processes: backends that can be killed, and the program itself as users start it.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::{eventually, origin, secrets};

const NAME: &str = "TEST_BACKEND_NAME";
const ADDRESS: &str = "TEST_BACKEND_ADDRESS";
const FOLDER: &str = "TEST_BACKEND_FOLDER";

/// A service in a process of its own. It answers with its name, after `?ms=` milliseconds, and notes the body
/// of every POST in a file before it answers, so that the note outlives it. Dropping this kills it.
pub struct Backend {
    pub address: SocketAddr,
    name: &'static str,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Backend {
    /// Starts one at an address that the system chooses.
    pub async fn start(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut backend = Self { address, name, folder, child: None };
        backend.restart().await;
        backend
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Brings it back at the address that it had.
    pub async fn restart(&mut self) {
        let told = self.folder.path().join("address");
        let _ = std::fs::remove_file(&told);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "support::process::backend_process"])
            .env(NAME, self.name)
            .env(ADDRESS, self.address.to_string())
            .env(FOLDER, self.folder.path())
            // It ends when this closes, so that it never outlives a test that was killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        eventually("the backend process listens", async || told.exists()).await;
        self.address = std::fs::read_to_string(&told).unwrap().parse().unwrap();
    }

    /// The bodies of the POSTs it got, in all its lives.
    pub fn posts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("posts")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Not a test: what runs in a [`Backend`]'s process.
#[test]
#[ignore = "the body of backend processes, which other tests start"]
fn backend_process() {
    let Ok(name) = std::env::var(NAME) else { return };
    let address = std::env::var(ADDRESS).unwrap().parse().unwrap();
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(Bytes::from(name), address, &folder));
}

async fn serve(name: Bytes, address: SocketAddr, folder: &Path) {
    let listener = origin::listen(address);
    let (told, draft) = (folder.join("address"), folder.join("draft"));
    std::fs::write(&draft, listener.local_addr().unwrap().to_string()).unwrap();
    std::fs::rename(draft, told).unwrap();
    let posts = std::fs::File::options().create(true).append(true).open(folder.join("posts"));
    let posts = Arc::new(posts.unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (name, posts) = (name.clone(), posts.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(name.clone(), posts.clone(), request));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    name: Bytes,
    posts: Arc<std::fs::File>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    if head.method == Method::POST {
        (&*posts).write_all(&[&body[..], b"\n"].concat()).unwrap();
    }
    if let Some(ms) = head.uri.query().and_then(|query| query.strip_prefix("ms=")) {
        tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
    }
    Ok(Response::new(Full::new(name)))
}

/// The program, started as a user would. Dropping it kills it.
pub struct Program {
    child: Child,
    output: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it with these arguments. Its log is as loud as can be.
    pub fn start(arguments: &[&str]) -> Self {
        Self::fed(arguments, "")
    }

    /// The same with something on standard input.
    pub fn fed(arguments: &[&str], input: &str) -> Self {
        Self::begin(arguments, input, &[])
    }

    /// The same with these variables in its environment; an empty filter of the log is none.
    pub fn told(arguments: &[&str], env: &[(&str, &str)]) -> Self {
        Self::begin(arguments, "", env)
    }

    fn begin(arguments: &[&str], input: &str, env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .env("PORTCULLIS_LOG", "trace")
            .env_remove("DEMO_GATEWAY_SECRET")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let (output, errors) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), &output),
            collect(child.stderr.take().unwrap(), &errors),
        ];
        Self { child, output, errors, readers }
    }

    /// Runs it to its end.
    pub async fn run(arguments: &[&str]) -> Ended {
        Self::start(arguments).ended().await
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to standard output so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// What it has written to standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until standard error has this in it.
    pub async fn says(&self, words: &str) {
        eventually(&format!("{words:?} on standard error"), async || self.errors().contains(words))
            .await;
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        eventually("the program ends", async || !self.runs()).await;
        let code = self.child.wait().unwrap().code();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { code, output: self.output(), errors: self.errors() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        secrets::none_in("a program's standard output", &self.output());
        secrets::none_in("a program's standard error", &self.errors());
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

fn collect(mut from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let to = to.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    })
}

/// The first of a run of ports on which nobody listens now; every call gives another run.
pub fn free_ports(length: u16) -> u16 {
    /// Below the range from which the system hands out ports, and apart for processes that run side by side.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 600).unwrap() * 20;
    let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..200 {
        let first = start + NEXT.fetch_add(20, Ordering::Relaxed);
        if (first..first + length).all(free) {
            return first;
        }
    }
    panic!("no {length} free ports")
}
