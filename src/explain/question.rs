//! A [`Question`]: the request that is asked about, as a client would send it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

/// The Host of a request that names none.
pub const DEFAULT_HOST: &str = "localhost";

/// How the URL of a request without TLS begins, and how that of one with it.
const PLAIN: &str = "http://";
const BY_TLS: &str = "https://";

/// A request that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// Whether it comes by TLS, where the URL says so.
    pub tls: Option<bool>,
    /// The Host; a header of that name has the last word.
    pub host: String,
    /// More headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The consumer that the caller is taken for; none if its credentials decide.
    pub consumer: Option<String>,
    /// What the caller's token is taken to say; empty if it has none but those of the headers.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// Where the request comes from.
    pub client: IpAddr,
    /// The size of its body, in bytes, if it announces one.
    pub body_size: Option<u64>,
}

/// A question that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct InvalidQuestion {
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// How to mend it, in one sentence without a full stop.
    pub help: String,
}

fn refuse<T>(what: impl Into<String>, help: &str) -> Result<T, InvalidQuestion> {
    Err(InvalidQuestion { what: what.into(), help: help.to_owned() })
}

impl Question {
    /// What `METHOD URL` asks, from this machine and without headers. The URL is a path, for any host, or
    /// begins with `http://` or `https://`, and then it comes by a listener for that.
    ///
    /// # Errors
    /// The method is none, or the URL is neither.
    pub fn new(method: &str, url: &str) -> Result<Self, InvalidQuestion> {
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            return refuse(format!("{method:?} is not a method"), "write one like GET or POST");
        }
        let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
        let scheme = [PLAIN, BY_TLS].into_iter().find(|scheme| lower.starts_with(*scheme));
        let (host, target) = match scheme.and_then(|scheme| url.get(scheme.len()..)) {
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (host, target) = rest.split_at(end);
                let slash = if target.starts_with('/') { "" } else { "/" };
                (host, format!("{slash}{target}"))
            }
            None if url.starts_with('/') => (DEFAULT_HOST, url.to_owned()),
            None => {
                let help = "write a path such as /users/7, or a URL such as http://api.example.com/users/7";
                return refuse(format!("{url:?} is neither a path nor a URL"), help);
            }
        };
        if host.contains('@') {
            return refuse(
                "the URL holds a user name or password",
                "give it with -H 'Authorization: ...'",
            );
        }
        Ok(Self {
            method: method.to_owned(),
            target,
            host: host.to_owned(),
            tls: scheme.map(|scheme| scheme == BY_TLS),
            headers: Vec::new(),
            consumer: None,
            claims: BTreeMap::new(),
            client: Ipv4Addr::LOCALHOST.into(),
            body_size: None,
        })
    }

    /// Adds a header that is written `Name: value`, as for curl.
    ///
    /// # Errors
    /// There is no colon. The line is not repeated, since it may hold a key.
    pub fn header(&mut self, line: &str) -> Result<(), InvalidQuestion> {
        let Some((name, value)) = line.split_once(':') else {
            return refuse("a header has no colon", "write it as -H 'Name: value'");
        };
        self.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// The command line that asks this, where most requests come by TLS or not; the values of secret headers are left out.
    pub(super) fn command(&self, by_tls: bool, is_secret: impl Fn(&HeaderName) -> bool) -> String {
        let url = if self.tls.is_none() && self.host == DEFAULT_HOST {
            self.target.clone()
        } else {
            let scheme = if self.tls.unwrap_or(by_tls) { BY_TLS } else { PLAIN };
            [scheme, &self.host, &self.target].concat()
        };
        let mut words = vec![format!("portcullis explain {} {}", self.method, quoted(&url))];
        for (name, value) in &self.headers {
            let secret = HeaderName::try_from(name.as_str()).is_ok_and(|name| is_secret(&name));
            let value = if secret { "..." } else { value };
            words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
        }
        words.extend(self.body_size.map(|size| format!("-H 'Content-Length: {size}'")));
        words.extend(self.consumer.as_deref().map(|name| format!("--as {}", quoted(name))));
        if !self.claims.is_empty() {
            let claims = serde_json::to_string(&self.claims).unwrap_or_default();
            words.push(format!("--claims {}", quoted(&claims)));
        }
        if self.client != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            words.push(format!("--client {}", self.client));
        }
        words.join(" ")
    }

    /// The head as the gateway would receive it, over HTTP/1.1.
    pub(super) fn head(&self) -> Result<RequestHeader, InvalidQuestion> {
        let built = RequestHeader::build(self.method.as_str(), self.target.as_bytes(), None);
        let Ok(mut head) = built else {
            let help = "percent-encode what is no letter, digit or punctuation";
            return refuse("the URL cannot be written in a request", help);
        };
        let mut add = |name: &str, text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).ok();
            match value.map(|value| head.append_header(name.to_owned(), value)) {
                Some(Ok(_)) => Ok(()),
                _ => refuse(
                    format!("the header {name:?} cannot be sent"),
                    "a name has letters, digits and `-`, and a value is one line",
                ),
            }
        };
        let sends = |wanted: &HeaderName| {
            self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_str()))
        };
        if !sends(&HOST) {
            add("Host", &self.host)?;
        }
        for (name, value) in &self.headers {
            add(name, value)?;
        }
        if let Some(size) = self.body_size.filter(|_| !sends(&CONTENT_LENGTH)) {
            add("Content-Length", &size.to_string())?;
        }
        Ok(head)
    }
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
