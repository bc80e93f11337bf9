//! A request reaches the upstream that its host, path and method say, with the path that it says.

use std::net::SocketAddr;

use crate::support::{Answer, Client, Gateway, Origin, RawOrigin, get, secrets, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_takes_whole_segments_and_may_be_stripped() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
routes:
  users: {{ path: /users, to: users, strip_prefix: true, auth: none }}
"#,
        users.address
    ))
    .await;
    for (asked, sent) in [
        ("/users", "/"),
        ("/users/", "/"),
        ("/users/profile", "/profile"),
        ("/users/a%2fb?q=%41&r=a+b", "/a%2fb?q=%41&r=a+b"),
        ("/users?x=1", "/?x=1"),
    ] {
        let answer = get(gateway.address(), asked, &[]).await;
        assert_eq!((answer.status, answer.text()), (200, "users"), "{asked}");
        assert_eq!(users.last().target, sent, "{asked}");
    }
    let answer = get(gateway.address(), "/users2", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_route"));
    assert_eq!(users.seen().len(), 5);
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_ones() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
routes:
  read: {{ path: /users, methods: [ GET ], to: users, auth: none }}
"#,
        users.address
    ))
    .await;
    let answer = send(gateway.address(), "POST", "/users", &[], b"{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
    let answer = send(gateway.address(), "HEAD", "/users", &[], b"").await;
    assert_eq!(answer.status, 200);
}

/// The name of the route that answered, or the code of the refusal.
fn who(answer: &Answer) -> String {
    if answer.status == 200 { answer.text().to_owned() } else { answer.code() }
}

/// Answers with the name of the route alone, so that the table is seen by itself.
async fn answering(routes: &str) -> Gateway {
    let mut yaml = String::from("routes:\n");
    for line in routes.lines().filter(|line| !line.trim().is_empty()) {
        let (name, conditions) = line.trim().split_once(": ").unwrap();
        let answer = "respond: { status: 200, body: \"${route.name}\" }";
        yaml.extend(["  ", name, ": { ", conditions, ", auth: none, ", answer, " }\n"]);
    }
    Gateway::start(&yaml).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_decides_first_exact_before_wildcard_before_any() {
    let gateway = answering(
        r#"
        any: path: /
        any-deep: path: /a/b/c
        wild: host: "*.example.com", path: /
        wilder: host: "*.eu.example.com", path: /
        exact: host: api.example.com, path: /
        two: host: [ one.test, two.test ], path: /
        six: host: "[::1]", path: /
        half: host: half.test, path: /half
        "#,
    )
    .await;
    for (host, path, route) in [
        ("api.example.com", "/", "exact"),
        ("api.example.com", "/a/b/c", "exact"),
        ("API.Example.COM", "/", "exact"),
        ("api.example.com:8080", "/", "exact"),
        ("api.example.com.", "/", "exact"),
        ("api.example.com.:443", "/", "exact"),
        ("www.example.com", "/a/b/c", "wild"),
        ("a.b.example.com", "/", "wild"),
        ("a.eu.example.com", "/", "wilder"),
        ("eu.example.com", "/", "wild"),
        ("example.com", "/", "any"),
        ("notexample.com", "/", "any"),
        ("api.example.com.evil.test", "/", "any"),
        ("one.test", "/", "two"),
        ("two.test", "/", "two"),
        ("[::1]", "/", "six"),
        ("[0:0::1]:80", "/", "six"),
        ("half.test", "/half/x", "half"),
        // A host without a route for the path leaves it to the next group.
        ("half.test", "/other", "any"),
        ("127.0.0.1", "/a/b/c", "any-deep"),
    ] {
        let answer = get(gateway.address(), path, &[("Host", host)]).await;
        assert_eq!(who(&answer), route, "{host} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_none_is_refused_and_an_unknown_one_is_not_found() {
    let gateway = answering("only: host: api.example.com, path: /").await;
    let answer = get(gateway.address(), "/", &[("Host", "other.example.com")]).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_route"));
    for host in [
        "",
        "a b",
        "a,b",
        "api.example.com,other",
        "a..b",
        ".",
        ":80",
        "api.example.com:0",
        "api.example.com:99999",
        "api.example.com:x",
        "api.example.com:",
        "[::1",
        "a%41",
        "a/b",
        "a\\b",
    ] {
        let answer = get(gateway.address(), "/", &[("Host", host)]).await;
        assert_eq!(answer.status, 400, "{host:?}");
    }
    for head in [
        // No Host, two of them, and one that is not the target's.
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: api.example.com\r\nHost: other.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: api.example.com\r\nHost: api.example.com\r\n\r\n",
        "GET http://api.example.com/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
        "GET http://other.test/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@api.example.com\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.address()).await;
        client.write(head.as_bytes()).await;
        assert_eq!(client.read(false).await.status, 400, "{head:?}");
    }
    for (head, status) in [
        ("GET http://api.example.com/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 200),
        // HTTP/1.0 may leave Host out; it then asks for no host that has routes of its own.
        ("GET / HTTP/1.0\r\n\r\n", 404),
        ("GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n", 200),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        client.write(head.as_bytes()).await;
        assert_eq!(client.read(false).await.status, status, "{head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_path_owns_the_request_whatever_the_order_of_the_file() {
    let mut lines = [
        "root: path: /",
        "users: path: /users",
        "user: path: \"/users/{id}\"",
        "me: path: /users/me",
        "orders: path: \"/users/{id}/orders\"",
        "exact: path: /users, exact: true",
        "deep: path: \"/{a}/{b}/c\"",
        "caf: path: /caf%C3%A9",
    ];
    for _ in 0..2 {
        let gateway = answering(&lines.join("\n")).await;
        for (path, route) in [
            ("/", "root"),
            ("/x", "root"),
            ("/users2", "root"),
            ("/users", "exact"),
            ("/users/", "users"),
            ("/users/me", "me"),
            ("/users/me/orders", "me"),
            ("/users/%6de", "me"),
            ("/users/7", "user"),
            ("/users/7/x", "user"),
            ("/users/7/orders", "orders"),
            ("/users/7/orders/1?x=/users/me", "orders"),
            ("/x/y/c/d", "deep"),
            ("/caf%c3%a9/x", "caf"),
            ("/caf%C3%A9", "caf"),
        ] {
            assert_eq!(who(&get(gateway.address(), path, &[]).await), route, "{path}");
        }
        lines.reverse();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_headers_and_query_tell_routes_of_one_path_apart() {
    let gateway = answering(
        r#"
        read: path: /x, methods: [ GET ]
        write: path: /x, methods: [ POST, PUT ]
        beta: path: /x, headers: { X-Beta: "1" }
        any-version: path: /x, headers: { X-Version: "*" }, query: { v: "*" }
        guarded-by-query: path: /q, query: { kind: "a b" }
        all: path: /all
        root: path: /
        "#,
    )
    .await;
    for (method, path, headers, route) in [
        ("GET", "/x", &[][..], "read"),
        ("POST", "/x", &[], "write"),
        ("PUT", "/x/y", &[], "write"),
        ("GET", "/x", &[("X-Beta", "1")], "beta"),
        ("DELETE", "/x", &[("x-beta", "1")], "beta"),
        ("GET", "/x", &[("X-Beta", "2")], "read"),
        // Two different values meet no demand.
        ("GET", "/x", &[("X-Beta", "1"), ("X-Beta", "2")], "read"),
        ("GET", "/x?v=", &[("X-Version", "7"), ("X-Beta", "1")], "any-version"),
        ("GET", "/x?w=1", &[("X-Version", "7")], "read"),
        ("GET", "/q?kind=a+b", &[], "guarded-by-query"),
        ("GET", "/q?z=1&k%69nd=a%20b", &[], "guarded-by-query"),
        // The path owns the request: no catch-all takes what its conditions leave out.
        ("GET", "/q", &[], "no_route"),
        ("GET", "/q?kind=a&kind=a+b", &[], "no_route"),
        ("DELETE", "/x", &[], "method_not_allowed"),
        ("DELETE", "/all", &[], "all"),
        ("PURGE", "/all", &[], "all"),
        ("DELETE", "/", &[], "root"),
    ] {
        let answer = Client::connect(gateway.address()).await.ask(method, path, headers).await;
        assert_eq!(who(&answer), route, "{method} {path} {headers:?}");
    }
    let answer = send(gateway.address(), "DELETE", "/x", &[], b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, POST, PUT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_a_tunnel_or_a_mirror() {
    let echo = Origin::start("mirror").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ echo: {{ targets: [ "{}" ], gateway_secret: {{ value: planted-7q3z }} }} }}
routes:
  all: {{ path: /, to: echo, auth: none }}
"#,
        echo.address
    ))
    .await;
    let trace = Client::connect(gateway.address()).await.ask("TRACE", "/", &[]).await;
    assert_eq!(trace.status, 405);
    assert!(!trace.header("allow").contains("TRACE"), "{trace:?}");
    for target in ["example.com:443", "/", "http://example.com/"] {
        let mut client = Client::connect(gateway.address()).await;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
        client.write(head.as_bytes()).await;
        let answer = client.read(false).await;
        assert!(matches!(answer.status, 400 | 405), "{target}: {answer:?}");
    }
    let options = Client::connect(gateway.address()).await.ask("OPTIONS", "*", &[]).await;
    assert_eq!((options.status, options.code().as_str()), (400, "bad_request"));
    assert!(echo.seen().is_empty(), "{:?}", echo.seen());
    let options = Client::connect(gateway.address()).await.ask("OPTIONS", "/x", &[]).await;
    assert_eq!((options.status, echo.last().method.as_str()), (200, "OPTIONS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_path_may_be_stripped_or_all_of_it_replaced() {
    let origin = Origin::start("api").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ api: {{ targets: [ "{}" ] }} }}
defaults: {{ auth: none }}
routes:
  part: {{ path: /api/users, to: api, strip_prefix: /api }}
  whole: {{ path: "/v1/{{tenant}}/x", to: api, strip_prefix: true }}
  replaced: {{ path: "/people/{{id}}/mail/{{box}}", to: api, rewrite: "/v2/${{path.box}}/of/${{path.id}}" }}
  fixed: {{ path: /old, to: api, rewrite: /new }}
  root: {{ path: /root, to: api, rewrite: / }}
  single: {{ path: /one, exact: true, to: api, rewrite: /two }}
  kept: {{ path: /kept, to: api }}
"#,
        origin.address
    ))
    .await;
    for (asked, sent) in [
        ("/api/users", "/users"),
        ("/api/users/", "/users/"),
        ("/api/users/7?x=%2f", "/users/7?x=%2f"),
        ("/%61pi/users/7", "/users/7"),
        ("//api//users//7", "/users/7"),
        ("/v1/acme/x", "/"),
        ("/v1/acme/x/y/", "/y/"),
        ("/v1/a%2fb/x/y", "/y"),
        ("/people/7/mail/in", "/v2/in/of/7"),
        ("/people/7/mail/in/a%20b/?q", "/v2/in/of/7/a%20b/?q"),
        ("/people/%41%3f/mail/a;b", "/v2/a;b/of/%41%3f"),
        ("/old", "/new"),
        ("/old/a/b", "/new/a/b"),
        ("/old?x", "/new?x"),
        ("/root", "/"),
        ("/root/x", "/x"),
        ("/one", "/two"),
        ("/kept//a/./b?c", "/kept/a/b?c"),
        ("/kept?", "/kept?"),
    ] {
        let answer = get(gateway.address(), asked, &[]).await;
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
        assert_eq!(origin.last().target, sent, "{asked}");
    }
    assert_eq!(who(&get(gateway.address(), "/one/x", &[]).await), "no_route");
}

/// Everything goes to one upstream, asked by nobody who it is.
async fn open_to(address: SocketAddr) -> Gateway {
    Gateway::start(&format!(
        r#"
upstreams: {{ all: {{ targets: [ "{address}" ], health: none }} }}
routes: {{ all: {{ path: /, to: all, auth: none }} }}
"#
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused_and_what_is_just_not_passes() {
    let origin = Origin::start("all").await;
    let gateway = open_to(origin.address).await;
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(get(gateway.address(), &target(8192), &[]).await.status, 200);
    assert_eq!(origin.last().target.len(), 8192);
    for answer in [
        get(gateway.address(), &target(8193), &[]).await,
        get(gateway.address(), &format!("/?{}", "a".repeat(8191)), &[]).await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (414, "uri_too_long"));
    }
    let large = "v".repeat(60 << 10);
    assert_eq!(get(gateway.address(), "/", &[("X-Large", &large)]).await.status, 200);
    assert_eq!(origin.last().header("x-large"), large);
    let larger = "v".repeat(70 << 10);
    let answer = get(gateway.address(), "/", &[("X-Large", &larger)]).await;
    assert_eq!((answer.status, answer.code().as_str()), (431, "header_too_large"));
    // Host is a line too, and so are those that the client sends along. The origin speaks bytes, since a server of its own kind would refuse as many.
    let origin = RawOrigin::saying(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
    let gateway = open_to(origin.address).await;
    for (lines, status) in [(99, 204), (100, 431), (150, 431)] {
        let headers: Vec<(String, String)> =
            (secrets::ALONG.len()..lines).map(|n| (format!("X-{n}"), "v".to_owned())).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = get(gateway.address(), "/", &headers).await;
        assert_eq!(answer.status, status, "{lines} lines");
    }
}
