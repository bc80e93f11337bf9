//! The thread that writes, and how it is woken.
//!
//! Waking a thread is a system call on the request path, so it is done seldom: by the first record after
//! a time without any, and when a shard is half full. In between the thread wakes by itself.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Record;
use super::buffer::{Buffer, Pushed};
use super::file::LogFile;
use super::journal::Journal;
use super::line::{Lines, Shape};

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How much is written at once.
const PIECE: usize = 60 * 1024;
/// How often losses are told in the process log, at most.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long to wait for a descriptor that somebody made non-blocking.
const NOT_READY: Duration = Duration::from_millis(5);

/// The writer looks by itself, at the latest after [`GATHER`].
const AWAKE: u8 = 0;
/// The writer sleeps until it is woken.
const ASLEEP: u8 = 1;
/// Nobody looks any more.
const CLOSED: u8 = 2;

/// What requests and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    buffer: Buffer,
    state: AtomicU8,
    progress: Mutex<Progress>,
    moved: Condvar,
}

/// How far the writer is with what it was asked for.
#[derive(Debug, Default)]
struct Progress {
    asked: u64,
    done: u64,
    closing: bool,
    reopening: bool,
}

impl Shared {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            buffer: Buffer::new(capacity),
            state: AtomicU8::new(AWAKE),
            progress: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.buffer.dropped()
    }

    /// Takes a record and says whether the writer must be woken for it.
    ///
    /// No record is slept over: the writer says that it sleeps before it looks at the shards a last time.
    /// Either it finds the record there, or its look at the shard came first; then the shard's lock has
    /// made the word visible here.
    pub(super) fn push(&self, record: Record) -> bool {
        if self.state.load(Ordering::SeqCst) == CLOSED {
            self.buffer.count_dropped(1);
            return false;
        }
        match self.buffer.push(record) {
            Pushed::Dropped => false,
            Pushed::HalfFull => true,
            Pushed::Kept => self.state.load(Ordering::SeqCst) == ASLEEP && self.wake(),
        }
    }

    /// Whether it was this call that ended the sleep.
    fn wake(&self) -> bool {
        self.change(ASLEEP, AWAKE)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Asks for everything to be written; the writer must be woken then. Gives the number of the request.
    pub(super) fn ask(&self, close: bool) -> u64 {
        let mut progress = self.progress();
        progress.closing |= close;
        progress.asked += 1;
        progress.asked
    }

    /// Asks for the file to be opened anew; the writer must be woken then.
    pub(super) fn ask_to_reopen(&self) {
        let mut progress = self.progress();
        progress.reopening = true;
        progress.asked += 1;
    }

    /// Waits until a request is done, up to `bound`.
    pub(super) fn wait_for(&self, request: u64, bound: Duration) -> bool {
        let (_progress, outcome) = self
            .moved
            .wait_timeout_while(self.progress(), bound, |progress| progress.done < request)
            .unwrap_or_else(PoisonError::into_inner);
        !outcome.timed_out()
    }

    /// Whether nothing waits to be written or answered.
    fn is_idle(&self) -> bool {
        let answered = {
            let progress = self.progress();
            progress.asked == progress.done
        };
        answered && self.buffer.is_empty()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it is written to.
pub(super) enum Sink {
    /// Something that takes bytes.
    Stream(Box<dyn Write + Send>),
    /// A file that can be opened anew.
    File(LogFile),
    /// The journal, which takes one entry at a time.
    Journal(Journal),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.write(bytes),
            Self::File(file) => file.write(bytes),
            Self::Journal(journal) => journal.send(bytes).map(|()| bytes.len()),
        }
    }

    /// How much is gathered before it is written.
    fn piece(&self) -> usize {
        match self {
            Self::Stream(_) | Self::File(_) => PIECE,
            Self::Journal(_) => 1,
        }
    }

    /// How many records end in these bytes.
    fn ends(&self, bytes: &[u8]) -> u64 {
        let ends = match self {
            Self::Stream(_) | Self::File(_) => memchr::memchr_iter(b'\n', bytes).count(),
            Self::Journal(_) => usize::from(!bytes.is_empty()),
        };
        ends as u64
    }
}

/// What the writing thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    sink: Sink,
    lines: Lines,
    batch: Vec<Record>,
    out: Vec<u8>,
    /// Whether the last write ended in the middle of a line.
    torn: bool,
    /// The losses shown in lines that were written, and in lines that wait in `out`.
    shown: u64,
    showing: u64,
    told: u64,
    told_at: Option<Instant>,
    last_error: Option<io::Error>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, sink: Sink, shape: Shape) -> Self {
        Self {
            shared,
            sink,
            lines: Lines::new(shape),
            batch: Vec::new(),
            out: Vec::with_capacity(PIECE + 4096),
            torn: false,
            shown: 0,
            showing: 0,
            told: 0,
            told_at: None,
            last_error: None,
        }
    }

    /// Writes until it is asked to close.
    pub(super) fn run(mut self) {
        loop {
            let (asked, closing, reopening) = {
                let mut progress = self.shared.progress();
                (progress.asked, progress.closing, std::mem::take(&mut progress.reopening))
            };
            if closing {
                self.shared.state.store(CLOSED, Ordering::SeqCst);
            }
            let found = self.write_all_waiting();
            if reopening {
                self.reopen();
            }
            self.tell_losses(closing);
            let told_all = self.told == self.shared.dropped();
            {
                let mut progress = self.shared.progress();
                // After the end, whoever asks finds it done.
                progress.done = if closing { u64::MAX } else { asked };
                self.shared.moved.notify_all();
            }
            if closing {
                return;
            }
            if found || !told_all {
                thread::park_timeout(GATHER);
            } else {
                self.sleep();
            }
        }
    }

    /// Opens the file anew; the old one is as good as any if that fails.
    fn reopen(&mut self) {
        let Sink::File(file) = &mut self.sink else { return };
        match file.follow() {
            // No line was torn in the new one.
            Ok(is_another) => self.torn &= !is_another,
            Err(error) => log::warn!("access log: it cannot be opened anew: {error}"),
        }
    }

    /// Sleeps until there is something to do. May wake for nothing.
    fn sleep(&self) {
        if self.shared.change(AWAKE, ASLEEP) {
            if self.shared.is_idle() {
                thread::park();
            }
            self.shared.wake();
        }
    }

    /// Whether there was anything.
    fn write_all_waiting(&mut self) -> bool {
        let mut found = false;
        let mut batch = std::mem::take(&mut self.batch);
        for shard in 0..self.shared.buffer.shards() {
            self.shared.buffer.take(shard, &mut batch);
            found |= !batch.is_empty();
            for record in batch.drain(..) {
                let dropped = self.shared.dropped();
                self.lines.write(&mut self.out, &record, dropped - self.showing);
                self.showing = dropped;
                if self.out.len() >= self.sink.piece() {
                    self.deliver();
                }
            }
        }
        self.batch = batch;
        self.deliver();
        found
    }

    /// Writes what is ready. What cannot be written is counted and forgotten: it must not hold up the rest.
    fn deliver(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let outcome = if self.torn { self.write(b"\n") } else { Ok(()) };
        let out = std::mem::take(&mut self.out);
        let outcome = outcome.map_err(|error| (error, 0)).and_then(|()| {
            self.torn = false;
            self.write_lines(&out)
        });
        match outcome {
            Ok(()) => self.shown = self.showing,
            Err((error, written)) => {
                self.torn |= written > 0 && out[written - 1] != b'\n';
                self.shared.buffer.count_dropped(self.sink.ends(&out[written..]));
                self.showing = self.shown;
                self.last_error = Some(error);
            }
        }
        self.out = out;
        self.out.clear();
        // One monstrous line must not hold memory for ever.
        self.out.shrink_to(4 * PIECE);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_lines(bytes).map_err(|(error, _)| error)
    }

    /// Writes it all, or says what stopped it and how much was written until then.
    fn write_lines(&mut self, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.sink.write(&bytes[written..]) {
                Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(NOT_READY),
                Err(error) => return Err((error, written)),
            }
        }
        Ok(())
    }

    /// Tells the process log of new losses: at once, then from time to time, and at the end.
    fn tell_losses(&mut self, at_the_end: bool) {
        let dropped = self.shared.dropped();
        let due = at_the_end || self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if dropped == self.told || !due {
            return;
        }
        let lines = dropped - self.told;
        match self.last_error.take() {
            Some(error) => log::warn!(
                "access log: {lines} lines lost, {dropped} since the start; last write error: {error}"
            ),
            None => log::warn!(
                "access log: {lines} lines lost, {dropped} since the start: it cannot be written as \
                 fast as requests come"
            ),
        }
        self.told = dropped;
        self.told_at = Some(Instant::now());
    }
}
