//! What operators are answered, held against docs/admin-openapi.yaml, and who is answered at all.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway, Origin, Reloading, eventually, schema, send};

const TOKEN: &str = "operators-only-7q3z-0123456789";
const LOCAL: (&str, &str) = ("Host", "localhost");

/// The description, and what of it was seen.
struct Description {
    text: Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Description {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin-openapi.yaml");
        let text = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        Self { text, seen: BTreeSet::new() }
    }

    /// All path, method and status that it promises.
    fn promised(&self) -> BTreeSet<(String, String, String)> {
        let mut all = BTreeSet::new();
        for (path, methods) in self.text["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let Some(responses) = operation.get("responses") else { continue };
                for status in responses.as_object().unwrap().keys() {
                    all.insert((path.clone(), method.clone(), status.clone()));
                }
            }
        }
        all
    }

    /// Holds an answer against what is promised for it.
    fn holds(&mut self, path: &str, method: &str, answer: &Answer) {
        let status = answer.status.to_string();
        let mut response = &self.text["paths"][path][method]["responses"][&status];
        if let Some(name) = response["$ref"].as_str() {
            response = self.text.pointer(name.trim_start_matches('#')).unwrap();
        }
        self.seen.insert((path.to_owned(), method.to_owned(), status.clone()));
        if response["content"]["text/plain"].is_object() {
            assert!(answer.header("content-type").starts_with("text/plain"), "{answer:?}");
            return;
        }
        let described = &response["content"]["application/json"]["schema"];
        assert!(described.is_object(), "{method} {path} answers {status}, which is not described");
        let whole = json!({ "allOf": [ described ], "components": self.text["components"] });
        let body = answer.json();
        let judged = schema::validate(&whole, std::slice::from_ref(&body)).remove(0);
        assert_eq!(judged, Ok(()), "{method} {path} {status}:\n{body}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

fn yaml(origin: &Origin) -> String {
    format!(
        "upstreams: {{ users: {{ targets: [ \"http://{}\" ], health: none, \
         gateway_secret: {{ value: planted-gateway-secret-7q3z }} }} }}\n\
         consumers: {{ app: {{ api_keys: [ \"sha256:{}\" ] }} }}\n\
         routes:\n  users: {{ path: /users, to: users, headers: {{ X-Token: planted-condition-7q3z }},\n    \
         request_headers: {{ set: {{ Authorization: \"Bearer planted-header-7q3z\", X-Other: \"${{file:secret}}\" }} }} }}\n  \
         fixed: {{ path: /fixed, respond: {{ status: 204 }}, auth: none }}\n",
        origin.address,
        "ab".repeat(32)
    )
}

/// A gateway whose operators need the token.
async fn guarded(origin: &Origin) -> Reloading {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "planted-from-outside-7q3z\n").unwrap();
    let admin = format!("admin: {{ address: \"127.0.0.1:0\", token: \"{TOKEN}\" }}");
    Reloading::start_in(folder, &admin, &yaml(origin)).await
}

const DRAIN: &str = "/upstreams/{name}/targets/{label}/drain";
const UNDRAIN: &str = "/upstreams/{name}/targets/{label}/undrain";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_described() {
    let origin = Origin::start("users").await;
    let mut gateway = guarded(&origin).await;
    let mut description = Description::read();
    operations(&gateway, &origin, &mut description).await;
    refusals(&gateway, &mut description).await;
    nothing_to_ask(&origin, &mut description).await;
    stopping(&mut gateway, &mut description).await;
    let promised = description.promised();
    let missing: Vec<_> = promised.difference(&description.seen).collect();
    assert!(missing.is_empty(), "described and not seen: {missing:?}");
}

/// Each operation, as an operator, as a stranger, and as a web page.
async fn operations(gateway: &Reloading, origin: &Origin, description: &mut Description) {
    let label = format!("http%3A%2F%2F{}", origin.address);
    let at = |path: &str| path.replace("{name}", "users").replace("{label}", &label);
    let filter = json!({ "filter": "off,portcullis=error" }).to_string();
    let bearer = format!("Bearer {TOKEN}");
    let operator = ("Authorization", bearer.as_str());
    for (path, method) in [
        ("/livez", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
        ("/config", "get"),
        ("/routes", "get"),
        ("/upstreams", "get"),
        ("/portal", "get"),
        ("/log-level", "get"),
        ("/reload", "post"),
        (DRAIN, "post"),
        (UNDRAIN, "post"),
        ("/log-level", "put"),
    ] {
        let (verb, target) = (method.to_uppercase(), at(path));
        let ask = async |headers: &[(&str, &str)]| {
            send(gateway.admin(), &verb, &target, headers, filter.as_bytes()).await
        };
        let answer = ask(&[LOCAL, operator]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        description.holds(path, method, &answer);
        let answer = ask(&[LOCAL]).await;
        assert_eq!(answer.status, if path.ends_with('z') { 200 } else { 401 }, "{path}");
        description.holds(path, method, &answer);
        if method != "get" {
            let answer = ask(&[LOCAL, operator, ("Origin", "http://evil.test")]).await;
            assert_eq!(answer.status, 403, "{path}");
            description.holds(path, method, &answer);
        }
    }
}

async fn refusals(gateway: &Reloading, description: &mut Description) {
    let bearer = format!("Bearer {TOKEN}");
    let ask = async |method: &str, target: &str, body: &[u8]| {
        let headers = [LOCAL, ("Authorization", bearer.as_str())];
        send(gateway.admin(), method, target, &headers, body).await
    };
    for path in [DRAIN, UNDRAIN] {
        description.holds(path, "post", &ask("POST", path, b"").await);
        let nobody = path.replace("{name}", "nobody").replace("{label}", "x");
        description.holds(path, "post", &ask("POST", &nobody, b"").await);
    }
    let rebound = [("Host", "evil.test"), ("Authorization", bearer.as_str())];
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/upstreams", 421)] {
        let answer = send(gateway.admin(), "GET", path, &rebound, b"").await;
        assert_eq!((answer.status, answer.text().contains("since")), (status, false), "{path}");
        description.holds(path, "get", &answer);
    }
    let loud = b"{\"filter\": \"loud\"}";
    description.holds("/log-level", "put", &ask("PUT", "/log-level", loud).await);
    description.holds("/reload", "post", &ask("GET", "/reload", b"").await);
    gateway.write_all("version: 1\nroutes: { a: { path: /a, to: nowhere } }\n");
    description.holds("/reload", "post", &ask("POST", "/reload", b"").await);
    description.holds("/readyz", "get", &ask("GET", "/readyz", b"").await);
}

/// A gateway without a file, and without a process log of its own.
async fn nothing_to_ask(origin: &Origin, description: &mut Description) {
    let bare = Gateway::start(&format!(
        "admin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams: {{ users: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ a: {{ path: /, to: users, auth: none }} }}",
        origin.address
    ))
    .await;
    let address = bare.addresses["admin"];
    description.holds("/reload", "post", &send(address, "POST", "/reload", &[LOCAL], b"").await);
    let level = send(address, "GET", "/log-level", &[LOCAL], b"").await;
    description.holds("/log-level", "get", &level);
}

/// While it stops, for a request that is still under way.
async fn stopping(gateway: &mut Reloading, description: &mut Description) {
    let mut busy = Client::connect(gateway.address()).await;
    busy.write(b"POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1").await;
    let bearer = format!("Bearer {TOKEN}");
    let mut held = Client::connect(gateway.admin()).await;
    gateway.ask_to_stop();
    let mut last = None;
    eventually("it says that it stops", async || {
        let answer = held.ask("GET", "/readyz", &[LOCAL, ("Authorization", &bearer)]).await;
        let done = answer.status == 503;
        last = Some(answer);
        done
    })
    .await;
    description.holds("/readyz", "get", &last.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_holds_a_secret() {
    let origin = Origin::start("users").await;
    let gateway = guarded(&origin).await;
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/config", "/routes", "/upstreams", "/readyz", "/log-level"] {
        let answer =
            send(gateway.admin(), "GET", path, &[LOCAL, ("Authorization", &bearer)], b"").await;
        assert_eq!(answer.status, 200, "{path}");
        for secret in ["planted", "abababab", TOKEN] {
            assert!(!answer.text().contains(secret), "{secret} in {path}: {}", answer.text());
        }
    }
    let config =
        send(gateway.admin(), "GET", "/config", &[LOCAL, ("Authorization", &bearer)], b"").await;
    let set = &config.json()["routes"]["users"]["request_headers"]["set"];
    assert_eq!((&set["X-Other"], &set["Authorization"]), (&"${file:secret}".into(), &"***".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_serves_its_owner() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let origin = Origin::start("users").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "planted-from-outside-7q3z").unwrap();
    let socket = folder.path().join("admin.sock");
    let admin = format!("admin: {{ address: \"unix:{}\" }}", socket.display());
    let gateway = Reloading::start_in(folder, &admin, &yaml(&origin)).await;
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("{\"status\":\"live\"}"),
        "{answer}"
    );
    assert!(gateway.stop().await);
    eventually("the file is gone with its socket", async || !socket.exists()).await;
}
