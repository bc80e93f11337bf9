//! The gateway as a process of its own, whose memory can be read.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::{Running, first};

/// `portcullis run` with a configuration of the test's.
pub(super) struct Process {
    pub(super) address: SocketAddr,
    running: Running,
    _folder: tempfile::TempDir,
}

/// What the system says of a process's memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// What it holds now.
    pub(super) resident: u64,
    /// The most that it ever held.
    pub(super) peak: u64,
}

impl Process {
    /// Starts it with this configuration, to which a listener, a log and the version are added.
    pub(super) async fn start(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.yaml");
        let log = folder.path().join("access.log");
        let text = format!(
            "version: 1\nworkers: 2\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
             logs: {{ access: {} }}\n{yaml}",
            log.display()
        );
        std::fs::write(&file, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("run")
            .arg(&file)
            .env_remove("PORTCULLIS_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stderr.take().unwrap();
        let running = Running(child);
        let address =
            first(out, |line| line.split_once("serving on ")?.1.trim().parse().ok()).await;
        Self { address, running, _folder: folder }
    }

    pub(super) fn memory(&self) -> Memory {
        let pid = self.running.0.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
        };
        Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }
}
