//! What is not shown: a header or parameter that carries a credential, the credential itself wherever a template
//! or a rename has put it, and what came into the configuration from the environment or a file.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::auth::names_a_credential;
use crate::snapshot::{Record, Snapshot};

/// What stands in the place of a secret.
const MASKED: &str = "***";

/// Shorter values are masked by their header's name alone: taking a word of three letters out of every text
/// would hide more than it keeps.
const SHORTEST: usize = 4;

/// What is secret in one request and its configuration.
pub(super) struct Mask<'s> {
    names: Vec<HeaderName>,
    values: Vec<String>,
    record: &'s Record,
}

impl<'s> Mask<'s> {
    /// For this request.
    pub(super) fn new(snapshot: &'s Snapshot, head: &RequestHeader) -> Self {
        let mut names = vec![AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];
        names.extend(snapshot.auth.secret_headers().iter().cloned());
        let upstreams = snapshot.upstreams.values();
        for name in upstreams.filter_map(|upstream| upstream.secret_header()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let mut mask = Self { names, values: Vec::new(), record: &snapshot.record };
        let secret = head.headers.iter().filter(|(name, _)| mask.hides(name));
        let mut values: Vec<String> = secret.map(|(_, value)| text(value)).collect();
        values.extend(credentials_in_query(head.raw_path()));
        // `Bearer x` and `a=x; b=y` are known by their parts too.
        let parts: Vec<String> = values
            .iter()
            .flat_map(|value| value.split([' ', ';', '=', ',']))
            .map(str::to_owned)
            .collect();
        values.extend(parts);
        values.retain(|value| value.len() >= SHORTEST && value != "Bearer" && value != "Basic");
        // The longest first, so that no part of one is left.
        values.sort_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        values.dedup();
        mask.values = values;
        mask
    }

    /// Whether a header carries a secret, whatever its value.
    pub(super) fn hides(&self, name: &HeaderName) -> bool {
        self.names.contains(name) || names_a_credential(name.as_str())
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
        let text =
            self.values.iter().fold(text.to_owned(), |shown, secret| shown.replace(secret, MASKED));
        self.record.mask(&text)
    }
}

/// Whether a query parameter of this name carries a secret.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    name.eq_ignore_ascii_case("key") || names_a_credential(name)
}

/// The values of parameters that carry credentials, as they were sent.
fn credentials_in_query(target: &[u8]) -> Vec<String> {
    let target = String::from_utf8_lossy(target);
    let Some((_, query)) = target.split_once('?') else { return Vec::new() };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| is_secret_parameter(name)).map(|(_, v)| v.to_owned()).collect()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
