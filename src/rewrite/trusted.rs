//! A [`TrustedProxies`] is the set of peers whose word on where a request came from is taken.
//!
//! Nobody is in it by default.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use crate::diagnostic::{At, Diagnostics};
use crate::networks::Networks;

/// The peers that are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Networks);

impl TrustedProxies {
    /// Reads networks (`10.0.0.0/8`, `fd00::/8`) and single addresses. None if there is a mistake, and
    /// it is among the diagnostics; a network that holds everybody is let through with a warning.
    pub fn compile(networks: &[String], at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        for (index, text) in networks.iter().enumerate() {
            if Networks::is_everybody(text) {
                diagnostics.warning(
                    at.index(index),
                    format!("{text} trusts everybody: any client can claim any address"),
                    "list the addresses of your own proxies only",
                );
            }
        }
        Networks::compile(networks, at, diagnostics).map(Self)
    }

    /// Whether this peer is believed. An IPv4 address in IPv6 clothes counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Whether nobody is believed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The client's address: the peer's own, or, if the peer is trusted, the rightmost address of
/// `X-Forwarded-For` that is not that of a trusted proxy.
///
/// The walk goes from the right, since each proxy appends whom it saw, so everything left of the
/// first stranger is only that stranger's word. An entry that is no address ends the walk at the last
/// good one, and if all are trusted, the leftmost is the client.
pub fn client_address<'a, I>(peer: IpAddr, forwarded_for: I, trusted: &TrustedProxies) -> IpAddr
where
    I: IntoIterator<Item = &'a HeaderValue>,
    I::IntoIter: DoubleEndedIterator,
{
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    let entries =
        forwarded_for.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    for entry in entries {
        let Some(address) = entry_address(entry) else { return client };
        client = address;
        if !trusted.contains(client) {
            return client;
        }
    }
    client
}

/// An address, alone or with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn entry_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_ascii();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok();
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| bare().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(networks: &[&str]) -> (Option<TrustedProxies>, Diagnostics) {
        let networks: Vec<String> = networks.iter().map(|&text| text.to_owned()).collect();
        let mut diagnostics = Diagnostics::new();
        let at = At::root().key("trusted_proxies");
        (TrustedProxies::compile(&networks, &at, &mut diagnostics), diagnostics)
    }

    fn trusted(networks: &[&str]) -> TrustedProxies {
        let (trusted, diagnostics) = compile(networks);
        assert!(!diagnostics.has_errors(), "{diagnostics:?}");
        trusted.expect("networks")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn a_set_holds_its_networks_and_nothing_else() {
        let set = trusted(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.7",
            "192.0.2.8/31",
            "fd00::/8",
            "2001:db8::1",
            "::ffff:198.51.100.0/120",
        ]);
        assert_eq!(set.0.ranges(), (4, 2));
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "10.1.2.3",
            "192.0.2.7",
            "192.0.2.9",
            "fd12::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "198.51.100.9",
            "::ffff:198.51.100.9",
        ] {
            assert!(set.contains(ip(inside)), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.10",
            "fc00::1",
            "2001:db8::2",
            "::ffff:11.0.0.1",
            "198.51.101.0",
            "::",
            "0.0.0.0",
            "255.255.255.255",
        ] {
            assert!(!set.contains(ip(outside)), "{outside}");
        }
        assert!(trusted(&[]).is_empty() && !trusted(&[]).contains(ip("127.0.0.1")));
        assert!(trusted(&["0.0.0.0/0"]).contains(ip("255.255.255.255")));
    }

    #[test]
    fn mistakes_and_doubts_are_told() {
        for (text, what, help) in [
            ("10.0.0.0/33", "not an address or network", "10.0.0.0/8"),
            ("proxy.internal", "not an address or network", "10.0.0.0/8"),
            ("", "not an address or network", "10.0.0.0/8"),
            ("10.0.0.1:80", "not an address or network", "10.0.0.0/8"),
            ("10.1.2.3/8", "bits beyond its /8", "write 10.0.0.0/8"),
            ("fd00::1/8", "bits beyond its /8", "fd00::1 for the one address"),
        ] {
            let (set, diagnostics) = compile(&["::1", text]);
            let said = diagnostics.iter().next().expect(text);
            assert!(
                set.is_none() && said.what.contains(what) && said.help.contains(help),
                "{said:?}"
            );
            assert_eq!(said.at.to_string(), "trusted_proxies[1]");
        }
        for everybody in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            let (set, diagnostics) = compile(&[everybody]);
            assert!(set.is_some() && !diagnostics.has_errors());
            assert!(diagnostics.iter().any(|d| d.what.contains("trusts everybody")), "{everybody}");
        }
    }

    #[test]
    fn the_client_is_the_first_stranger_from_the_right() {
        let set = trusted(&["10.0.0.0/8", "fd00::/8"]);
        for (peer, lines, client) in [
            ("192.0.2.1", &["10.0.0.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.5 ,10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1", &["203.0.113.5", "10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.5, junk, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.5, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5,"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5:4711"], "203.0.113.5"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["[203.0.113.5]"], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.5"], "203.0.113.5"),
            ("fd00::1", &["203.0.113.5, ::ffff:10.0.0.2"], "203.0.113.5"),
        ] {
            let values: Vec<HeaderValue> =
                lines.iter().map(|line| HeaderValue::from_static(line)).collect();
            assert_eq!(client_address(ip(peer), &values, &set), ip(client), "{peer} {lines:?}");
        }
        let values = [HeaderValue::from_bytes(b"1.1.1.1, \xff").expect("value")];
        assert_eq!(client_address(ip("10.0.0.1"), &values, &set), ip("10.0.0.1"));
    }
}
