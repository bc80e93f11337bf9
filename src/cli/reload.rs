//! `portcullis reload`: has a running gateway read its file again, and tells what became of it.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::operator::{Operator, Told};
use super::{FAILED, REFUSED, fail, print};

pub(super) fn reload(file: &Path, admin: Option<&str>) -> io::Result<ExitCode> {
    let told = Operator::find(file, admin).and_then(|operator| operator.ask("POST", "/reload"));
    let Told { status, value } = match told {
        Ok(told) => told,
        Err(error) => return Ok(fail(FAILED, &format!("error: {error}"))),
    };
    let _ = write!(io::stderr(), "{}", value["report"].as_str().unwrap_or_default());
    match status {
        200 => {
            print(&format!("reloaded, in force after {} ms\n", value["took_ms"]))?;
            Ok(ExitCode::SUCCESS)
        }
        422 => Ok(fail(REFUSED, "refused; the configuration before stays in force")),
        _ => {
            let error = value["error"].as_str().unwrap_or("no reason was given");
            Ok(fail(FAILED, &format!("error: {status}: {error}")))
        }
    }
}
