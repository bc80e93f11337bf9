//! What belongs to one connection stays on it, and takes nothing else along.

use super::{before, sending};
use crate::support::{Gateway, Origin, RawOrigin, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_does_not_close_the_upstream_connection() {
    let origin = RawOrigin::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = before(origin.address).await;
    let mut client =
        sending(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let answer = client.read(false).await;
    assert_eq!((answer.text(), answer.header("connection")), ("ok", "close"));
    assert!(client.is_closed().await);
    let head = origin.heads()[0].to_ascii_lowercase();
    assert!(!head.contains("\r\nconnection:"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nominated_header_is_the_clients_own_and_never_the_gateways() {
    let origin = Origin::start("ok").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams:
  origin:
    targets: [ "{}" ]
    gateway_secret: {{ header: x-api-key, value: "${{env:NONE:-a secret 7q3z}}" }}
consumers: {{ app: {{ api_keys: [ "{}" ] }} }}
defaults: {{ request_headers: {{ set: {{ X-Gateway: "True" }} }} }}
routes: {{ all: {{ path: /, to: origin }} }}
"#,
        origin.address, "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6"
    ))
    .await;
    let key = ("x-api-key", "secret002oUdaRJA");
    for nominated in [
        "x-api-key, x-own",
        "X-Consumer-Name, X-Gateway, x-own",
        "X-Request-Id, Via, x-own",
        "X-Forwarded-Port, X-Forwarded-Prefix, close, x-own",
    ] {
        let headers = [key, ("connection", nominated), ("x-own", "v"), ("x-consumer-name", "root")];
        let answer = get(gateway.address(), "/", &headers).await;
        assert_eq!(answer.status, 200, "{nominated}: {}", answer.text());
        let seen = origin.last();
        assert_eq!(seen.header("x-api-key"), "a secret 7q3z", "{nominated}");
        assert_eq!(seen.header("x-consumer-name"), "app", "{nominated}");
        assert_eq!(seen.header("x-gateway"), "True", "{nominated}");
        assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"), "{nominated}");
        assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1", "{nominated}");
        assert!(seen.headers.contains_key("x-forwarded-port"), "{nominated}");
        assert_eq!((seen.header("x-own"), seen.header("connection")), ("", ""), "{nominated}");
    }
    // Without the key, naming it as one's own is no way in.
    let answer = get(gateway.address(), "/", &[("connection", "x-api-key")]).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_frames_or_routes_a_request_cannot_be_nominated_away() {
    let origin = Origin::start("ok").await;
    let gateway = before(origin.address).await;
    for nominated in ["host", "x-forwarded-for", "X-Forwarded-Proto", ":authority", "\"x\""] {
        let answer = get(gateway.address(), "/", &[("connection", nominated)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{nominated}");
    }
    assert!(origin.seen().is_empty());
    // A length that is nominated: the body goes on, framed anew, and nothing of it becomes a request.
    let inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for framing in [
        format!("Content-Length: {}\r\nConnection: content-length", inner.len()),
        format!("Content-Length: {}\r\nConnection: transfer-encoding, content-length", inner.len()),
    ] {
        let head = format!("POST /outer HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        let mut client = sending(&gateway, &[head.as_bytes(), &inner[..]].concat()).await;
        assert_eq!(client.read(false).await.status, 200);
        let seen = origin.last();
        assert_eq!((seen.target.as_str(), &seen.body[..]), ("/outer", &inner[..]));
    }
    assert!(origin.seen().iter().all(|seen| seen.target == "/outer"));
}
