//! The origins of web pages: scheme, host and port, as browsers write them (RFC 6454, section 6.2).

use crate::diagnostic::{At, Diagnostics};

/// A set of origins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origins {
    /// Every origin.
    All,
    /// These.
    Listed {
        /// Whole origins, sorted.
        exact: Box<[Box<str>]>,
        /// Those of all hosts below a name.
        below: Box<[Below]>,
    },
}

/// `https://*.example.com:8443`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// `https://`
    scheme: Box<str>,
    /// `.example.com:8443`
    rest: Box<str>,
}

impl Below {
    fn has(&self, origin: &[u8]) -> bool {
        let names = origin
            .strip_prefix(self.scheme.as_bytes())
            .and_then(|origin| origin.strip_suffix(self.rest.as_bytes()));
        names.is_some_and(|names| !names.is_empty() && names.split(|b| *b == b'.').all(is_label))
    }
}

fn is_label(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b))
}

impl Origins {
    pub(super) fn compile(
        written: &[String],
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        if written.is_empty() {
            diagnostics.error(
                at.clone(),
                "there is no origin, so no page may call",
                "list the origins of the pages, such as https://app.example.com, or write `cors: none`",
            );
        }
        let (mut exact, mut below): (Vec<Box<str>>, Vec<Below>) = (Vec::new(), Vec::new());
        for (index, text) in written.iter().enumerate() {
            match parse(text) {
                Ok(Origin::All) if written.len() > 1 => diagnostics.error(
                    at.index(index),
                    "\"*\" stands beside other origins, which it holds already",
                    "write it alone, or take it out",
                ),
                Ok(Origin::All) => return Some(Self::All),
                Ok(Origin::One(origin)) => exact.push(origin),
                Ok(Origin::Below(pattern)) => below.push(pattern),
                Err((what, help)) => diagnostics.error(at.index(index), what, help),
            }
        }
        exact.sort_unstable();
        exact.dedup();
        (diagnostics.len() == before)
            .then(|| Self::Listed { exact: exact.into(), below: below.into() })
    }

    /// Whether all origins are in it.
    pub(super) const fn are_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether it has an origin as a browser wrote it.
    pub(super) fn has(&self, origin: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Listed { exact, below } => {
                exact.binary_search_by(|known| known.as_bytes().cmp(origin)).is_ok()
                    || below.iter().any(|pattern| pattern.has(origin))
            }
        }
    }
}

enum Origin {
    All,
    One(Box<str>),
    Below(Below),
}

fn parse(text: &str) -> Result<Origin, (String, String)> {
    let refuse = |why: &str, help: &str| Err((format!("{text:?} {why}"), help.to_owned()));
    let example = "write it like https://app.example.com or https://*.example.com";
    if text == "*" {
        return Ok(Origin::All);
    }
    if text == "null" {
        return refuse(
            "is what sandboxed pages of anybody send",
            "take it out, or write \"*\" if every page may call",
        );
    }
    let lower = text.to_ascii_lowercase();
    let Some((scheme, rest)) = lower.split_once("://") else {
        return refuse("is not an origin", example);
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme || rest.is_empty() {
        return refuse("is not an origin", example);
    }
    if let Some(end) = rest.find(['/', '?', '#']) {
        return refuse(
            "has more than scheme, host and port",
            &format!("write {scheme}://{}", &rest[..end]),
        );
    }
    let (host, port) = host_and_port(rest);
    let (names, is_pattern) = match host.strip_prefix("*.") {
        Some(names) => (names, true),
        None => (host, false),
    };
    let is_address = !is_pattern && names.starts_with('[') && names.ends_with(']');
    if !is_address && !names.split('.').all(|name| is_label(name.as_bytes())) {
        return refuse("has a host that no browser writes", example);
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return refuse("has a port that is none", example);
    }
    if matches!((scheme, port), ("https", Some("443")) | ("http", Some("80"))) {
        return refuse(
            "names the port that browsers leave out",
            &format!("write {scheme}://{host}"),
        );
    }
    if is_pattern && !names.contains('.') && names != "localhost" {
        return refuse("holds all of a top-level domain", "name a domain of your own");
    }
    if !is_pattern {
        return Ok(Origin::One(lower.into()));
    }
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Origin::Below(Below {
        scheme: format!("{scheme}://").into(),
        rest: format!(".{names}{port}").into(),
    }))
}

/// The port begins at the last colon that is not inside an IPv6 address.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(written: &[&str]) -> (Option<Origins>, Diagnostics) {
        let written: Vec<String> = written.iter().map(|&text| text.to_owned()).collect();
        let mut diagnostics = Diagnostics::new();
        (Origins::compile(&written, &At::root().key("origins"), &mut diagnostics), diagnostics)
    }

    #[test]
    fn an_origin_is_in_it_whole_or_not_at_all() {
        let (origins, _) = compile(&[
            "https://app.example.com",
            "http://localhost:3000",
            "https://*.example.org",
            "https://*.tenants.example.org:8443",
            "HTTPS://Upper.example.com",
            "http://[::1]:3000",
            "capacitor://localhost",
        ]);
        let origins = origins.unwrap();
        for inside in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://a.example.org",
            "https://a.b.example.org",
            "https://x.tenants.example.org:8443",
            "https://upper.example.com",
            "http://[::1]:3000",
            "capacitor://localhost",
        ] {
            assert!(origins.has(inside.as_bytes()), "{inside}");
        }
        for outside in [
            "",
            "null",
            "*",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evil.test/app.example.com",
            "https://app.example.com/",
            "https://example.org",
            "https://.example.org",
            "https://a..example.org",
            "https://aexample.org",
            "https://evil.test/.example.org",
            "https://evil.test#.example.org",
            "https://evil.test?.example.org",
            "https://user@a.example.org",
            "https://evil.test:1.example.org",
            "https://a.example.org:443",
            "http://a.example.org",
            "https://a.example.org.evil.test",
            "https://x.tenants.example.org:8444",
        ] {
            assert!(!origins.has(outside.as_bytes()), "{outside}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for (written, what) in [
            (&[][..], "there is no origin"),
            (&["*", "https://a.test"], "stands beside other origins"),
            (&["null"], "sandboxed"),
            (&["app.example.com"], "is not an origin"),
            (&["https://"], "is not an origin"),
            (&["https://a.test/"], "has more than"),
            (&["https://a.test/x"], "has more than"),
            (&["https://a.*.test"], "no browser writes"),
            (&["https://*"], "no browser writes"),
            (&["https://*.com"], "top-level domain"),
            (&["https://a.test:443"], "browsers leave out"),
            (&["http://a.test:x"], "port that is none"),
            (&["https://bücher.test"], "no browser writes"),
            (&["https://u@a.test"], "no browser writes"),
        ] {
            let (origins, diagnostics) = compile(written);
            let told = diagnostics.iter().next().unwrap_or_else(|| panic!("{written:?}"));
            assert!(origins.is_none() && told.what.contains(what), "{written:?}: {told:?}");
        }
        assert_eq!(compile(&["*"]).0, Some(Origins::All));
    }
}
