//! A [`Landscape`]: which routes lead to which upstreams, and which of them takes a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::auth::{Guard, Scheme};
use crate::hygiene::CleanTarget;
use crate::route::{Clash, Forwarding, Found, PathPattern, Public, Request, Rule, Table};

/// Takes a parameter's place where a path is asked for: a text that no route has for a segment of its own.
const SAMPLE: &str = "portcullis-sample";

/// A route that forwards, as the portal sees it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// Its path.
    pub path: PathPattern,
    /// What the upstream sees of it.
    pub forwarding: Forwarding,
    /// Its hosts as written; none for all.
    pub hosts: Vec<String>,
    /// The headers that a request must have, with their values.
    pub headers: BTreeMap<String, String>,
    /// The parameters that a request must have, with their values.
    pub query: BTreeMap<String, String>,
    /// In which ways callers can prove who they are, by name; none if nobody has to.
    pub schemes: Vec<(String, Scheme)>,
    /// Whether some of those who are known may not call.
    pub restricted: bool,
    /// Whether callers may call so often only.
    pub limited: bool,
    /// Whether what its service documents is all that passes.
    pub validated: bool,
    /// Who may pass.
    pub guard: Arc<Guard>,
    /// The headers that the route sets or takes off, as written.
    pub set_headers: Vec<String>,
    /// The header that carries the gateway's own secret.
    pub secret_header: Option<HeaderName>,
}

impl Place {
    /// Whether a request to its path may be for no route.
    #[must_use]
    pub fn has_conditions(&self) -> bool {
        !(self.hosts.is_empty() && self.headers.is_empty() && self.query.is_empty())
    }

    fn sample_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = if value == "*" { SAMPLE } else { value };
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        }
        headers
    }

    fn sample_query(&self) -> String {
        let pair = |(key, value): (&String, &String)| {
            let value = if value == "*" { SAMPLE } else { value };
            format!("{}={}", encoded(key), encoded(value))
        };
        self.query.iter().map(pair).collect::<Vec<_>>().join("&")
    }
}

/// All routes.
pub struct Landscape {
    places: Vec<Place>,
    /// Of every route its place, if it forwards.
    table: Table<Option<usize>>,
}

impl std::fmt::Debug for Landscape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Landscape").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Landscape {
    /// Lays out routes, which clash exactly if they clash for traffic.
    ///
    /// # Errors
    /// Those clashes.
    pub fn new(routes: Vec<(Arc<str>, Rule, Option<Place>)>) -> Result<Self, Vec<Clash>> {
        let mut places = Vec::new();
        let rules = routes.into_iter().map(|(name, rule, place)| {
            let index = place.map(|place| {
                places.push(place);
                places.len() - 1
            });
            (name, rule, index)
        });
        let table = Table::build(rules.collect())?;
        Ok(Self { places, table })
    }

    /// The routes that forward, in the order of their names.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The public form of an operation's path through one place, and the hosts under which it is found (none: all);
    /// nothing if no request for it goes there.
    pub(super) fn reach(
        &self,
        index: usize,
        method: &str,
        templates: &[String],
    ) -> Option<(Public, Vec<String>)> {
        let place = self.places.get(index)?;
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
        templates.iter().find_map(|template| {
            let public = place.forwarding.invert(&place.path, template)?;
            let hosts = self.hosts(index, place, &method, &public.path)?;
            Some((public, hosts))
        })
    }

    fn hosts(
        &self,
        index: usize,
        place: &Place,
        method: &Method,
        path: &str,
    ) -> Option<Vec<String>> {
        let mut target = sample(path);
        if !place.query.is_empty() {
            target.push('?');
            target.push_str(&place.sample_query());
        }
        // A path that is tidied leads elsewhere than it says.
        let clean =
            CleanTarget::parse(target.as_bytes()).ok().filter(|clean| !clean.was_tidied())?;
        let headers = place.sample_headers();
        let takes = |host: &str| {
            let request = Request { host, method, target: &clean, headers: &headers };
            matches!(self.table.find(&request), Found::Route(found) if *found.value == Some(index))
        };
        if place.hosts.is_empty() {
            return takes("portcullis-sample.invalid").then(Vec::new);
        }
        let sampled = |host: &str| match host.strip_prefix("*.") {
            Some(under) => format!("{SAMPLE}.{}", under.to_ascii_lowercase()),
            None => host.to_ascii_lowercase(),
        };
        let hosts: Vec<String> =
            place.hosts.iter().filter(|host| takes(&sampled(host))).cloned().collect();
        (!hosts.is_empty()).then_some(hosts)
    }
}

/// A path that fits a template.
fn sample(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, opened)) = rest.split_once('{') {
        let Some((_, after)) = opened.split_once('}') else { break };
        sent(before, &mut path);
        path.push_str(SAMPLE);
        rest = after;
    }
    sent(rest, &mut path);
    path
}

/// Appends a text of a path as a client sends it: letters that are no ASCII are encoded.
fn sent(text: &str, path: &mut String) {
    use std::fmt::Write as _;
    for letter in text.chars() {
        if letter.is_ascii() {
            path.push(letter);
        } else {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
}

/// A part of a query, percent-encoded.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
