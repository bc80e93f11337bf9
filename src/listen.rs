//! The front door's sockets: binding them at start, accepting, and closing them without losing a word.
//!
//! A *listener* is one address on which clients are served. Pingora has a listening service of its own;
//! this module stands in its place for three reasons: an address that cannot be bound must end the start
//! with a message (Pingora would stay up without its listener); a stop must end as soon as the last
//! request is answered (Pingora sleeps a fixed time); and what a client may do before its first
//! request is parsed can only be bounded below the session, in the stream.

mod accept;
mod arrive;
mod buffered;
mod caps;
mod clients;
mod config;
mod conn;
mod door;
mod facts;
mod http1;
mod http2;
mod linger;
mod pace;
mod preface;
pub mod proxy_protocol;
mod refusal;
pub mod tls;
mod traffic;
mod transport;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

pub use accept::{ConnectionGuard, Connections, Porter, Shutdown, accept};
pub use caps::{Caps, ConnectionsConfig, Limits, Place};
pub use clients::{Clients, Refusals, Refused};
pub use config::{Config, RedirectToHttps};
pub use conn::{Arrived, Conn, Held};
pub use door::{Door, House, Visit};
pub use facts::Facts;
pub use http1::{Flaw, Guard, RequestLine, Verdict};
pub use http2::{Crowd, HTTP2_IDLE, Room, http2_options};
pub use pace::{Pace, Timeouts};
pub use refusal::Refusal;
pub use tls::{ClientCertificate, ReadFile, TlsConfig, TlsFacts, TlsVersion};
pub use traffic::{Open, Traffic};
pub use transport::{Plain, Transport};

use crate::diagnostic::{At, Diagnostics};

/// How many connections may wait for `accept`; the system's own limit may be lower.
const BACKLOG: i32 = 4096;

/// Reads an IP address with a port; a host name is refused, since nobody can tell what it binds.
pub fn parse_address(text: &str, at: &At, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = if let Some(port) = text.strip_prefix(':') {
        format!("write the address out: \"0.0.0.0:{port}\" for every interface")
    } else if text.parse::<std::net::IpAddr>().is_ok() {
        "add a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned()
    } else if text.starts_with("localhost:") {
        format!("write the address out: \"{}\"", text.replacen("localhost", "127.0.0.1", 1))
    } else {
        "write an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned()
    };
    diagnostics.error(at.clone(), format!("{text:?} is not an address to listen on"), help);
    None
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listener {name}: cannot listen on {address}: {}{}", .source, hint(.source))]
pub struct BindError {
    /// The listener's name in the configuration.
    pub name: String,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another process listens there; choose another port, or stop it)"
        }
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need the capability CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// A bound socket that accepts as soon as it is served.
#[derive(Debug)]
pub struct Listener {
    /// The listener's name in the configuration.
    pub name: String,
    /// The address it is bound to; with port 0 in the configuration, the port the system chose.
    pub address: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// Binds and listens at once, so that a mistake ends the start and not the night.
    pub fn bind(name: &str, address: SocketAddr) -> Result<Self, BindError> {
        let bound = bind_socket(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        match bound {
            Ok((address, socket)) => Ok(Self { name: name.to_owned(), address, socket }),
            Err(source) => Err(BindError { name: name.to_owned(), address, source }),
        }
    }

    /// Hands the socket to a runtime. Must be called within one.
    pub fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }
}

fn bind_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` means both families whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told_with_its_cure() {
        let first = Listener::bind("public", "127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Listener::bind("again", first.address).unwrap_err().to_string();
        assert!(error.contains("listener again: cannot listen on 127.0.0.1:"), "{error}");
        assert!(error.contains("another process listens there"), "{error}");
    }

    #[test]
    fn an_address_needs_an_ip_and_a_port() {
        for (text, help) in [
            (":8080", "\"0.0.0.0:8080\" for every interface"),
            ("0.0.0.0", "add a port"),
            ("localhost:80", "\"127.0.0.1:80\""),
            ("example.com:80", "an IP address and a port"),
        ] {
            let mut diagnostics = Diagnostics::new();
            assert_eq!(parse_address(text, &At::root(), &mut diagnostics), None);
            let report = diagnostics.render("f");
            assert!(report.contains(help), "{text}: {report}");
        }
    }
}
