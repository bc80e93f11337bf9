//! Who may call by its address, seen past trusted proxies.

use crate::support::{Gateway, Origin, get, send};

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_route_is_not_for_is_refused_before_credentials_are_looked_at() {
    let origin = Origin::start("svc").await;
    let gateway = Gateway::start(&format!(
        r#"
trusted_proxies: [ 127.0.0.1 ]
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
consumers: {{ app: {{ api_keys: "{}" }} }}
defaults: {{ ip: {{ deny: [ 198.51.100.0/24 ] }} }}
routes:
  svc: {{ path: /svc, to: svc }}
  inside: {{ path: /inside, to: svc, auth: none, cors: {{ origins: "*" }}, ip: {{ allow: [ 10.0.0.0/8 ], deny: [ 10.9.0.0/16 ] }} }}
  all: {{ path: /all, to: svc, auth: none, ip: none }}
  watched: {{ path: /watched, to: svc, auth: none, ip: {{ allow: [ 10.0.0.0/8 ], observe: true }} }}
"#,
        origin.address,
        portcullis::auth::digest("app-key-7q3z")
    ))
    .await;
    let key = ("X-Api-Key", "app-key-7q3z");
    for (path, from, status, code) in [
        ("/svc", "192.0.2.1", 200, ""),
        ("/svc", "198.51.100.7", 403, "ip_denied"),
        ("/svc", "::ffff:198.51.100.7", 403, "ip_denied"),
        ("/inside", "10.1.1.1", 200, ""),
        ("/inside", "10.9.1.1", 403, "ip_denied"),
        ("/inside", "192.0.2.1", 403, "ip_denied"),
        ("/all", "198.51.100.7", 200, ""),
        ("/watched", "192.0.2.1", 200, ""),
    ] {
        let answer = get(gateway.address(), path, &[key, ("X-Forwarded-For", from)]).await;
        assert_eq!(answer.status, status, "{path} {from}");
        assert!(code.is_empty() || answer.code() == code, "{path} {from}");
    }
    // Without a credential too: whoever is denied learns nothing of keys.
    let answer = get(gateway.address(), "/svc", &[("X-Forwarded-For", "198.51.100.7")]).await;
    assert_eq!(answer.status, 403);
    let asked = [
        ("Origin", "https://a.test"),
        ("Access-Control-Request-Method", "GET"),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    let answer = send(gateway.address(), "OPTIONS", "/inside", &asked, b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "ip_denied"));
    let log = gateway.log(10).await;
    let watched = log.iter().find(|line| line["path"] == "/watched").expect("a line");
    assert_eq!((&watched["observed"], &watched["status"]), (&"ip_denied".into(), &200.into()));
}
