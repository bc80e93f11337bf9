//! Reads the method.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{COOKIE, HeaderName};

use super::super::cache::Cache;
use super::super::compile::header;
use super::super::consumer::Registry;
use super::{ForwardAuthConfig, Service, Shared};
use crate::diagnostic::{At, Diagnostics};
use crate::fetch::{Client, Url};
use crate::units::OneOrMany;

/// The longest time in which an answer must come, and that for which one may hold.
const LONGEST_TIMES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(5 * 60)];

impl Service {
    /// Reads the method.
    pub(in crate::auth) fn compile(
        name: &str,
        config: &ForwardAuthConfig,
        consumers: &Arc<Registry>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let url = url(config, at, diagnostics);
        let send = names(&config.send, true, &at.key("send"), diagnostics);
        let take = names(&config.take, false, &at.key("take"), diagnostics);
        if send.is_empty() && diagnostics.len() == before {
            diagnostics.error(
                at.key("send"),
                "no header carries the credentials",
                "name those that do, such as `send: authorization`",
            );
        }
        let consumer = config.consumer.as_deref().and_then(|written| {
            let (at, help) = (at.key("consumer"), "write it like x-auth-user");
            let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
                diagnostics.error(at, format!("{written:?} is not a header's name"), help);
                return None;
            };
            // It is removed from what clients send, so it must not be one that requests need.
            let own = ["x-forwarded-", "x-consumer-"];
            if header(written).is_err() && !own.iter().any(|own| name.as_str().starts_with(own)) {
                diagnostics.error(at, format!("header \"{written}\" has another meaning"), help);
            }
            Some(name)
        });
        let times = [("timeout", config.timeout, 1), ("cache", config.cache, 0)];
        for ((key, time, least), most) in times.into_iter().zip(LONGEST_TIMES) {
            if time.get() > most || time.get() < Duration::from_millis(least) {
                let (what, help) = (
                    format!("{time} is out of bounds"),
                    format!("the most are {}s", most.as_secs()),
                );
                diagnostics.error(at.key(key), what, help);
            }
        }
        if diagnostics.len() > before && url.is_none() {
            return None;
        }
        let gone = |name: &&HeaderName| !config.forward && **name != COOKIE;
        let stripped = send.iter().filter(gone).chain(&take).chain(&consumer).cloned().collect();
        Some(Self {
            stripped,
            send: send.into(),
            request: config.request,
            shared: Arc::new(Shared {
                name: name.into(),
                client: Client::new(url?).ready(),
                timeout: config.timeout.get(),
                holds: config.cache.get().as_millis().div_ceil(1000).try_into().unwrap_or(0),
                take: take.into(),
                consumer,
                consumers: Arc::clone(consumers),
                verdicts: Cache::new(),
                open: Mutex::default(),
                down: AtomicBool::new(false),
            }),
        })
    }
}

fn url(config: &ForwardAuthConfig, at: &At, diagnostics: &mut Diagnostics) -> Option<Url> {
    if config.url.is_empty() {
        let help = "add `url: \"http://127.0.0.1:9000/check\"`, where it is asked";
        diagnostics.error(at.clone(), "the key \"url\" is missing", help);
        return None;
    }
    let at = at.key("url");
    match Url::parse(&config.url) {
        Ok(url) if url.is_private() => Some(url),
        Ok(url) if config.allow_http => {
            diagnostics.warning(
                at,
                "credentials are sent by plain HTTP to another machine",
                "use https: whoever is on the way can read them, and say yes in the service's place",
            );
            Some(url)
        }
        Ok(_) => {
            diagnostics.error(
                at,
                "credentials would be sent by plain HTTP, where anybody on the way can read them",
                "use https, or `allow_http: true` in a network that you trust",
            );
            None
        }
        Err(error) => {
            let help = "write it like https://auth.example.com/check";
            diagnostics.error(at, error.to_string(), help);
            None
        }
    }
}

fn names(
    written: &OneOrMany,
    cookie: bool,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Vec<HeaderName> {
    let mut all = Vec::new();
    for (index, name) in written.0.iter().enumerate() {
        let at = if written.0.len() == 1 { at.clone() } else { at.index(index) };
        let read =
            if cookie && name.eq_ignore_ascii_case("cookie") { Ok(COOKIE) } else { header(name) };
        match read {
            Ok(name) if all.contains(&name) => {
                diagnostics.error(
                    at,
                    format!("\"{name}\" stands here twice"),
                    "take one of them out",
                );
            }
            Ok(name) => all.push(name),
            Err((what, help)) => diagnostics.error(at, what, help),
        }
    }
    all
}
