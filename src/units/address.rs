//! An IP address as text, for what is written on every request.

use std::io::Write as _;
use std::net::IpAddr;

/// Appends an address as text. That of IPv4, nearly all there are, is written without the library's formatting,
/// which costs ten times as much.
pub fn write_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (position, number) in address.octets().into_iter().enumerate() {
                if position > 0 {
                    out.push(b'.');
                }
                if number >= 100 {
                    out.push(b'0' + number / 100);
                }
                if number >= 10 {
                    out.push(b'0' + number / 10 % 10);
                }
                out.push(b'0' + number % 10);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_text_that_the_library_writes(four in any::<[u8; 4]>(), six in any::<[u8; 16]>()) {
            for address in [IpAddr::V4(Ipv4Addr::from(four)), IpAddr::V6(Ipv6Addr::from(six))] {
                let mut out = Vec::new();
                write_ip(&mut out, address);
                prop_assert_eq!(String::from_utf8(out).unwrap(), address.to_string());
            }
        }
    }
}
