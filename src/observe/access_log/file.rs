//! A log file that is appended to, and opened anew when it has been moved away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the path is looked at; only when there is something to write.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file to append to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    looked: Instant,
    /// Whether what was written so far ends with a whole line.
    whole: bool,
}

impl LogFile {
    /// Opens the file, and makes it if it is not there; others than owner and group cannot read it then.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = append(path)?;
        Ok(Self { path: path.to_path_buf(), file, looked: Instant::now(), whole: true })
    }

    /// Follows the path to another file if it leads to another file, and says whether it did. While there is
    /// none that can be opened, the old one is as good as any.
    ///
    /// # Errors
    /// The other file cannot be opened.
    pub(super) fn follow(&mut self) -> io::Result<bool> {
        let here = self.file.metadata().map(|m| (m.dev(), m.ino())).ok();
        let there = std::fs::metadata(&self.path).map(|m| (m.dev(), m.ino())).ok();
        if here == there {
            return Ok(false);
        }
        self.file = append(&self.path)?;
        self.whole = true;
        Ok(true)
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.whole && self.looked.elapsed() >= LOOK_EVERY {
            // It is tried again in a second.
            let _ = self.follow();
            self.looked = Instant::now();
        }
        let written = self.file.write(bytes)?;
        if written > 0 {
            self.whole = bytes[written - 1] == b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        let mut log = LogFile::open(&path).expect("opens");
        log.write_all(b"one\n").expect("writes");
        std::fs::rename(&path, &moved).expect("moves");
        assert!(log.follow().expect("opens"));
        assert!(!log.follow().expect("is there"));
        log.write_all(b"two\n").expect("writes");
        assert_eq!(std::fs::read_to_string(&moved).ok().as_deref(), Some("one\n"));
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("two\n"));
    }

    #[test]
    fn what_stood_in_the_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        std::fs::write(&path, "before\n").expect("writes");
        LogFile::open(&path).and_then(|mut log| log.write_all(b"after\n")).expect("writes");
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("before\nafter\n"));
    }
}
