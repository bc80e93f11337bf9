//! The command line.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the command failed while it ran; `run`: a stop that had to cut requests |
//! | 2 | the command line is wrong |
//! | 3 | the configuration is refused; `check --strict`: it has warnings |
//! | 4 | the process cannot start: an address in use, a log that cannot be written |
//! | 5 | `verify-backend` found a target that answers without the gateway secret, or cannot be reached |
//! | 6 | `diff --fail-on`: the new configuration is weaker |

mod demo;
mod diff;
mod explain;
mod key;
mod openapi;
mod operator;
mod reload;
mod run;
mod status;
mod verify;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config;
use crate::diagnostic::Severity;
use crate::loading::{self, Loaded};
use crate::snapshot::Compiled;

/// The command failed while it ran.
const FAILED: u8 = 1;
/// The configuration is refused.
const REFUSED: u8 = 3;
/// The process cannot start.
const CANNOT_START: u8 = 4;
/// A backend answers without the gateway secret.
const OPEN_BACKEND: u8 = 5;
/// A change that the caller does not want.
const WEAKER: u8 = 6;

/// The file that commands read if none is named.
const DEFAULT_FILE: &str = "/etc/portcullis/portcullis.yaml";

#[derive(Parser)]
#[command(name = "portcullis", version, about = "An API gateway: one binary, one YAML file")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve by a configuration file
    Run {
        /// The configuration file
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Read a configuration file and report every mistake in it
    Check {
        /// The configuration file
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
        /// Count warnings as mistakes
        #[arg(long)]
        strict: bool,
    },
    /// Have a running gateway read its configuration file again
    Reload {
        /// The configuration file, which says where the gateway can be asked
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
        /// Where it can be asked, if the file does not say; with the token in `PORTCULLIS_ADMIN_TOKEN`
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<String>,
    },
    /// Show what a running gateway serves by, and how its targets are
    Status {
        /// The configuration file, which says where the gateway can be asked
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
        /// Where it can be asked, if the file does not say; with the token in `PORTCULLIS_ADMIN_TOKEN`
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell what changes in meaning between two configuration files
    Diff {
        /// The file that is in force
        old: PathBuf,
        /// The file that is to take its place
        new: PathBuf,
        /// Exit with 6 if there is such a change
        #[arg(long, value_name = "CHANGE")]
        fail_on: Option<diff::FailOn>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell why a request goes where it goes; nothing is sent
    Explain(explain::Asked),
    /// Print the `OpenAPI` document of all that is routed, as the portal serves it, from what the upstreams say now
    Openapi {
        /// The configuration file
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
        /// As YAML
        #[arg(long)]
        yaml: bool,
    },
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Make API keys, and digests of them
    #[command(subcommand)]
    Key(KeyCommand),
    /// Call each target without the gateway secret: it must refuse
    VerifyBackend {
        /// The upstream whose targets are called; all if none is named
        upstream: Option<String>,
        /// The path that is asked for
        #[arg(long, default_value = "/")]
        path: String,
        /// The configuration file
        #[arg(long, default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Serve an example: five small backends and the gateway in front of them
    Demo {
        /// The gateway's port
        #[arg(long, default_value_t = 8000)]
        port: u16,
        /// Where the backends' ports begin: they are this number plus 1, 11, 2, 12 and 3
        #[arg(long, default_value_t = 8000)]
        backends: u16,
    },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a new key; it is shown once, with the digest that the configuration holds
    New,
    /// Print the digest of a key that is read from standard input
    Digest,
    /// Print the digest of a password that is read from standard input
    Password,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Run { file } => run::run(&file),
        Command::Check { file, strict } => check(&file, strict),
        Command::Reload { file, admin } => reload::reload(&file, admin.as_deref()),
        Command::Status { file, admin, json } => status::status(&file, admin.as_deref(), json),
        Command::Diff { old, new, fail_on, json } => diff::diff(&old, &new, fail_on, json),
        Command::Explain(asked) => explain::explain(&asked),
        Command::Openapi { file, yaml } => openapi::openapi(&file, yaml),
        Command::Schema => schema(),
        Command::Key(KeyCommand::New) => key::new(),
        Command::Key(KeyCommand::Digest) => key::digest(),
        Command::Key(KeyCommand::Password) => key::password(),
        Command::VerifyBackend { upstream, path, config } => {
            verify::verify(&config, upstream.as_deref(), &path)
        }
        Command::Demo { port, backends } => demo::demo(port, backends),
    };
    done.unwrap_or_else(|error| fail(FAILED, &format!("error: {}", chain(&error))))
}

/// An error with its causes, as far as they say something new.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told
}

/// Tells what went wrong, and gives the exit code.
fn fail(code: u8, message: &str) -> ExitCode {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(code)
}

/// Prints to standard output; a reader that closed it early is no mistake.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Reads a file and reports what is wrong with it on standard error. `None` if it is refused.
fn load(file: &Path) -> Option<Compiled> {
    report(loading::load(file), file)
}

/// Reports what is wrong with a file that was read. `None` if it is refused.
fn report(loaded: Loaded, file: &Path) -> Option<Compiled> {
    if !loaded.diagnostics.is_empty() {
        let text = loaded.diagnostics.render(&file.display().to_string());
        let _ = write!(io::stderr(), "{text}");
    }
    loaded.compiled
}

fn check(file: &Path, strict: bool) -> io::Result<ExitCode> {
    let Loaded { compiled, config, diagnostics, .. } = loading::load(file);
    let name = file.display();
    let _ = write!(io::stderr(), "{}", diagnostics.render(&name.to_string()));
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors > 0 || compiled.is_none() {
        return Ok(fail(REFUSED, &format!("{name}: refused, {}", counted(errors, "mistake"))));
    }
    if strict && warnings > 0 {
        let told = counted(warnings, "warning");
        return Ok(fail(REFUSED, &format!("{name}: refused by --strict, {told}")));
    }
    let routes = config.as_ref().map_or(0, |config| config.routes.len());
    let upstreams = config.as_ref().map_or(0, |config| config.upstreams.len());
    let doubts =
        if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
    let tests = config.as_ref().map_or(0, |config| config.tests.len());
    let tested = if tests > 0 { format!(", {}", counted(tests, "test")) } else { String::new() };
    let (routes, upstreams) = (counted(routes, "route"), counted(upstreams, "upstream"));
    print(&format!("{name}: good ({routes}, {upstreams}{tested}{doubts})\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn schema() -> io::Result<ExitCode> {
    let text = serde_json::to_string_pretty(&config::schema())?;
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
