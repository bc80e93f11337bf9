//! What every request to an upstream wears, whoever sends it: the Host its targets expect, and the
//! gateway's secret.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::{Config, HostHeader};
use super::origin::check_authority;
use crate::diagnostic::{At, Diagnostics, nearest};

/// Headers that say how a message is framed or where it goes; a secret in one would break both.
const NOT_FOR_SECRETS: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

enum Host {
    Preserve,
    Target,
    Name(HeaderValue),
}

/// Host and secret of an upstream.
pub(super) struct Dress {
    host: Host,
    secret: Option<(HeaderName, HeaderValue)>,
}

impl Dress {
    pub fn compile(config: &Config, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let host = host(&config.host, &at.key("host"), diagnostics);
        let secret = secret(config, &at.key("gateway_secret"), diagnostics);
        Some(Self { host: host?, secret: secret? })
    }

    /// Sets Host. A request without one, as HTTP/1.0 allows, gets the target's own.
    pub fn host(&self, authority: &HeaderValue, head: &mut HeaderMap) {
        let value = match &self.host {
            Host::Preserve if head.contains_key(HOST) => return,
            Host::Preserve | Host::Target => authority,
            Host::Name(name) => name,
        };
        head.insert(HOST, value.clone());
    }

    /// Sets the secret, in place of whatever is there.
    pub fn secret(&self, head: &mut HeaderMap) {
        if let Some((name, value)) = &self.secret {
            head.insert(name, value.clone());
        }
    }

    /// The header that carries the secret.
    pub fn secret_header(&self) -> Option<&HeaderName> {
        self.secret.as_ref().map(|(name, _)| name)
    }
}

fn host(config: &HostHeader, at: &At, diagnostics: &mut Diagnostics) -> Option<Host> {
    let name = match config {
        HostHeader::Preserve => return Some(Host::Preserve),
        HostHeader::Target => return Some(Host::Target),
        HostHeader::Name(name) => name,
    };
    // A mistyped word would else become a Host that no target knows.
    let word = if name.contains(['.', ':']) { None } else { nearest(name, ["preserve", "target"]) };
    if let Some(word) = word {
        diagnostics.error(
            at.clone(),
            format!("{name:?} is neither preserve nor target, and hardly a host"),
            format!("did you mean \"{word}\"?"),
        );
        return None;
    }
    let value = HeaderValue::from_str(name).ok().filter(|_| check_authority(name).is_ok());
    if value.is_none() {
        diagnostics.error(
            at.clone(),
            format!("{name:?} is not a host"),
            "write preserve, target, or a name such as users.internal or users.internal:8080",
        );
    }
    value.map(Host::Name)
}

#[allow(clippy::option_option, reason = "the outer one tells a mistake from no secret")]
fn secret(
    config: &Config,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Option<(HeaderName, HeaderValue)>> {
    let Some(secret) = &config.gateway_secret else { return Some(None) };
    let lower = secret.header.to_ascii_lowercase();
    let name = HeaderName::from_bytes(lower.as_bytes()).ok();
    let name = name.filter(|_| !NOT_FOR_SECRETS.contains(&lower.as_str()));
    if name.is_none() {
        diagnostics.error(
            at.key("header"),
            format!("{:?} is not a header that can carry a secret", secret.header),
            "use a header of your own, such as x-api-key",
        );
    }
    let text = secret.value.expose();
    let mut value = HeaderValue::from_str(text).ok().filter(|_| !text.trim().is_empty());
    match &mut value {
        Some(value) => value.set_sensitive(true),
        None => diagnostics.error(
            at.key("value"),
            "the secret is empty or has a line break or another control character in it",
            "give one line of visible characters; a file may not have a second line",
        ),
    }
    Some(Some((name?, value?)))
}

#[cfg(test)]
mod tests;
