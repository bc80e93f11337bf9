//! The page, its files and the document over HTTP; and in a real browser.

use std::net::SocketAddr;
use std::process::Command;

use http::Response;
use http_body_util::Full;
use serde_json::Value;

use super::assert_valid;
use crate::support::{Answer, Gateway, Origin, Reloading, eventually, get, python, send};

/// The key of whom the configurations let in, and another's.
const KEY: &str = "secret002oUdaRJA";
const DIGEST: &str = "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6";

const SPEC: &str = r#"{"openapi":"3.1.0","info":{"title":"Users","version":"1"},"paths":{
    "/users/{id}":{"get":{"operationId":"read","responses":{"200":{"description":"Good"}}}},
    "/admin":{"get":{"operationId":"admin","responses":{"200":{"description":"Good"}}}},
    "/open":{"get":{"operationId":"open","responses":{"200":{"description":"Good"}}}}}}"#;

fn json(text: &'static str) -> Response<Full<bytes::Bytes>> {
    Response::builder().header("content-type", "application/json").body(text.into()).unwrap()
}

/// A service that says this of itself.
async fn service(spec: &'static str) -> Origin {
    Origin::with(move |seen| json(if seen.target == "/openapi.json" { spec } else { "{}" })).await
}

/// Routes for a caller, for another one, and for everybody; and the portal.
fn yaml(origin: &Origin, portal: &str) -> String {
    format!(
        "upstreams: {{ users: {{ targets: [ \"{}\" ], health: none, openapi: /openapi.json }} }}\n\
         consumers: {{ one: {{ api_keys: [ \"{DIGEST}\" ] }}, other: {{ api_keys: [ \"sha256:{}\" ] }} }}\n\
         routes:\n  users: {{ path: /users, to: users }}\n  \
         admin: {{ path: /admin, to: users, allow: {{ consumers: [ other ] }} }}\n  \
         open: {{ path: /open, to: users, auth: none }}\n  docs: {{ path: /docs, {portal} }}\n",
        origin.address,
        "ab".repeat(32)
    )
}

async fn at(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    get(gateway.address(), path, headers).await
}

/// Waits until the spec was read.
async fn read(gateway: &Gateway, headers: &[(&str, &str)]) {
    eventually("the spec is read", async || {
        let document = at(gateway, "/docs/openapi.json", headers).await.json();
        document["paths"].as_object().is_some_and(|paths| !paths.is_empty())
    })
    .await;
}

fn paths(answer: &Answer) -> Vec<String> {
    answer.json()["paths"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_are_served() {
    let origin = service(SPEC).await;
    let gateway =
        Gateway::start(&yaml(&origin, "auth: none, portal: { title: A <b> & \"c\" }")).await;
    let answer = at(&gateway, "/docs", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (308, "./docs/"));
    let page = at(&gateway, "/docs/", &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && policy.contains("connect-src 'self';"), "{policy}");
    let text = page.text();
    assert!(text.contains("<title>A &lt;b&gt; &amp; &quot;c&quot;</title>"), "{text}");
    let addresses: Vec<&str> =
        text.split(['"']).filter(|part| part.contains("?v=") && !part.contains(' ')).collect();
    assert_eq!(addresses.len(), 5, "{text}");
    for address in addresses {
        let path = format!("/docs/{address}");
        let plain = at(&gateway, &path, &[]).await;
        assert_eq!(plain.status, 200, "{path}");
        assert_eq!(plain.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        let zipped = at(&gateway, &path, &[("Accept-Encoding", "br, gzip;q=0.5")]).await;
        let swagger = path.contains("swagger-ui");
        assert_eq!(zipped.header("content-encoding"), if swagger { "gzip" } else { "" }, "{path}");
        assert_eq!(zipped.header("vary"), "Accept-Encoding");
        for answer in [&plain, &zipped] {
            let etag = answer.header("etag");
            assert!(etag.len() > 10, "{path}: {etag}");
            let again =
                [("If-None-Match", etag), ("Accept-Encoding", answer.header("content-encoding"))];
            let same = at(&gateway, &path, &again).await;
            assert_eq!((same.status, same.body.len()), (304, 0), "{path}");
        }
        let bare = path.split('?').next().unwrap();
        assert_eq!(at(&gateway, bare, &[]).await.header("cache-control"), "no-cache", "{bare}");
    }
    let head = send(gateway.address(), "HEAD", "/docs/openapi.json", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(send(gateway.address(), "POST", "/docs/", &[], b"").await.status, 405);
    for nothing in ["/docs/other", "/docs/logo", "/docs/openapi.json/", "/docs//x"] {
        assert_eq!(at(&gateway, nothing, &[]).await.status, 404, "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_a_tag_until_it_changes() {
    let origin = service(SPEC).await;
    let gateway = Gateway::start(&yaml(&origin, "auth: none, portal: true")).await;
    read(&gateway, &[]).await;
    let first = at(&gateway, "/docs/openapi.json", &[]).await;
    assert_valid("over HTTP", &first.json());
    assert_eq!(paths(&first), ["/admin", "/open", "/users/{id}"]);
    assert_eq!(first.header("cache-control"), "no-cache");
    let etag = first.header("etag").to_owned();
    for known in [etag.as_str(), &format!("\"x\", W/{etag}"), "*"] {
        let same = at(&gateway, "/docs/openapi.json", &[("If-None-Match", known)]).await;
        assert_eq!(
            (same.status, same.header("etag"), same.body.len()),
            (304, etag.as_str(), 0),
            "{known}"
        );
    }
    let lines = [("If-None-Match", "\"x\""), ("If-None-Match", etag.as_str())];
    assert_eq!(at(&gateway, "/docs/openapi.json", &lines).await.status, 304);
    let other = at(&gateway, "/docs/openapi.json", &[("If-None-Match", "\"x\"")]).await;
    assert_eq!(other.status, 200);
    let yaml = at(&gateway, "/docs/openapi.yaml", &[]).await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    let value: Value = serde_yaml::from_str(yaml.text()).unwrap();
    assert_eq!(value, first.json());
    // The gateway asked as traffic does, and no client asked the service.
    assert!(origin.seen().iter().all(|seen| seen.target == "/openapi.json"));
    assert_eq!(origin.last().header("user-agent"), "portcullis-openapi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_portal_asks_for_a_key_and_no_cache_keeps_it() {
    let origin = service(SPEC).await;
    let gateway = Gateway::start(&yaml(&origin, "portal: true")).await;
    for path in ["/docs/", "/docs/openapi.json", "/docs/swagger-ui.css"] {
        assert_eq!(at(&gateway, path, &[]).await.status, 401, "{path}");
    }
    let answer = at(&gateway, "/docs/openapi.json", &[("x-api-key", KEY)]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "private, no-cache"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_is_shown_what_it_may_call() {
    let origin = service(SPEC).await;
    let gateway = Gateway::start(&yaml(&origin, "auth: none, portal: { show: allowed }")).await;
    let key = [("x-api-key", KEY)];
    read(&gateway, &key).await;
    let anybody = at(&gateway, "/docs/openapi.json", &[]).await;
    assert_eq!(paths(&anybody), ["/open"]);
    assert!(anybody.json()["components"]["securitySchemes"]["key"].is_object(), "Authorize works");
    assert_eq!(paths(&at(&gateway, "/docs/openapi.json", &key).await), ["/open", "/users/{id}"]);
    let wrong = at(&gateway, "/docs/openapi.json", &[("x-api-key", "wrong")]).await;
    assert_eq!(paths(&wrong), ["/open"]);
    assert!(wrong.header("vary").contains("x-api-key"), "{wrong:?}");
    assert_eq!(wrong.header("cache-control"), "private, no-cache");
    // Who knows the tag of another's document gets its own.
    let tag = at(&gateway, "/docs/openapi.json", &key).await.header("etag").to_owned();
    let own = at(&gateway, "/docs/openapi.json", &[("If-None-Match", &tag)]).await;
    assert_eq!((own.status, paths(&own)), (200, vec!["/open".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_is_no_place_to_try_credentials_out() {
    let origin = service(SPEC).await;
    let text = yaml(&origin, "auth: none, portal: { show: allowed }");
    let gateway = Gateway::start(&format!("failed_credentials: 3/hour\n{text}")).await;
    let ask = async |key: &str, path: &str| at(&gateway, path, &[("x-api-key", key)]).await;
    read(&gateway, &[("x-api-key", KEY)]).await;
    for guess in 0..3 {
        assert_eq!(ask(&format!("guess-{guess}"), "/docs/openapi.json").await.status, 200);
    }
    let refused = ask("guess-3", "/docs/openapi.json").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    // The same count as at the gate of every route; who was shown something before is shown it still.
    assert_eq!(ask("guess-4", "/users/1").await.status, 429);
    assert_eq!(ask(KEY, "/docs/openapi.yaml").await.status, 200);
    assert_eq!(at(&gateway, "/docs/openapi.json", &[]).await.status, 200);
    assert_eq!(ask("guess-5", "/docs/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_no_host_that_is_not_for_everybody() {
    let origin = service(SPEC).await;
    let hosts = "  inside: { host: inside.example.com, path: /users, to: users }\n  \
                 outside: { host: outside.example.com, path: /open, to: users, auth: none }\n";
    let policy = async |portal: &str| {
        let gateway = Gateway::start(&(yaml(&origin, portal) + hosts)).await;
        let page = at(&gateway, "/docs/", &[]).await;
        assert!(!page.text().contains("example.com"), "{}", page.text());
        let policy = page.header("content-security-policy").to_owned();
        policy.split(';').find(|part| part.contains("connect-src")).unwrap().trim().to_owned()
    };
    assert_eq!(
        policy("auth: none, portal: true").await,
        "connect-src 'self' inside.example.com:* outside.example.com:*"
    );
    assert_eq!(
        policy("auth: none, portal: { show: allowed }").await,
        "connect-src 'self' http: https: outside.example.com:*"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_compared_with_the_document() {
    let origin = Origin::with(|seen| match seen.target.as_str() {
        "/openapi.json" => json(SPEC),
        "/users/missing" => Response::builder().status(404).body(Full::default()).unwrap(),
        "/users/7" if seen.method == "GET" => {
            Response::builder().status(418).body(Full::default()).unwrap()
        }
        _ => json("{}"),
    })
    .await;
    let gateway = Reloading::start(&yaml(&origin, "auth: none, portal: true")).await;
    let ask = async |method: &str, path: &str| {
        send(gateway.address(), method, path, &[("x-api-key", KEY)], b"").await.status
    };
    eventually("the spec is read", async || {
        get(gateway.address(), "/docs/openapi.json", &[]).await.text().contains("/users/{id}")
    })
    .await;
    for (method, path, status) in [
        ("GET", "/users/1?q=1", 200),
        ("GET", "/users/7", 418),
        ("GET", "/users/8/orders/9", 200),
        ("DELETE", "/users/8", 200),
        ("DELETE", "/users/9", 200),
        ("GET", "/users/missing", 404),
        ("GET", "/admin", 403),
    ] {
        assert_eq!(ask(method, path).await, status, "{method} {path}");
    }
    let admin = || async {
        send(gateway.admin(), "GET", "/portal", &[("Host", "localhost")], b"").await.json()
    };
    let told = admin().await;
    assert_eq!(told["specs"][0]["state"], "good", "{told}");
    assert_eq!(told["specs"][0]["operations"], 3);
    let route = |name: &str| {
        let routes = told["routes"].as_array().unwrap();
        routes
            .iter()
            .find(|route| route["route"] == name)
            .unwrap_or_else(|| panic!("{told}"))
            .clone()
    };
    let users = route("users");
    assert_eq!(users["never_called"], serde_json::json!([]), "{users}");
    let statuses = &users["statuses"];
    let both: Vec<_> = statuses.as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(both, [404, 418], "{statuses}");
    let undocumented = users["undocumented"].as_array().unwrap();
    let told: Vec<_> = undocumented
        .iter()
        .map(|one| format!("{} {} {}", one["method"], one["path"], one["calls"]))
        .collect();
    assert_eq!(told, ["\"DELETE\" \"/users/{}\" 2", "\"GET\" \"/users/{}/orders/{}\" 1"]);
    // What the gateway itself refused is no call.
    assert_eq!(route("admin")["never_called"][0]["path"], "/admin");
}

/// What a browser saw of a portal, which had no reason to complain.
async fn browse(story: &str, gateway: SocketAddr, arguments: &[&str]) -> Value {
    let seen = look(story, gateway, arguments).await;
    assert!(seen["requests"].as_array().unwrap().len() > 5, "{seen}");
    assert_eq!(complaints(&seen, gateway), Vec::<String>::new());
    seen
}

async fn look(story: &str, gateway: SocketAddr, arguments: &[&str]) -> Value {
    let mut command = Command::new(python::interpreter());
    command.arg(python::script("browser.py")).args([story, &format!("http://{gateway}/docs"), KEY]);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Requests that leave the gateway, and lines of the console that have no reason to be there: all but those of a refused
/// answer.
fn complaints(seen: &Value, gateway: SocketAddr) -> Vec<String> {
    let own = format!("http://{gateway}/");
    let requests = seen["requests"].as_array().unwrap().iter();
    let away =
        requests.filter_map(|request| request[1].as_str()).filter(|to| !to.starts_with(&own));
    let lines = seen["console"].as_array().unwrap().iter().filter_map(Value::as_str);
    let refused = "the server responded with a status of 401";
    away.chain(lines.filter(|line| !line.contains(refused))).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_tells_what_a_page_may_not_do() {
    let page = |policy: &'static str| async move {
        let page = "<script>1</script><img src=\"http://evil.test/a.png\"><p>here</p>";
        let page = Response::builder().header("content-type", "text/html").body(page).unwrap();
        let origin = Origin::with(move |_| {
            let mut page = page.clone().map(Full::from);
            page.headers_mut().insert("content-security-policy", policy.parse().unwrap());
            page
        })
        .await;
        let seen = look("plain", origin.address, &[]).await;
        complaints(&seen, origin.address)
    };
    let strict = page("default-src 'none'").await;
    for told in ["inline script", "http://evil.test/a.png"] {
        assert!(strict.iter().any(|line| line.contains(told)), "{told}: {strict:?}");
    }
    let none = page("default-src * 'unsafe-inline'").await;
    assert!(none.iter().any(|line| line == "http://evil.test/a.png"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reads_and_tries_the_demo() {
    use portcullis::demo::{self, GATEWAY_SECRET, Ports};
    let services = demo::start_all(Ports::ANY, GATEWAY_SECRET).await.unwrap();
    let text = demo::configuration("127.0.0.1:0".parse().unwrap(), &Ports::of(&services));
    let text = text.replace("logs: { format: text }", "logs: { access: \"${LOG}\" }");
    let gateway = Gateway::start_file(&text, &crate::support::gateway::TestSources::default());
    eventually("the specs are read", async || {
        let answer = get(gateway.address(), "/docs/openapi.json", &[]).await;
        let text = answer.text();
        ["/users/{id}", "/orders/{id}", "/api/products/{id}"].iter().all(|path| text.contains(path))
    })
    .await;
    let seen = browse("everyday", gateway.address(), &[]).await;
    assert!(seen["title"].as_str().unwrap().starts_with("The demo's APIs"), "{seen}");
    let (without, got, posted) = (&seen["without"], &seen["get"], &seen["post"]);
    assert_eq!(without[0], "401");
    assert!(without[1].as_str().unwrap().contains("\"code\": \"unauthorized\""), "{without}");
    assert_eq!(got[0], "200");
    assert!(got[1].as_str().unwrap().contains("Ada Lovelace"), "{got}");
    assert_eq!(posted[0], "201");
    assert!(posted[1].as_str().unwrap().contains("eve@example.com"), "{posted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_shown_more_once_it_is_known_who_asks() {
    let origin = service(SPEC).await;
    let gateway = Gateway::start(&yaml(&origin, "auth: none, portal: { show: allowed }")).await;
    read(&gateway, &[("x-api-key", KEY)]).await;
    let seen = browse("allowed", gateway.address(), &[]).await;
    assert_eq!(seen["before"], serde_json::json!(["/open"]));
    assert_eq!(seen["after"], serde_json::json!(["/open", "/users/{id}"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_runs_nothing_that_a_spec_holds() {
    const EVIL: &str = r#"{"openapi":"3.1.0","info":{"title":"<img src=x onerror='window.alerted=1'>","version":"1",
        "description":"<script>window.alerted=1</script> [go](javascript:window.alerted=1) <u>x</u> ![p](https://evil.test/p.png) ![q](data:image/png;base64,AA==)"},
        "tags":[{"name":"<svg onload='window.alerted=1'>"}],
        "paths":{"/users/{id}":{"get":{"operationId":"<u>read</u>","summary":"<u onclick='window.alerted=1'>s</u>",
        "description":"<iframe src='https://evil.test/'></iframe><style>*{display:none}</style> <https://evil.test/auto>",
        "externalDocs":{"url":"javascript:window.alerted=1","description":"<u>docs</u>"},
        "parameters":[{"name":"<u>q</u>","in":"query","description":"<u>x</u>","schema":{"type":"string","title":"<u>t</u>","description":"<u>d</u>","default":"<u>v</u>","enum":["<u>e</u>"]},"example":"<u>f</u>"}],
        "responses":{"200":{"description":"<u>ok</u>","content":{"<u>text</u>/html":{"schema":{"$ref":"https://evil.test/schema.json"},"example":{"$ref":"https://evil.test/x.json","a":"<u>a</u>"}}}}}}}}}"#;
    let origin = service(EVIL).await;
    let gateway = Gateway::start(&yaml(&origin, "auth: none, portal: true")).await;
    read(&gateway, &[]).await;
    let seen = browse("hostile", gateway.address(), &[]).await;
    assert_eq!(seen["operations"], serde_json::json!(["/users/{id}"]));
    assert_eq!((&seen["live"], &seen["alerts"]), (&0.into(), &0.into()), "{seen}");
    assert_eq!(seen["pictures"], serde_json::json!([]), "{seen}");
    for link in seen["links"].as_array().unwrap() {
        assert!(!link.as_str().unwrap().starts_with("javascript"), "{link}");
    }
}
