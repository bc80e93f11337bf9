//! `portcullis key`: new keys, and digests of keys that exist.

use std::io::{self, Read as _};
use std::process::ExitCode;

use super::{FAILED, fail, print};
use crate::auth;

pub(super) fn new() -> io::Result<ExitCode> {
    let key = auth::new_key()?;
    print(&format!(
        "key:    {}\ndigest: {}\n\n\
         Give the key to its consumer: it is not shown again. The digest goes into the configuration,\n\
         under consumers.NAME.api_keys.\n",
        key.expose(),
        auth::digest(key.expose())
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn digest() -> io::Result<ExitCode> {
    let mut key = String::new();
    io::stdin().take(64 << 10).read_to_string(&mut key)?;
    let key = key.trim_end_matches(['\r', '\n']);
    if key.is_empty() {
        return Ok(fail(
            FAILED,
            "error: no key on standard input (printf %s \"$KEY\" | portcullis key digest)",
        ));
    }
    print(&format!("{}\n", auth::digest(key)))?;
    Ok(ExitCode::SUCCESS)
}
