//! gRPC from a real client to a real service, through HTTP/2 on both sides; and gRPC-Web to the same service.

use std::process::{Command, Stdio};

use super::House;
use crate::real::Service;
use crate::support::pki::Authority;
use crate::support::{Reloading, python};

/// The service and a gateway before it, with and without TLS.
async fn open() -> (Service, Reloading) {
    let service = Service::start_script("grpc_service.py").await;
    let authority = Authority::new();
    let pair = authority.sign(&["one.test", "127.0.0.1"]);
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
  echo: {{ targets: [ "{}" ], protocol: h2 }}
  down: {{ targets: [ "127.0.0.1:1" ], protocol: h2, health: none }}
consumers:
  me: {{ api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }}
defaults: {{ cors: {{ origins: [ "https://app.test" ] }} }}
routes:
  echo: {{ path: /test.Echo, to: echo }}
  down: {{ path: /test.Down, to: down }}
"#,
            service.address
        ))
        .await;
    (service, gateway)
}

async fn client(script: &str, arguments: &[&str], stories: usize) {
    let mut command = Command::new(python::interpreter());
    command.arg(python::script(script)).args(arguments);
    let output =
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
    let output = output.await.unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}:\n{out}\n{err}");
    let said: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(said["passed"].as_array().unwrap().len(), stories);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_every_kind_pass_with_their_deadlines_and_errors() {
    let (_service, gateway) = open().await;
    client("grpc_client.py", &[&gateway.address().to_string()], 10).await;
    let (ca, secure) = (gateway.path("ca.pem"), gateway.addresses["secure"].to_string());
    client("grpc_client.py", &[&secure, ca.to_str().unwrap(), "one.test"], 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_calls_pass_in_both_forms_and_over_both_versions() {
    let (_service, gateway) = open().await;
    let base = format!("https://{}", gateway.addresses["secure"]);
    let ca = gateway.path("ca.pem");
    client("grpc_web_client.py", &[&base, ca.to_str().unwrap()], 40).await;
}
