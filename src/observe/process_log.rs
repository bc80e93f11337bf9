//! The process log: what starts, stops and changes its state, on standard error, through `log` and
//! `env_logger`.
//!
//! Its filter can be swapped while the process runs ([`LogLevel`]), so that a fault can be looked at without
//! a restart that would make it go away. What libraries say below `info` never reaches it, whatever the
//! filter: some of them print whole request heads there, with the credentials in them.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use log::LevelFilter;

/// The variable that sets the filter.
pub const VARIABLE: &str = "PORTCULLIS_LOG";

/// The filter if nobody says another: of libraries, only what is wrong. The proxy tells of broken connections,
/// which anybody can bring about, and the load balancer of health, which the upstreams tell with more to it.
pub const DEFAULT_FILTER: &str =
    "warn,pingora_core::apps=off,pingora_proxy=off,pingora_load_balancing=error,portcullis=info";

/// The most that is asked of anybody, whatever the filter. The facade has one level for the whole process, and below
/// this one a library makes texts of raw heads before it is known that nobody wants them; on a head that is no
/// UTF-8 that ends the request.
pub const MOST: LevelFilter = LevelFilter::Debug;

/// Starts the process log and gives the handle on its filter. The first filter is that of the environment.
///
/// # Errors
/// What the environment says is no filter. Whoever looks for a fault would otherwise wait for lines that never
/// come.
pub fn to_stderr() -> Result<LogLevel, InvalidFilter> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let text = text.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let mut level = LogLevel::new(&text)?;
    // A logger that is there already may stay; then the level is its affair.
    level.installed =
        log::set_boxed_logger(Box::new(ProcessLog(Arc::clone(&level.logger)))).is_ok();
    if level.installed {
        log::set_max_level(level.logger.load().filter().min(MOST));
    }
    Ok(level)
}

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a filter: write a level (error, warn, info, debug, trace, off), or module=level, \
     separated by commas, such as warn,portcullis=debug"
)]
pub struct InvalidFilter(String);

/// What is logged: a level for everything, and others for modules.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter(Vec<(Option<String>, LevelFilter)>);

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        // The syntax of env_logger, without its silent reading of a misspelt level as a module.
        let part = |part: &str| match part.split_once('=') {
            None => Some((None, part.parse().ok()?)),
            Some((module, level)) if is_module(module) => {
                Some((Some(module.to_owned()), level.parse().ok()?))
            }
            Some(_) => None,
        };
        let parts: Option<Vec<_>> = text.split(',').map(|text| part(text.trim())).collect();
        parts.map(Self).ok_or_else(|| InvalidFilter(text.to_owned()))
    }
}

impl Filter {
    fn logger(self) -> env_logger::Logger {
        let mut builder = env_logger::Builder::new();
        for (module, level) in self.0 {
            builder.filter(module.as_deref(), level);
        }
        builder.build()
    }
}

fn is_module(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// A handle on the filter of the process log.
pub struct LogLevel {
    logger: Arc<ArcSwap<env_logger::Logger>>,
    filter: Mutex<String>,
    /// Whether it is that of the process.
    installed: bool,
}

impl LogLevel {
    /// A handle on a log that nobody writes to, with this filter: for a gateway in somebody else's process.
    ///
    /// # Errors
    /// The text is no filter.
    pub fn new(filter: &str) -> Result<Self, InvalidFilter> {
        let logger = filter.parse::<Filter>()?.logger();
        Ok(Self {
            logger: Arc::new(ArcSwap::from_pointee(logger)),
            filter: Mutex::new(filter.to_owned()),
            installed: false,
        })
    }

    /// The filter now, as it was given.
    #[must_use]
    pub fn filter(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another filter in its place, at once and until the process ends.
    ///
    /// # Errors
    /// The text is no filter; nothing is changed.
    pub fn set(&self, text: &str) -> Result<(), InvalidFilter> {
        let logger = text.parse::<Filter>()?.logger();
        let mut current = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let most = logger.filter();
        self.logger.store(Arc::new(logger));
        if self.installed {
            log::set_max_level(most.min(MOST));
        }
        text.clone_into(&mut current);
        Ok(())
    }
}

/// Whether a record can reach an output at all, whatever the filter.
#[must_use]
pub fn may_speak(metadata: &log::Metadata<'_>) -> bool {
    let own = metadata.target().strip_prefix("portcullis");
    metadata.level() <= log::Level::Info
        || own.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The logger behind the facade.
struct ProcessLog(Arc<ArcSwap<env_logger::Logger>>);

impl log::Log for ProcessLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        may_speak(metadata) && self.0.load().enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if may_speak(record.metadata()) {
            self.0.load().log(record);
        }
    }

    fn flush(&self) {
        self.0.load().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_keep_what_they_know_of_requests_to_themselves() {
        let may = |target, level| {
            may_speak(&log::Metadata::builder().target(target).level(level).build())
        };
        assert!(may("portcullis", log::Level::Trace));
        assert!(may("portcullis::gateway", log::Level::Debug));
        assert!(may("pingora_core::apps", log::Level::Warn));
        assert!(!may("pingora_core::protocols::http", log::Level::Debug));
        assert!(!may("portcullis_look_alike", log::Level::Debug));
    }

    #[test]
    fn a_filter_is_levels_for_modules_and_nothing_else() {
        let filter: Filter = "warn, portcullis=debug,portcullis::reload=off".parse().unwrap();
        let modules: Vec<_> =
            filter.0.iter().map(|(module, level)| (module.as_deref(), *level)).collect();
        assert_eq!(
            modules,
            [
                (None, LevelFilter::Warn),
                (Some("portcullis"), LevelFilter::Debug),
                (Some("portcullis::reload"), LevelFilter::Off)
            ]
        );
        for bad in ["", "loud", "portcullis", "portcullis=loud", "=info", "info/secret", "a b=info"]
        {
            assert_eq!(bad.parse::<Filter>(), Err(InvalidFilter(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_filter_takes_effect_at_once() {
        let level = LogLevel::new(DEFAULT_FILTER).unwrap();
        let log = ProcessLog(Arc::clone(&level.logger));
        let debug =
            log::Metadata::builder().target("portcullis::reload").level(log::Level::Debug).build();
        let enabled = || log::Log::enabled(&log, &debug);
        assert!(!enabled());
        level.set("warn,portcullis=debug").unwrap();
        assert!(enabled());
        assert!(level.set("portcullis=loud").is_err());
        assert!(enabled());
        assert_eq!(level.filter(), "warn,portcullis=debug");
    }
}
