use super::*;
use crate::units::Secret;
use crate::upstream::config::{GatewaySecret, TargetSpec};

/// The target's own Host.
const AUTHORITY: HeaderValue = HeaderValue::from_static("10.0.0.1:8001");

fn dress(host: HostHeader, secret: Option<(&str, &str)>) -> Dress {
    let mut config = Config::to(vec![TargetSpec { url: "10.0.0.1:8001".to_owned(), weight: 1 }]);
    config.host = host;
    config.gateway_secret = secret.map(|(header, value)| GatewaySecret {
        header: header.to_owned(),
        value: Secret::new(value),
    });
    let mut diagnostics = Diagnostics::new();
    Dress::compile(&config, &At::root(), &mut diagnostics).expect("sound")
}

fn head(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value))
    };
    let mut head = HeaderMap::new();
    for (name, value) in headers.iter().map(pair) {
        head.append(name, value);
    }
    head
}

#[test]
fn host_is_preserved_replaced_or_filled_in() {
    for (host, client, expected) in [
        (HostHeader::Preserve, Some("api.example.com"), "api.example.com"),
        (HostHeader::Preserve, None, "10.0.0.1:8001"),
        (HostHeader::Target, Some("api.example.com"), "10.0.0.1:8001"),
        (HostHeader::Name("users.internal".to_owned()), Some("api.example.com"), "users.internal"),
    ] {
        let mut head = head(&client.map(|c| ("Host", c)).into_iter().collect::<Vec<_>>());
        dress(host, None).host(&AUTHORITY, &mut head);
        let all: Vec<_> = head.get_all(HOST).iter().collect();
        assert_eq!(all, [expected]);
    }
}

#[test]
fn the_secret_replaces_everything_the_client_sent_under_its_name() {
    let dress = dress(HostHeader::Preserve, Some(("X-Api-Key", "s3cret")));
    let mut head = head(&[("x-api-key", "mine"), ("X-API-KEY", "mine too"), ("x-other", "stays")]);
    dress.secret(&mut head);
    let all: Vec<_> = head.get_all("x-api-key").iter().collect();
    assert_eq!(all, ["s3cret"]);
    assert!(head["x-api-key"].is_sensitive());
    assert_eq!(head["x-other"], "stays");
    assert_eq!(dress.secret_header().map(HeaderName::as_str), Some("x-api-key"));
}

#[test]
fn without_a_secret_nothing_is_touched() {
    let mut head = head(&[("x-api-key", "mine")]);
    dress(HostHeader::Preserve, None).secret(&mut head);
    assert_eq!(head["x-api-key"], "mine");
}
