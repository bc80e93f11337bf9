//! `portcullis openapi`: the document that the portal would serve, without a running gateway.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;

use super::{FAILED, REFUSED, fail, load, print};
use crate::portal::{Library, State};

/// How long all upstreams together may take to be found and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints the merged document, of what the upstreams say now. Exits with 1 if one of them could not be read, which
/// is told; the rest is printed all the same.
pub(super) fn openapi(file: &Path, yaml: bool) -> io::Result<ExitCode> {
    let Some(compiled) = load(file) else {
        return Ok(fail(REFUSED, &format!("{}: refused", file.display())));
    };
    let Some(library) = compiled.snapshot.library.clone() else {
        let told = "error: no upstream says where its OpenAPI document is\n    help: add `openapi: /openapi.json` \
                    to an upstream, or `openapi: { file: users.yaml }`";
        return Ok(fail(FAILED, told));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for upstream in compiled.snapshot.upstreams.values() {
            if upstream.config().openapi.is_some() {
                upstream.start(&Handle::current());
            }
        }
        let looks = join_all(library.sources().iter().map(|source| source.look()));
        // What has not come by then is missing, which is told.
        let _ = tokio::time::timeout(PATIENCE, looks).await;
    });
    runtime.shutdown_background();
    let document = library.document(&compiled.snapshot.about());
    let text = if yaml {
        serde_yaml::to_string(&document).map_err(io::Error::other)?
    } else {
        format!("{}\n", serde_json::to_string_pretty(&document)?)
    };
    print(&text)?;
    Ok(if complain(&library) { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Tells of what is missing. Whether there is such.
fn complain(library: &Library) -> bool {
    let missing = library.statuses().into_iter().filter(|status| status.state != State::Good);
    let mut any = false;
    for status in missing {
        any = true;
        let why = status.complaint.as_deref().unwrap_or("it did not answer in time");
        // A closed standard error leaves nobody to tell.
        let _ = writeln!(io::stderr(), "error: upstream {}: {why}", status.upstream);
    }
    any
}
