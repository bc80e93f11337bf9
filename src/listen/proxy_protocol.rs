//! The PROXY protocol, versions 1 and 2: a proxy without HTTP of its own says who its client is.
//!
//! The header stands before everything else on a connection, TLS included. Whoever may send one decides which
//! address rules and logs see, so it is read from trusted proxies only, and on listeners that ask for it only;
//! there it must come. The parser is strict: what is not a header in every detail ends the connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest header of version 1, with its line end.
const LONGEST_V1: usize = 107;
/// The longest header of version 2 that is read, with all that proxies add to it.
const LONGEST_V2: usize = 4096;
/// How version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The part of version 2 whose length is fixed.
const FIXED: usize = 16;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The proxied connection's ends: the client's, and the one that the client connected to.
    Ends(SocketAddr, SocketAddr),
    /// Nothing: the proxy speaks for itself, or does not know.
    Nothing,
}

/// What is no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Reads a header at the start of `bytes`, with its length. `Ok(None)`: it goes on beyond them.
///
/// # Errors
/// The bytes are not, and cannot become, a header.
pub fn parse(bytes: &[u8]) -> Result<Option<(Said, usize)>, Malformed> {
    const PREFIX: &[u8] = b"PROXY ";
    let begins_like = |start: &[u8]| {
        let length = bytes.len().min(start.len());
        bytes[..length] == start[..length]
    };
    if begins_like(&SIGNATURE) {
        parse_v2(bytes)
    } else if begins_like(PREFIX) {
        parse_v1(bytes)
    } else {
        Err(Malformed("it does not begin like one"))
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(Said, usize)>, Malformed> {
    let window = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_V1 {
            Ok(None)
        } else {
            Err(Malformed("its line is too long"))
        };
    };
    let broken = Malformed("its line is broken");
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| broken)?;
    let mut parts = line.split(' ').skip(1);
    let mut part = || parts.next().ok_or(broken);
    let said = match part()? {
        "UNKNOWN" => Said::Nothing,
        family @ ("TCP4" | "TCP6") => {
            let (from, to) = (address(part()?, family)?, address(part()?, family)?);
            let (from_port, to_port) = (port(part()?)?, port(part()?)?);
            if parts.next().is_some() {
                return Err(broken);
            }
            Said::Ends(SocketAddr::new(from, from_port), SocketAddr::new(to, to_port))
        }
        _ => return Err(Malformed("its family is unknown")),
    };
    Ok(Some((said, end + 2)))
}

fn address(text: &str, family: &str) -> Result<IpAddr, Malformed> {
    let address = match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        _ => text.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
    };
    address.ok_or(Malformed("an address is broken"))
}

fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    let port = text.parse().ok().filter(|_| plain && !padded);
    port.ok_or(Malformed("a port is broken"))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(Said, usize)>, Malformed> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Ok(None) };
    let [.., version, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_V2 {
        return Err(Malformed("it is too long"));
    }
    let speaks_for_itself = match version {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed("its version or command is unknown")),
    };
    let Some(rest) = bytes.get(FIXED..length) else { return Ok(None) };
    if speaks_for_itself {
        return Ok(Some((Said::Nothing, length)));
    }
    let short = Malformed("its addresses are cut");
    let ends = |from: IpAddr, to: IpAddr, ports: &[u8; 4]| {
        let [a, b, c, d] = *ports;
        let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Said::Ends(SocketAddr::new(from, from_port), SocketAddr::new(to, to_port))
    };
    let said = match family {
        0x11 => {
            let (from, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            let (to, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            ends((*from).into(), (*to).into(), rest.first_chunk().ok_or(short)?)
        }
        0x21 => {
            let (from, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let (to, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            ends((*from).into(), (*to).into(), rest.first_chunk().ok_or(short)?)
        }
        // Not told, or a socket of the proxy's own machine.
        0x00 | 0x31 => Said::Nothing,
        _ => return Err(Malformed("its family is none of TCP")),
    };
    Ok(Some((said, length)))
}

/// Why no header could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHeader {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the connection ended before it")]
    Closed(#[from] io::Error),
}

/// Reads a connection's header, and not a byte of what follows it.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Said, NoHeader> {
    let mut header = Vec::new();
    let mut ahead = [0; 256];
    loop {
        // Looking ahead leaves the bytes where they are, so that those behind the header stay there.
        let seen = stream.peek(&mut ahead).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let had = header.len();
        header.extend_from_slice(&ahead[..seen]);
        let parsed = parse(&header)?;
        let takes = parsed.map_or(header.len(), |(_, length)| length) - had;
        stream.read_exact(&mut ahead[..takes]).await?;
        if let Some((said, _)) = parsed {
            return Ok(said);
        }
    }
}

#[cfg(test)]
mod tests;
