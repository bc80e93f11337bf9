//! What is not shown: a header that carries a credential, and the credential itself wherever a template or a
//! rename has put it.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::snapshot::Snapshot;

/// What stands in the place of a secret.
const MASKED: &str = "***";

/// Shorter values are masked by their header's name alone: taking a word of three letters out of every text
/// would hide more than it keeps.
const SHORTEST: usize = 4;

/// What is secret in one request and its configuration.
pub(super) struct Mask {
    names: Vec<HeaderName>,
    values: Vec<String>,
}

impl Mask {
    /// For a request with these headers.
    pub(super) fn new(snapshot: &Snapshot, headers: &HeaderMap) -> Self {
        let mut names = vec![AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];
        names.extend(snapshot.auth.credential_headers().iter().cloned());
        let upstreams = snapshot.upstreams.values();
        names.extend(upstreams.filter_map(|upstream| upstream.secret_header().cloned()));
        let secret = |name: &HeaderName| headers.get_all(name).iter().map(text).collect::<Vec<_>>();
        let mut values: Vec<String> = names.iter().flat_map(secret).collect();
        // `Bearer x` and `a=x; b=y` are known by their parts too.
        let parts: Vec<String> = values
            .iter()
            .flat_map(|value| value.split([' ', ';', '=', ',']))
            .map(str::to_owned)
            .collect();
        values.extend(parts);
        values.retain(|value| value.len() >= SHORTEST && value != "Bearer" && value != "Basic");
        // The longest first, so that no part of one is left.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { names, values }
    }

    /// Whether a header carries a secret, whatever its value.
    pub(super) fn hides(&self, name: &HeaderName) -> bool {
        self.names.contains(name)
    }

    /// A header's value as it may be shown.
    pub(super) fn value(&self, name: &HeaderName, value: &HeaderValue) -> String {
        if value.is_sensitive() || self.hides(name) {
            return MASKED.to_owned();
        }
        self.text(&text(value))
    }

    /// A text as it may be shown.
    pub(super) fn text(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |shown, secret| shown.replace(secret, MASKED))
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
