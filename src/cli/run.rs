//! `portcullis run`: from a file to a process that serves until it is told to stop.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{CANNOT_START, FAILED, REFUSED, chain, fail, load};
use crate::observe::access_log::AccessLog;
use crate::server::{Server, StartError};

/// The filter of the process log if `PORTCULLIS_LOG` does not say another: of libraries, only what is
/// wrong, since some print whole request heads at lower levels. The proxy tells of broken connections, which
/// anybody can bring about, and the load balancer of health, which the upstreams tell with more to it.
const LOG_FILTER: &str = "warn,pingora_proxy=off,pingora_load_balancing=error,portcullis=info";

/// How long a stop at once waits for the lines of the access log that are under way.
const LAST_LINES: Duration = Duration::from_millis(500);

pub(super) fn run(file: &Path) -> io::Result<ExitCode> {
    log_to_stderr();
    let Some(compiled) = load(file) else {
        return Ok(fail(REFUSED, &format!("{}: refused, nothing is started", file.display())));
    };
    let server = match Server::bind(compiled) {
        Ok(server) => server,
        Err(error) => return Ok(fail(CANNOT_START, &format!("error: {}", chain(&error)))),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(server.workers())
        .thread_name("worker")
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        let stop = stop_signal(server.access_log())?;
        server.run(stop).await
    });
    // What is left are requests that were cut and probes: nobody waits for them.
    runtime.shutdown_background();
    Ok(finish(done))
}

pub(super) fn finish(done: Result<bool, StartError>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(FAILED, "stopped; some requests had to be cut"),
        Err(error) => fail(CANNOT_START, &format!("error: {}", chain(&error))),
    }
}

/// Starts the process log. The filter is `PORTCULLIS_LOG`, in the syntax of `env_logger`.
pub(super) fn log_to_stderr() {
    let environment = env_logger::Env::new().filter_or("PORTCULLIS_LOG", LOG_FILTER);
    let logger = ProcessLog(env_logger::Builder::from_env(environment).build());
    let filter = logger.0.filter();
    // A logger that is there already (in a test) may stay.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(filter);
    }
}

/// The process log: what libraries say below `info` never reaches it, since some of them print whole request
/// heads there, with the credentials in them.
struct ProcessLog(env_logger::Logger);

impl ProcessLog {
    fn may_speak(metadata: &log::Metadata<'_>) -> bool {
        let own = metadata.target().strip_prefix("portcullis");
        metadata.level() <= log::Level::Info
            || own.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

impl log::Log for ProcessLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        Self::may_speak(metadata) && self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if Self::may_speak(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Ready at the first SIGTERM or SIGINT; a second one ends the process at once. Must be called within a
/// runtime.
pub(super) fn stop_signal(log: Arc<AccessLog>) -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // SIGHUP would end the process; a reload is not built yet, so it is told apart from a stop.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            log::warn!(
                "SIGHUP: this version cannot reload; restart it to change the configuration"
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_keep_what_they_know_of_requests_to_themselves() {
        let may = |target, level| {
            ProcessLog::may_speak(&log::Metadata::builder().target(target).level(level).build())
        };
        assert!(may("portcullis", log::Level::Trace));
        assert!(may("portcullis::gateway", log::Level::Debug));
        assert!(may("pingora_core::apps", log::Level::Warn));
        assert!(!may("pingora_core::protocols::http", log::Level::Debug));
        assert!(!may("portcullis_look_alike", log::Level::Debug));
    }
}
