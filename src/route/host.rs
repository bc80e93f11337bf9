//! The hosts a route is for.

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
