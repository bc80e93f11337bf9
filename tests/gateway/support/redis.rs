//! A real Redis, in a process of its own, that keeps nothing on the disk.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::process::free_ports;

/// The server. Dropping it kills it.
pub struct Redis {
    pub address: SocketAddr,
    arguments: Vec<String>,
    child: Option<Child>,
    _folder: tempfile::TempDir,
}

/// What `scripts/install-deps test` has installed.
fn program() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/redis/redis-server");
    if unpacked.exists() { unpacked } else { "redis-server".into() }
}

impl Redis {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with more arguments; `PORT` in them is the one that it gets.
    pub async fn with(more: &[&str]) -> Self {
        Self::at(free_ports(1), more).await
    }

    /// The same at this port.
    pub async fn at(port: u16, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned).into();
        arguments.extend(["--dir".to_owned(), folder.path().display().to_string()]);
        if !more.contains(&"--tls-port") {
            arguments.extend(["--port".to_owned(), port.to_string()]);
        }
        arguments.extend(more.iter().map(|one| one.replace("PORT", &port.to_string())));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut redis = Self { address, arguments, child: None, _folder: folder };
        redis.restart().await;
        redis
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        let child = Command::new(program())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server, which scripts/install-deps test installs");
        self.child = Some(child);
        let address = self.address;
        let listens = async || TcpStream::connect(address).await.is_ok();
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while !listens().await {
            let child = self.child.as_mut().unwrap();
            if tokio::time::Instant::now() > deadline || child.try_wait().unwrap().is_some() {
                let _ = child.kill();
                let mut said = String::new();
                let _ = child.stdout.take().unwrap().read_to_string(&mut said);
                panic!("redis-server does not start:\n{said}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP: connections are taken, and nothing is answered.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.as_ref().expect("it runs").id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// What it answers to one command, as it sends it.
    pub async fn ask(&self, command: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!("*{}\r\n", command.len());
        for word in command {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        text += "*1\r\n$4\r\nQUIT\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
