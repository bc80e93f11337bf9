//! What can be measured, and how one sees that it did its duties.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use sha2::{Digest as _, Sha256};

use crate::client::{self, KEY};
use crate::{Failure, origin, process};

/// What the gateway calls the origin with.
const SECRET: &str = "bench-gateway-secret-0b5d7f";

/// One of the things that are compared. Each gateway does more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// The smallest Pingora proxy that forwards
    Bare,
    /// The same with timeouts on both sides
    BareTimeouts,
    /// The bare one on threads that do not steal work from each other, as the gateway's are
    BareThreads,
    /// Portcullis with an open route and no more: what cannot be switched off
    Plain,
    /// And an API key to be checked
    Key,
    /// And the prefix stripped, headers rewritten both ways, and the gateway secret
    NoLog,
    /// And an access log to a file: everything
    Full,
    /// All of that but the key, with `auth: none`
    Open,
    /// All of it, and a rate limit for each consumer, and CORS
    Policies,
}

impl Variant {
    /// Its name in tables.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn checks_key(self) -> bool {
        matches!(self, Self::Key | Self::NoLog | Self::Full | Self::Policies)
    }

    fn rewrites(self) -> bool {
        matches!(self, Self::NoLog | Self::Full | Self::Open | Self::Policies)
    }

    /// Whether each request must leave a line in `access.log` in the folder.
    pub fn logs(self) -> bool {
        matches!(self, Self::Full | Self::Open | Self::Policies)
    }

    /// The command that starts it. What it needs is written to `folder`.
    pub fn command(
        self,
        listen: SocketAddr,
        origin: SocketAddr,
        folder: &Path,
        core: Option<usize>,
    ) -> Result<Command, Failure> {
        let mut command = if matches!(self, Self::Bare | Self::BareTimeouts | Self::BareThreads) {
            let mut command = process::program(&own_path()?, core);
            command.arg("bare");
            command.arg(format!("--listen={listen}")).arg(format!("--origin={origin}"));
            if self == Self::BareTimeouts {
                command.arg("--timeouts");
            }
            if self == Self::BareThreads {
                command.arg("--no-stealing");
            }
            command
        } else {
            let file = folder.join("portcullis.yaml");
            std::fs::write(&file, self.config(listen, origin, &folder.join("access.log")))?;
            let mut command = process::program(env!("CARGO_BIN_EXE_portcullis"), core);
            command.arg("run").arg(file).env("BENCH_SECRET", SECRET);
            command.env("PORTCULLIS_LOG", "warn,portcullis=warn");
            command
        };
        command.stdout(Stdio::null());
        Ok(command)
    }

    fn config(self, listen: SocketAddr, origin: SocketAddr, log: &Path) -> String {
        let secret = if self.rewrites() {
            r#", gateway_secret: { header: x-api-key, value: "${env:BENCH_SECRET}" }"#
        } else {
            ""
        };
        let (defaults, rewriting) = if self.rewrites() {
            (
                "defaults: { request_headers: { set: { X-Gateway: \"True\" } } }\n",
                ", strip_prefix: true, response_headers: { remove: [ x-powered-by ] }",
            )
        } else {
            ("", "")
        };
        let (consumers, auth) = if self.checks_key() {
            let digest = digest(KEY);
            (format!("consumers: {{ bench: {{ api_keys: [ \"sha256:{digest}\" ] }} }}\n"), "")
        } else {
            (String::new(), ", auth: none")
        };
        // A rate that is never reached: what is measured is asking it, and telling what is left.
        let policies = if self == Self::Policies {
            ", limits: [ { rate: 1000000/s, per: consumer } ], \
             cors: { origins: [ \"https://app.example.com\", \"https://*.example.org\" ] }"
        } else {
            ""
        };
        let log = if self.logs() { log.display().to_string() } else { "off".to_owned() };
        format!(
            "version: 1\n\
             workers: 1\n\
             listeners: {{ public: {{ address: \"{listen}\" }} }}\n\
             upstreams: {{ origin: {{ targets: [ \"{origin}\" ]{secret} }} }}\n\
             {consumers}\
             {defaults}\
             routes: {{ users: {{ path: /users, to: origin{auth}{rewriting}{policies} }} }}\n\
             logs: {{ access: \"{log}\" }}\n"
        )
    }

    /// Sees that it does what it is measured for; a gateway that does nothing is fast. Gives the number of
    /// requests that it took.
    pub async fn verify(self, address: SocketAddr) -> Result<usize, Failure> {
        let path = format!("/users{}", origin::ECHO);
        let answer = client::ask(address, &path, KEY).await?;
        let seen = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        let head = answer.head.to_ascii_lowercase();
        let mut wanted = vec![("forwarded", answer.status == 200 && seen.starts_with("get /"))];
        if self.checks_key() {
            let denied = client::ask(address, &path, "wrong").await?.status == 401;
            wanted.push(("a wrong key refused", denied));
            wanted.push(("the key kept from the origin", !seen.contains(KEY)));
            wanted.push(("the consumer named", seen.contains("\r\nx-consumer-name: bench\r\n")));
        }
        if self.rewrites() {
            let secret = format!("\r\nx-api-key: {SECRET}\r\n");
            wanted.push(("the prefix stripped", seen.starts_with("get /echo ")));
            wanted.push(("the secret sent", seen.contains(&secret)));
            wanted.push(("a request header set", seen.contains("\r\nx-gateway: true\r\n")));
            wanted.push(("an answer's header removed", !head.contains("x-powered-by")));
        } else {
            wanted.push(("the path kept", seen.starts_with("get /users/echo ")));
        }
        if self == Self::Policies {
            wanted.push(("what is left told", head.contains("\r\nratelimit: \"1000000/s\";r=")));
            let origin = "\r\naccess-control-allow-origin: https://app.example.com\r\n";
            wanted.push(("the page let read", head.contains(origin)));
        }
        match wanted.iter().find(|(_, done)| !done) {
            None => Ok(if self.checks_key() { 2 } else { 1 }),
            Some((duty, _)) => {
                let (name, head) = (self.name(), answer.head);
                Err(format!("{name}: not done: {duty}\n{head}origin saw:\n{seen}").into())
            }
        }
    }
}

/// The path of this program.
pub fn own_path() -> Result<String, Failure> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}

fn digest(key: &str) -> String {
    Sha256::digest(key).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
