//! The gateway in a process of its own, and the origin behind it in this one.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};

use crate::Failure;
use crate::program::{Program, free};

/// What an answer of `/large` is made of.
pub const LARGE: usize = 16 << 20;

/// How long clients may take, as far as this bench waits for it.
pub const HEAD: Duration = Duration::from_secs(5);
pub const STALL: Duration = Duration::from_secs(5);
pub const IDLE: Duration = Duration::from_secs(60);
pub const TOTAL: Duration = Duration::from_secs(15);
/// These have no keys.
pub const HTTP2_OPENING: Duration = Duration::from_secs(10);
pub const HTTP2_IDLE: Duration = Duration::from_secs(75);

/// The gateway, which ends with this.
pub struct Gateway {
    program: Program,
    pub plain: SocketAddr,
    pub secure: SocketAddr,
}

impl Gateway {
    /// Starts it, before an origin at `origin`.
    pub fn start(origin: SocketAddr) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["bench.test".to_owned()])?.self_signed(&key)?;
        fs::write(folder.path().join("bench.pem"), certificate.pem())?;
        fs::write(folder.path().join("bench.key"), key.serialize_pem())?;
        let (plain, secure, admin) = (free()?, free()?, free()?);
        let timeouts = format!(
            "timeouts: {{ head: {}s, stall: {}s, idle: {}s }}",
            HEAD.as_secs(),
            STALL.as_secs(),
            IDLE.as_secs()
        );
        let text = format!(
            "version: 1\nlogs: {{ access: \"off\" }}\nadmin: {{ address: \"{admin}\" }}\nlisteners:\n  \
             plain: {{ address: \"{plain}\", {timeouts}, min_rate: 16KiB }}\n  \
             secure:\n    address: \"{secure}\"\n    {timeouts}\n    \
             tls: {{ certificates: [ {{ cert: bench.pem, key: bench.key }} ] }}\n\
             upstreams:\n  origin: {{ targets: [ \"{origin}\" ], timeouts: {{ total: {}s }} }}\n\
             routes: {{ all: {{ path: /, to: origin, auth: none }} }}\n",
            TOTAL.as_secs()
        );
        let program = Program::start(folder, &text, plain, admin, Stdio::null())?;
        Ok(Self { program, plain, secure })
    }

    /// An error if it has ended.
    pub fn still_runs(&mut self) -> Result<(), Failure> {
        self.program.still_runs()
    }

    /// Its memory, in KiB.
    pub fn resident(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// How many client connections it counts as open.
    pub async fn open(&self) -> Result<u64, Failure> {
        let text = self.program.metrics().await?;
        let open = text.lines().filter(|line| line.starts_with("portcullis_connections_open{"));
        let values = open.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// How many clients it has cut because they took nothing of an answer.
    pub async fn slow_readers(&self) -> Result<usize, Failure> {
        let text = self.program.metrics().await?;
        let series = "portcullis_clients_refused_total{reason=\"slow_reader\"} ";
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.parse().ok());
        value.ok_or_else(|| "no count of slow readers".into())
    }
}

/// An origin that takes what it is sent, and answers `ok`, or very much.
pub async fn origin() -> Result<SocketAddr, Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let large = Bytes::from(vec![b'x'; LARGE]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let large = large.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let large = large.clone();
                async move {
                    let (head, mut body) = request.into_parts();
                    while let Some(Ok(_)) = body.frame().await {}
                    let body =
                        if head.uri.path() == "/large" { large } else { Bytes::from_static(b"ok") };
                    Ok::<_, Infallible>(Response::new(Full::new(body)))
                }
            });
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    Ok(address)
}
