//! A call to the operators' listener of a running gateway: one request, one answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{AdminAddress, AdminConfig};
use crate::diagnostic::{At, Diagnostics};
use crate::units::Secret;
use crate::yaml;

/// How long a gateway may take for an answer; loading a large configuration takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);
/// The variable with the token, if the file does not have it.
const TOKEN: &str = "PORTCULLIS_ADMIN_TOKEN";

/// Where a gateway's operators are served, and the token they show there.
pub(super) struct Operator {
    address: AdminAddress,
    token: Option<Secret>,
}

/// What it answered.
pub(super) struct Told {
    pub status: u16,
    pub value: Value,
}

/// What is needed of a configuration file, which may be wrong elsewhere: that is when its author asks.
#[derive(Deserialize)]
struct AdminOnly {
    #[serde(default)]
    admin: Option<AdminConfig>,
}

impl Operator {
    /// Of the gateway that serves by this file, or at this address.
    pub fn find(file: &Path, address: Option<&str>) -> Result<Self, String> {
        let of_environment =
            || std::env::var(TOKEN).ok().filter(|t| !t.is_empty()).map(Secret::new);
        let (text, token) = if let Some(address) = address {
            (address.to_owned(), of_environment())
        } else {
            let admin = admin_of(file)?;
            (admin.address, admin.token.or_else(of_environment))
        };
        let mut mistakes = Diagnostics::new();
        let Some(address) = AdminAddress::parse(&text, &At::root(), &mut mistakes) else {
            return Err(mistakes.render("--admin").trim_end().to_owned());
        };
        Ok(Self { address, token })
    }

    /// Asks for this. The error names the address.
    pub fn ask(&self, method: &str, path: &str) -> Result<Told, String> {
        let answer = self.exchange(method, path).map_err(|error| {
            format!("{}: {error}; is the gateway running, with this `admin` address?", self.address)
        })?;
        parse(&answer).ok_or_else(|| format!("{}: this is no gateway's answer", self.address))
    }

    fn exchange(&self, method: &str, path: &str) -> io::Result<Vec<u8>> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        if let Some(token) = &self.token {
            request.push_str("Authorization: Bearer ");
            request.push_str(token.expose());
            request.push_str("\r\n");
        }
        request.push_str("Content-Length: 0\r\n\r\n");
        match &self.address {
            AdminAddress::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, CONNECT)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                converse(stream, &request)
            }
            AdminAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                converse(stream, &request)
            }
        }
    }
}

fn admin_of(file: &Path) -> Result<AdminConfig, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
    let base = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut mistakes = Diagnostics::new();
    let read = yaml::read::<AdminOnly>(&text, &yaml::System { base }, &mut mistakes);
    let section = At::root().key("admin");
    let unreadable = read.wrong.iter().any(|wrong| section.leads_to(wrong));
    match read.value {
        Some(AdminOnly { admin: Some(admin) }) => Ok(admin),
        Some(AdminOnly { admin: None }) if !unreadable => Err(format!(
            "{shown} has no `admin`, so a gateway that serves by it cannot be asked: add \
             admin: {{ address: \"127.0.0.1:9901\" }} and restart it, or give --admin ADDRESS"
        )),
        _ => {
            mistakes.settle(|at| read.places.of(at));
            let report = mistakes.render(&shown.to_string());
            Err(format!(
                "{shown} does not say where the gateway can be asked: give --admin ADDRESS\n{report}"
            ))
        }
    }
}

fn converse(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Our own listener answers with a length and closes, so the body is what follows the head.
fn parse(answer: &[u8]) -> Option<Told> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let value = serde_json::from_slice(&answer[end + 4..]).ok()?;
    Some(Told { status, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_a_file_that_is_wrong_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        let find = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Operator::find(&file, None).map(|operator| operator.address.to_string())
        };
        let broken =
            "version: 7\nlistners: {}\nadmin: { address: \"127.0.0.1:9901\" }\nroutes: 3\n";
        assert_eq!(find(broken), Ok("127.0.0.1:9901".to_owned()));
        assert_eq!(find("admin: { address: \"unix:/run/a\" }"), Ok("unix:/run/a".to_owned()));
        assert!(find("version: 1").unwrap_err().contains("has no `admin`"));
        assert!(find("admin: {").unwrap_err().contains("--admin ADDRESS"));
        let given = Operator::find(Path::new("/nowhere"), Some("127.0.0.1:1")).unwrap();
        assert_eq!(given.address.to_string(), "127.0.0.1:1");
    }

    #[test]
    fn an_answer_is_its_status_and_its_value() {
        let told = parse(b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((told.status, told.value), (422, serde_json::json!({})));
        for bad in [&b""[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>"] {
            assert!(parse(bad).is_none());
        }
    }
}
