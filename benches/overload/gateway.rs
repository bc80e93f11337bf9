//! The gateway in a process of its own.

use std::net::SocketAddr;
use std::process::Stdio;

use portcullis::auth::Digest;

use crate::Failure;
use crate::load::{PLANS, key};
use crate::program::{Program, free};

/// The gateway, which ends with this.
pub struct Gateway {
    program: Program,
    pub address: SocketAddr,
}

impl Gateway {
    /// Starts it before a service, with this at its upstream.
    pub fn start(service: SocketAddr, at_upstream: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (address, admin) = (free()?, free()?);
        let consumer = |plan: &str| {
            let digest = Digest::of(key(plan).as_bytes());
            format!("  {plan}: {{ plan: {plan}, api_keys: [ \"{digest}\" ] }}\n")
        };
        let consumers: String = PLANS.iter().map(|(plan, _)| consumer(plan)).collect();
        let text = format!(
            "version: 1\nlogs: {{ access: \"off\" }}\nadmin: {{ address: \"{admin}\" }}\n\
             listeners: {{ public: {{ address: \"{address}\" }} }}\n\
             connections: {{ per_client: 20000 }}\n\
             upstreams: {{ u: {{ targets: [ \"{service}\" ], health: none, {at_upstream} }} }}\n\
             plans: {{ high: {{ priority: high }}, normal: {{}}, low: {{ priority: low }} }}\n\
             consumers:\n{consumers}routes: {{ all: {{ path: /, to: u }} }}\n"
        );
        let program = Program::start(folder, &text, address, admin, Stdio::inherit())?;
        Ok(Self { program, address })
    }

    /// The limit that it has found, or a dash.
    pub async fn limit(&self) -> Result<String, Failure> {
        let text = self.program.metrics().await?;
        let of = |line: &str| {
            line.strip_prefix("portcullis_concurrency_limit{")?
                .rsplit(' ')
                .next()
                .map(str::to_owned)
        };
        Ok(text.lines().find_map(of).unwrap_or_else(|| "-".to_owned()))
    }
}
