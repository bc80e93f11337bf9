//! One small HTTP client of our own, for what the gateway itself asks for: key sets, and services that judge
//! requests.
//!
//! It does one thing, within a deadline: a request, and an answer of bounded size. Redirects are not followed, since
//! they would lead where nobody has written that the gateway goes. Over TLS the server is verified by the
//! authorities of the system.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// So many unused connections are kept.
const MOST_IDLE: usize = 16;
/// For so long; most servers keep theirs for longer.
const IDLE: Duration = Duration::from_secs(4);

/// A body of which nothing counts is read up to so many bytes, for the connection's sake,
const WORTH_READING: usize = 16 << 10;
/// and for so long.
const WORTH_WAITING: Duration = Duration::from_millis(50);

/// Where something is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    tls: bool,
    host: String,
    port: u16,
    authority: HeaderValue,
    target: String,
}

/// A text that is not a URL for the gateway to ask. It never repeats the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is none.
    #[error("this is not a URL")]
    Syntax,
    /// It begins otherwise.
    #[error("the URL begins with neither https:// nor http://")]
    Scheme,
    /// A user name or password.
    #[error("the URL holds a user name or password")]
    Credentials,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none that can be asked.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidUrl::Syntax)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidUrl::Scheme),
        };
        let authority = uri.authority().ok_or(InvalidUrl::Syntax)?;
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || text.contains('#') {
            return Err(InvalidUrl::Syntax);
        }
        Ok(Self {
            text: text.to_owned(),
            tls,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidUrl::Syntax)?,
            target: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            host,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nobody on the way can read or change what is asked and answered: it goes over TLS, or does not leave
    /// the machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let ip = self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.tls || ip || self.host == "localhost"
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// By which method.
    pub method: Method,
    /// Headers beside Host.
    pub headers: HeaderMap,
    /// How long an answer may be, in bytes.
    pub most_body: usize,
    /// Whether only the head of an answer counts. Its body is read as far as that is worth keeping the connection for.
    pub head_only: bool,
}

impl Ask {
    /// A GET.
    #[must_use]
    pub fn get(most_body: usize) -> Self {
        Self { method: Method::GET, headers: HeaderMap::new(), most_body, head_only: false }
    }

    /// A GET of whose answer the body does not count.
    #[must_use]
    pub fn head_of_get() -> Self {
        Self { head_only: true, ..Self::get(WORTH_READING) }
    }
}

/// Why there was no answer. The texts are for the operator, never for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The answer was broken or cut off.
    #[error("no sound answer: {0}")]
    Broken(String),
    /// The answer was too long.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The time was over.
    #[error("no answer in time")]
    Timeout,
}

/// How the gateway calls itself.
const AGENT: HeaderValue = HeaderValue::from_static("portcullis");

type Sender = SendRequest<Full<Bytes>>;

/// Asks at one URL, and keeps some connections for the next time.
#[derive(Debug)]
pub struct Client {
    url: Url,
    idle: Mutex<Vec<(Sender, Instant)>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Client {
    /// For this URL. Nothing is opened yet.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, idle: Mutex::default(), tls: OnceLock::new() }
    }

    /// Reads the authorities of the system now, if they will be needed, so that the first who asks need not.
    #[must_use]
    pub fn ready(self) -> Self {
        if self.url.tls {
            self.tls.get_or_init(tls);
        }
        self
    }

    /// Where it asks.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Asks, and reads the answer, all within this time.
    ///
    /// # Errors
    /// There was no answer, or it was too long.
    pub async fn ask(&self, ask: Ask, within: Duration) -> Result<Response<Bytes>, FetchError> {
        let end = tokio::time::Instant::now() + within;
        let asking = async {
            if let Some(sender) = self.kept() {
                match self.send(sender, &ask).await {
                    // A kept connection may have been closed meanwhile.
                    Err(FetchError::Broken(_)) => {}
                    done => return done,
                }
            }
            let sender = self.connect().await?;
            self.send(sender, &ask).await
        };
        let asked = tokio::time::timeout_at(end, asking).await;
        let (sender, answer) = asked.unwrap_or(Err(FetchError::Timeout))?;
        let (head, body) = answer.into_parts();
        let body = read(body, ask.most_body);
        let body = if ask.head_only {
            match tokio::time::timeout(WORTH_WAITING, body).await {
                Ok(Err(error @ FetchError::Broken(_))) => return Err(error),
                Ok(Ok(body)) => body,
                // Its connection goes with what was not read.
                Ok(Err(_)) | Err(_) => return Ok(Response::from_parts(head, Bytes::new())),
            }
        } else {
            tokio::time::timeout_at(end, body).await.unwrap_or(Err(FetchError::Timeout))?
        };
        self.keep(sender).await;
        Ok(Response::from_parts(head, body))
    }

    fn kept(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = idle.pop() {
            if sender.is_ready() && since.elapsed() < IDLE {
                return Some(sender);
            }
        }
        None
    }

    async fn keep(&self, mut sender: Sender) {
        // It is only ready once the connection has seen the end of the answer.
        let ready = tokio::time::timeout(Duration::from_millis(1), sender.ready()).await;
        if !ready.is_ok_and(|ready| ready.is_ok()) {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push((sender, Instant::now()));
        }
    }

    async fn connect(&self) -> Result<Sender, FetchError> {
        let refuse = |error: &dyn std::fmt::Display| FetchError::Connect(error.to_string());
        let url = &self.url;
        let stream =
            TcpStream::connect((&*url.host, url.port)).await.map_err(|error| refuse(&error))?;
        // Without it a request could only be slower.
        let _ = stream.set_nodelay(true);
        if !url.tls {
            return greet(TokioIo::new(stream)).await;
        }
        let name = ServerName::try_from(url.host.clone()).map_err(|error| refuse(&error))?;
        let config = self.tls.get_or_init(tls).clone();
        let stream = TlsConnector::from(config).connect(name, stream).await;
        greet(TokioIo::new(stream.map_err(|error| refuse(&error))?)).await
    }

    /// Sends a question, and reads the head of the answer.
    async fn send(
        &self,
        mut sender: Sender,
        ask: &Ask,
    ) -> Result<(Sender, Response<Incoming>), FetchError> {
        let broken = |error: &dyn std::fmt::Display| FetchError::Broken(error.to_string());
        let mut request = Request::new(Full::default());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = self.url.target.parse().map_err(|error| broken(&error))?;
        *request.headers_mut() = ask.headers.clone();
        request.headers_mut().insert(HOST, self.url.authority.clone());
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok((sender, answer))
    }
}

/// Reads a body of at most so many bytes.
async fn read(mut body: Incoming, most: usize) -> Result<Bytes, FetchError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Broken(error.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > most {
            return Err(FetchError::TooLarge(most));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

async fn greet<S>(stream: TokioIo<S>) -> Result<Sender, FetchError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let greeted = handshake(stream).await;
    let (sender, connection) = greeted.map_err(|error| FetchError::Connect(error.to_string()))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("a connection of the gateway's own ended: {error}");
        }
    });
    Ok(sender)
}

fn tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match rustls_native_certs::load_native_certs() {
        Ok(certificates) => {
            roots.add_parsable_certificates(certificates);
        }
        Err(error) => log::warn!("the authorities of the system cannot be read: {error}"),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    // It fails only for a provider without any of its versions.
    let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS);
    match builder {
        Ok(builder) => Arc::new(builder.with_root_certificates(roots).with_no_client_auth()),
        Err(_) => {
            Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("https://id.example.com/a?b=c").expect("sound");
        assert_eq!((url.tls, &*url.host, url.port), (true, "id.example.com", 443));
        assert_eq!((&*url.target, url.authority.to_str().ok()), ("/a?b=c", Some("id.example.com")));
        let url = Url::parse("http://[::1]:8080").expect("sound");
        assert_eq!((url.tls, &*url.host, url.port, &*url.target), (false, "::1", 8080, "/"));
        for (text, private) in [
            ("https://a.test", true),
            ("http://127.0.0.1:1/", true),
            ("http://localhost/", true),
            ("http://[::1]/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.a.test/", false),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.is_private()), Ok(private), "{text}");
        }
        for (text, error) in [
            ("a", InvalidUrl::Scheme),
            ("/a", InvalidUrl::Scheme),
            ("ftp://a/", InvalidUrl::Scheme),
            ("https://u:p@a/", InvalidUrl::Credentials),
            ("https:///a", InvalidUrl::Syntax),
            ("", InvalidUrl::Syntax),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }
}
