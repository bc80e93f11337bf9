//! The host a request is for, in the one form in which hosts are compared.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// Why a Host is refused. The answer is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UncleanHost {
    /// There is none.
    Empty,
    /// A character that no host name has, such as `,`, `@`, `%`, a space or a control character.
    Character,
    /// An empty label, as in `a..b`.
    Label,
    /// More than 253 characters (RFC 1035, section 2.3.4, in text form).
    TooLong,
    /// A port that is not a number from 1 to 65535.
    Port,
    /// Brackets that do not hold an IPv6 address.
    Ipv6,
}

impl UncleanHost {
    /// One sentence for people, without a full stop. It never repeats bytes of the request.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Empty => "The host is empty",
            Self::Character => "The host contains a character that no host name has",
            Self::Label => "The host contains an empty label",
            Self::TooLong => "The host is longer than 253 characters",
            Self::Port => "The port of the host is not a number from 1 to 65535",
            Self::Ipv6 => "The host is not a valid IPv6 address",
        }
    }
}

impl fmt::Display for UncleanHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for UncleanHost {}

/// The host of a Host header or an authority, by the rules of [`hygiene`](crate::hygiene). Borrowed if
/// nothing but a port or a dot had to go.
pub fn clean_host(raw: &str) -> Result<Cow<'_, str>, UncleanHost> {
    if raw.starts_with('[') {
        return clean_ipv6(raw);
    }
    let name = match memchr::memchr(b':', raw.as_bytes()) {
        Some(at) => {
            check_port(&raw[at + 1..])?;
            &raw[..at]
        }
        None => raw,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(UncleanHost::Empty);
    }
    if name.len() > 253 {
        return Err(UncleanHost::TooLong);
    }
    let mut upper = false;
    let mut label_begins = true;
    for byte in name.bytes() {
        match byte {
            b'.' if label_begins => return Err(UncleanHost::Label),
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {}
            b'A'..=b'Z' => upper = true,
            _ => return Err(UncleanHost::Character),
        }
        label_begins = byte == b'.';
    }
    if label_begins {
        return Err(UncleanHost::Label);
    }
    Ok(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

fn clean_ipv6(raw: &str) -> Result<Cow<'_, str>, UncleanHost> {
    let close = memchr::memchr(b']', raw.as_bytes()).ok_or(UncleanHost::Ipv6)?;
    let address: Ipv6Addr = raw[1..close].parse().map_err(|_| UncleanHost::Ipv6)?;
    match raw[close + 1..].strip_prefix(':') {
        Some(port) => check_port(port)?,
        None if close + 1 == raw.len() => {}
        None => return Err(UncleanHost::Character),
    }
    let canonical = format!("[{address}]");
    let written = &raw[..=close];
    Ok(if canonical == written { Cow::Borrowed(written) } else { Cow::Owned(canonical) })
}

fn check_port(port: &str) -> Result<(), UncleanHost> {
    // `parse` alone would take a sign.
    let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(UncleanHost::Port),
    }
}
