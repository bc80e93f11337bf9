//! gRPC from a real client to a real service, through HTTP/2 on both sides.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::House;
use crate::support::pki::Authority;
use crate::support::python;

/// The service in a process of its own, which ends with its standard input.
struct Service {
    port: u16,
    process: Child,
}

impl Service {
    async fn start() -> Self {
        let start = || {
            let mut process = Command::new(python::interpreter())
                .arg(python::script("grpc_service.py"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let said: serde_json::Value = serde_json::from_str(&line).unwrap();
            let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
            Self { port, process }
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn client(address: SocketAddr, more: &[&str]) {
    let mut command = Command::new(python::interpreter());
    command.arg(python::script("grpc_client.py")).arg(address.to_string()).args(more);
    let output =
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
    let output = output.await.unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{more:?}:\n{out}\n{err}");
    let said: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(said["passed"].as_array().unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_every_kind_pass_with_their_deadlines_and_errors() {
    let service = Service::start().await;
    let authority = Authority::new();
    let pair = authority.sign(&["one.test"]);
    let house = House::with(&[
        ("one.pem", &pair.cert),
        ("one.key", &pair.key),
        ("ca.pem", &authority.pem()),
    ]);
    let gateway = house
        .open(&format!(
            r#"
listeners:
  public: {{ address: "127.0.0.1:0" }}
  secure: {{ address: "127.0.0.1:0", tls: {{ certificates: [ {{ cert: one.pem, key: one.key }} ] }} }}
upstreams:
  echo: {{ targets: [ "127.0.0.1:{}" ], protocol: h2 }}
  down: {{ targets: [ "127.0.0.1:1" ], protocol: h2, health: none }}
consumers:
  me: {{ api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }}
routes:
  echo: {{ path: /test.Echo, to: echo }}
  down: {{ path: /test.Down, to: down }}
"#,
            service.port
        ))
        .await;
    client(gateway.address(), &[]).await;
    let ca = gateway.path("ca.pem");
    client(gateway.addresses["secure"], &[ca.to_str().unwrap(), "one.test"]).await;
}
