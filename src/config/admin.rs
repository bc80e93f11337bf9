//! `admin` as it stands in the file: where operators are served, and what they must show.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{At, Diagnostics};
use crate::listen::parse_address;
use crate::units::Secret;

/// A shorter token could be found by trying.
const SHORTEST_TOKEN: usize = 16;
/// The longest path of a Unix socket that Linux takes, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// The operators' own listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// A loopback address such as `127.0.0.1:9901`, or a socket such as `unix:/run/portcullis/admin.sock`,
    /// which only the gateway's own user can open. Any other address needs a `token`.
    pub address: String,

    /// What callers must send as `Authorization: Bearer TOKEN`, at least 16 characters. `/livez` and
    /// `/readyz` answer without it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// Where operators are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// IP address and port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl AdminAddress {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Reads what a person wrote; a mistake is reported at `at`.
    pub fn parse(text: &str, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let Some(path) = text.strip_prefix("unix:") else {
            return parse_address(text, at, diagnostics).map(Self::Tcp);
        };
        let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let sound = path.starts_with('/')
            && !path.ends_with('/')
            && !path.contains('\0')
            && path.len() <= LONGEST_SOCKET_PATH;
        if !sound {
            diagnostics.error(
                at.clone(),
                format!("{text:?} is not a socket to listen on"),
                format!(
                    "write its whole path, of at most {LONGEST_SOCKET_PATH} bytes, such as \
                     unix:/run/portcullis/admin.sock"
                ),
            );
            return None;
        }
        Some(Self::Unix(PathBuf::from(path)))
    }
}

impl AdminConfig {
    /// The address as a type. An address that others can reach is refused without a token, since whoever
    /// reaches it can take targets out of service.
    pub fn compile(&self, at: &At, diagnostics: &mut Diagnostics) -> Option<AdminAddress> {
        let address = AdminAddress::parse(&self.address, &at.key("address"), diagnostics);
        let short = |token: &Secret| token.expose().len() < SHORTEST_TOKEN;
        let sendable = |token: &Secret| token.expose().bytes().all(|b| b.is_ascii_graphic());
        match &self.token {
            Some(token) if short(token) => diagnostics.error(
                at.key("token"),
                format!("the token is shorter than {SHORTEST_TOKEN} characters"),
                "`portcullis key new` makes a long one",
            ),
            Some(token) if !sendable(token) => diagnostics.error(
                at.key("token"),
                "the token has a character that cannot be sent in a header",
                "`portcullis key new` makes one of letters and digits",
            ),
            None if address.as_ref().is_some_and(|address| !address.is_local()) => {
                diagnostics.error(
                    at.clone(),
                    format!("{} can be reached by others, and no token is asked for", self.address),
                    "listen on a loopback address such as 127.0.0.1:9901 or on a socket such as \
                     unix:/run/portcullis/admin.sock, or add token: \"${env:ADMIN_TOKEN}\"",
                );
            }
            _ => {}
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(address: &str, token: Option<&str>) -> String {
        let config = AdminConfig { address: address.to_owned(), token: token.map(Secret::new) };
        let mut diagnostics = Diagnostics::new();
        config.compile(&At::root().key("admin"), &mut diagnostics);
        diagnostics.render("f")
    }

    #[test]
    fn only_an_address_that_others_can_reach_needs_a_token() {
        for local in ["127.0.0.1:9901", "127.8.8.8:1", "[::1]:9901", "unix:/run/admin.sock"] {
            assert_eq!(report(local, None), "", "{local}");
        }
        for open in ["0.0.0.0:9901", "[::]:9901", "10.0.0.1:9901"] {
            assert!(report(open, None).contains("no token is asked for"), "{open}");
            assert_eq!(report(open, Some("0123456789abcdef")), "", "{open}");
        }
    }

    #[test]
    fn a_token_must_be_long_and_sendable() {
        assert!(report("127.0.0.1:1", Some("hunter2")).contains("shorter than 16"));
        let spaced = report("127.0.0.1:1", Some("sixteen chars with spaces"));
        assert!(spaced.contains("cannot be sent") && !spaced.contains("sixteen"), "{spaced}");
    }

    #[test]
    fn a_socket_has_a_whole_path() {
        for bad in ["unix:", "unix:admin.sock", "unix:/run/", "9901", "localhost:9901"] {
            assert!(!report(bad, None).is_empty(), "{bad}");
        }
    }
}
