//! `portcullis key`: new keys, and digests of keys and passwords that exist.

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

/// The longest password that a request can hold.
const LONGEST_PASSWORD: usize = 512;

pub(super) fn password() -> io::Result<ExitCode> {
    let password = line()?;
    if password.is_empty() {
        return Ok(fail(
            FAILED,
            "error: no password on standard input (printf %s \"$PASSWORD\" | portcullis key password)",
        ));
    }
    if password.len() > LONGEST_PASSWORD || password.chars().any(char::is_control) {
        return Ok(fail(
            FAILED,
            "error: a password is one line of at most 512 bytes without control characters",
        ));
    }
    print(&format!("{}\n", auth::digest_password(&password)?))?;
    Ok(ExitCode::SUCCESS)
}

/// What stands on standard input, without the end of its line.
fn line() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().take(64 << 10).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

pub(super) fn digest() -> io::Result<ExitCode> {
    let key = line()?;
    if key.is_empty() {
        return Ok(fail(
            FAILED,
            "error: no key on standard input (printf %s \"$KEY\" | portcullis key digest)",
        ));
    }
    print(&format!("{}\n", auth::digest(&key)))?;
    Ok(ExitCode::SUCCESS)
}
