use super::super::head::lines::{head, wire};
use super::super::screen;
use super::*;

static ID: HeaderValue = HeaderValue::from_static("req-1");

fn arrival(peer: &str) -> Arrival<'static> {
    Arrival {
        peer: peer.parse().expect("address"),
        scheme: "https",
        host: Some("api.example.com"),
        port: 8443,
        prefix: None,
        version: Version::HTTP_11,
        request_id: &ID,
        forwarded: false,
    }
}

/// What goes on of these lines, from a peer that is trusted or not.
fn forwarded(trusted: bool, arrival: &Arrival<'_>, lines: &[&str]) -> Vec<String> {
    let mut head = head(lines);
    screen(&mut head, trusted, trusted, &[], None);
    forward(&mut head, arrival);
    wire(&head)
}

const PLAIN: [&str; 6] = [
    "via: 1.1 portcullis",
    "x-forwarded-for: 192.0.2.1",
    "x-forwarded-host: api.example.com",
    "x-forwarded-port: 8443",
    "x-forwarded-proto: https",
    "x-request-id: req-1",
];

#[test]
fn a_stranger_is_not_believed() {
    for lines in [
        &[][..],
        &["x-forwarded-for: 1.1.1.1", "x-forwarded-for: 2.2.2.2"],
        &["x-forwarded-proto: http", "x-forwarded-host: evil", "x-forwarded-port: 1"],
        &["x-forwarded-prefix: /evil", "x-forwarded-user: root", "x-forwarded: for=1"],
        &["forwarded: for=1.1.1.1", "x-real-ip: 1.1.1.1", "x-client-ip: 1.1.1.1"],
        &["x_forwarded_for: 1.1.1.1", "x_real_ip: 1.1.1.1", "x-forwarded_proto: http"],
        &["true-client-ip: 1.1.1.1", "cf-connecting-ip: 1.1.1.1"],
        &["x-original-url: /admin", "x-rewrite-url: /admin"],
        &["x-request-id: mine"],
    ] {
        assert_eq!(forwarded(false, &arrival("192.0.2.1"), lines), PLAIN, "{lines:?}");
        assert_eq!(forwarded(false, &arrival("::ffff:192.0.2.1"), lines), PLAIN, "{lines:?}");
    }
}

#[test]
fn other_headers_stay() {
    let lines =
        forwarded(false, &arrival("192.0.2.1"), &["x-forward: 1", "cookie: a", "x-real: b"]);
    for line in ["x-forward: 1", "cookie: a", "x-real: b"] {
        assert!(lines.iter().any(|l| l == line), "{lines:?}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_added() {
    let sent = [
        "x-forwarded-for: 203.0.113.5",
        "x-forwarded-for: 10.0.0.2",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example.com",
        "x-forwarded-port: 80",
        "x-real-ip: 203.0.113.5",
        "via: 1.1 edge",
    ];
    assert_eq!(
        forwarded(true, &arrival("192.0.2.1"), &sent),
        [
            "via: 1.1 edge, 1.1 portcullis",
            "x-forwarded-for: 203.0.113.5, 10.0.0.2, 192.0.2.1",
            "x-forwarded-host: shop.example.com",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
            "x-request-id: req-1",
        ]
    );
    assert_eq!(forwarded(true, &arrival("192.0.2.1"), &[]), PLAIN);
}

#[test]
fn the_stripped_prefix_is_told_after_that_of_a_trusted_proxy() {
    for (trusted, sent, prefix, told) in [
        (false, "/outer", Some("/users"), Some("x-forwarded-prefix: /users")),
        (true, "/outer", Some("/users"), Some("x-forwarded-prefix: /outer/users")),
        (true, "/outer/", Some("/users"), Some("x-forwarded-prefix: /outer/users")),
        (true, "/outer", None, Some("x-forwarded-prefix: /outer")),
        (false, "/outer", None, None),
        (false, "/outer", Some("/"), None),
        (false, "/outer", Some(""), None),
    ] {
        let arrival = Arrival { prefix, ..arrival("192.0.2.1") };
        let lines = forwarded(trusted, &arrival, &[&format!("x-forwarded-prefix: {sent}")]);
        let found = lines.iter().find(|line| line.starts_with("x-forwarded-prefix"));
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
        let arrival = Arrival { host, forwarded: true, ..arrival(peer) };
        let lines = forwarded(trusted, &arrival, &[&format!("forwarded: {sent}")]);
        let found = lines.iter().find_map(|line| line.strip_prefix("forwarded: "));
        assert_eq!(found, Some(told));
    }
    let kept = forwarded(true, &arrival("192.0.2.1"), &["forwarded: for=1.1.1.1"]);
    assert!(kept.contains(&"forwarded: for=1.1.1.1".to_owned()));
}

#[test]
fn via_names_the_version_received() {
    for (version, told) in [
        (Version::HTTP_10, "1.0 portcullis"),
        (Version::HTTP_11, "1.1 portcullis"),
        (Version::HTTP_2, "2 portcullis"),
    ] {
        let mut head = head(&[]);
        forward(&mut head, &Arrival { version, ..arrival("192.0.2.1") });
        assert_eq!(head[VIA], told);
        assert!(told.ends_with(PSEUDONYM));
    }
    let mut answered = head(&["Via: 1.0 cache"]);
    answer(&mut answered, Version::HTTP_11, &ID);
    assert_eq!(wire(&answered), ["via: 1.0 cache, 1.1 portcullis", "x-request-id: req-1"]);
}

#[test]
fn only_a_trusted_peer_names_the_request() {
    let long = format!("x-request-id: {}", "a".repeat(129));
    for (lines, trusted, id) in [
        (&["x-request-id: abc-1"][..], true, Some("abc-1")),
        (&["x-request-id: abc-1"], false, None),
        (&["x-request-id: a", "x-request-id: b"], true, None),
        (&["x-request-id: a b"], true, None),
        (&["x-request-id: \"a\""], true, None),
        (&["x-request-id: "], true, None),
        (&[&long], true, None),
        (&[], true, None),
    ] {
        assert_eq!(accepted_request_id(&head(lines), trusted), id, "{lines:?}");
    }
}
