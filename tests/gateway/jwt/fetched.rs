//! Keys that an issuer publishes, and what becomes of requests while its server is well, changes keys, is slow or gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use super::ask;
use crate::support::signer::{jwk, token};
use crate::support::{Gateway, Origin, RawOrigin, eventually, get};

/// An issuer with a set of keys that can be changed.
struct Issuer {
    origin: Origin,
    set: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(keys: &[Value]) -> Self {
        let set = Arc::new(Mutex::new(json!({ "keys": keys })));
        let asked = Arc::new(AtomicUsize::new(0));
        let (shown, count) = (set.clone(), asked.clone());
        let origin = Origin::with(move |seen| {
            let host = seen.header("host");
            let text = match &*seen.target {
                "/.well-known/openid-configuration" => {
                    json!({ "issuer": format!("http://{host}/"), "jwks_uri": format!("http://{host}/jwks") })
                }
                "/moved" => {
                    return Response::builder()
                        .status(302)
                        .header("location", "/jwks")
                        .body(Full::default())
                        .unwrap();
                }
                _ => {
                    count.fetch_add(1, Ordering::SeqCst);
                    shown.lock().unwrap().clone()
                }
            };
            Response::new(Full::new(Bytes::from(text.to_string())))
        })
        .await;
        Self { origin, set, asked }
    }

    fn publish(&self, keys: &[Value]) {
        *self.set.lock().unwrap() = json!({ "keys": keys });
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn gateway(origin: &Origin, jwt: &str) -> Gateway {
    Gateway::start(&format!(
        "admin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams: {{ svc: {{ targets: [ \"{}\" ] }} }}\n\
         auth: {{ login: {{ jwt: {{ audience: api, {jwt} }} }} }}\n\
         routes: {{ svc: {{ path: /svc, to: svc }} }}\n",
        origin.address
    ))
    .await
}

async fn metric(gateway: &Gateway, series: &str) -> Option<f64> {
    let admin = gateway.addresses["admin"];
    let answer = get(admin, "/metrics", &[("Host", "localhost")]).await;
    let mut lines = answer.text().lines();
    lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_at_the_start_and_anew_for_one_that_is_not_known() {
    let origin = Origin::start("svc").await;
    let issuer = Issuer::start(&[jwk("rsa", "one")]).await;
    let url =
        format!("issuer: \"https://id.test/\", jwks: \"http://{}/jwks\"", issuer.origin.address);
    let gateway = gateway(&origin, &url).await;
    let old = token("rsa", "RS256", Some("one"), json!({}));
    let new = token("p256", "ES256", Some("two"), json!({}));
    assert_eq!(ask(&gateway, "/svc", &old, &[]).await.0, 200);
    assert_eq!(issuer.asked(), 1);

    // Of another issuer: nobody is asked for its key.
    let stranger = token("p256", "ES256", Some("two"), json!({ "iss": "https://else.test/" }));
    assert_eq!(ask(&gateway, "/svc", &stranger, &[]).await.0, 401);
    assert_eq!(issuer.asked(), 1);

    issuer.publish(&[jwk("rsa", "one"), jwk("p256", "two")]);
    assert_eq!(ask(&gateway, "/svc", &new, &[]).await.0, 200);
    assert_eq!((issuer.asked(), ask(&gateway, "/svc", &old, &[]).await.0), (2, 200));

    // A herd of names that nobody knows, right after: not one fetch more.
    let herd = (0..50).map(|n| token("p256", "ES256", Some(&format!("k{n}")), json!({})));
    let herd: Vec<_> = herd.collect();
    let answers = join_all(herd.iter().map(|token| ask(&gateway, "/svc", token, &[]))).await;
    assert!(answers.iter().all(|(status, _)| *status == 401), "{answers:?}");
    assert_eq!(issuer.asked(), 2);
    assert_eq!(
        metric(&gateway, "portcullis_auth_keys_fetches_total{method=\"login\",result=\"good\"}")
            .await,
        Some(2.0)
    );
    let age = metric(&gateway, "portcullis_auth_keys_age_seconds{method=\"login\"}").await;
    assert!(age.is_some_and(|age| age < 60.0), "{age:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_of_unknown_keys_causes_one_fetch_that_all_wait_for() {
    let origin = Origin::start("svc").await;
    let issuer = Issuer::start(&[jwk("rsa", "one")]).await;
    let url =
        format!("issuer: \"https://id.test/\", jwks: \"http://{}/jwks\"", issuer.origin.address);
    let gateway = gateway(&origin, &url).await;
    issuer.publish(&[jwk("ed25519", "two")]);
    let herd = (0..40).map(|n| match n % 2 {
        0 => token("ed25519", "EdDSA", Some("two"), json!({ "n": n })),
        _ => token("ed25519", "EdDSA", Some(&format!("k{n}")), json!({})),
    });
    let herd: Vec<_> = herd.collect();
    let answers = join_all(herd.iter().map(|token| ask(&gateway, "/svc", token, &[]))).await;
    for (index, (status, _)) in answers.into_iter().enumerate() {
        assert_eq!(status, if index % 2 == 0 { 200 } else { 401 }, "{index}");
    }
    assert_eq!(issuer.asked(), 2);
    // What was verified by keys that are gone is forgotten with them.
    let old = token("rsa", "RS256", Some("one"), json!({}));
    assert_eq!(ask(&gateway, "/svc", &old, &[]).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_keys_outlive_the_server_that_gave_them() {
    let origin = Origin::start("svc").await;
    let issuer = Issuer::start(&[jwk("rsa", "one")]).await;
    let auto = format!("issuer: \"http://{}/\", jwks: auto", issuer.origin.address);
    let gateway = gateway(&origin, &auto).await;
    let iss = format!("http://{}/", issuer.origin.address);
    let made = |kid: &str| token("rsa", "RS256", Some(kid), json!({ "iss": iss }));
    assert_eq!(ask(&gateway, "/svc", &made("one"), &[]).await.0, 200);
    issuer.origin.kill().await;
    assert_eq!(ask(&gateway, "/svc", &made("two"), &[]).await.0, 401);
    assert_eq!(ask(&gateway, "/svc", &made("one"), &[]).await.0, 200);
    let failed = "portcullis_auth_keys_fetches_total{method=\"login\",result=\"failed\"}";
    assert!(metric(&gateway, failed).await.is_some_and(|count| count >= 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_keys_nobody_is_judged_until_there_are_some() {
    let origin = Origin::start("svc").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("issuer: \"https://id.test/\", jwks: \"http://{address}/jwks\"");
    let gateway = gateway(&origin, &url).await;
    let token = token("rsa", "RS256", Some("one"), json!({}));
    let answer =
        get(gateway.address(), "/svc", &[("Authorization", &format!("Bearer {token}"))]).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "auth_unavailable"));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(get(gateway.address(), "/svc", &[]).await.status, 401);
    // It recovers alone.
    let set = json!({ "keys": [jwk("rsa", "one")] }).to_string();
    let _issuer =
        Origin::bind(address, move |_| Response::new(Full::new(Bytes::from(set.clone())))).await;
    eventually("the keys are there", async || ask(&gateway, "/svc", &token, &[]).await.0 == 200)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_key_server_holds_a_request_up_for_a_bound_only() {
    let origin = Origin::start("svc").await;
    let issuer = RawOrigin::with(async |_stream| std::future::pending().await).await;
    let url = format!("issuer: \"https://id.test/\", jwks: \"http://{}/jwks\"", issuer.address);
    let gateway = gateway(&origin, &url).await;
    let token = token("rsa", "RS256", Some("one"), json!({}));
    // The server never answers; were the wait not bounded, neither would this.
    let asked = ask(&gateway, "/svc", &token, &[]);
    let (status, _) = tokio::time::timeout(Duration::from_secs(8), asked).await.expect("an answer");
    assert_eq!(status, 503);
    assert!(origin.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_set_of_good_keys_is_not_believed() {
    let origin = Origin::start("svc").await;
    let weak = json!({ "kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB" });
    let oct =
        json!({ "kty": "oct", "kid": "one", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
    let issuer = Issuer::start(&[weak, oct]).await;
    for (path, place) in [("jwks", "keys that cannot be used"), ("moved", "a redirect")] {
        let url = format!(
            "issuer: \"https://id.test/\", jwks: \"http://{}/{path}\"",
            issuer.origin.address
        );
        let gateway = gateway(&origin, &url).await;
        let token = token("rsa", "RS256", Some("one"), json!({}));
        assert_eq!(ask(&gateway, "/svc", &token, &[]).await.0, 503, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_is_counted_once() {
    let origin = Origin::start("svc").await;
    let issuer = Issuer::start(&[jwk("rsa", "one")]).await;
    let gateway = Gateway::start(&format!(
        r#"
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth: {{ login: {{ jwt: {{ audience: api, issuer: "https://id.test/", jwks: "http://{}/jwks" }} }} }}
routes:
  svc:
    path: /svc
    to: svc
    ip: {{ deny: [ "0.0.0.0/0" ], observe: true }}
    limits: [ 9/hour ]
"#,
        origin.address, issuer.origin.address
    ))
    .await;
    eventually("the first keys are fetched", async || issuer.asked() == 1).await;
    issuer.publish(&[jwk("p256", "two")]);
    let new = token("p256", "ES256", Some("two"), json!({}));
    let bearer = format!("Bearer {new}");
    let answer = get(gateway.address(), "/svc", &[("Authorization", &bearer)]).await;
    assert_eq!((answer.status, issuer.asked()), (200, 2));
    assert!(answer.header("ratelimit").contains(";r=8;"), "{answer:?}");
    for (series, count) in [
        ("portcullis_observed_total{route=\"svc\",rule=\"ip\"}", 1.0),
        ("portcullis_requests_in_flight{route=\"svc\"}", 0.0),
        ("portcullis_requests_total{route=\"svc\",method=\"GET\",status=\"200\"}", 1.0),
    ] {
        eventually(series, async || metric(&gateway, series).await == Some(count)).await;
    }
}
