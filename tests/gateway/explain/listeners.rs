//! A request comes by one of several listeners, and what that one does is explained too.

use std::path::Path;

use portcullis::explain::{Question, explain};
use portcullis::loading;

use crate::support::{Client, Reloading};

/// A name, an address, and TLS; then where plain requests are sent.
fn text() -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples");
    let file = |name: &str| examples.join(name).display().to_string();
    format!(
        "version: 1
workers: 2
logs: {{ access: \"off\" }}
trusted_proxies: [ \"127.0.0.1\" ]
listeners:
  clear: {{ address: \"127.0.0.1:0\" }}
  plain: {{ address: \"127.0.0.1:0\", redirect_to_https: 8443 }}
  public: {{ address: \"127.0.0.1:0\", tls: {{ certificates: [ {{ cert: {}, key: {} }} ] }} }}
defaults: {{ cors: {{ origins: [ \"https://app.test\" ] }}, security_headers: true }}
routes:
  one: {{ path: /one, auth: none, respond: {{ status: 200, body: \"${{request.scheme}}\" }} }}
tests:
  - {{ when: \"GET http://a.test/one?x\", expect: {{ status: 308, headers: {{ Location: \"https://a.test:8443/one?x\" }} }} }}
  - {{ when: \"GET https://a.test/one\", expect: {{ route: one }} }}
  - {{ when: \"GET /one\", expect: {{ route: one }} }}
",
        file("example.pem"),
        file("example.key"),
    )
}

/// What of an answer does not depend on the moment.
const TOLD: [&str; 5] = [
    "location",
    "vary",
    "access-control-allow-origin",
    "x-content-type-options",
    "referrer-policy",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_sends_clients_to_https_does_so_in_explanations() {
    let gateway = Reloading::start_whole(tempfile::tempdir().unwrap(), &text());
    let (loaded, _) = loading::load_after(None, &gateway.file);
    let snapshot = loaded.compiled.unwrap().snapshot;
    let mut sent_away = 0;
    for (method, target, headers) in [
        ("GET", "/one", &[][..]),
        ("POST", "/no/such?a=b&c=%20", &[]),
        ("GET", "/a/../one", &[("Origin", "https://app.test")]),
        (
            "OPTIONS",
            "/one",
            &[("Origin", "https://app.test"), ("Access-Control-Request-Method", "GET")],
        ),
        ("GET", "/one", &[("X-Forwarded-Proto", "https")]),
        ("GET", "/one", &[("X-Forwarded-Proto", "http")]),
        ("GET", "/%zz", &[]),
        ("TRACE", "/one", &[]),
    ] {
        let mut question = Question::new(method, &format!("http://a.test{target}")).unwrap();
        let mut sent = vec![("Host", "a.test")];
        for (name, value) in headers {
            question.header(&format!("{name}: {value}")).unwrap();
            sent.push((name, value));
        }
        let told = explain(&snapshot, snapshot.usual_port(), &question).unwrap();
        let answer = told.answer.as_ref().unwrap();
        let became =
            Client::connect(gateway.addresses["plain"]).await.ask(method, target, &sent).await;
        let what = format!("{method} {target} {headers:?}\n{}", told.to_text());
        assert_eq!(answer.status, became.status, "{what}");
        for name in TOLD {
            let values = answer.headers.iter().filter(|(known, _)| known == name);
            let values: Vec<&str> = values.map(|(_, value)| &**value).collect();
            assert_eq!(values, became.headers(name), "{name}: {what}");
        }
        let is_away = became.status == 308;
        sent_away += usize::from(is_away);
        let says = "the listener plain sends clients to https";
        assert_eq!(told.to_text().contains(says), is_away, "{what}");
    }
    assert_eq!(sent_away, 5);
    // By the one with TLS, or without a word, it goes on.
    for url in ["https://a.test/one", "/one"] {
        let told = explain(&snapshot, 8443, &Question::new("GET", url).unwrap()).unwrap();
        assert_eq!((told.route.as_deref(), told.answer.unwrap().status), (Some("one"), 200));
    }
}
