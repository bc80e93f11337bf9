//! `portcullis verify-backend`: does every target refuse whoever comes past the gateway?

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{FAILED, OPEN_BACKEND, REFUSED, fail, load, print};
use crate::diagnostic::did_you_mean;
use crate::upstream::{CallRequest, Target, Upstream};

/// How long one target may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls each target without the gateway secret and prints what it answered.
pub(super) fn verify(file: &Path, wanted: Option<&str>, path: &str) -> io::Result<ExitCode> {
    let Some(compiled) = load(file) else {
        return Ok(fail(REFUSED, &format!("{}: refused", file.display())));
    };
    if !path.starts_with('/') {
        return Ok(fail(2, "error: --path begins with a slash, such as /users/1"));
    }
    let upstreams = compiled.snapshot.upstreams;
    if let Some(name) = wanted.filter(|name| !upstreams.contains_key(*name)) {
        let help = did_you_mean(name, upstreams.keys().map(String::as_str));
        return Ok(fail(2, &format!("error: no upstream {name:?}; {help}")));
    }
    let chosen = upstreams.iter().filter(|(name, _)| wanted.is_none_or(|w| w == name.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = String::new();
    let mut open = 0;
    runtime.block_on(async {
        for (_, upstream) in chosen {
            open += verify_upstream(upstream, path, &mut report).await;
        }
    });
    runtime.shutdown_background();
    print(&report)?;
    if report.is_empty() {
        return Ok(fail(FAILED, "error: there is no target to call"));
    }
    if open > 0 {
        let told = "refuse whoever does not send the gateway secret: docs/backends.md shows how";
        return Ok(fail(OPEN_BACKEND, &format!("{open} of the targets did not refuse; {told}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a line for each target; returns how many did not refuse.
async fn verify_upstream(upstream: &Arc<Upstream>, path: &str, report: &mut String) -> usize {
    upstream.start(&Handle::current());
    upstream.ready().await;
    let targets = upstream.known_targets();
    let name = upstream.name();
    if targets.is_empty() {
        let _ = writeln!(report, "{name}: NO TARGET: none of its host names could be resolved");
        return 1;
    }
    let mut open = 0;
    for target in targets {
        let (refused, told) = verify_target(upstream, &target, path).await;
        open += usize::from(!refused);
        let verdict = if refused { "refuses" } else { "NOT CLOSED" };
        let _ = writeln!(report, "{name} {}: {verdict}: {told}", target.label());
    }
    open
}

/// Whether the target refuses, and what it did.
async fn verify_target(upstream: &Upstream, target: &Target, path: &str) -> (bool, String) {
    let request = CallRequest { path, headers: &[], with_secret: false, most_body: 0 };
    match upstream.call(target, request, Instant::now() + PATIENCE).await {
        Ok(response) => {
            let status = response.status.as_u16();
            (matches!(status, 401 | 403), format!("GET {path} without the secret: {status}"))
        }
        Err(error) => (false, format!("GET {path} without the secret: {error}")),
    }
}
