//! What is added to heads, taken from them and changed in them, on the way there and on the way back.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::support::{Answer, Client, Gateway, Origin, RawOrigin, get};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

/// One open route to one upstream, with more of the route's own and of the file's.
async fn gateway(address: SocketAddr, route: &str, file: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{address}" ], health: none }} }}
routes:
  svc: {{ to: svc, auth: none, {route} }}
{file}
"#
    ))
    .await
}

/// The lines of a head as sent, the first one left out.
fn lines(head: &str) -> Vec<(&str, &str)> {
    let lines = head.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    lines.map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""))).collect()
}

/// The values of a header, by its name in any case.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let found = lines(head).into_iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).collect()
}

async fn raw(gateway: &Gateway, request: &[u8]) -> Answer {
    let mut client = Client::connect(gateway.address()).await;
    client.write(request).await;
    client.read(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_variable_is_filled_from_the_request() {
    let origin = Origin::start("svc").await;
    let digest = portcullis::auth::Digest::of(b"key");
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
consumers: {{ app: {{ api_keys: [ "{digest}" ] }} }}
routes:
  things:
    path: "/things/{{id}}/of/{{owner}}"
    to: svc
    strip_prefix: /things
    request_headers:
      set:
        X-Client: "${{client.ip}}"
        X-Port: "${{client.port}}"
        X-Id: "${{request.id}}"
        X-Line: "${{request.method}} ${{request.scheme}}://${{request.host}}${{request.path}}?${{request.query}}"
        X-Names: "${{consumer.name}}/${{route.name}}/${{upstream.name}}"
        X-Caught: "${{path.owner}}+${{path.id}}"
        X-Agent: "<${{header.User-Agent}}>"
        X-Nothing: "<${{header.x-not-there}}>"
        X-Literal: "$${{client.ip}} $5"
"#,
        origin.address
    ))
    .await;
    let headers = [
        ("X-Api-Key", "key"),
        ("Host", "Api.Test:81"),
        ("User-Agent", "one"),
        ("user-agent", "two"),
    ];
    let target = "//things/a%2Fb/./of/%C3%A9/rest?q=%41&r";
    let answer = get(gateway.address(), target, &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = origin.last();
    assert_eq!(seen.target, "/a%2Fb/of/%C3%A9/rest?q=%41&r");
    for (name, value) in [
        ("x-client", "127.0.0.1"),
        ("x-id", answer.header("x-request-id")),
        ("x-line", "GET http://Api.Test:81/things/a%2Fb/of/%C3%A9/rest?q=%41&r"),
        ("x-names", "app/things/svc"),
        ("x-caught", "%C3%A9+a%2Fb"),
        ("x-agent", "<one>"),
        ("x-nothing", "<>"),
        ("x-literal", "${client.ip} $5"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(seen.header("x-port").parse::<u16>().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_run_in_order_and_a_route_has_the_last_word() {
    let origin = Origin::with(|_| {
        Response::builder()
            .header("X-Secret-Of-Upstream", "1")
            .header("X-Old", "a")
            .header("X-Old", "b")
            .header("X-New", "gone")
            .header("Server", "uvicorn")
            .body(Full::new(Bytes::from_static(b"svc")))
            .unwrap()
    })
    .await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{}" ] }} }}
defaults:
  auth: none
  request_headers: {{ set: {{ X-Gateway: "True", X-Team: default }}, remove: [ X-Debug ] }}
  response_headers: {{ set: {{ X-Served-By: "gate" }}, remove: [ X-Secret-Of-Upstream ] }}
routes:
  plain: {{ path: /plain, to: svc }}
  own:
    path: /own
    to: svc
    request_headers:
      set: {{ x-team: own }}
      add: {{ X-List: [ one, two ], Accept: text/csv }}
      rename: {{ X-From: X-To }}
      remove: [ Cookie ]
    response_headers:
      rename: {{ X-Old: X-New }}
      add: {{ Vary: Origin }}
      set: {{ X-Request: "${{request.id}}" }}
      remove: [ server ]
"#,
        origin.address
    ))
    .await;
    let headers = [
        ("X-Gateway", "False"),
        ("X-Gateway", "again"),
        ("X-Debug", "1"),
        ("X-From", "a"),
        ("x-from", "b"),
        ("X-To", "client"),
        ("X-List", "zero"),
        ("Cookie", "a=b"),
        ("X-Team", "client"),
        ("Accept", "*/*"),
    ];
    let answer = get(gateway.address(), "/plain", &headers).await;
    let seen = origin.last();
    let all = |name: &str| -> Vec<String> {
        let values = origin.last().headers.get_all(name).iter().cloned().collect::<Vec<_>>();
        values.iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(all("x-gateway"), ["True"]);
    assert_eq!((seen.header("x-team"), seen.header("cookie")), ("default", "a=b"));
    assert!(!seen.headers.contains_key("x-debug"));
    assert_eq!((answer.header("x-served-by"), answer.header("server")), ("gate", "uvicorn"));
    assert_eq!(answer.headers("x-old"), ["a", "b"]);
    assert!(answer.headers("x-secret-of-upstream").is_empty());

    let answer = get(gateway.address(), "/own/x", &headers).await;
    assert_eq!(all("x-gateway"), ["True"]);
    assert_eq!(all("x-team"), ["own"]);
    assert_eq!(all("x-list"), ["zero", "one", "two"]);
    assert_eq!(all("accept"), ["*/*", "text/csv"]);
    assert_eq!(all("x-to"), ["a", "b"]);
    assert!(all("x-from").is_empty() && all("cookie").is_empty() && all("x-debug").is_empty());
    assert_eq!(answer.headers("x-new"), ["a", "b"]);
    assert!(answer.headers("x-old").is_empty() && answer.headers("server").is_empty());
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(answer.header("x-request"), answer.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_can_bring_forth_a_line_of_its_own() {
    let origin = RawOrigin::saying(OK).await;
    let gateway = gateway(
        origin.address,
        r#"path: "/x/{name}", request_headers: { set: { X-Name: "${path.name}", X-Query: "${request.query}", X-Copy: "${header.x-in}" } }, response_headers: { set: { X-Back: "${path.name}-${header.x-in}" } }"#,
        "",
    )
    .await;
    let answer = get(gateway.address(), "/x/a%0d%0aX-Evil:%201", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));
    let answer =
        get(gateway.address(), "/x/a%250d%250aX-Evil?b=%0d%0aX-Evil:1", &[("X-In", "c\td")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-back"), "a%250d%250aX-Evil-c\td");
    let head = &origin.heads()[0];
    assert_eq!(values(head, "x-name"), ["a%250d%250aX-Evil"]);
    assert_eq!(values(head, "x-query"), ["b=%0d%0aX-Evil:1"]);
    assert_eq!(values(head, "x-copy"), ["c\td"]);
    assert!(values(head, "x-evil").is_empty(), "{head}");
    for request in [
        &b"GET /x/a HTTP/1.1\r\nHost: h\r\nX-In: a\rX-Evil: 1\r\n\r\n"[..],
        b"GET /x/a HTTP/1.1\r\nHost: h\r\nX-In: a\0b\r\n\r\n",
        b"GET /x/a HTTP/1.1\r\nHost: h\r\nX-In: a\r\n X-Evil: 1\r\n\r\n",
    ] {
        let answer = raw(&gateway, request).await;
        let heads = origin.heads();
        assert!(answer.status == 400 || heads.len() == 2, "{answer:?}");
        assert!(heads.iter().all(|head| values(head, "x-evil").is_empty()), "{heads:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_claims_about_its_origin_is_dropped() {
    let origin = RawOrigin::saying(OK).await;
    let gateway =
        gateway(origin.address, "path: /api, strip_prefix: true", "forwarded_header: true").await;
    let claims = [
        ("Host", "api.test:8443"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-For", "10.0.0.2"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Forwarded-Server", "evil"),
        ("X_Forwarded_For", "10.0.0.3"),
        ("Forwarded", "for=10.0.0.4;proto=https"),
        ("X-Real-IP", "10.0.0.5"),
        ("True-Client-IP", "10.0.0.6"),
        ("X-Client-IP", "10.0.0.7"),
        ("X-Cluster-Client-IP", "10.0.0.8"),
        ("CF-Connecting-IP", "10.0.0.9"),
        ("X-Original-URL", "/admin"),
        ("X-Original-URI", "/admin"),
        ("X-Original-Host", "admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Request-Id", "forged"),
        ("Via", "1.0 front"),
    ];
    let answer = get(gateway.address(), "/api/x", &claims).await;
    assert_eq!(answer.status, 200);
    let head = &origin.heads()[0];
    for (name, expected) in [
        ("host", &["api.test:8443"][..]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-host", &["api.test:8443"]),
        ("x-forwarded-port", &[&gateway.address().port().to_string()]),
        ("x-forwarded-prefix", &["/api"]),
        ("x-forwarded-server", &[]),
        ("x_forwarded_for", &[]),
        ("forwarded", &["for=127.0.0.1;host=\"api.test:8443\";proto=http"]),
        ("x-real-ip", &[]),
        ("true-client-ip", &[]),
        ("x-client-ip", &[]),
        ("x-cluster-client-ip", &[]),
        ("cf-connecting-ip", &[]),
        ("x-original-url", &[]),
        ("x-original-uri", &[]),
        ("x-original-host", &[]),
        ("x-rewrite-url", &[]),
        ("x-request-id", &[answer.header("x-request-id")]),
        ("via", &["1.0 front, 1.1 portcullis"]),
    ] {
        assert_eq!(values(head, name), expected, "{name}");
    }
    assert_eq!(gateway.log(1).await[0]["client"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_is_kept_and_extended() {
    let origin = RawOrigin::saying(OK).await;
    let gateway = gateway(
        origin.address,
        "path: /api, strip_prefix: true, request_headers: { set: { X-Client: \"${client.ip}\" } }",
        "forwarded_header: true\ntrusted_proxies: [ 127.0.0.1/32 ]",
    )
    .await;
    let claims = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.test"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/v1"),
        ("Forwarded", "for=198.51.100.7;proto=https"),
        ("X-Real-IP", "198.51.100.7"),
        ("X-Request-Id", "from-the-edge:1"),
    ];
    let answer = get(gateway.address(), "/api/x", &claims).await;
    let head = &origin.heads()[0];
    for (name, expected) in [
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.test"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/v1/api"),
        ("forwarded", "for=198.51.100.7;proto=https, for=127.0.0.1;host=gateway.test;proto=http"),
        ("x-request-id", "from-the-edge:1"),
        ("x-client", "198.51.100.7"),
    ] {
        assert_eq!(values(head, name), [expected], "{name}");
    }
    // Nobody says that the proxy in front wrote this one, or passed it on unread.
    assert!(values(head, "x-real-ip").is_empty());
    assert_eq!(answer.headers("x-request-id"), ["from-the-edge:1"]);
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (&line["client"], &line["request_id"]),
        (&"198.51.100.7".into(), &"from-the-edge:1".into())
    );
    // The id is kept on answers of our own too; one that is not fit for a log is replaced.
    let answer = get(gateway.address(), "/none", &[("X-Request-Id", "edge-2")]).await;
    assert_eq!((answer.status, answer.header("x-request-id")), (404, "edge-2"));
    assert_eq!(answer.json()["request_id"], "edge-2");
    for unfit in ["a b", "a\"b", "<script>", "", &"x".repeat(129)] {
        let answer = get(gateway.address(), "/none", &[("X-Request-Id", unfit)]).await;
        assert_eq!(answer.header("x-request-id").len(), 32, "{unfit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_kept_or_set_as_the_upstream_says() {
    let origin = RawOrigin::saying(OK).await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams:
  kept: {{ targets: [ "{0}" ], health: none }}
  own: {{ targets: [ "{0}" ], health: none, host: target }}
  named: {{ targets: [ "{0}" ], health: none, host: users.internal }}
defaults: {{ auth: none }}
routes:
  kept: {{ path: /kept, to: kept }}
  own: {{ path: /own, to: own }}
  named: {{ path: /named, to: named }}
"#,
        origin.address
    ))
    .await;
    let own = origin.address.to_string();
    for (path, host) in
        [("/kept", "Api.Test:81"), ("/own", own.as_str()), ("/named", "users.internal")]
    {
        get(gateway.address(), path, &[("Host", "Api.Test:81")]).await;
        let head = origin.heads().pop().unwrap();
        assert_eq!(values(&head, "host"), [host], "{path}");
        assert_eq!(values(&head, "x-forwarded-host"), ["Api.Test:81"], "{path}");
    }
    // HTTP/1.0 without Host: the upstream still gets one.
    raw(&gateway, b"GET /kept HTTP/1.0\r\n\r\n").await;
    let head = origin.heads().pop().unwrap();
    assert_eq!(values(&head, "host"), [own.as_str()]);
    assert_eq!(values(&head, "via"), ["1.0 portcullis"]);
    // Naming Host as a matter of the connection does not make it go.
    get(gateway.address(), "/kept", &[("Connection", "Host, X-Forwarded-For")]).await;
    let head = origin.heads().pop().unwrap();
    assert_eq!(values(&head, "host").len(), 1, "{head}");
    assert_eq!(values(&head, "x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_for_one_connection_goes_no_further() {
    let origin = RawOrigin::saying(
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nTE: x\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nTrailer: X-Sum\r\n\
          X-End: kept\r\nServer: origin/1.2.3\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = gateway(origin.address, "path: /", "").await;
    let headers = [
        ("Connection", "keep-alive, X-Hop, x-other"),
        ("X-Hop", "1"),
        ("X-Other", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic c2VjcmV0-7q3z"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABk"),
        ("X-End", "kept"),
    ];
    let answer = get(gateway.address(), "/", &headers).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!((answer.header("x-end"), answer.header("server")), ("kept", "origin/1.2.3"));
    assert_eq!(answer.header("via"), "1.1 portcullis");
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-connection",
        "te",
        "upgrade",
        "trailer",
    ] {
        assert!(answer.headers(name).is_empty(), "{name}: {answer:?}");
    }
    assert!(!answer.header("connection").contains("X-Hop"));
    let head = &origin.heads()[0];
    assert_eq!(values(head, "x-end"), ["kept"]);
    for name in [
        "x-hop",
        "x-other",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
    ] {
        assert!(values(head, name).is_empty(), "{name}: {head}");
    }
    assert!(!head.to_ascii_lowercase().contains("x-hop"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_but_legal_headers_pass_unharmed() {
    let origin = RawOrigin::with(async |mut stream| {
        use tokio::io::AsyncWriteExt;
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nX-oDD-cASE: b\xe9 \xff\r\n\
                     X-Empty:\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\nok";
        stream.write_all(head).await.unwrap();
    })
    .await;
    let gateway = gateway(origin.address, "path: /", "").await;
    let long = "l".repeat(16 << 10);
    let mut request = b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX-ObS: caf\xe9 \xff\x80\r\nX-EmPty:\r\n\
        X-Tab: a\tb\r\nX-Pad:    padded   \r\nX-Twice: 1\r\nX-Twice: 2\r\n!#$%&'*+-.^_`|~9: token\r\nX-Long: "
        .to_vec();
    request.extend_from_slice(long.as_bytes());
    request.extend_from_slice(b"\r\n\r\n");
    let answer = raw(&gateway, &request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers("x-twice"), ["1", "2"]);
    assert_eq!(answer.headers("x-empty"), [""]);
    assert_eq!(answer.header("x-odd-case"), "b\u{fffd} \u{fffd}");
    let head = &origin.heads()[0];
    // The harness shows bytes that are no text as U+FFFD.
    for (name, value) in [
        ("x-obs", "caf\u{fffd} \u{fffd}\u{fffd}"),
        ("x-empty", ""),
        ("x-tab", "a\tb"),
        ("x-pad", "padded"),
        ("!#$%&'*+-.^_`|~9", "token"),
        ("x-long", long.as_str()),
    ] {
        let found = lines(head).into_iter().find(|(n, _)| *n == name);
        assert_eq!(found.map(|(_, value)| value), Some(value), "{name}: {head}");
    }
    assert_eq!(values(head, "x-twice"), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_cookies_of_the_upstream_become_those_of_the_client() {
    let origin = Origin::with(|seen| {
        let redirect = seen.header("x-location").to_owned();
        let mut answer = Response::builder()
            .status(307)
            .header("Content-Location", &redirect)
            .header("Refresh", format!("5; url={redirect}"))
            .header("Location", redirect);
        for value in seen.headers.get_all("x-cookie") {
            answer = answer.header("Set-Cookie", value);
        }
        answer.body(Full::new(Bytes::new())).unwrap()
    })
    .await;
    let gateway = gateway(origin.address, "path: /users, strip_prefix: true", "").await;
    let own = origin.address.to_string();
    for (said, told) in [
        ("/profile/", "/users/profile/".to_owned()),
        ("/", "/users/".to_owned()),
        ("/profile?next=/x#y", "/users/profile?next=/x#y".to_owned()),
        ("profile/", "profile/".to_owned()),
        ("../up", "../up".to_owned()),
        ("?page=2", "?page=2".to_owned()),
        // As FastAPI redirects to a slash: with the Host it was sent, or its own address.
        ("http://gateway.test/profile/", "/users/profile/".to_owned()),
        (&format!("http://{own}/profile/?a=b"), "/users/profile/?a=b".to_owned()),
        (&format!("http://{own}"), "/users/".to_owned()),
        ("https://elsewhere.test/profile/", "https://elsewhere.test/profile/".to_owned()),
        ("//elsewhere.test/profile/", "//elsewhere.test/profile/".to_owned()),
    ] {
        let answer = get(gateway.address(), "/users/profile", &[("X-Location", said)]).await;
        assert_eq!(answer.status, 307);
        let got = answer.headers("location");
        let slash_or_not = told == "/users/" && got == ["/users"];
        assert!(got == [told.as_str()] || slash_or_not, "{said}: {got:?}");
        assert_eq!(answer.headers("content-location"), got, "{said}");
        assert_eq!(answer.headers("refresh"), [format!("5; url={}", got[0])], "{said}");
    }
    let cookies = [
        ("a=1; Path=/; HttpOnly", "a=1; Path=/users; HttpOnly"),
        ("b=2; Path=/profile; Secure", "b=2; Path=/users/profile; Secure"),
        ("c=\"x, y\"; SameSite=Lax", "c=\"x, y\"; SameSite=Lax"),
        ("d=4; Domain=127.0.0.1; path=/", "d=4; path=/users"),
        ("e=5; Domain=gateway.test", "e=5; Domain=gateway.test"),
        (
            "a=6; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
            "a=6; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
        ),
    ];
    let mut headers = vec![("X-Location", "/")];
    headers.extend(cookies.iter().map(|(said, _)| ("X-Cookie", *said)));
    let answer = get(gateway.address(), "/users", &headers).await;
    let told: Vec<&str> = cookies.iter().map(|(_, told)| *told).collect();
    assert_eq!(answer.headers("set-cookie"), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_an_id_and_ours_tell_no_version() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(origin.address, "path: /svc", "").await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/svc", "/none", "/svc%00", "/svc"] {
        let answer = get(gateway.address(), path, &[("X-Request-Id", "mine")]).await;
        let id = answer.header("x-request-id").to_owned();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert_eq!(answer.headers("x-request-id").len(), 1);
        if answer.status != 200 {
            assert_eq!(answer.header("server"), "portcullis");
            assert_eq!(answer.json()["request_id"], *id);
        }
        ids.insert(id);
    }
    assert_eq!(ids.len(), 4);
    assert_eq!(origin.last().header("x-request-id").len(), 32);
}
