//! Who may pass: by a signed token, of keys that stand in the file or are fetched.

mod fetched;
mod hostile;

use serde_json::{Value, json};

use crate::support::signer::{self, SECRET, token};
use crate::support::{Gateway, Origin, get};

/// A method for each kind of key, and routes that demand this and that of tokens.
fn configuration(origin: &Origin) -> String {
    // Most of what is asked here is refused, from one address.
    format!(
        r#"
failed_credentials: none
upstreams: {{ svc: {{ targets: [ "{0}" ] }} }}
auth:
  login:
    jwt:
      issuer: "https://id.test/"
      audience: [ api, web ]
      keys:
        - {{ file: "{rsa}", kid: rsa }}
        - {{ file: "{p256}" }}
        - {{ file: "{p384}" }}
        - {{ file: "{ed}" }}
        - {{ secret: {SECRET}, algorithms: [ HS256, HS384, HS512 ], kid: hs }}
      consumer: client
  header: {{ jwt: {{ issuer: none, audience: none, header: x-access-tokens, keys: [ {{ secret: {SECRET} }} ] }} }}
  cookie: {{ jwt: {{ issuer: none, audience: none, cookie: session, keys: [ {{ secret: {SECRET} }} ] }} }}
  seen: {{ jwt: {{ issuer: none, audience: none, header: x-seen, forward: true, keys: [ {{ secret: {SECRET} }} ] }} }}
  key: {{ api_key: {{}} }}
consumers:
  partner: {{ api_keys: "{key}", groups: [ staff ] }}
  other: {{ api_keys: "{other}" }}
routes:
  svc:
    path: /svc
    to: svc
    auth: login
    request_headers: {{ set: {{ X-Sub: "${{claim.sub}}", X-Roles: "${{claim.realm.roles}}", X-Nick: "${{claim.nick}}" }} }}
  scoped: {{ path: /scoped, to: svc, auth: login, allow: {{ require: {{ scope: orders:write, tenant: [ a, b ] }} }} }}
  partners: {{ path: /partners, to: svc, auth: [ key, login ], allow: {{ consumers: partner }} }}
  staff: {{ path: /staff, to: svc, auth: [ login, key ], allow: {{ groups: [ staff ] }} }}
  both: {{ path: /both, to: svc, auth: {{ all: [ key, login ] }} }}
  watched: {{ path: /watched, to: svc, auth: login, allow: {{ consumers: partner, observe: true }} }}
  header: {{ path: /header, to: svc, auth: header }}
  cookie: {{ path: /cookie, to: svc, auth: cookie }}
  seen: {{ path: /seen, to: svc, auth: seen }}
  open: {{ path: /open, to: svc, auth: none }}
"#,
        origin.address,
        rsa = signer::path("rsa.pem"),
        p256 = signer::path("p256.pem"),
        p384 = signer::path("p384.pem"),
        ed = signer::path("ed25519.pem"),
        key = portcullis::auth::digest("partner-key-7q3z"),
        other = portcullis::auth::digest("other-key-7q3z"),
    )
}

async fn ask(gateway: &Gateway, path: &str, token: &str, more: &[(&str, &str)]) -> (u16, String) {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", &*bearer)];
    headers.extend(more);
    let answer = get(gateway.address(), path, &headers).await;
    (answer.status, answer.header("www-authenticate").to_owned())
}

const GOOD: [(&str, &str); 12] = [
    ("rsa", "RS256"),
    ("rsa", "RS384"),
    ("rsa", "RS512"),
    ("rsa", "PS256"),
    ("rsa", "PS384"),
    ("rsa", "PS512"),
    ("p256", "ES256"),
    ("p384", "ES384"),
    ("ed25519", "EdDSA"),
    (SECRET, "HS256"),
    (SECRET, "HS384"),
    (SECRET, "HS512"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_every_algorithm_lets_its_bearer_in_and_stays_at_the_gate() {
    let origin = Origin::start("svc").await;
    let gateway = Gateway::start(&configuration(&origin)).await;
    for (key, algorithm) in GOOD {
        let more = json!({ "realm": { "roles": ["r", "w"] }, "nick": "a\r\nX-Forged: 1" });
        let token = token(key, algorithm, None, more);
        // The second time it is remembered.
        for _ in 0..2 {
            assert_eq!(ask(&gateway, "/svc", &token, &[]).await.0, 200, "{algorithm}");
            let seen = origin.last();
            assert_eq!(seen.header("x-consumer-name"), "login:alice");
            assert_eq!((seen.header("x-sub"), seen.header("x-roles")), ("alice", "r,w"));
            assert_eq!(seen.header("x-forged"), "");
            assert!(!seen.headers.contains_key("authorization"), "{seen:?}");
        }
    }
    let token = token("p256", "ES256", None, json!({}));
    assert_eq!(ask(&gateway, "/open", &token, &[]).await.0, 200);
    assert!(!origin.last().headers.contains_key("authorization"));
    let log = gateway.log(2 * GOOD.len() + 1).await;
    assert!(log.iter().any(|line| line["consumer"] == "login:alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_in_a_header_or_a_cookie_of_its_own() {
    let origin = Origin::start("svc").await;
    let gateway = Gateway::start(&configuration(&origin)).await;
    let token = token(SECRET, "HS256", None, json!({}));
    let cookie = format!("a=1; session={token}; b=2");
    for (path, name, value, kept) in [
        ("/header", "X-Access-Tokens", &token, ""),
        ("/seen", "X-Seen", &token, &*token),
        ("/cookie", "Cookie", &cookie, "a=1; b=2"),
    ] {
        assert_eq!(get(gateway.address(), path, &[(name, value)]).await.status, 200, "{path}");
        assert_eq!(origin.last().header(&name.to_lowercase()), kept, "{path}");
        let twice = [(name, value.as_str()), (name, value.as_str())];
        assert_eq!(get(gateway.address(), path, &twice).await.status, 401, "{path}");
        assert_eq!(get(gateway.address(), path, &[]).await.status, 401, "{path}");
    }
    let bearer = format!("Bearer {token}");
    assert_eq!(
        get(gateway.address(), "/header", &[("X-Access-Tokens", &bearer)]).await.status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_demand_consumers_groups_claims_and_several_credentials() {
    let origin = Origin::start("svc").await;
    let gateway = Gateway::start(&configuration(&origin)).await;
    let made = |more: Value| token("ed25519", "EdDSA", None, more);
    let key = [("X-Api-Key", "partner-key-7q3z")];
    let other = [("X-Api-Key", "other-key-7q3z")];
    let alice = made(json!({}));
    let partner = made(json!({ "client": "partner" }));
    for (path, token, more, status) in [
        ("/scoped", &made(json!({ "scope": "x orders:write", "tenant": "b" })), &[][..], 200),
        ("/scoped", &made(json!({ "scope": ["orders:write"], "tenant": ["a"] })), &[], 200),
        ("/scoped", &made(json!({ "scope": "orders:writer", "tenant": "a" })), &[], 403),
        ("/scoped", &made(json!({ "scope": "orders:write", "tenant": "c" })), &[], 403),
        ("/scoped", &made(json!({ "scope": "orders:write" })), &[], 403),
        ("/scoped", &alice, &[], 403),
        ("/partners", &partner, &[], 200),
        ("/partners", &alice, &[], 403),
        // A subject is nobody whom the file names, whatever it is called.
        ("/partners", &made(json!({ "sub": "partner" })), &[], 403),
        ("/partners", &alice, &key, 200),
        ("/staff", &partner, &[], 200),
        ("/staff", &alice, &other, 403),
        ("/both", &alice, &key, 200),
        ("/both", &partner, &key, 200),
        ("/both", &partner, &other, 403),
        ("/both", &alice, &[], 401),
        ("/both", &"x".to_owned(), &key, 401),
        ("/watched", &alice, &[], 200),
        ("/watched", &partner, &[], 200),
    ] {
        assert_eq!(ask(&gateway, path, token, more).await.0, status, "{path} {more:?}");
    }
    let log = gateway.log(19).await;
    let observed: Vec<_> = log.iter().filter(|line| line["observed"] != Value::Null).collect();
    assert_eq!(observed.len(), 1);
    assert_eq!(
        (&observed[0]["observed"], &observed[0]["path"]),
        (&"consumer_not_allowed".into(), &"/watched".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_with_a_token_is_known_again_among_other_cookies() {
    let origin = Origin::start("svc").await;
    let text =
        configuration(&origin).replace("failed_credentials: none", "failed_credentials: 2/hour");
    let gateway = Gateway::start(&text).await;
    let token = token(SECRET, "HS256", None, json!({}));
    let ask =
        async |cookie: &str| get(gateway.address(), "/cookie", &[("Cookie", cookie)]).await.status;
    assert_eq!(ask(&format!("session={token}; seen=1")).await, 200);
    // Cookies of others are no credential that could fail.
    for visit in 0..5 {
        assert_eq!(ask(&format!("seen={visit}")).await, 401);
    }
    for guess in 0..2 {
        assert_eq!(ask(&format!("session=guess-{guess}")).await, 401);
    }
    assert_eq!(ask("session=guess-2").await, 429);
    assert_eq!(ask(&format!("seen=2; session={token}")).await, 200);
}
