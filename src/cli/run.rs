//! `portcullis run`: from a file to a process that serves until it is told to stop.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{CANNOT_START, FAILED, REFUSED, chain, fail, report};
use crate::loading;
use crate::observe::access_log::AccessLog;
use crate::observe::process_log;
use crate::reload::{Reloader, Trigger};
use crate::server::{Server, StartError};

/// How long a stop at once waits for the lines of the access log that are under way.
const LAST_LINES: Duration = Duration::from_millis(500);

pub(super) fn run(file: &Path) -> io::Result<ExitCode> {
    outlive_early_signals()?;
    let level = match process_log::to_stderr() {
        Ok(level) => level,
        Err(error) => {
            return Ok(fail(CANNOT_START, &format!("error: {}: {error}", process_log::VARIABLE)));
        }
    };
    let (loaded, mark) = loading::load_after(None, file);
    let Some(compiled) = report(loaded, file) else {
        return Ok(fail(REFUSED, &format!("{}: refused, nothing is started", file.display())));
    };
    let server = match Server::bind(compiled) {
        Ok(server) => server.following(file, mark).logging_by(Arc::new(level)),
        Err(error) => return Ok(fail(CANNOT_START, &format!("error: {}", chain(&error)))),
    };
    // Requests are served by the server's own threads; on this one it accepts, probes, and is told what to do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let stop = stop_signal(server.reloader(), server.access_log())?;
        server.run(stop).await
    });
    // What is left are requests that were cut and probes: nobody waits for them.
    runtime.shutdown_background();
    Ok(finish(done))
}

/// A SIGHUP or SIGUSR1 while the file is being read must not end the process. It may be lost: a file that changed
/// after it was read is noticed all the same, and the log is opened later. A handler stays for the life of the
/// process, whatever becomes of the runtime that set it.
fn outlive_early_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _within = runtime.enter();
    for kind in [SignalKind::hangup(), SignalKind::user_defined1()] {
        drop(signal(kind)?);
    }
    Ok(())
}

pub(super) fn finish(done: Result<bool, StartError>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(FAILED, "stopped; some requests had to be cut"),
        Err(error) => fail(CANNOT_START, &format!("error: {}", chain(&error))),
    }
}

/// Ready at the first SIGTERM or SIGINT; a second one ends the process at once. Must be called within a
/// runtime. SIGHUP asks for a reload, SIGUSR1 for the access log's file to be opened anew.
pub(super) fn stop_signal(
    reloader: Reloader,
    log: Arc<AccessLog>,
) -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut moved = signal(SignalKind::user_defined1())?;
    let moved_log = log.clone();
    tokio::spawn(async move {
        while moved.recv().await.is_some() {
            log::info!("SIGUSR1: the access log is opened anew");
            moved_log.reopen();
        }
    });
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            log::info!("SIGHUP");
            reloader.trigger(Trigger::Signal);
        }
    });
    Ok(async move {
        tokio::select! {
            _ = term.recv() => log::info!("SIGTERM"),
            _ = interrupt.recv() => log::info!("SIGINT"),
        }
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
            log::warn!("a second signal: stopping at once");
            // What could not be written in that time is lost.
            let _ = log.flush(LAST_LINES);
            std::process::exit(i32::from(FAILED));
        });
    })
}
