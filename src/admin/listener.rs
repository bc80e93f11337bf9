//! The operators' socket: an address, or a file that only the gateway's own user can open.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::config::AdminAddress;
use crate::listen::{BindError, Listener};

/// An operators' listener that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminBindError {
    /// An address.
    #[error(transparent)]
    Tcp(#[from] BindError),
    /// A socket file.
    #[error("admin: cannot listen on the socket {}: {source}", .path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound socket that accepts as soon as it is served.
#[derive(Debug)]
pub enum Bound {
    /// An address.
    Tcp(Listener),
    /// A socket file.
    Unix(StdUnixListener, SocketFile),
}

impl Bound {
    /// Binds and listens at once, so that a mistake ends the start and not the night.
    pub fn bind(address: &AdminAddress) -> Result<Self, AdminBindError> {
        match address {
            AdminAddress::Tcp(address) => Ok(Self::Tcp(Listener::bind("admin", *address)?)),
            AdminAddress::Unix(path) => match bind_unix(path) {
                Ok(socket) => Ok(Self::Unix(socket, SocketFile(path.clone()))),
                Err(source) => Err(AdminBindError::Unix { path: path.clone(), source }),
            },
        }
    }

    /// Where it listens; with port 0 in the configuration, the port the system chose.
    #[must_use]
    pub fn address(&self) -> AdminAddress {
        match self {
            Self::Tcp(listener) => AdminAddress::Tcp(listener.address),
            Self::Unix(_, file) => AdminAddress::Unix(file.0.clone()),
        }
    }

    /// The same if it is an IP address.
    #[must_use]
    pub fn ip_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => Some(listener.address),
            Self::Unix(..) => None,
        }
    }

    /// Hands the socket to a runtime. Must be called within one.
    pub(super) fn into_tokio(self) -> io::Result<Accepting> {
        match self {
            Self::Tcp(listener) => listener.into_tokio().map(Accepting::Tcp),
            Self::Unix(socket, file) => {
                let socket = UnixListener::from_std(socket)?;
                Ok(Accepting::Unix { socket, _file: file })
            }
        }
    }
}

/// A socket's file, which goes when the socket does.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that is gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_unix(path: &Path) -> io::Result<StdUnixListener> {
    // What is no socket is not ours to take away; then binding fails.
    let socket_there =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if socket_there {
        if StdUnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        // What a process left behind that was killed.
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before it listens: until then nobody can connect, whatever the file's first mode was.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(128)?;
    Ok(socket.into())
}

/// A socket of a runtime.
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix { socket: UnixListener, _file: SocketFile },
}

/// What is spoken through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Accepting {
    pub async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(socket) => Box::new(socket.accept().await?.0),
            Self::Unix { socket, .. } => Box::new(socket.accept().await?.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_its_owners_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let address = AdminAddress::Unix(path.clone());
        let bound = Bound::bind(&address).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Bound::bind(&address).unwrap_err().to_string().contains("another process"));
        drop(bound);
        assert!(!path.exists());
        // One that a killed process left behind is in nobody's way.
        drop(StdUnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Bound::bind(&address).unwrap();
        // What is no socket is left alone.
        std::fs::write(&path, "precious").unwrap();
        assert!(Bound::bind(&address).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
