//! The gateway in a process of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::auth::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Failure;
use crate::load::{PLANS, key};

/// The gateway, which ends with this.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts it before a service, with this at its upstream.
    pub fn start(service: SocketAddr, at_upstream: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (address, admin) = (free()?, free()?);
        let consumer = |plan: &str| {
            let digest = Digest::of(key(plan).as_bytes());
            format!("  {plan}: {{ plan: {plan}, api_keys: [ \"{digest}\" ] }}\n")
        };
        let consumers: String = PLANS.iter().map(|(plan, _)| consumer(plan)).collect();
        let text = format!(
            "version: 1\nlogs: {{ access: \"off\" }}\nadmin: {{ address: \"{admin}\" }}\n\
             listeners: {{ public: {{ address: \"{address}\" }} }}\n\
             connections: {{ per_client: 20000 }}\n\
             upstreams: {{ u: {{ targets: [ \"{service}\" ], health: none, {at_upstream} }} }}\n\
             plans: {{ high: {{ priority: high }}, normal: {{}}, low: {{ priority: low }} }}\n\
             consumers:\n{consumers}routes: {{ all: {{ path: /, to: u }} }}\n"
        );
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, text)?;
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("run")
            .arg(&file)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()?;
        let mut gateway = Self { child, address, admin, _folder: folder };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = gateway.child.try_wait()? {
                return Err(format!("the gateway ended: {status}").into());
            }
            if Instant::now() > until {
                return Err("the gateway does not listen".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }

    /// The limit that it has found, or a dash.
    pub async fn limit(&self) -> Result<String, Failure> {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let of = |line: &str| {
            line.strip_prefix("portcullis_concurrency_limit{")?
                .rsplit(' ')
                .next()
                .map(str::to_owned)
        };
        Ok(text.lines().find_map(of).unwrap_or_else(|| "-".to_owned()))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
