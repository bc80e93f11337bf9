//! From plain HTTP to the same place with TLS.

use super::{ECHO, House};
use crate::support::Client;

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_sends_every_client_to_https() {
    for (to, port) in [("true", ""), ("8443", ":8443")] {
        let gateway = House::with(&[])
            .open(&format!(
                "trusted_proxies: [ \"127.0.0.1\" ]\n\
                 listeners: {{ public: {{ address: \"127.0.0.1:0\", redirect_to_https: {to} }} }}\n\
                 routes:\n{ECHO}"
            ))
            .await;
        let mut client = Client::connect(gateway.address()).await;
        for (method, host, target, location) in [
            ("GET", "one.test", "/echo", "/echo"),
            ("POST", "one.test:8080", "/no/such?a=b&c=%20", "/no/such?a=b&c=%20"),
            ("HEAD", "one.test", "http://one.test/echo", "/echo"),
        ] {
            let answer = client.ask(method, target, &[("Host", host)]).await;
            assert_eq!(answer.status, 308, "{method} {target}");
            assert_eq!(answer.header("location"), format!("https://one.test{port}{location}"));
        }
        let answer = client.ask("GET", "/echo", &[("Host", "[::1]:80")]).await;
        assert_eq!(answer.header("location"), format!("https://[::1]{port}/echo"));
        // Who came with TLS to the proxy in front is there already.
        let answer = client.ask("GET", "/echo", &[("X-Forwarded-Proto", "https")]).await;
        assert_eq!((answer.status, answer.text().starts_with("https ")), (200, true));
        let mut old = Client::connect(gateway.address()).await;
        old.write(b"GET /echo HTTP/1.0\r\n\r\n").await;
        assert_eq!(old.read(false).await.status, 400);
    }
}
