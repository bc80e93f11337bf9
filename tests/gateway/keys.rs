//! Who may pass: by an API key, told to the upstream under the gateway's own name.

use std::fmt::Write as _;

use portcullis::auth::Digest;

use crate::support::gateway::TestSources;
use crate::support::{Answer, Client, Gateway, Origin, get};

fn digest(key: &str) -> String {
    Digest::of(key.as_bytes()).to_string()
}

/// Three consumers, one of them disabled; keys that end in the future, ended in the past, and are disabled.
fn consumers() -> String {
    format!(
        r#"
consumers:
  app:
    api_keys:
      - "{}"
      - {{ digest: "{}", expires: "2999-01-01T00:00:00Z" }}
      - {{ digest: "{}", expires: "2001-01-01T00:00:00Z" }}
      - {{ digest: "{}", disabled: true }}
  partner: {{ api_keys: "{}" }}
  gone: {{ disabled: true, api_keys: [ "{}" ] }}
"#,
        digest("app-key-7q3z"),
        digest("future-key-7q3z"),
        digest("past-key-7q3z"),
        digest("disabled-key-7q3z"),
        digest("partner-key-7q3z"),
        digest("gone-key-7q3z"),
    )
}

async fn gateway(origin: &Origin) -> Gateway {
    Gateway::start(&format!(
        r#"
upstreams:
  svc: {{ targets: [ "{0}" ] }}
  sealed: {{ targets: [ "{0}" ], gateway_secret: {{ value: the-gate-7q3z }} }}
{1}
routes:
  svc: {{ path: /svc, to: svc }}
  partners: {{ path: /partners, to: svc, allow: {{ consumers: [ partner ] }} }}
  open: {{ path: /open, to: svc, auth: none }}
  sealed: {{ path: /sealed, to: sealed }}
  sealed-open: {{ path: /sealed-open, to: sealed, auth: none }}
"#,
        origin.address,
        consumers()
    ))
    .await
}

/// All that a client sees of an answer, but for its date and its id.
fn face(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").to_owned();
    assert_eq!(id.len(), 32);
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| name != "date" && name != "x-request-id")
        .cloned()
        .collect();
    (answer.status, headers, answer.text().replace(&id, "ID"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_does_not_tell_why() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let missing = get(gateway.address(), "/svc", &[]).await;
    assert_eq!((missing.status, missing.code().as_str()), (401, "unauthorized"));
    assert_eq!(missing.headers("www-authenticate"), ["ApiKey"]);
    let megabyte = "k".repeat(60 << 10);
    let cases: [&[(&str, &str)]; 12] = [
        &[("X-Api-Key", "")],
        &[("X-Api-Key", "unknown-7q3z")],
        &[("X-Api-Key", "APP-KEY-7q3z")],
        &[("X-Api-Key", "past-key-7q3z")],
        &[("X-Api-Key", "disabled-key-7q3z")],
        &[("X-Api-Key", "gone-key-7q3z")],
        &[("X-Api-Key", "app-key-7q3z"), ("X-Api-Key", "app-key-7q3z")],
        &[("X-Api-Key", "app-key-7q3z"), ("x-api-key", "other")],
        &[("X-Api-Key", "app-key-7q3z, app-key-7q3z")],
        &[("X_Api_Key", "app-key-7q3z")],
        &[("Authorization", "ApiKey app-key-7q3z")],
        &[("X-Api-Key", &megabyte)],
    ];
    for headers in cases {
        let answer = get(gateway.address(), "/svc", headers).await;
        assert_eq!(face(&answer), face(&missing), "{headers:?}");
    }
    let digest_itself = digest("app-key-7q3z");
    let answer = get(gateway.address(), "/svc", &[("X-Api-Key", &digest_itself)]).await;
    assert_eq!(face(&answer), face(&missing));
    let answer = get(gateway.address(), "/svc?x-api-key=app-key-7q3z", &[]).await;
    assert_eq!(face(&answer), face(&missing));
    assert!(origin.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_megabyte_is_refused_and_the_gate_stands() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let mut client = Client::connect(gateway.address()).await;
    client.try_write(b"GET /svc HTTP/1.1\r\nHost: gateway.test\r\nX-Api-Key: ").await;
    client.try_write(&vec![b'k'; 1 << 20]).await;
    client.try_write(b"\r\n\r\n").await;
    if let Some(answer) = client.read_any(false).await {
        assert!(matches!(answer.status, 400 | 431), "{answer:?}");
    }
    let answer = get(gateway.address(), "/svc", &[("X-Api-Key", "app-key-7q3z")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_caller_passes_and_the_key_stays_at_the_gate() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    for (key, consumer) in
        [("app-key-7q3z", "app"), ("future-key-7q3z", "app"), ("partner-key-7q3z", "partner")]
    {
        let headers = [("X-API-KEY", key), ("Authorization", "Bearer own-7q3z")];
        let answer = get(gateway.address(), "/svc", &headers).await;
        assert_eq!(answer.status, 200, "{key}");
        let seen = origin.last();
        assert_eq!(seen.header("x-consumer-name"), consumer);
        assert!(!seen.headers.contains_key("x-api-key"), "{seen:?}");
        // Other credentials are between the client and the service.
        assert_eq!(seen.header("authorization"), "Bearer own-7q3z");
    }
    // Also where nobody asks for it, known or not.
    for key in ["app-key-7q3z", "unknown-7q3z"] {
        let answer = get(gateway.address(), "/open", &[("X-Api-Key", key)]).await;
        assert_eq!(answer.status, 200);
        let seen = origin.last();
        assert!(!seen.headers.contains_key("x-api-key"), "{seen:?}");
        assert!(!seen.headers.contains_key("x-consumer-name"), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_the_route_leaves_out_is_told_so() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let answer = get(gateway.address(), "/partners", &[("X-Api-Key", "app-key-7q3z")]).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
    assert_eq!(answer.header("www-authenticate"), "");
    for refused in [None, Some("unknown-7q3z"), Some("past-key-7q3z"), Some("gone-key-7q3z")] {
        let headers: Vec<_> = refused.map(|key| ("X-Api-Key", key)).into_iter().collect();
        assert_eq!(get(gateway.address(), "/partners", &headers).await.status, 401, "{refused:?}");
    }
    assert!(origin.seen().is_empty());
    let answer = get(gateway.address(), "/partners", &[("X-Api-Key", "partner-key-7q3z")]).await;
    assert_eq!((answer.status, origin.seen().len()), (200, 1));
    let log = gateway.log(6).await;
    let line = log.iter().find(|line| line["why"] == "forbidden").expect("a line for the 403");
    assert_eq!(
        (&line["consumer"], &line["detail"]),
        (&"app".into(), &"consumer_not_allowed".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_secret_overwrites_whatever_a_client_sends() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("/sealed", &[("X-Api-Key", "app-key-7q3z")]),
        ("/sealed-open", &[]),
        ("/sealed-open", &[("X-Api-Key", "forged-7q3z")]),
        (
            "/sealed-open",
            &[("x-API-key", "forged-7q3z"), ("X-Api-Key", "twice"), ("x-api-key", "")],
        ),
        ("/sealed-open", &[("Connection", "x-api-key"), ("X-Api-Key", "forged-7q3z")]),
        ("/sealed", &[("Connection", "X-Consumer-Name, X-Api-Key"), ("X-Api-Key", "app-key-7q3z")]),
    ];
    for (path, headers) in cases {
        let answer = get(gateway.address(), path, headers).await;
        assert_eq!(answer.status, 200, "{path} {headers:?}");
        let seen = origin.last();
        let values: Vec<_> = seen.headers.get_all("x-api-key").iter().collect();
        assert_eq!(values, ["the-gate-7q3z"], "{path} {headers:?}");
        let consumer = if path == "/sealed" { "app" } else { "" };
        assert_eq!(seen.header("x-consumer-name"), consumer, "{path} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_cannot_undo_the_gateway_secret() {
    let origin = Origin::start("svc").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{}" ], gateway_secret: {{ header: X-Gate, value: the-gate-7q3z }} }} }}
routes:
  svc:
    path: /
    to: svc
    auth: none
    request_headers: {{ set: {{ X-Gate: "${{header.x-gate}}" }}, add: {{ x-gate: other }}, rename: {{ X-Old: X-GATE }} }}
"#,
        origin.address
    ))
    .await;
    get(gateway.address(), "/", &[("X-Old", "forged-7q3z"), ("X-Gate", "forged-7q3z")]).await;
    let seen = origin.last();
    assert_eq!(seen.headers.get_all("x-gate").iter().collect::<Vec<_>>(), ["the-gate-7q3z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_gateway_says_who_it_is() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let forged = [
        ("X-Consumer-Name", "root"),
        ("x-consumer-name", "root"),
        ("X-CONSUMER-ID", "1"),
        ("X_Consumer_Name", "root"),
        ("x_consumer-name", "root"),
        ("X-Consumer-Groups", "admin"),
    ];
    for (path, key, consumer) in [("/open", "", None), ("/svc", "app-key-7q3z", Some("app"))] {
        let mut headers = forged.to_vec();
        headers.push(("X-Api-Key", key));
        let headers = if key.is_empty() { &headers[..forged.len()] } else { &headers[..] };
        assert_eq!(get(gateway.address(), path, headers).await.status, 200);
        let seen = origin.last();
        let told: Vec<_> = seen
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().replace('_', "-").starts_with("x-consumer-"))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let expected: Vec<_> = consumer.map(|name| ("x-consumer-name", name)).into_iter().collect();
        assert_eq!(told, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_has_its_header_and_all_of_them_stay_at_the_gate() {
    let origin = Origin::start("svc").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bots"), format!("{} crawler\n", digest("bot-key"))).unwrap();
    let gateway = Gateway::start_with(
        &format!(
            r#"
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth:
  key: {{ api_key: {{ header: X-Team-Key }} }}
  bot: {{ api_key: {{ header: X-Bot-Key, keys_file: bots }} }}
consumers: {{ app: {{ api_keys: [ "{}" ] }} }}
routes:
  either: {{ path: /either, to: svc }}
  bots: {{ path: /bots, to: svc, auth: bot }}
"#,
            origin.address,
            digest("app-key-7q3z")
        ),
        TestSources { base: folder.path().to_owned(), ..TestSources::default() },
    )
    .await;
    for (path, headers, status, consumer) in [
        ("/either", &[("X-Team-Key", "app-key-7q3z")][..], 200, "app"),
        ("/either", &[("X-Bot-Key", "bot-key")], 200, "crawler"),
        ("/either", &[("X-Team-Key", "wrong"), ("X-Bot-Key", "bot-key")], 200, "crawler"),
        ("/either", &[("X-Api-Key", "app-key-7q3z")], 401, ""),
        ("/bots", &[("X-Bot-Key", "bot-key")], 200, "crawler"),
        ("/bots", &[("X-Team-Key", "bot-key")], 401, ""),
        ("/bots", &[("X-Team-Key", "app-key-7q3z"), ("X-Bot-Key", "no")], 401, ""),
    ] {
        let before = origin.seen().len();
        let answer = get(gateway.address(), path, headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert_eq!(origin.seen().len() - before, usize::from(status == 200));
        if status == 200 {
            let seen = origin.last();
            assert_eq!(seen.header("x-consumer-name"), consumer);
            assert!(!seen.headers.contains_key("x-team-key"), "{seen:?}");
            assert!(!seen.headers.contains_key("x-bot-key"), "{seen:?}");
        } else {
            assert_eq!(answer.headers("www-authenticate"), ["ApiKey"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_hundred_thousand_keys_is_read_and_each_opens() {
    let origin = Origin::start("svc").await;
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("# one key a line\n\n");
    for n in 0..100_000 {
        let end = match n % 10 {
            7 => " expires=2001-01-01T00:00:00Z",
            8 => " disabled",
            9 => " expires=2999-01-01T00:00:00Z # a comment",
            _ => "",
        };
        writeln!(text, "{} team-{}{end}", digest(&format!("key-{n}")), n % 100).unwrap();
    }
    std::fs::write(folder.path().join("keys"), text).unwrap();
    let gateway = Gateway::start_with(
        &format!(
            r#"
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth: {{ key: {{ api_key: {{ keys_file: keys }} }} }}
routes: {{ svc: {{ path: /, to: svc }} }}
"#,
            origin.address
        ),
        TestSources { base: folder.path().to_owned(), ..TestSources::default() },
    )
    .await;
    let mut client = Client::connect(gateway.address()).await;
    for n in [0, 1, 9, 12_345, 77_779, 99_990, 99_999] {
        let answer = client.ask("GET", "/", &[("X-Api-Key", &format!("key-{n}"))]).await;
        assert_eq!(answer.status, 200, "{n}");
        assert_eq!(origin.last().header("x-consumer-name"), format!("team-{}", n % 100));
    }
    for key in ["key-7", "key-99998", "key-100000", "key-"] {
        let answer = client.ask("GET", "/", &[("X-Api-Key", key)]).await;
        assert_eq!(answer.status, 401, "{key}");
    }
}

/// A consumer that stands nowhere but in a file of keys has its plan and its groups from there, with whichever of its keys
/// it comes.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_a_file_have_their_plans_and_groups() {
    let origin = Origin::start("svc").await;
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let lines = |more: &str| {
        format!(
            "{} shop plan=small groups=shops,beta\n{} shop\n{} other groups=beta\n{} partner groups=shops\n{more}",
            digest("shop-1"),
            digest("shop-2"),
            digest("other-1"),
            digest("partner-1"),
        )
    };
    std::fs::write(&keys, lines("")).unwrap();
    let gateway = Gateway::start_with(
        &format!(
            r#"
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
auth: {{ key: {{ api_key: {{ keys_file: keys }} }} }}
plans: {{ small: {{ limits: [ 3/hour ] }}, large: {{ limits: [ 90/hour ] }} }}
consumers: {{ partner: {{ plan: large }} }}
routes:
  all: {{ path: /all, to: svc }}
  shops: {{ path: /shops, to: svc, allow: {{ groups: [ shops ] }} }}
"#,
            origin.address
        ),
        TestSources { base: folder.path().to_owned(), ..TestSources::default() },
    )
    .await;
    let ask = async |key: &str, path: &str| {
        let answer = get(gateway.address(), path, &[("X-Api-Key", key)]).await;
        (answer.status, answer.header("ratelimit-policy").to_owned())
    };
    let small = "\"3/hour\";q=3;w=3600".to_owned();
    for (key, path, status) in [
        ("shop-1", "/all", 200),
        ("shop-2", "/shops", 200),
        ("shop-2", "/all", 200),
        ("shop-1", "/all", 429),
    ] {
        assert_eq!(ask(key, path).await, (status, small.clone()), "{key} {path}");
    }
    assert_eq!(ask("other-1", "/all").await, (200, String::new()));
    assert_eq!(ask("other-1", "/shops").await.0, 403);
    assert_eq!(ask("partner-1", "/shops").await, (200, "\"90/hour\";q=90;w=3600".to_owned()));
}
