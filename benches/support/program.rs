//! `portcullis run` in a process of its own, for the benches that start one.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Failure;

/// The program, which ends with this.
pub struct Program {
    pub child: Child,
    admin: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts it by this text in this folder, and waits until it listens at `address`.
    pub fn start(
        folder: tempfile::TempDir,
        text: &str,
        address: SocketAddr,
        admin: SocketAddr,
        errors: Stdio,
    ) -> Result<Self, Failure> {
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, text)?;
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("run")
            .arg(&file)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()?;
        let mut program = Self { child, admin, _folder: folder };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            program.still_runs()?;
            if Instant::now() > until {
                return Err("the gateway does not listen".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(program)
    }

    /// An error if it has ended.
    pub fn still_runs(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("the gateway ended: {status}").into()),
            None => Ok(()),
        }
    }

    /// What it tells of itself.
    pub async fn metrics(&self) -> Result<String, Failure> {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on which nobody listens now.
pub fn free() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
