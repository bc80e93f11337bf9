//! Cross-origin resource sharing, as the Fetch standard has it: which web pages may call a route from a browser,
//! and read what it answers.
//!
//! It protects the *users* of browsers: a page of another origin cannot use what their browser holds, unless the
//! route says so. It keeps no program out, since any program can send any `Origin`; that is what [`crate::auth`]
//! is for. So a request from an origin that is not listed is served, and only the browser keeps the answer from
//! the page.
//!
//! - A **preflight** (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) is answered here, before anybody
//!   asks who is calling: browsers send it without credentials. To an origin that is not listed it says 403, so that
//!   the log and the metrics show what the browser only calls a failure of the network; a listed one is told what it
//!   may do, even if that is less than it asked for, since the browser then tells its developer what is missing.
//! - **Every answer** to a listed origin, those of the gateway's own included, says that the page may read it. What
//!   the upstream says of all this is replaced: of two voices a browser would believe neither.
//! - `Vary: Origin` stands on every answer, whoever asked, unless all origins are told the same.
//! - Access to private networks is never granted.

mod config;
mod origins;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode};

use super::head::{Fields, owned_value};
use super::vary::vary;
use crate::diagnostic::{At, Diagnostics};
use crate::reply::Reply;

pub use config::{Config, Setting};
use origins::Origins;

/// What pages may read of every answer, beside what browsers let them read anyway.
const EXPOSED: [&str; 4] = ["X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy"];

/// What the answer to a preflight depends on.
const ASKED: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// Which pages may call a route, and how.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    /// The methods as written; none for those of the route.
    methods: Option<HeaderValue>,
    headers: Allowed,
    exposed: HeaderValue,
    credentials: bool,
    max_age: HeaderValue,
}

/// The request headers that pages may send.
#[derive(Debug)]
enum Allowed {
    /// Whatever they ask for.
    Any,
    /// These.
    Listed(HeaderValue),
}

/// A preflight: a browser asks whether a page may send a request.
#[derive(Debug)]
pub struct Preflight<'a> {
    /// The page's origin.
    pub origin: &'a HeaderValue,
    /// The method of the request that the page wants to send.
    pub method: Method,
    headers: &'a HeaderMap,
}

impl<'a> Preflight<'a> {
    /// What a request asks, if it is a preflight.
    #[must_use]
    pub fn of(method: &Method, headers: &'a HeaderMap) -> Option<Self> {
        if *method != Method::OPTIONS {
            return None;
        }
        let wanted = only(headers, &ACCESS_CONTROL_REQUEST_METHOD)?;
        let method = Method::from_bytes(wanted.as_bytes()).ok()?;
        Some(Self { origin: only(headers, &ORIGIN)?, method, headers })
    }
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

impl Cors {
    /// Reads what is written. `credentials` are the headers in which the route looks for one.
    pub fn compile<'n>(
        config: &Config,
        credentials: impl Iterator<Item = &'n HeaderName>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let origins = Origins::compile(&config.origins.0, &at.key("origins"), diagnostics);
        if config.credentials && config.origins.0.iter().any(|origin| origin == "*") {
            diagnostics.error(
                at.key("credentials"),
                "any site could act here as the user whose browser it runs in",
                "list the origins that may, such as https://app.example.com, or leave `credentials` out",
            );
        }
        let methods = config::methods(&config.methods, &at.key("methods"), diagnostics);
        let mut names = vec![AUTHORIZATION, CONTENT_TYPE];
        names.extend(credentials.cloned());
        let any = config.headers.0.iter().any(|name| name == "*");
        names.extend(config::names(&config.headers.0, &at.key("headers"), diagnostics));
        let exposed = config::names(&config.expose.0, &at.key("expose"), diagnostics);
        if config.credentials && config.expose.0.iter().any(|name| name == "*") {
            diagnostics.error(
                at.key("expose"),
                "with `credentials: true` browsers take `*` for a header of that name",
                "list the headers",
            );
        }
        let exposed = if config.expose.0.iter().any(|name| name == "*") {
            "*".to_owned()
        } else {
            let more = exposed.iter().map(HeaderName::as_str);
            EXPOSED.into_iter().chain(more).collect::<Vec<_>>().join(", ")
        };
        if diagnostics.len() > before {
            return None;
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let listed = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        Some(Self {
            origins: origins?,
            methods,
            headers: if any { Allowed::Any } else { Allowed::Listed(owned_value(listed)?) },
            exposed: owned_value(exposed)?,
            credentials: config.credentials,
            max_age: HeaderValue::from(config.max_age.get().as_secs()),
        })
    }

    /// The answer to a preflight; none if its origin is not listed. The route takes its method.
    #[must_use]
    pub fn preflight(&self, asked: &Preflight<'_>) -> Option<Reply> {
        let origin = self.allowed(asked.origin)?;
        let mut reply = Reply::new(StatusCode::NO_CONTENT);
        let headers = &mut reply.headers;
        headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        let method = || HeaderValue::from_str(asked.method.as_str()).ok();
        if let Some(methods) = self.methods.clone().or_else(method) {
            headers.push((ACCESS_CONTROL_ALLOW_METHODS, methods));
        }
        let names = match &self.headers {
            Allowed::Listed(names) => Some(names.clone()),
            Allowed::Any => echoed(asked.headers),
        };
        headers.extend(names.map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names)));
        if self.credentials {
            headers.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        headers.push((ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        headers.push((VARY, ASKED));
        Some(reply)
    }

    /// Puts on an answer what a page of this origin, if there is one, may know of it.
    pub fn answer(&self, headers: &mut HeaderMap, sent: &HeaderMap) {
        headers.discard_where(|name| name.starts_with("access-control-"));
        if !self.origins.are_all() {
            vary(headers, "Origin");
        }
        // If all are told the same, those are too who do not ask: a cache may give their answer to a page.
        let origin = if self.origins.are_all() {
            Some(HeaderValue::from_static("*"))
        } else {
            only(sent, &ORIGIN).and_then(|origin| self.allowed(origin))
        };
        let Some(origin) = origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// What is said to this origin, if it is listed.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.origins.are_all() {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.has(origin.as_bytes()).then(|| origin.clone())
    }
}

/// The names of headers that a preflight asks for, written anew; none if they are no names.
fn echoed(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let words = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let words = words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty());
    let names: Option<Vec<HeaderName>> =
        words.map(|word| HeaderName::from_bytes(word).ok()).collect();
    let names = names.filter(|names| !names.is_empty())?;
    owned_value(names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
