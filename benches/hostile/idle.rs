//! Connections that have had a request, and rest: what each holds, and whether they are reaped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;
use crate::gateway::{Gateway, HTTP2_IDLE, IDLE};

/// The most memory that one of HTTP/1.1 may hold, in bytes.
const MOST: u64 = 40 << 10;

#[derive(Clone, Copy)]
enum Kind {
    /// HTTP/1.1 as it is.
    Plain,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// HTTP/2 over TLS.
    Http2Tls,
}

/// A connection that rests.
trait Rests: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Rests for T {}

enum Open {
    Http1(#[expect(dead_code, reason = "held open")] Box<dyn Rests>),
    Http2(#[expect(dead_code, reason = "held open")] http2::SendRequest<Empty<Bytes>>),
}

/// Measures all kinds. Whether the bound holds, and all were reaped.
pub async fn measure(origin: SocketAddr, count: usize, reap: bool) -> Result<bool, Failure> {
    tell!(
        "| idle, after one request each | connections | bytes of RSS each | reaped after | left in MiB |\n|---|---|---|---|---|"
    );
    let mut good = true;
    for (kind, name) in [
        (Kind::Plain, "HTTP/1.1"),
        (Kind::Tls, "HTTP/1.1 over TLS"),
        (Kind::Http2, "HTTP/2"),
        (Kind::Http2Tls, "HTTP/2 over TLS"),
    ] {
        // Each has a process of its own: what one leaves behind in the allocator would hide the next.
        let mut gateway = Gateway::start(origin)?;
        let tls = client();
        // What is there for any number, such as the connections to the origin.
        drop(open(&gateway, kind, &tls, count.min(64)).await?);
        settle(&gateway, 0).await?;
        let before = gateway.resident()?;
        let began = Instant::now();
        let all = open(&gateway, kind, &tls, count).await?;
        settle(&gateway, count as u64).await?;
        let held = gateway.resident()?.saturating_sub(before) * 1024 / count as u64;
        let wait = match kind {
            Kind::Plain | Kind::Tls => IDLE,
            Kind::Http2 | Kind::Http2Tls => HTTP2_IDLE,
        };
        let reaped = if reap {
            tokio::time::sleep(wait.saturating_sub(began.elapsed())).await;
            settle(&gateway, 0).await?;
            format!("{:.0?}", began.elapsed())
        } else {
            "-".to_owned()
        };
        drop(all);
        // The allocator gives back what it does not use after some seconds.
        tokio::time::sleep(Duration::from_secs(if reap { 15 } else { 1 })).await;
        let left = gateway.resident()?.saturating_sub(before);
        gateway.still_runs()?;
        tell!("| {name} | {count} | {held} | {reaped} | {} |", crate::floods::tenths(left));
        good &= held <= MOST || !matches!(kind, Kind::Plain);
    }
    Ok(good)
}

/// Waits until so many are open.
async fn settle(gateway: &Gateway, count: u64) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(120);
    while gateway.open().await? != count {
        if Instant::now() > until {
            return Err(format!("{} are open instead of {count}", gateway.open().await?).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn open(
    gateway: &Gateway,
    kind: Kind,
    tls: &Arc<rustls::ClientConfig>,
    count: usize,
) -> Result<Vec<Open>, Failure> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let some = (0..64.min(count - all.len())).map(|_| one(gateway, kind, tls));
        for open in futures::future::join_all(some).await {
            all.push(open?);
        }
    }
    Ok(all)
}

async fn one(
    gateway: &Gateway,
    kind: Kind,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Open, Failure> {
    let (address, alpn) = match kind {
        Kind::Plain | Kind::Http2 => (gateway.plain, None),
        Kind::Tls => (gateway.secure, Some(b"http/1.1".to_vec())),
        Kind::Http2Tls => (gateway.secure, Some(b"h2".to_vec())),
    };
    let stream = TcpStream::connect(address).await?;
    let mut stream: Box<dyn Rests> = match alpn {
        None => Box::new(stream),
        Some(alpn) => {
            let mut config = rustls::ClientConfig::clone(tls);
            config.alpn_protocols = vec![alpn];
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            Box::new(connector.connect(ServerName::try_from("bench.test")?, stream).await?)
        }
    };
    if matches!(kind, Kind::Http2 | Kind::Http2Tls) {
        let (mut requests, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = http::Request::get("http://bench.test/").body(Empty::new())?;
        let answer = requests.send_request(request).await?;
        http_body_util::BodyExt::collect(answer.into_body()).await?;
        return Ok(Open::Http2(requests));
    }
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench.test\r\nAccept: */*\r\n\r\n").await?;
    stream.flush().await?;
    let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
    while !seen.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut buffer).await? {
            0 => return Err("a connection was closed".into()),
            n => seen.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(Open::Http1(stream))
}

/// Clients of TLS that take any certificate: this one was made a moment ago.
fn client() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
