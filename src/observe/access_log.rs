//! The access log: one line a request, written off the request path.
//!
//! A request hands over a [`Record`] of plain values and goes its way. It waits for no lock that another
//! request holds, formats nothing, and makes no system call. One thread turns records into lines and
//! writes many of them at once, at the latest 100 ms after they came, and sleeps while there are none.
//!
//! Between the two is a buffer of [`CAPACITY`] records. When the disk or the reader of a pipe is
//! too slow for the traffic, the buffer fills and further lines are dropped: a gateway that waits for its
//! log is down whenever the log is. What was dropped is counted, told in the process log, and shown in
//! the next line that gets through (`dropped`), so that a gap is never silent. The same holds for a disk
//! that is full.
//!
//! A log file that is moved away is opened anew within a second, so `logrotate` needs neither
//! `copytruncate` nor a signal; who can't wait for that second sends SIGUSR1.
//!
//! Where [`Sampling`] rules keep only a share, they are asked before a record is made.
//!
//! # Fields
//!
//! | field | meaning | absent when |
//! |---|---|---|
//! | `time` | when the request's head had arrived; RFC 3339, UTC, milliseconds | |
//! | `request_id` | the id that client and upstream saw as `X-Request-Id` | |
//! | `trace_id` | the id of the trace that the request belongs to, as in `traceparent` | |
//! | `client` | the client's address, seen past trusted proxies | |
//! | `method` | the request's method | its first line could not be read |
//! | `host` | the host asked for | the request named none |
//! | `path` | the path as the client sent it, nothing decoded | its first line could not be read |
//! | `query` | the query with its names; every value is `***`, as is a part without a `=` | there was none |
//! | `protocol` | `HTTP/1.0`, `HTTP/1.1` or `HTTP/2` | its first line could not be read |
//! | `tls_version`, `tls_cipher` | the version of TLS, such as `1.3`, and the cipher suite | the client came without TLS |
//! | `tls_name` | the name that the client asked for (SNI), in lower case | it asked for none |
//! | `tls_client`, `tls_client_fingerprint` | subject and SHA-256 of the client's certificate | it showed none |
//! | `route` | the name of the route | none matched |
//! | `consumer` | the name of the consumer | nobody was recognised |
//! | `upstream` | the name of the upstream | the request did not go so far |
//! | `target` | the address of the target of the last try | the request did not go so far |
//! | `tries` | how many times a target was tried | 0 |
//! | `status` | the status that the client got; 0 if it left before one was sent | |
//! | `bytes_in` | bytes of the request's body | |
//! | `bytes_out` | bytes of the response's body that were sent | |
//! | `duration_ms` | from the request's head to the last byte of the response | |
//! | `gateway_ms` | from the request's head to the first try: our own checks | there was no try |
//! | `connect_ms` | to get a connection for the last try; near 0 when one was at hand | there was no try |
//! | `first_byte_ms` | from the connection to the head of the upstream's answer | no answer came |
//! | `upstream_ms` | from the first try to the end of the upstream's part, all tries together | there was no try |
//! | `why` | why we answered ourselves: the `code` of that answer | the upstream answered |
//! | `detail` | more about `why`, for the operator only | there is no more to say |
//! | `limit` | the place of the limit that refused it or held it up, or would have | no limit did |
//! | `observed` | what `why` would be, were it not for a limit that only looks on | there was none |
//! | `dropped` | lines lost since the line before this one | 0 |
//!
//! Times are in milliseconds with three decimals. In the text format the first seven words are `time`,
//! `status`, `method`, the path with its query, `duration_ms`, `client` and `request_id`, with `-`
//! for a method or path that is absent; the rest follows as `name=value`, and a value that is not plain printable ASCII is a JSON string. In the journal the
//! names are in upper case, beside `MESSAGE`, `PRIORITY` and `SYSLOG_IDENTIFIER`. The Combined Log Format has
//! what it has, and the referer and user agent, which no other asks for.

mod buffer;
mod config;
mod file;
mod journal;
mod line;
mod record;
mod sample;
mod writer;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use config::{Access, Config, Format};
pub use record::{Agent, Record, Timings};
pub use sample::{SampleRule, Sampling};

use journal::Journal;
use line::Shape;
use writer::{Shared, Sink, Writer};

/// How many records may wait to be written; further ones are dropped.
pub const CAPACITY: usize = 16_384;

/// How long dropping an [`AccessLog`] waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// An access log that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened for appending.
    #[error("cannot open the access log {}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody takes entries for the journal.
    #[error("cannot send the access log to the journal at {}: is systemd-journald running?", path.display())]
    Journal {
        /// The path of its socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("cannot write the access log to standard output")]
    Stdout(#[source] io::Error),
    /// The thread that writes it cannot be started.
    #[error("cannot start the thread that writes the access log")]
    Thread(#[source] io::Error),
}

/// An access log that is being written. Dropping it waits up to two seconds for the last lines.
#[derive(Debug)]
pub struct AccessLog {
    running: Option<Running>,
    wants_agent: bool,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    writer: thread::Thread,
}

impl AccessLog {
    /// Opens the place that the configuration names and starts the thread that writes to it.
    ///
    /// # Errors
    /// The file or standard output cannot be written to, or no thread can be started.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::open_at(config, Path::new(journal::SOCKET))
    }

    fn open_at(config: &Config, journal: &Path) -> Result<Self, OpenError> {
        let shape = config.format.into();
        match &config.access {
            Access::Off => Ok(Self { running: None, wants_agent: false }),
            Access::Stdout => {
                let stdout = unbuffered_stdout().map_err(OpenError::Stdout)?;
                Self::start(Sink::Stream(Box::new(stdout)), shape)
            }
            Access::File(path) => Self::start(Sink::File(open_file(path)?), shape),
            Access::Journald => {
                let path = journal.to_path_buf();
                let journal =
                    Journal::open(journal).map_err(|source| OpenError::Journal { path, source })?;
                Self::start(Sink::Journal(journal), Shape::Journal)
            }
        }
    }

    /// Starts a log that is written to `sink`, a piece of up to about 64 KiB of whole lines at a time.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn to(sink: Box<dyn Write + Send>, format: Format) -> Result<Self, OpenError> {
        Self::start(Sink::Stream(sink), format.into())
    }

    fn start(sink: Sink, shape: Shape) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(CAPACITY));
        let writer = Writer::new(Arc::clone(&shared), sink, shape);
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let running = Running { shared, writer: thread.thread().clone() };
        Ok(Self { running: Some(running), wants_agent: shape == Shape::Combined })
    }

    /// Whether anybody reads records; if not, none need be made.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a line shows the referer and user agent; if not, no record need hold them.
    #[must_use]
    pub const fn wants_agent(&self) -> bool {
        self.wants_agent
    }

    /// Hands over a record. Never waits for the writing; a record for which there is no room is dropped
    /// and counted.
    pub fn write(&self, record: Record) {
        if let Some(running) = &self.running
            && running.shared.push(record)
        {
            running.writer.unpark();
        }
    }

    /// How many lines were lost since the start, for want of room or because they could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.shared.dropped())
    }

    /// Opens the log's file anew, wherever its path leads by now, once what was handed over before is written.
    /// Does not wait for it.
    pub fn reopen(&self) {
        if let Some(running) = &self.running {
            running.shared.ask_to_reopen();
            running.writer.unpark();
        }
    }

    /// Waits until everything handed over before is written, or until `bound` is over. Blocks.
    ///
    /// Returns whether it was all written in time, or lost and counted.
    #[must_use]
    pub fn flush(&self, bound: Duration) -> bool {
        self.running.as_ref().is_none_or(|running| running.finish(false, bound))
    }

    /// As [`AccessLog::flush`], and ends the writing: records handed over later are dropped.
    #[must_use]
    pub fn close(&self, bound: Duration) -> bool {
        self.running.as_ref().is_none_or(|running| running.finish(true, bound))
    }
}

impl Running {
    fn finish(&self, close: bool, bound: Duration) -> bool {
        let request = self.shared.ask(close);
        self.writer.unpark();
        self.shared.wait_for(request, bound)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish(true, LAST_LINES);
    }
}

/// Standard output without the library's line buffer, which would cut our pieces at its own bounds and
/// hide a closed one.
fn unbuffered_stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn open_file(path: &Path) -> Result<file::LogFile, OpenError> {
    file::LogFile::open(path).map_err(|source| OpenError::File { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests;
