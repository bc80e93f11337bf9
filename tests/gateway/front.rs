//! The front door: TLS, PROXY headers, HTTP/2, and who is let in at all.

mod caps;
mod certificates;
mod clients;
mod grpc;
mod http2;
mod proxy;
mod redirect;

use std::net::SocketAddr;
use std::path::Path;

use crate::support::{Client, Reloading, eventually, get};

/// The files of a test, in a folder that a gateway is started in.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&folder.path().join(name), text);
        }
        Self { folder }
    }

    /// A gateway whose listeners and routes stand in `yaml`; it has an operators' listener too.
    async fn open(self, yaml: &str) -> Reloading {
        Reloading::start_whole(self.folder, &whole(yaml))
    }
}

fn whole(yaml: &str) -> String {
    format!(
        "version: 1\nworkers: 2\nlogs: {{ access: \"off\" }}\nadmin: {{ address: \"127.0.0.1:0\" }}\n{yaml}"
    )
}

/// Puts a file in place in one step.
fn write(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
}

/// The value of a series, or zero if it is not there.
async fn metric(admin: SocketAddr, series: &str) -> u64 {
    let answer = get(admin, "/metrics", &[("Host", "localhost")]).await;
    assert_eq!(answer.status, 200);
    let text = answer.text().to_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until a series has this value: a client may see its connection end before that is counted.
async fn comes_to(admin: SocketAddr, series: &str, value: u64) {
    eventually(series, async || metric(admin, series).await == value).await;
}

/// What the gateway answers to a GET over this connection.
async fn ask(client: &mut Client, host: &str, target: &str) -> (u16, String) {
    let answer = client.ask("GET", target, &[("Host", host)]).await;
    (answer.status, answer.text().to_owned())
}

/// A route that tells what the gateway knows of a connection.
const ECHO: &str = "  echo: { path: /echo, auth: none, respond: { status: 200, body: \
    \"${request.scheme} ${client.ip} ${client.port} [${client.cert.subject}] [${client.cert.san}]\" } }\n";
