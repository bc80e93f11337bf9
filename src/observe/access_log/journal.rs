//! systemd's journal, by its native protocol: an entry of fields is one datagram to a well-known socket.
//!
//! An entry that is too large for a datagram goes in a sealed file in memory, whose descriptor is sent in its
//! place. Nothing is sent over a connection, so that a journald that was started anew is found again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Where journald listens; with `LogNamespace=` in a unit, systemd puts the namespace's own socket there.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Finds out whether somebody listens there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        Ok(Self { socket: UnixDatagram::unbound()?, path: path.to_path_buf() })
    }

    /// Sends one entry, whole. Waits while journald has more to read than it may.
    pub(super) fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send_to(entry, &self.path) {
            Err(error) if is_too_large(&error) => self.send_in_memory(entry),
            outcome => outcome.map(drop),
        }
    }

    #[cfg(target_os = "linux")]
    fn send_in_memory(&self, entry: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        use std::os::fd::AsFd as _;

        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        use rustix::net::{
            SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr,
        };

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = std::fs::File::from(memfd_create("access-log", flags)?);
        file.write_all(entry)?;
        // journald reads no file that could change under its eyes.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let address = SocketAddrUnix::new(&self.path)?;
        sendmsg_addr(&self.socket, &address, &[], &mut control, SendFlags::empty())?;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn send_in_memory(&self, _entry: &[u8]) -> io::Result<()> {
        Err(Errno::MSGSIZE.into())
    }
}

fn is_too_large(error: &io::Error) -> bool {
    [Errno::MSGSIZE, Errno::NOBUFS]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests;
