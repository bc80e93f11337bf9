//! Addresses in an upstream's answer, as the client knows them: `Location`, `Content-Location`,
//! `Refresh`, and the `Path` and `Domain` of cookies.
//!
//! An upstream behind a stripped prefix answers in its own paths, and with luck in its own address:
//! `http://10.0.0.11:8001/profile/` must reach the client as `/users/profile/`. An address of the
//! upstream becomes a path rather than a full URL: the client then stays on the scheme, host and port
//! that it used, whatever stands in front of the gateway. Only what is sure to be the upstream's is
//! touched; foreign hosts, relative references and what cannot be read stay byte for byte.

use http::header::{CONTENT_LOCATION, HeaderValue, LOCATION, REFRESH, SET_COOKIE};
use http::{HeaderMap, HeaderName};

use super::head::owned_value;

/// What is needed to tell an upstream's addresses and turn them into the client's.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The authorities under which the upstream knows itself: the Host that was sent to it, and the
    /// target's address, each with or without a port.
    pub authorities: &'a [&'a str],
    /// The host by which the client called, with or without a port. A cookie may keep it as `Domain`.
    pub public_host: Option<&'a str>,
    /// The path that leads the client to a path of the upstream; none if the route does not tell.
    /// It is given a path without query.
    pub to_public: &'a dyn Fn(&str) -> Option<String>,
}

/// Maps all addresses of one answer. Costs one look at each name if it holds none.
pub fn restore(head: &mut HeaderMap, origin: &Origin<'_>) {
    if !head.keys().any(holds_addresses) {
        return;
    }
    for header in [LOCATION, CONTENT_LOCATION] {
        if let Some(mapped) = head.get(&header).and_then(|value| location(value, origin)) {
            head.insert(header, mapped);
        }
    }
    if let Some(mapped) = head.get(REFRESH).and_then(|value| refresh(value, origin)) {
        head.insert(REFRESH, mapped);
    }
    cookies(head, origin);
}

fn holds_addresses(name: &HeaderName) -> bool {
    match name.as_str().as_bytes() {
        [b'c', ..] => name == CONTENT_LOCATION,
        [b'l', ..] => name == LOCATION,
        [b'r', ..] => name == REFRESH,
        [b's', ..] => name == SET_COOKIE,
        _ => false,
    }
}

fn location(value: &HeaderValue, origin: &Origin<'_>) -> Option<HeaderValue> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    owned_value(public_reference(text, origin)?)
}

/// The reference as the client must see it; none if it is to stay as it is.
///
/// A reference with a control character or space in it stays: browsers drop some of these and would
/// read another address than we do.
#[must_use]
pub fn public_reference(reference: &str, origin: &Origin<'_>) -> Option<String> {
    if reference.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
        return None;
    }
    let (local, absolute) = match split_authority(reference) {
        Some((authority, default_port, local)) => {
            (origin.owns(authority, default_port).then_some(local)?, true)
        }
        None => (reference.starts_with('/').then_some(reference)?, false),
    };
    let end = local.find(['?', '#']).unwrap_or(local.len());
    let (path, tail) = local.split_at(end);
    let path = if path.is_empty() { "/" } else { path };
    let mapped = match (origin.to_public)(path) {
        Some(mapped) => mapped,
        // Even without a way back, nobody is sent to the upstream's own address.
        None if absolute => path.to_owned(),
        None => return None,
    };
    // `//x` would be another host. A dot segment in front keeps it a path (RFC 3986, 4.2).
    let guard = if mapped.starts_with("//") { "/." } else { "" };
    Some([guard, &mapped, tail].concat())
}

/// The authority, the scheme's port, and the rest of an absolute `http` or `https` URL; also of a
/// reference that begins with `//` and takes over the scheme, for which either port is the default.
fn split_authority(reference: &str) -> Option<(&str, Option<&'static str>, &str)> {
    let strip = |scheme: &str| {
        let head = reference.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &reference[scheme.len()..])
    };
    let (rest, port) = if let Some(rest) = strip("http://") {
        (rest, Some("80"))
    } else if let Some(rest) = strip("https://") {
        (rest, Some("443"))
    } else {
        (reference.strip_prefix("//")?, None)
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((&rest[..end], port, &rest[end..]))
}

impl Origin<'_> {
    fn owns(&self, authority: &str, default_port: Option<&str>) -> bool {
        let (host, port) = split_port(authority);
        self.authorities.iter().any(|ours| {
            let (our_host, our_port) = split_port(ours);
            host.eq_ignore_ascii_case(our_host)
                && explicit(port, default_port) == explicit(our_port, default_port)
        })
    }

    fn has_host(&self, host: &str) -> bool {
        self.authorities.iter().any(|ours| split_port(ours).0.eq_ignore_ascii_case(host))
    }

    fn is_public(&self, host: &str) -> bool {
        self.public_host.is_some_and(|public| split_port(public).0.eq_ignore_ascii_case(host))
    }
}

/// Host and port of an authority; the brackets of an IPv6 address belong to the host.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !inside(host) => {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

/// The port, if it is not the one that the scheme has anyway.
fn explicit<'a>(port: Option<&'a str>, default_port: Option<&str>) -> Option<&'a str> {
    port.filter(|port| default_port.map_or(!matches!(*port, "80" | "443"), |own| own != *port))
}

/// Whether the colon after this stood inside an IPv6 address.
fn inside(host: &str) -> bool {
    host.contains(':') && !host.ends_with(']')
}

/// `Refresh: 5; url=/path`, which some frameworks still use to redirect.
fn refresh(value: &HeaderValue, origin: &Origin<'_>) -> Option<HeaderValue> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    let (delay, rest) = text.split_once([';', ','])?;
    let (key, url) = rest.split_once('=')?;
    let url = url.trim();
    if !key.trim().eq_ignore_ascii_case("url") {
        return None;
    }
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inside = url.strip_prefix(quote)?.strip_suffix(quote)?;
        Some((quote.to_string(), inside))
    });
    let (quote, url) = quoted.unwrap_or((String::new(), url));
    let mapped = public_reference(url, origin)?;
    owned_value(format!("{delay};{key}={quote}{mapped}{quote}"))
}

/// Each cookie keeps its own line, and the lines keep their order.
fn cookies(head: &mut HeaderMap, origin: &Origin<'_>) {
    let lines = head.get_all(SET_COOKIE).iter();
    let mapped: Vec<Option<Vec<u8>>> =
        lines.map(|line| public_cookie(line.as_bytes(), origin)).collect();
    if mapped.iter().all(Option::is_none) {
        return;
    }
    let before: Vec<HeaderValue> = head.get_all(SET_COOKIE).iter().cloned().collect();
    head.remove(SET_COOKIE);
    for (line, mapped) in before.into_iter().zip(mapped) {
        head.append(SET_COOKIE, mapped.and_then(owned_value).unwrap_or(line));
    }
}

/// The cookie as the client must see it; none if it is to stay as it is.
///
/// `Path` is mapped; `Domain` is removed if it is the upstream's own host, since a browser would
/// refuse the cookie; it stays if it is also the host that the client called. The name, the value and
/// all other attributes stay byte for byte.
#[must_use]
pub fn public_cookie(cookie: &[u8], origin: &Origin<'_>) -> Option<Vec<u8>> {
    let mut parts = cookie.split(|b| *b == b';');
    let mut out = Vec::with_capacity(cookie.len() + 32);
    out.extend_from_slice(parts.next()?);
    let mut changed = false;
    for part in parts {
        match attribute(part, origin) {
            Attribute::Same => {
                out.push(b';');
                out.extend_from_slice(part);
            }
            Attribute::Gone => changed = true,
            Attribute::Path(path) => {
                let equals = part.iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
                out.push(b';');
                out.extend_from_slice(&part[..equals]);
                out.extend_from_slice(path.as_bytes());
                changed = true;
            }
        }
    }
    changed.then_some(out)
}

/// What becomes of an attribute of a cookie.
enum Attribute {
    Same,
    Gone,
    Path(String),
}

fn attribute(part: &[u8], origin: &Origin<'_>) -> Attribute {
    let read = || {
        let (key, value) = std::str::from_utf8(part).ok()?.split_once('=')?;
        Some((key.trim_ascii(), value.trim_ascii()))
    };
    match read() {
        Some((key, path)) if key.eq_ignore_ascii_case("path") && path.starts_with('/') => {
            cookie_path(path, origin).map_or(Attribute::Same, Attribute::Path)
        }
        Some((key, domain)) if key.eq_ignore_ascii_case("domain") => {
            let host = domain.strip_prefix('.').unwrap_or(domain);
            let gone = origin.has_host(host) && !origin.is_public(host);
            if gone { Attribute::Gone } else { Attribute::Same }
        }
        _ => Attribute::Same,
    }
}

/// `/` is the whole upstream: a slash at the end would leave out the prefix itself, since `/users/`
/// does not match `/users` (RFC 6265, 5.1.4).
fn cookie_path(path: &str, origin: &Origin<'_>) -> Option<String> {
    let mut mapped = (origin.to_public)(path)?;
    if path == "/" && mapped.len() > 1 && mapped.ends_with('/') {
        mapped.pop();
    }
    // A semicolon would end the attribute and start another.
    (mapped != path && !mapped.contains(';')).then_some(mapped)
}

#[cfg(test)]
mod tests;
