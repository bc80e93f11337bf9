use super::*;

fn arrival(peer: &str, trusted: bool) -> Arrival<'static> {
    Arrival {
        peer: peer.parse().expect("address"),
        peer_is_trusted: trusted,
        scheme: "https",
        host: Some("api.example.com"),
        port: 8443,
        prefix: None,
        version: Version::HTTP_11,
        request_id: "req-1",
        forwarded: false,
    }
}

fn head(lines: &[&str]) -> RequestHeader {
    let mut head = RequestHeader::build("GET", b"/", None).expect("head");
    for line in lines {
        let (name, value) = line.split_once(": ").expect("line");
        head.append_header(name.to_owned(), value).expect("header");
    }
    head
}

/// The head as it goes over the wire, line by line, sorted.
fn wire(head: &RequestHeader) -> Vec<String> {
    let mut buffer = Vec::new();
    head.header_to_h1_wire(&mut buffer);
    let text = String::from_utf8(buffer).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn forwarded(arrival: &Arrival<'_>, lines: &[&str]) -> Vec<String> {
    let mut head = head(lines);
    forward(&mut head, arrival);
    wire(&head)
}

const PLAIN: [&str; 6] = [
    "Via: 1.1 portcullis",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Host: api.example.com",
    "X-Forwarded-Port: 8443",
    "X-Forwarded-Proto: https",
    "X-Request-Id: req-1",
];

#[test]
fn a_stranger_is_not_believed() {
    for lines in [
        &[][..],
        &["x-forwarded-for: 1.1.1.1", "X-Forwarded-For: 2.2.2.2"],
        &["X-Forwarded-Proto: http", "X-Forwarded-Host: evil", "X-Forwarded-Port: 1"],
        &["X-Forwarded-Prefix: /evil", "X-Forwarded-User: root", "X-Forwarded: for=1"],
        &["Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1", "X-Client-IP: 1.1.1.1"],
        &["X_Forwarded_For: 1.1.1.1", "x_real_ip: 1.1.1.1", "X-Forwarded_Proto: http"],
        &["True-Client-IP: 1.1.1.1", "CF-Connecting-IP: 1.1.1.1"],
        &["X-Original-URL: /admin", "X-Rewrite-URL: /admin"],
        &["X-Request-Id: mine"],
    ] {
        assert_eq!(forwarded(&arrival("192.0.2.1", false), lines), PLAIN, "{lines:?}");
        assert_eq!(forwarded(&arrival("::ffff:192.0.2.1", false), lines), PLAIN, "{lines:?}");
    }
}

#[test]
fn other_headers_stay() {
    let lines =
        forwarded(&arrival("192.0.2.1", false), &["X-Forward: 1", "Cookie: a", "X-Real: b"]);
    for line in ["X-Forward: 1", "Cookie: a", "X-Real: b"] {
        assert!(lines.iter().any(|l| l == line), "{lines:?}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_added() {
    let sent = [
        "X-Forwarded-For: 203.0.113.5",
        "X-Forwarded-For: 10.0.0.2",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: shop.example.com",
        "X-Forwarded-Port: 80",
        "X-Real-IP: 203.0.113.5",
        "Via: 1.1 edge",
    ];
    assert_eq!(
        forwarded(&arrival("192.0.2.1", true), &sent),
        [
            "Via: 1.1 edge, 1.1 portcullis",
            "X-Forwarded-For: 203.0.113.5, 10.0.0.2, 192.0.2.1",
            "X-Forwarded-Host: shop.example.com",
            "X-Forwarded-Port: 80",
            "X-Forwarded-Proto: http",
            "X-Real-IP: 203.0.113.5",
            "X-Request-Id: req-1",
        ]
    );
    assert_eq!(forwarded(&arrival("192.0.2.1", true), &[]), PLAIN);
}

#[test]
fn the_stripped_prefix_is_told_after_that_of_a_trusted_proxy() {
    for (trusted, sent, prefix, told) in [
        (false, "/outer", Some("/users"), Some("X-Forwarded-Prefix: /users")),
        (true, "/outer", Some("/users"), Some("X-Forwarded-Prefix: /outer/users")),
        (true, "/outer/", Some("/users"), Some("X-Forwarded-Prefix: /outer/users")),
        (true, "/outer", None, Some("X-Forwarded-Prefix: /outer")),
        (false, "/outer", None, None),
        (false, "/outer", Some("/"), None),
        (false, "/outer", Some(""), None),
    ] {
        let arrival = Arrival { prefix, ..arrival("192.0.2.1", trusted) };
        let lines = forwarded(&arrival, &[&format!("X-Forwarded-Prefix: {sent}")]);
        let found = lines.iter().find(|line| line.starts_with("X-Forwarded-Prefix"));
        assert_eq!(found.map(String::as_str), told);
    }
}

#[test]
fn forwarded_is_written_as_the_rfc_says() {
    for (peer, trusted, host, sent, told) in [
        ("192.0.2.1", false, Some("a.b"), "for=1.1.1.1", "for=192.0.2.1;host=a.b;proto=https"),
        (
            "192.0.2.1",
            true,
            Some("a.b"),
            "for=1.1.1.1",
            "for=1.1.1.1, for=192.0.2.1;host=a.b;proto=https",
        ),
        ("192.0.2.1", false, Some("a.b:8"), "", "for=192.0.2.1;host=\"a.b:8\";proto=https"),
        ("192.0.2.1", false, Some("[::1]:8"), "", "for=192.0.2.1;host=\"[::1]:8\";proto=https"),
        ("192.0.2.1", false, Some("a\";b"), "", "for=192.0.2.1;host=\"a\\\";b\";proto=https"),
        ("192.0.2.1", false, None, "", "for=192.0.2.1;proto=https"),
        ("2001:db8::1", false, None, "", "for=\"[2001:db8::1]\";proto=https"),
    ] {
        let arrival = Arrival { host, forwarded: true, ..arrival(peer, trusted) };
        let lines = forwarded(&arrival, &[&format!("Forwarded: {sent}")]);
        let found = lines.iter().find_map(|line| line.strip_prefix("Forwarded: "));
        assert_eq!(found, Some(told));
    }
    let kept = forwarded(&arrival("192.0.2.1", true), &["Forwarded: for=1.1.1.1"]);
    assert!(kept.contains(&"Forwarded: for=1.1.1.1".to_owned()));
}

#[test]
fn via_names_the_version_received() {
    for (version, told) in [
        (Version::HTTP_10, "1.0 portcullis"),
        (Version::HTTP_11, "1.1 portcullis"),
        (Version::HTTP_2, "2 portcullis"),
    ] {
        let mut head = head(&[]);
        forward(&mut head, &Arrival { version, ..arrival("192.0.2.1", false) });
        assert_eq!(head.headers[VIA], told);
        assert!(told.ends_with(PSEUDONYM));
    }
    let mut answered = ResponseHeader::build(200, None).expect("head");
    answered.append_header("Via", "1.0 cache").expect("header");
    answer(&mut answered, Version::HTTP_11, "req-1");
    assert_eq!(answered.headers[VIA], "1.0 cache, 1.1 portcullis");
    assert_eq!(answered.headers["x-request-id"], "req-1");
}

#[test]
fn only_a_trusted_peer_names_the_request() {
    let long = format!("X-Request-Id: {}", "a".repeat(129));
    for (lines, trusted, id) in [
        (&["X-Request-Id: abc-1"][..], true, Some("abc-1")),
        (&["X-Request-Id: abc-1"], false, None),
        (&["X-Request-Id: a", "X-Request-Id: b"], true, None),
        (&["X-Request-Id: a b"], true, None),
        (&["X-Request-Id: \"a\""], true, None),
        (&["X-Request-Id: "], true, None),
        (&[&long], true, None),
        (&[], true, None),
    ] {
        assert_eq!(accepted_request_id(&head(lines).headers, trusted), id, "{lines:?}");
    }
}
