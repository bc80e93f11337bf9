//! An [`Origin`] is where a target lives: scheme, host and port, and nothing else (RFC 6454, section 4).
//!
//! A path, a query or a user name in a target's URL is refused instead of being dropped silently:
//! a path belongs to the route's `rewrite`, and credentials to `gateway_secret`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::diagnostic::nearest;

/// The longest path of a Unix socket that Linux takes, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// Where a target lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// Whether TLS is spoken there.
    pub tls: bool,
    pub place: Place,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Address(SocketAddr),
    /// To be resolved; the name is in lower case.
    Name {
        host: String,
        port: u16,
    },
    Socket(PathBuf),
}

/// Why a text is not the origin of a target. It never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct InvalidOrigin {
    pub what: String,
    pub help: &'static str,
}

fn refuse<T>(what: impl Into<String>, help: &'static str) -> Result<T, InvalidOrigin> {
    Err(InvalidOrigin { what: what.into(), help })
}

const FORMS: &str = "write it like 10.0.0.1:8001, [::1]:8001, users.internal:8001, \
                     https://users.internal or unix:/run/users.sock";

impl Origin {
    /// Reads what a person wrote as a target.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text.is_empty() {
            return refuse("the target is empty", FORMS);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refuse("the target has a space or a control character in it", FORMS);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return socket(path);
        }
        let (tls, default_port, rest) = match text.split_once("://") {
            None => (false, None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, Some(80), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, Some(443), rest),
            Some((scheme, _)) => return unknown_scheme(scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if authority.contains('@') {
            return refuse(
                "the target has a user name or password in it",
                "targets take no credentials: use `gateway_secret`, or set an Authorization \
                 header on the route",
            );
        }
        only_an_origin(tail)?;
        let (host, port) = split_port(authority)?;
        let Some(port) = port.or(default_port) else {
            return refuse(
                "the target has no port",
                "add one, as in users.internal:8001, or a scheme",
            );
        };
        Ok(Self { tls, place: place(host, port)? })
    }

    /// The Host header of a request to this origin (RFC 9110, section 7.2).
    pub fn authority(&self) -> String {
        let (host, port) = match &self.place {
            Place::Address(SocketAddr::V4(address)) => (address.ip().to_string(), address.port()),
            Place::Address(SocketAddr::V6(address)) => {
                (format!("[{}]", address.ip()), address.port())
            }
            Place::Name { host, port } => (host.trim_end_matches('.').to_owned(), *port),
            Place::Socket(_) => return "localhost".to_owned(),
        };
        let default_port = if self.tls { 443 } else { 80 };
        if port == default_port { host } else { format!("{host}:{port}") }
    }

    /// The name that a certificate of this origin must be for.
    pub fn server_name(&self) -> String {
        match &self.place {
            Place::Address(address) => address.ip().to_string(),
            Place::Name { host, .. } => host.trim_end_matches('.').to_owned(),
            Place::Socket(_) => "localhost".to_owned(),
        }
    }
}

/// Whether `text` can be sent as a Host header: a host, and perhaps a port.
pub(super) fn check_authority(text: &str) -> Result<(), InvalidOrigin> {
    let (host, port) = split_port(text)?;
    place(host, port.unwrap_or(80)).map(|_| ())
}

/// Whether `text` can be the server name of a TLS handshake: a host without a port.
pub(super) fn check_server_name(text: &str) -> Result<(), InvalidOrigin> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match split_port(text)? {
        (host, None) => place(host, 443).map(|_| ()),
        (_, Some(_)) => refuse("a server name has no port", "leave the port out"),
    }
}

fn unknown_scheme<T>(scheme: &str) -> Result<T, InvalidOrigin> {
    let help = match nearest(scheme, ["http", "https"]) {
        Some("http") => "did you mean http://?",
        Some(_) => "did you mean https://?",
        None => "targets are spoken to by http:// or https://; for HTTP/2 add `protocol: h2`",
    };
    let known = scheme.chars().all(|c| c.is_ascii_alphanumeric());
    let shown = if known { format!(" {scheme}://") } else { String::new() };
    refuse(format!("the scheme{shown} is not one for targets"), help)
}

/// Refuses what stands behind host and port. A lone `/` says the same as nothing.
fn only_an_origin(tail: &str) -> Result<(), InvalidOrigin> {
    match tail.as_bytes() {
        [] | [b'/'] => Ok(()),
        [b'?', ..] => {
            refuse("the target has a query", "a target is an origin: leave the query out")
        }
        [b'#', ..] => {
            refuse("the target has a fragment", "a target is an origin: leave the fragment out")
        }
        _ => refuse(
            "the target has a path",
            "a target is an origin: leave the path out here and use the route's `rewrite` to put \
             it before the request's path",
        ),
    }
}

fn socket(path: &str) -> Result<Origin, InvalidOrigin> {
    let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') || path.ends_with('/') {
        return refuse(
            "the socket's path is not absolute",
            "write the whole path of the socket file, as in unix:/run/users.sock",
        );
    }
    if path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
        return refuse(
            format!("the socket's path is longer than {LONGEST_SOCKET_PATH} bytes"),
            "the system takes no longer one: use a shorter path",
        );
    }
    Ok(Origin { tls: false, place: Place::Socket(PathBuf::from(path)) })
}

/// Splits host and port; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), InvalidOrigin> {
    let (host, port) = if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return refuse("the target's IPv6 address has no closing bracket", FORMS);
        };
        let (host, rest) = authority.split_at(end + 1);
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return refuse("something other than a port follows the IPv6 address", FORMS),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return refuse(
                    "the target's host has colons in it",
                    "an IPv6 address stands in brackets, as in [::1]:8001",
                );
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let Some(port) = port else { return Ok((host, None)) };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok((host, Some(number))),
        _ => refuse("the target's port is not a number from 1 to 65535", FORMS),
    }
}

fn place(host: &str, port: u16) -> Result<Place, InvalidOrigin> {
    if let Some(inside) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return match inside.parse::<Ipv6Addr>() {
            Ok(address) => address_place(IpAddr::V6(address), port),
            Err(_) => refuse("the target's IPv6 address is not one", FORMS),
        };
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address_place(IpAddr::V4(address), port);
    }
    host_name(host)?;
    Ok(Place::Name { host: host.to_ascii_lowercase(), port })
}

fn address_place(address: IpAddr, port: u16) -> Result<Place, InvalidOrigin> {
    if address.is_unspecified() || address.is_multicast() {
        return refuse(
            format!("{address} is no address that one can connect to"),
            "write the address of one machine, as in 127.0.0.1:8001",
        );
    }
    Ok(Place::Address(SocketAddr::new(address, port)))
}

/// RFC 1123, section 2.1, and the underscore that container networks use.
fn host_name(host: &str) -> Result<(), InvalidOrigin> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return refuse("the target has no host", FORMS);
    }
    if !name.is_ascii() {
        return refuse(
            "the target's host has letters outside ASCII",
            "write the name in its ASCII form, which begins with xn--",
        );
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return refuse("the target's host is not a host name", FORMS);
    }
    // An all-digit last label is a mistyped IPv4 address, which resolvers read in surprising ways.
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return refuse("the target's host is a broken IPv4 address", FORMS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_targets_are_read() {
        for (text, tls, authority) in [
            ("10.0.0.1:8001", false, "10.0.0.1:8001"),
            ("127.0.0.1:80", false, "127.0.0.1"),
            ("[::1]:80", false, "[::1]"),
            ("[2001:db8::7]:8001", false, "[2001:db8::7]:8001"),
            ("users:8001", false, "users:8001"),
            ("localhost:1", false, "localhost:1"),
            ("my_service:8000", false, "my_service:8000"),
            ("Users.Internal:65535", false, "users.internal:65535"),
            ("users.internal.:8001", false, "users.internal:8001"),
            ("3com.example:80", false, "3com.example"),
            ("http://users", false, "users"),
            ("http://users/", false, "users"),
            ("http://users:8001", false, "users:8001"),
            ("HTTP://users:443", false, "users:443"),
            ("https://users", true, "users"),
            ("https://users:80", true, "users:80"),
            ("https://10.0.0.1", true, "10.0.0.1"),
            ("https://[::1]:8443", true, "[::1]:8443"),
            ("unix:/run/users.sock", false, "localhost"),
            ("unix:///run/users.sock", false, "localhost"),
        ] {
            let origin = Origin::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((origin.tls, origin.authority().as_str()), (tls, authority), "{text}");
        }
        assert_eq!(
            Origin::parse("unix:///run/a.sock").map(|o| o.place),
            Ok(Place::Socket("/run/a.sock".into()))
        );
        assert_eq!(Origin::parse("https://[::1]").map(|o| o.server_name()), Ok("::1".to_owned()));
    }

    #[test]
    fn bad_targets_are_refused_for_what_is_wrong() {
        let long = format!("unix:/{}", "a".repeat(107));
        for (text, part) in [
            ("", "empty"),
            ("users", "no port"),
            ("10.0.0.1", "no port"),
            ("[::1]", "no port"),
            ("users:", "port is not"),
            ("users:0", "port is not"),
            ("users:65536", "port is not"),
            ("users:+80", "port is not"),
            ("users:http", "port is not"),
            ("::1:80", "colons"),
            ("[::1:80", "closing bracket"),
            ("[::1]x:80", "follows"),
            ("[10.0.0.1]:80", "IPv6 address is not"),
            ("10.0.0:80", "broken IPv4"),
            ("10.0.0.256:80", "broken IPv4"),
            ("1.2.3.4.5:80", "broken IPv4"),
            ("0.0.0.0:80", "no address"),
            ("[::]:80", "no address"),
            ("224.0.0.1:80", "no address"),
            (":8001", "no host"),
            ("http://", "no host"),
            ("-users:80", "not a host name"),
            ("us..ers:80", "not a host name"),
            ("us*ers:80", "not a host name"),
            ("\u{fc}sers:80", "outside ASCII"),
            ("http://users/api", "path"),
            ("users:8001/api", "path"),
            ("http://users//", "path"),
            ("http://users?x=1", "query"),
            ("http://users#top", "fragment"),
            ("http://me:hunter2@users", "user name"),
            ("ftp://users", "scheme ftp://"),
            ("htps://users", "scheme htps://"),
            ("grpc://users", "scheme grpc://"),
            ("us ers:80", "space"),
            ("users:80\n", "space"),
            ("unix:run/users.sock", "not absolute"),
            ("unix:", "not absolute"),
            ("unix:/run/", "not absolute"),
            (long.as_str(), "longer than"),
        ] {
            let error = Origin::parse(text).expect_err(text);
            assert!(error.what.contains(part), "{text}: {error}");
            assert!(!error.help.is_empty() && !error.what.contains("hunter2"), "{text}");
        }
        let path = Origin::parse("http://users/api").expect_err("has a path");
        assert!(path.help.contains("`rewrite`"));
        assert_eq!(Origin::parse("htps://u").expect_err("scheme").help, "did you mean https://?");
    }

    #[test]
    fn host_headers_and_server_names_are_checked() {
        for good in ["users.internal", "users.internal:8080", "10.0.0.1", "[::1]:80"] {
            assert_eq!(check_authority(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "http://x", "a/b", "a:b", "x@y"] {
            assert!(check_authority(bad).is_err(), "{bad}");
        }
        for good in ["users.internal", "10.0.0.1", "::1"] {
            assert_eq!(check_server_name(good), Ok(()), "{good}");
        }
        assert!(check_server_name("users:443").is_err() && check_server_name("").is_err());
    }
}
