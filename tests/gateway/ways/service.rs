//! A service that is asked who may pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::Response;
use http_body_util::Full;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::support::signer::{SECRET, token};
use crate::support::{Client, Gateway, Origin, RawOrigin, eventually, get};

/// Says by the credential what becomes of a request, and counts how often it is asked.
async fn judge() -> (Origin, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let origin = Origin::with(move |seen| {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = Response::builder();
        let said = seen.header("authorization").trim_start_matches("Bearer ").to_owned();
        let answer = match &*said {
            "alice-7q3z" => answer
                .header("x-user", "alice")
                .header("x-roles", "reader")
                .header("x-roles", "writer")
                .header("x-inside", "for nobody")
                .header("authorization", "Bearer internal-7q3z"),
            // Known, and not for everything.
            "half-7q3z" if seen.header("x-forwarded-uri") == "/partners" => answer.status(403),
            "partner-7q3z" => answer.header("x-user", "partner").status(204),
            "gone-7q3z" => answer.header("x-user", "gone"),
            "odd-7q3z" => answer.header("x-user", "a b,c"),
            "anonymous-7q3z" | "half-7q3z" => answer,
            "forbidden-7q3z" => answer.status(403),
            "moved-7q3z" => answer.status(302).header("location", "https://login.test/"),
            "broken-7q3z" => answer.status(500),
            said if said.starts_with("guess-") => answer.status(403),
            _ => answer.status(401).header("www-authenticate", "Bearer realm=\"judge\""),
        };
        answer.body(Full::new(Bytes::from("a secret of the judge"))).unwrap()
    })
    .await;
    (origin, asked)
}

async fn gateway(origin: &Origin, judge: std::net::SocketAddr, more: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
failed_credentials: none
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth:
  key: {{ api_key: {{}} }}
  ask:
    forward_auth:
      url: "http://{judge}/check?x=1"
      take: [ x-user, x-roles, authorization ]
      consumer: x-user
      {more}
consumers:
  partner: {{ api_keys: "{}" }}
  gone: {{ disabled: true, api_keys: "{}" }}
routes:
  svc: {{ path: /svc, to: svc, auth: ask }}
  partners: {{ path: /partners, to: svc, auth: ask, allow: {{ consumers: partner }} }}
  either: {{ path: /either, to: svc, auth: [ ask, key ] }}
  open: {{ path: /open, to: svc, auth: none }}
"#,
        origin.address,
        portcullis::auth::digest("partner-key-7q3z"),
        portcullis::auth::digest("gone-key-7q3z"),
    ))
    .await
}

/// The status and the challenge.
async fn ask(gateway: &Gateway, path: &str, said: &str, more: &[(&str, &str)]) -> (u16, String) {
    let bearer = format!("Bearer {said}");
    let mut headers = vec![("Authorization", &*bearer)];
    headers.extend(more);
    let answer = get(gateway.address(), path, &headers).await;
    assert!(!answer.text().contains("secret of the judge"));
    (answer.status, answer.header("www-authenticate").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_says_who_may_pass_and_what_upstreams_are_told() {
    let origin = Origin::start("svc").await;
    let (judge, asked) = judge().await;
    let gateway = gateway(&origin, judge.address, "").await;
    let forged = [("X-User", "partner"), ("X-Roles", "admin"), ("X-Forwarded-Uri", "/open")];
    assert_eq!(ask(&gateway, "/svc/a?b=c", "alice-7q3z", &forged).await.0, 200);
    let told = judge.last();
    assert_eq!((told.method.as_str(), &*told.target), ("GET", "/check?x=1"));
    for (name, value) in [
        ("authorization", "Bearer alice-7q3z"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-uri", "/svc/a?b=c"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-user", ""),
    ] {
        assert_eq!(told.header(name), value, "{name}");
    }
    let seen = origin.last();
    for (name, value) in [
        ("x-consumer-name", "ask:alice"),
        ("x-user", "alice"),
        ("x-roles", "reader, writer"),
        ("authorization", "Bearer internal-7q3z"),
        ("x-inside", ""),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(ask(&gateway, "/svc", "partner-7q3z", &forged).await.0, 200);
    assert_eq!(origin.last().header("x-consumer-name"), "partner");
    // What the service does not say, nobody says.
    assert_eq!((origin.last().header("x-roles"), origin.last().header("authorization")), ("", ""));
    assert_eq!(ask(&gateway, "/svc", "anonymous-7q3z", &forged).await.0, 200);
    assert_eq!((origin.last().header("x-user"), origin.last().header("x-consumer-name")), ("", ""));
    assert_eq!(ask(&gateway, "/svc", "odd-7q3z", &[]).await.0, 200);
    assert_eq!(origin.last().header("x-consumer-name"), "ask:a%20b%2Cc");
    assert_eq!(get(gateway.address(), "/open", &forged).await.status, 200);
    assert_eq!((origin.last().header("x-user"), origin.last().header("x-roles")), ("", ""));

    let before = (asked.load(Ordering::SeqCst), origin.seen().len());
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"GET /svc HTTP/1.1\r\nHost: a.test\r\nX-User: partner\r\n\r\n").await;
    let nothing = client.read(false).await;
    assert_eq!((nothing.status, nothing.header("www-authenticate")), (401, "Bearer"));
    assert_eq!((asked.load(Ordering::SeqCst), origin.seen().len()), before);
    for (path, said, status, challenge) in [
        ("/svc", "wrong", 401, "Bearer realm=\"judge\""),
        ("/svc", "gone-7q3z", 401, "Bearer"),
        ("/svc", "forbidden-7q3z", 403, ""),
        ("/svc", "moved-7q3z", 503, ""),
        ("/svc", "broken-7q3z", 503, ""),
        ("/partners", "alice-7q3z", 403, ""),
    ] {
        let told = ask(&gateway, path, said, &[]).await;
        assert_eq!((told.0, &*told.1), (status, challenge), "{path} {said}");
    }
    assert_eq!(origin.seen().len(), before.1);
    assert_eq!(ask(&gateway, "/partners", "partner-7q3z", &[]).await.0, 200);
    let key = [("X-Api-Key", "partner-key-7q3z")];
    assert_eq!(ask(&gateway, "/either", "broken-7q3z", &key).await.0, 200, "the key will do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_the_service_holds_for_a_moment_and_for_what_it_was_asked() {
    let origin = Origin::start("svc").await;
    let (judge, asked) = judge().await;
    let by_request = gateway(&origin, judge.address, "cache: 5m").await;
    let crowd = join_all((0..30).map(|_| ask(&by_request, "/svc", "alice-7q3z", &[]))).await;
    assert!(crowd.iter().all(|(status, _)| *status == 200), "{crowd:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "all of them asked the same");
    for (path, said, count) in [
        ("/svc", "alice-7q3z", 1),
        ("/svc/other", "alice-7q3z", 2),
        ("/svc", "wrong", 3),
        ("/svc", "wrong", 3),
        ("/svc", "broken-7q3z", 4),
        ("/svc", "broken-7q3z", 5),
    ] {
        ask(&by_request, path, said, &[]).await;
        assert_eq!(asked.load(Ordering::SeqCst), count, "{path} {said}");
    }
    let by_credential = gateway(&origin, judge.address, "request: false").await;
    for path in ["/svc", "/svc/other", "/partners"] {
        ask(&by_credential, path, "alice-7q3z", &[]).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    assert_eq!(judge.last().header("x-forwarded-uri"), "");
    let never = gateway(&origin, judge.address, "cache: 0s").await;
    for count in 7..9 {
        ask(&never, "/svc", "alice-7q3z", &[]).await;
        assert_eq!(asked.load(Ordering::SeqCst), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_while_the_service_is_gone_or_slow() {
    let origin = Origin::start("svc").await;
    let (judge, _) = judge().await;
    let lost = gateway(&origin, judge.address, "cache: 0s").await;
    assert_eq!(ask(&lost, "/svc", "alice-7q3z", &[]).await.0, 200);
    let address = judge.kill().await;
    let bearer = [("Authorization", "Bearer alice-7q3z")];
    let answer = get(lost.address(), "/svc", &bearer).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "auth_unavailable"));
    assert_eq!(answer.header("retry-after"), "1");
    let _judge = Origin::bind(address, |_| Response::new(Full::default())).await;
    eventually("it recovers", async || ask(&lost, "/svc", "alice-7q3z", &[]).await.0 == 200).await;

    let seen = origin.seen().len();
    let mute = RawOrigin::with(async |_stream| std::future::pending().await).await;
    let slow = gateway(&origin, mute.address, "timeout: 50ms").await;
    // It never answers; were the wait not bounded, neither would this.
    let asked = join_all((0..8).map(|_| ask(&slow, "/svc", "alice-7q3z", &[])));
    let answers = tokio::time::timeout(Duration::from_secs(8), asked).await.expect("answers");
    assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
    let large =
        RawOrigin::saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    let broken = gateway(&origin, large.address, "").await;
    assert_eq!(ask(&broken, "/svc", "alice-7q3z", &[]).await.0, 503);
    assert_eq!(origin.seen().len(), seen);
    let log = broken.log(1).await;
    assert_eq!(log[0]["detail"], "auth_service_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_judges_the_request_that_is_sent_on() {
    let origin = Origin::start("svc").await;
    let (judge, _) = judge().await;
    let gateway = Gateway::start(&format!(
        r#"
trusted_proxies: [ 127.0.0.1 ]
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth: {{ ask: {{ forward_auth: {{ url: "http://{}/check", cache: 0s }} }} }}
routes:
  public: {{ path: /public, to: svc }}
  svc: {{ host: a.test, path: /svc, to: svc }}
"#,
        origin.address, judge.address
    ))
    .await;
    for (target, clean) in [
        ("/public/../svc?x=/../y", "/svc?x=/../y"),
        ("//svc", "/svc"),
        ("/public/%2e%2e/svc", "/svc"),
        ("/public/..//s%76c/", "/s%76c/"),
        ("http://A.test:80/public/../svc", "/svc"),
    ] {
        let headers = [
            ("Host", "A.test:80"),
            ("Authorization", "Bearer alice-7q3z"),
            ("X-Forwarded-Host", "b.test"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "192.0.2.7"),
        ];
        let answer = Client::connect(gateway.address()).await.ask("GET", target, &headers).await;
        assert_eq!(answer.status, 200, "{target}");
        let told = judge.last();
        for (name, value) in [
            ("x-forwarded-uri", clean),
            ("x-forwarded-host", "a.test"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "192.0.2.7"),
        ] {
            assert_eq!(told.header(name), value, "{target}");
        }
        assert_eq!(origin.last().target, clean, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_that_the_service_forbids_are_counted() {
    let origin = Origin::start("svc").await;
    let (judge, asked) = judge().await;
    let gateway = Gateway::start(&format!(
        r#"
failed_credentials: 3/hour
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth: {{ ask: {{ forward_auth: {{ url: "http://{}/check", cache: 0s }} }} }}
routes:
  svc: {{ path: /svc, to: svc }}
  partners: {{ path: /partners, to: svc }}
"#,
        origin.address, judge.address
    ))
    .await;
    // Who is known may meet what is not for it as often as it likes.
    assert_eq!(ask(&gateway, "/svc", "half-7q3z", &[]).await.0, 200);
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "/partners", "half-7q3z", &[]).await.0, 403);
    }
    for number in 0..3 {
        assert_eq!(ask(&gateway, "/svc", &format!("guess-{number}"), &[]).await.0, 403);
    }
    let before = asked.load(Ordering::SeqCst);
    for number in [0, 1, 2, 3] {
        assert_eq!(ask(&gateway, "/svc", &format!("guess-{number}"), &[]).await.0, 429);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
    assert_eq!(ask(&gateway, "/svc", "half-7q3z", &[]).await.0, 200);
    let log = gateway.log(14).await;
    let refused = log.iter().filter(|line| line["detail"] == "auth_service_refused");
    assert_eq!(refused.filter(|line| line["why"] == "forbidden").count(), 8, "{log:?}");
}

/// Two proofs of one caller: what the token says counts, and what the service says is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_each_of_two_proofs_says_is_known() {
    let origin = Origin::start("svc").await;
    let (judge, _) = judge().await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth:
  token: {{ jwt: {{ issuer: none, audience: none, header: x-token, keys: [ {{ secret: {SECRET} }} ] }} }}
  ask: {{ forward_auth: {{ url: "http://{}/check", take: x-roles }} }}
routes:
  one: {{ path: /one, to: svc, auth: {{ all: [ token, ask ] }}, allow: {{ require: {{ tenant: blue }} }} }}
  two: {{ path: /two, to: svc, auth: {{ all: [ ask, token ] }}, allow: {{ require: {{ tenant: blue }} }} }}
"#,
        origin.address, judge.address
    ))
    .await;
    let blue = token(SECRET, "HS256", None, json!({ "tenant": "blue" }));
    let red = token(SECRET, "HS256", None, json!({ "tenant": "red" }));
    for path in ["/one", "/two"] {
        let answer = ask(&gateway, path, "alice-7q3z", &[("X-Token", &blue)]).await;
        assert_eq!(answer.0, 200, "{path}");
        assert_eq!(origin.last().header("x-roles"), "reader, writer", "{path}");
        let answer = ask(&gateway, path, "alice-7q3z", &[("X-Token", &red)]).await;
        assert_eq!(answer.0, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_whose_body_is_slow_is_a_yes() {
    let origin = Origin::start("svc").await;
    let judge = RawOrigin::with(async |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = gateway(&origin, judge.address, "cache: 0s").await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "/svc", "alice-7q3z", &[]).await.0, 200);
    }
    assert_eq!(
        judge.heads().len(),
        2,
        "no connection is used again with the rest of an answer on it"
    );
}
