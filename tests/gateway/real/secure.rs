//! Real clients through TLS: curl, nghttp2's tools, httpx over HTTP/2, a WebSocket client, and a browser.

use std::process::Command;

use super::curl::curl;
use super::{KEY, Service, in_front_of, output};
use crate::support::pki::Authority;
use crate::support::{Reloading, python};

/// Services of three kinds, and the gateway before them.
struct Street {
    gateway: Reloading,
    _services: [Service; 3],
}

impl Street {
    async fn open() -> Self {
        let service = Service::start().await;
        let chat = Service::start_script("websocket_service.py").await;
        let echo = Service::start_script("grpc_service.py").await;
        let authority = Authority::new();
        let pair = authority.sign(&["127.0.0.1"]);
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("one.pem", &pair.cert), ("one.key", &pair.key), ("ca.pem", &authority.pem())]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let more = r#"
  chat: { path: /chat, to: chat, auth: none }
  talk: { path: /talk, to: chat }
  echo: { path: /test.Echo, to: echo }
  page: { path: /page, auth: none, respond: { status: 200, body: "<title>A page</title>Hello", content_type: text/html } }
"#;
        let whole = in_front_of(service.address).replace(
            "upstreams:\n",
            &format!(
                "upstreams:\n  chat: {{ targets: [ \"{}\" ] }}\n  echo: {{ targets: [ \"{}\" ], protocol: h2 }}\n",
                chat.address, echo.address
            ),
        );
        let yaml = format!(
            "version: 1\nworkers: 2\nlogs: {{ access: \"off\" }}\nadmin: {{ address: \"127.0.0.1:0\" }}\nlisteners:\n  \
             public: {{ address: \"127.0.0.1:0\", tls: {{ certificates: [ {{ cert: one.pem, key: one.key }} ] }} }}\n\
             {whole}{more}"
        );
        let gateway = Reloading::start_whole(folder, &yaml);
        Self { gateway, _services: [service, chat, echo] }
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.gateway.address())
    }

    fn ca(&self) -> String {
        self.gateway.path("ca.pem").to_str().unwrap().to_owned()
    }

    /// What a script of tests/python says it did.
    async fn script(&self, name: &str, arguments: &[&str]) -> serde_json::Value {
        let mut command = Command::new(python::interpreter());
        command.arg(python::script(name)).args(arguments);
        let output = output(command).await;
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}:\n{out}\n{err}");
        serde_json::from_str(out.lines().last().unwrap()).unwrap()
    }
}

/// Runs a tool to its end; all that it says.
async fn tool(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(name);
    command.args(arguments);
    let output = output(command).await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_both_versions() {
    let street = Street::open().await;
    let ca = street.ca();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'u'; 3_000_000]).unwrap();
    let upload = file.path().to_str().unwrap();
    for (flag, version) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let base = ["--cacert", ca.as_str(), flag];
        let url = |path: &str| street.url("https", &format!("/api/v1{path}"));
        let sent = curl(&[&base[..], &["-T", upload, &url("/sink")]].concat()).await;
        assert_eq!((sent.status, sent.json()["size"].as_u64()), (200, Some(3_000_000)), "{flag}");
        assert!(sent.output.contains(version), "{}", sent.output);
        let (one, two) = (url("/echo?n=1"), url("/echo?n=2"));
        let kept = curl(&[&base[..], &[&one, &two]].concat()).await;
        assert_eq!((kept.status, &kept.connects[..]), (200, &[1, 0][..]), "{flag}");
        let head = curl(&[&base[..], &["-I", &one]].concat()).await;
        assert_eq!((head.status, head.body()), (200, ""), "{flag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_nghttp2_work() {
    let street = Street::open().await;
    let (echo, key) = (street.url("https", "/api/v1/echo"), format!("x-api-key: {KEY}"));
    let said = tool("nghttp", &["-v", "-H", &key, "-m", "20", &echo]).await;
    assert_eq!(said.matches(":status: 200").count(), 20, "{said}");
    assert!(!said.contains("RST_STREAM") && said.contains("recv SETTINGS frame"), "{said}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'u'; 1_000_000]).unwrap();
    let sink = street.url("https", "/api/v1/sink");
    let upload = file.path().to_str().unwrap();
    let said = tool("nghttp", &["-H", &key, "-H", ":method: PUT", "-d", upload, &sink]).await;
    assert!(said.contains("\"size\":1000000"), "{said}");
    let page = street.url("https", "/page");
    for url in [&echo, &page] {
        let said = tool("h2load", &["-n", "400", "-c", "4", "-m", "10", "-H", &key, url]).await;
        assert!(said.contains("Application protocol: h2"), "{said}");
        assert!(said.contains("400 done, 400 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("status codes: 400 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_clients_work_over_both_versions() {
    let street = Street::open().await;
    let (base, ca) = (street.url("https", "/api/v1"), street.ca());
    for client in ["httpx", "httpx2", "requests"] {
        let done = street.script("clients.py", &[client, "everyday", &base, KEY, &ca]).await;
        assert_eq!(done["passed"].as_array().unwrap().len(), 8, "{client}: {done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_client_talks_to_its_service() {
    let street = Street::open().await;
    let url = street.url("wss", "/talk/to?me=1");
    let done = street.script("websocket_client.py", &[&url, &street.ca(), KEY]).await;
    assert_eq!(done["passed"].as_array().unwrap().len(), 7, "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_fetches_talks_and_calls() {
    let street = Street::open().await;
    let seen = street.script("browser_edge.py", &[&street.url("https", ""), KEY]).await;
    assert_eq!((&seen["text"], &seen["protocol"]), (&"Hello".into(), &"h2".into()), "{seen}");
    assert_eq!(seen["fetched"]["body"], "from a page", "{seen}");
    assert_eq!((&seen["refused"], &seen["size"]), (&401.into(), &300_000.into()), "{seen}");
    assert_eq!(seen["socket"]["seen"], serde_json::json!(["one", "zw\u{f6}lf"]), "{seen}");
    assert_eq!(seen["socket"]["code"], 4001, "{seen}");
    for (call, messages, status) in [
        ("unary", &["cba"][..], "0"),
        ("text_unary", &["dcba"], "0"),
        ("failed", &[], "5"),
        ("failed_late", &["one"], "15"),
        ("stranger", &[], "16"),
    ] {
        let expected = serde_json::json!({ "messages": messages, "status": status });
        assert_eq!(seen[call], expected, "{call}: {seen}");
    }
    assert_eq!(seen["many"]["messages"].as_array().unwrap().len(), 100, "{seen}");
}
