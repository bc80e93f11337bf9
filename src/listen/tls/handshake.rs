//! A handshake: from a socket to a stream and what is known of its other end, or to the reason why not.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::{Error, HandshakeKind, InvalidMessage, ProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{ClientCertificate, Tls};
use crate::listen::refusal::Refusal;

/// A fatal alert of the kind `unrecognized_name` (RFC 6066, section 3), which the library has no way to send.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// What is known of a connection that TLS protects.
#[derive(Debug)]
pub struct TlsFacts {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The cipher suite, as the standards name it.
    pub cipher: &'static str,
    /// The name that the client asked for (SNI), in lower case.
    pub name: Option<Box<str>>,
    /// The client's certificate, verified.
    pub client: Option<Arc<ClientCertificate>>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// The version's number.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// A handshake that was done.
pub(in crate::listen) struct Done {
    pub stream: Box<TlsStream<TcpStream>>,
    pub facts: TlsFacts,
    pub http2: bool,
    pub resumed: bool,
}

/// Why one was not, in a word and in the library's own words.
pub(in crate::listen) type NotDone = (Refusal, String);

/// Shakes hands with a client, within the time that the configuration gives.
pub(in crate::listen) async fn shake_hands(stream: TcpStream, tls: &Tls) -> Result<Done, NotDone> {
    let deadline = Instant::now() + tls.timeout;
    match timeout_at(deadline, greet(stream, tls)).await {
        Ok(done) => done,
        Err(_) => Err((Refusal::TlsTimeout, String::new())),
    }
}

async fn greet(stream: TcpStream, tls: &Tls) -> Result<Done, NotDone> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let mut hello = hello.await.map_err(|error| why_not(&error, true))?;
    let asked = hello.client_hello();
    let name = asked.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
    if tls.refuse_unknown && !name.as_deref().is_some_and(|name| tls.certificates.covers(name)) {
        let _ = hello.io.write_all(&UNRECOGNIZED_NAME).await;
        return Err((Refusal::TlsUnknownName, name.map_or_else(String::new, String::from)));
    }
    let stream = hello.into_stream(Arc::clone(&tls.server)).await;
    let stream = Box::new(stream.map_err(|error| why_not(&error, false))?);
    let session = stream.get_ref().1;
    let client = match session.peer_certificates().and_then(<[_]>::first) {
        None => None,
        Some(der) => {
            let refused = |why: &str| (Refusal::TlsCertificateRefused, why.to_owned());
            let certificate =
                ClientCertificate::parse(der).ok_or_else(|| refused("it is broken"))?;
            if let Some(why) = tls.doubt(&certificate, SystemTime::now()) {
                return Err(refused(why));
            }
            Some(Arc::new(certificate))
        }
    };
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    let suite = session.negotiated_cipher_suite();
    let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    let http2 = session.alpn_protocol() == Some(b"h2");
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(Done { facts: TlsFacts { version, cipher, name, client }, http2, resumed, stream })
}

/// The reason of a handshake that failed; `first` if not even its first message could be read.
fn why_not(error: &io::Error, first: bool) -> NotDone {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) else {
        return (Refusal::TlsClosed, String::new());
    };
    let refusal = match cause {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        )
        | Error::InappropriateMessage { .. }
            if first =>
        {
            Refusal::TlsNotTls
        }
        Error::PeerIncompatible(_) => Refusal::TlsNothingInCommon,
        Error::NoApplicationProtocol => Refusal::TlsNoProtocol,
        Error::NoCertificatesPresented => Refusal::TlsCertificateMissing,
        Error::InvalidCertificate(_) => Refusal::TlsCertificateRefused,
        Error::AlertReceived(_) => Refusal::TlsAlert,
        _ => Refusal::TlsBroken,
    };
    (refusal, cause.to_string())
}
