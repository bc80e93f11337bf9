//! [`Networks`] is a set of addresses, written as networks (CIDR) and single ones.
//!
//! It is kept as sorted ranges that do not touch, one list per address family, so that a look-up is one binary
//! search however many networks are listed.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::{At, Diagnostics};

/// A set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Reads networks (`10.0.0.0/8`, `fd00::/8`) and single addresses. None if there is a mistake, and
    /// it is among the diagnostics.
    pub fn compile(networks: &[String], at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut sound = true;
        for (index, text) in networks.iter().enumerate() {
            match read(text) {
                Ok(IpNet::V4(net)) => v4.push((net.network().into(), net.broadcast().into())),
                Ok(IpNet::V6(net)) => v6.push((net.network().into(), net.broadcast().into())),
                Err((what, help)) => {
                    sound = false;
                    diagnostics.error(at.index(index), what, help);
                }
            }
        }
        sound.then(|| Self { v4: merged(v4), v6: merged(v6) })
    }

    /// Whether a text is a network that holds every address there is.
    #[must_use]
    pub fn is_everybody(text: &str) -> bool {
        read(text).is_ok_and(|network| network.prefix_len() == 0)
    }

    /// Whether this address is in it. An IPv4 address in IPv6 clothes counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.into()),
            IpAddr::V6(address) => within(&self.v6, address.into()),
        }
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many ranges it has of each family, for tests of how they are merged.
    #[cfg(test)]
    pub(crate) fn ranges(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }
}

fn read(text: &str) -> Result<IpNet, (String, String)> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            (
                format!("{text:?} is not an address or network"),
                "write it like 10.0.0.7, 10.0.0.0/8 or fd00::/8".to_owned(),
            )
        })?,
    };
    if network.trunc() != network {
        return Err((
            format!("{text} has bits beyond its /{}", network.prefix_len()),
            format!(
                "write {} for the network, or {} for the one address",
                network.trunc(),
                network.addr()
            ),
        ));
    }
    Ok(canonical(network))
}

/// A network of IPv4 addresses in IPv6 clothes is that IPv4 network.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(net) = network else { return network };
    match (net.network().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
        (Some(v4), Some(bits)) => IpNet::new(v4.into(), bits).unwrap_or(network),
        _ => network,
    }
}

/// The same ranges sorted, with those that overlap made one.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out.into_boxed_slice()
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}
