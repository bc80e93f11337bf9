//! `portcullis openapi`: the same document, without a running gateway.

use std::path::Path;
use std::process::{Command, Output};

use http::Response;
use http_body_util::Full;
use serde_json::Value;

use super::assert_valid;
use super::specs::one;
use crate::support::{Gateway, Origin, eventually, get, secrets};

/// What the program prints of a configuration with this text.
async fn print(folder: &Path, text: &str, more: &[&str]) -> Output {
    let file = folder.join("portcullis.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(folder).env_clear().arg("openapi").arg(&file).args(more);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    secrets::none_in("what `openapi` tells", &String::from_utf8_lossy(&output.stderr));
    output
}

fn whole(text: &str) -> String {
    format!("version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n{text}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_document_is_valid_and_the_same_without_a_gateway() {
    use portcullis::demo::{self, GATEWAY_SECRET, Ports};
    let services = demo::start_all(Ports::ANY, GATEWAY_SECRET).await.unwrap();
    let text = demo::configuration("127.0.0.1:0".parse().unwrap(), &Ports::of(&services));
    let serving = text.replace("logs: { format: text }", "logs: { access: \"${LOG}\" }");
    let gateway = Gateway::start_file(&serving, &crate::support::gateway::TestSources::default());
    let document = async |file: &str| get(gateway.address(), file, &[]).await;
    eventually("the specs are read", async || {
        let text = document("/docs/openapi.json").await;
        let text = text.text();
        ["/users/{id}", "/orders/{id}", "/api/products/{id}"].iter().all(|path| text.contains(path))
    })
    .await;
    let served = document("/docs/openapi.json").await;
    assert_valid("the demo", &served.json());
    let folder = tempfile::tempdir().unwrap();
    for (file, more) in [("/docs/openapi.json", &[][..]), ("/docs/openapi.yaml", &["--yaml"])] {
        let printed = print(folder.path(), &text, more).await;
        assert_eq!(printed.status.code(), Some(0), "{printed:?}");
        assert_eq!(String::from_utf8_lossy(&printed.stdout), document(file).await.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_and_the_rest_is_printed() {
    const SPEC: &str = r#"{"openapi":"3.1.0","info":{"title":"Two"},"paths":{"/two":{"get":{}}}}"#;
    let good = Origin::with(|_| Response::new(Full::from(SPEC))).await;
    let bad =
        Origin::with(|_| Response::builder().status(500).body(Full::default()).unwrap()).await;
    let text = whole(&one(bad.address)).replace(
        "upstreams: { ",
        &format!(
            "upstreams: {{ two: {{ targets: [ \"{}\" ], health: none, openapi: /spec }}, ",
            good.address
        ),
    ) + "  two: { path: /two, to: two, auth: none }\n";
    let folder = tempfile::tempdir().unwrap();
    let printed = print(folder.path(), &text, &[]).await;
    assert_eq!(printed.status.code(), Some(1), "{printed:?}");
    let told = String::from_utf8_lossy(&printed.stderr);
    assert!(told.contains("error: upstream one: ") && told.contains("answered with 500"), "{told}");
    assert!(!told.contains("upstream two"), "{told}");
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(document["paths"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/two"]);
    assert_valid("without one of them", &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_printed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = whole("routes: { a: { path: /, respond: { status: 204 }, auth: none } }\n");
    let printed = print(folder.path(), &nothing, &[]).await;
    assert_eq!((printed.status.code(), printed.stdout.len()), (Some(1), 0), "{printed:?}");
    assert!(String::from_utf8_lossy(&printed.stderr).contains("help: add `openapi:"));
    let printed = print(folder.path(), "version: 1\nrouts: {}\n", &[]).await;
    assert_eq!((printed.status.code(), printed.stdout.len()), (Some(3), 0), "{printed:?}");
}
