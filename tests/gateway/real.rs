//! Real clients and a real service: curl, Python's httpx and requests, and `FastAPI` behind the gate.

mod curl;
mod everyday;
mod memory;
mod process;
mod secure;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tokio::time::timeout;

use crate::support::{PATIENCE, python};

/// The client's key, and the digest of it that stands in the configuration.
pub const KEY: &str = "secret002oUdaRJA";
pub const KEY_DIGEST: &str =
    "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6";
pub const GATEWAY_SECRET: &str = "only the gateway knows 7q3z";

/// What stands below `listeners` in front of the service at `address`.
fn in_front_of(address: SocketAddr) -> String {
    format!(
        r#"
upstreams:
  service:
    targets: [ "{address}" ]
    gateway_secret: {{ header: x-api-key, value: "${{env:GATEWAY_SECRET:-{GATEWAY_SECRET}}}" }}
consumers: {{ python: {{ api_keys: [ "{KEY_DIGEST}" ] }} }}
defaults:
  request_headers: {{ set: {{ X-Gateway: "True" }} }}
  body_limit: 200MiB
routes:
  api: {{ path: /api/v1, to: service, strip_prefix: true }}
"#
    )
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, without holding up the runtime.
async fn output(mut command: Command) -> Output {
    let done = move || {
        command
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("{command:?}: {e}: `make test` installs what is missing"))
    };
    tokio::task::spawn_blocking(done).await.unwrap()
}

/// The first line that `wanted` makes something of. The rest is read too, since a pipe that nobody reads would
/// stop the process once it is full.
async fn first<T, R>(out: R, wanted: impl Fn(&str) -> Option<T> + Send + 'static) -> T
where
    T: Send + 'static,
    R: Read + Send + 'static,
{
    let (told, found) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(out).lines();
        let mut seen = Vec::new();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let found = wanted(&line);
            seen.push(line);
            found
        });
        let _ = told.send(found.ok_or(seen));
        lines.map_while(Result::ok).for_each(drop);
    });
    let found = timeout(PATIENCE, found).await.expect("the process starts").unwrap();
    found.unwrap_or_else(|seen| panic!("the process did not start:\n{}", seen.join("\n")))
}

/// The `FastAPI` service in a process of its own.
pub struct Service {
    pub address: SocketAddr,
    _process: Running,
    // It ends with its standard input, even if this process is killed.
    _input: Option<ChildStdin>,
}

impl Service {
    pub async fn start() -> Self {
        Self::start_script("service.py").await
    }

    /// The same of another script of tests/python.
    pub async fn start_script(script: &str) -> Self {
        let mut process = Command::new(python::interpreter())
            .arg(python::script(script))
            .env("GATEWAY_SECRET", GATEWAY_SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, input) = (process.stdout.take().unwrap(), process.stdin.take());
        let process = Running(process);
        let port = first(out, |line| {
            let said: serde_json::Value = serde_json::from_str(line).ok()?;
            u16::try_from(said["port"].as_u64()?).ok()
        })
        .await;
        Self { address: ([127, 0, 0, 1], port).into(), _process: process, _input: input }
    }
}

/// Runs a story of a Python client against the gateway at `address`; its output tells what failed.
async fn python_client(client: &str, story: &str, address: SocketAddr) {
    let mut command = Command::new(python::interpreter());
    command.arg(python::script("clients.py"));
    command.args([client, story, &format!("http://{address}/api/v1"), KEY]);
    let output = output(command).await;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{client}, {story}:\n{out}\n{err}");
    let said: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert!(!said["passed"].as_array().unwrap().is_empty(), "{client}, {story}: nothing was done");
}
