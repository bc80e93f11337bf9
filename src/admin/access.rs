//! Who may speak to the operators' listener.
//!
//! On this machine, whoever can open the socket: a loopback address is open to every local process, a Unix
//! socket to the gateway's own user. From elsewhere, whoever shows the token. A browser is a local process that
//! strangers can make send requests, so two of its traits are used against it: it names the host that its
//! page meant, which gives away a name that was pointed at this machine (DNS rebinding), and it sends
//! `Origin` with every request that could change something.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::config::AdminAddress;
use crate::units::Secret;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub what: &'static str,
}

const fn refuse(status: StatusCode, what: &'static str) -> Refusal {
    Refusal { status, what }
}

/// What a caller of the operators' listener has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// May know and do everything.
    Operator,
    /// May know whether the process is alive and ready.
    Stranger,
}

/// The rule for one listener.
pub(super) struct Access {
    token: Option<[u8; 32]>,
    /// The address that a Host must name; `None` where the Host does not matter.
    host: Option<IpAddr>,
}

impl Access {
    pub fn new(address: &AdminAddress, token: Option<&Secret>) -> Self {
        let token = token.map(|token| Sha256::digest(token.expose()).into());
        let host = match address {
            // Reached by many names; the token is what counts there.
            AdminAddress::Tcp(address) if address_is_local(address.ip()) => Some(address.ip()),
            AdminAddress::Tcp(_) | AdminAddress::Unix(_) => None,
        };
        Self { token, host }
    }

    /// Who is calling, or why nobody answers. What is `open` is told to strangers too, by whatever name
    /// they call: a load balancer's probe has a Host of its own.
    pub fn check(&self, request: &Parts, open: bool) -> Result<Caller, Refusal> {
        if !self.host_is_ours(request) {
            if open {
                return Ok(Caller::Stranger);
            }
            return Err(refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host is not this listener: call it by its loopback address or as localhost",
            ));
        }
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if !reads && request.headers.contains_key(ORIGIN) {
            return Err(refuse(StatusCode::FORBIDDEN, "a web page may change nothing here"));
        }
        Ok(if self.token_is_shown(&request.headers) { Caller::Operator } else { Caller::Stranger })
    }

    fn host_is_ours(&self, request: &Parts) -> bool {
        let Some(bound) = self.host else { return true };
        let mut hosts = request.headers.get_all(HOST).iter();
        let host = match (request.uri.authority(), hosts.next(), hosts.next()) {
            (Some(authority), ..) => authority.as_str(),
            (None, Some(host), None) => host.to_str().unwrap_or_default(),
            // HTTP/1.0 has none, and no browser speaks it.
            (None, None, _) => return request.version == http::Version::HTTP_10,
            (None, Some(_), Some(_)) => return false,
        };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        name.eq_ignore_ascii_case("localhost")
            || bare.parse().is_ok_and(|ip: IpAddr| address_is_local(ip) || ip == bound)
    }

    /// Compares digests, whose first difference tells nothing about the token, and all of them.
    fn token_is_shown(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, shown)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let differ =
            token.iter().zip(shown).fold(0, |differ, (ours, theirs)| differ | (ours ^ theirs));
        scheme.eq_ignore_ascii_case(b"Bearer ") && differ == 0
    }
}

fn address_is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(address: &str, token: Option<&str>) -> Access {
        let address = address.parse().map(AdminAddress::Tcp).unwrap();
        Access::new(&address, token.map(Secret::new).as_ref())
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri("/upstreams");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_name_that_was_pointed_at_this_machine_is_refused() {
        let access = access("127.0.0.1:9901", None);
        for good in ["localhost", "LOCALHOST:9901", "127.0.0.1:9901", "127.0.0.1", "[::1]:9901"] {
            assert_eq!(
                access.check(&request("GET", &[("host", good)]), false),
                Ok(Caller::Operator),
                "{good}"
            );
        }
        for bad in ["evil.test", "evil.test:9901", "127.0.0.1.evil.test", "10.0.0.1", "", "[::1"] {
            let refused = access.check(&request("GET", &[("host", bad)]), false).unwrap_err();
            assert_eq!(refused.status, 421, "{bad}");
        }
        for none in [&[][..], &[("host", "localhost"), ("host", "localhost")]] {
            assert!(access.check(&request("GET", none), false).is_err());
        }
    }

    #[test]
    fn a_page_may_look_and_change_nothing() {
        let access = access("127.0.0.1:9901", None);
        let page = [("host", "localhost"), ("origin", "http://evil.test")];
        assert_eq!(access.check(&request("GET", &page), false), Ok(Caller::Operator));
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(access.check(&request(method, &page), false).unwrap_err().status, 403);
        }
    }

    #[test]
    fn only_the_whole_token_makes_an_operator() {
        let access = access("10.0.0.1:9901", Some("0123456789abcdef"));
        let with = |value: &str| access.check(&request("GET", &[("authorization", value)]), false);
        assert_eq!(with("Bearer 0123456789abcdef"), Ok(Caller::Operator));
        assert_eq!(with("bearer 0123456789abcdef"), Ok(Caller::Operator));
        for bad in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Basic 0123456789abcdef"] {
            assert_eq!(with(bad), Ok(Caller::Stranger), "{bad}");
        }
        assert_eq!(access.check(&request("GET", &[]), false), Ok(Caller::Stranger));
    }
}
