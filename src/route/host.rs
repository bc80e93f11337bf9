//! The hosts a route is for, and where in the tree the paths of each host begin.

use foldhash::HashMap;

use super::trie::Trie;
use crate::diagnostic::{At, Diagnostics};
use crate::hygiene::{UncleanHost, clean_host};

/// One host of a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum HostPattern {
    /// Every host.
    Any,
    /// This host only.
    Exact(Box<str>),
    /// One or more labels in front of this.
    Under(Box<str>),
}

impl HostPattern {
    /// A host that it takes, and no more specific pattern that people write.
    pub(super) fn sample(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Any => "".into(),
            Self::Exact(name) => (&**name).into(),
            Self::Under(name) => format!("{{}}.{name}").into(),
        }
    }
}

/// The hosts of a route, without repetitions; [`HostPattern::Any`] alone if the list is empty.
pub(super) fn compile(
    hosts: &[String],
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<HostPattern>> {
    let mut compiled = Vec::with_capacity(hosts.len().max(1));
    for (index, text) in hosts.iter().enumerate() {
        match parse(text) {
            Ok(pattern) => compiled.push(pattern),
            Err(help) => {
                // A single host may be written without a list.
                let at = if hosts.len() == 1 { at.clone() } else { at.index(index) };
                diagnostics.error(at, format!("{text:?} is not a host"), help);
            }
        }
    }
    if compiled.len() < hosts.len() {
        return None;
    }
    if compiled.is_empty() {
        compiled.push(HostPattern::Any);
    }
    compiled.sort();
    compiled.dedup();
    Some(compiled)
}

fn parse(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Err("leave `host` out to take every host".to_owned());
    }
    if let Some((_, rest)) = text.split_once("://") {
        let name = rest.split('/').next().unwrap_or_default();
        return Err(format!("write the name alone, without a scheme: {name:?}"));
    }
    let (under, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    if name.contains('*') {
        return Err("a `*` stands alone for the first labels: \"*.example.com\"".to_owned());
    }
    let clean = clean_host(name).map_err(|why| match why {
        UncleanHost::Port if name.parse::<std::net::Ipv6Addr>().is_ok() => {
            format!("write an IPv6 address in brackets: \"[{name}]\"")
        }
        UncleanHost::Port => "write the name alone, without a port".to_owned(),
        UncleanHost::Character if !name.is_ascii() => {
            "write an international name in its ASCII form: \"xn--...\"".to_owned()
        }
        _ => "write a host like \"api.example.com\" or \"*.example.com\"".to_owned(),
    })?;
    let has_port = if name.starts_with('[') { !name.ends_with(']') } else { name.contains(':') };
    if has_port {
        return Err(format!("write the name alone, without a port: {clean:?}"));
    }
    let clean = clean.into_owned().into_boxed_str();
    Ok(if under { HostPattern::Under(clean) } else { HostPattern::Exact(clean) })
}

/// Where in the tree the paths of each host begin.
#[derive(Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, u32>,
    /// By what follows `*.`.
    under: HashMap<Box<str>, u32>,
    /// The largest number of dots in a key of `under`.
    under_dots: usize,
    any: Option<u32>,
}

impl Hosts {
    /// Where the paths of a host begin, planted if it is new.
    pub(super) fn root(&mut self, host: &HostPattern, trie: &mut Trie) -> u32 {
        match host {
            HostPattern::Any => *self.any.get_or_insert_with(|| trie.plant()),
            HostPattern::Exact(name) => {
                *self.exact.entry(name.clone()).or_insert_with(|| trie.plant())
            }
            HostPattern::Under(name) => {
                self.under_dots = self.under_dots.max(dots(name));
                *self.under.entry(name.clone()).or_insert_with(|| trie.plant())
            }
        }
    }

    /// The roots for a host, the most specific first.
    pub(super) fn roots<'a>(&'a self, host: &'a str) -> impl Iterator<Item = u32> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        exact.into_iter().chain(self.under(host)).chain(&self.any).copied()
    }

    /// Those of `*.` patterns: of what follows each dot, the longest first. What has more dots than
    /// any pattern is skipped, so a host of a hundred labels costs no hundred lookups.
    fn under<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a u32> {
        let host = if self.under.is_empty() || host.starts_with('[') { "" } else { host };
        let skipped = dots(host).saturating_sub(self.under_dots + 1);
        let dots = memchr::memchr_iter(b'.', host.as_bytes()).skip(skipped);
        dots.filter_map(move |dot| self.under.get(&host[dot + 1..]))
    }
}

fn dots(name: &str) -> usize {
    memchr::memchr_iter(b'.', name.as_bytes()).count()
}
