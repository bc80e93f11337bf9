use super::*;

fn read(yaml: &str) -> Result<Config, String> {
    serde_yaml::from_str(yaml).map_err(|e| e.to_string())
}

#[test]
fn one_line_is_enough() {
    let config = read("targets: [ '10.0.0.1:8001' ]").expect("valid");
    assert_eq!(config, Config::to(vec![TargetSpec { url: "10.0.0.1:8001".to_owned(), weight: 1 }]));
}

#[test]
fn every_form_is_read_and_written_alike() {
    let yaml = "
targets: [ '10.0.0.1:80', { url: 'https://a', weight: 3 } ]
balance: { hash: { header: X-User } }
health: { path: /healthz, every: 1s, expect: [ 200, 204, 300-399 ] }
gateway_secret: { value: s3cret }
host: users.internal
tls: { ca: /ca.pem, client_certificate: { cert: /c.pem, key: /k.pem } }
protocol: h2
timeouts: { connect: 1s }
retries: { max: 0 }
when_all_down: try_anyway
";
    let config = read(yaml).expect("valid");
    assert_eq!(config.balance, Balance::Hash(HashBy::Header("X-User".to_owned())));
    assert_eq!(config.gateway_secret.as_ref().map(|s| s.header.as_str()), Some("x-api-key"));
    assert_eq!(config.timeouts.read, Period::secs(30));
    let written = serde_yaml::to_string(&config).expect("serializes");
    assert!(!written.contains("s3cret"), "{written}");
    let mut again = read(&written).expect("what we write can be read");
    again.gateway_secret.clone_from(&config.gateway_secret);
    assert_eq!(again, config);
}

#[test]
fn words_instead_of_maps_are_read() {
    let with = |line: &str| read(&format!("targets: []\n{line}"));
    assert_eq!(with("health: none").map(|c| c.health), Ok(Health::None));
    for (line, balance) in [
        ("balance: random", Balance::Random),
        ("balance: { hash: client_ip }", Balance::Hash(HashBy::ClientIp)),
        ("balance: { hash: path }", Balance::Hash(HashBy::Path)),
        ("balance: { hash: { cookie: sid } }", Balance::Hash(HashBy::Cookie("sid".to_owned()))),
    ] {
        let config = with(line).expect(line);
        assert_eq!(config.balance, balance);
        let written = serde_yaml::to_string(&config).expect("serializes");
        assert_eq!(read(&written), Ok(config));
    }
    assert_eq!(with("host: target").map(|c| c.host), Ok(HostHeader::Target));
}

#[test]
fn mistakes_are_named() {
    for (line, part) in [
        ("balance: rond_robin", "did you mean \"round_robin\"?"),
        ("balance: hash", "hash by what?"),
        ("balance: { hash: header }", "which header?"),
        ("balance: { hash: { header: a, cookie: b } }", "exactly one of header and cookie"),
        ("balance: { hash: { haeder: a } }", "unknown field `haeder`"),
        ("health: /healthz", "{ path: /healthz }"),
        ("health: { pth: /healthz }", "unknown field `pth`"),
        ("health: { expect: [ 2xy ] }", "neither a status"),
        ("health: { expect: [ 299-200 ] }", "neither a status"),
        ("health: { expect: [ 100 ] }", "neither a status"),
        ("health: { every: 5 }", "not a duration"),
        ("protocol: http3", "expected `http1` or `h2`"),
        ("when_all_down: give_up", "expected `unavailable` or `try_anyway`"),
        ("timeouts: { conect: 1s }", "unknown field `conect`"),
        ("tls: { verify: maybe }", "expected a boolean"),
        ("gateway_secret: { header: x }", "missing field `value`"),
        ("retry: 1", "unknown field `retry`"),
    ] {
        let error = read(&format!("targets: []\n{line}")).expect_err(line);
        assert!(error.contains(part), "{line}: {error}");
    }
    let error = read("targets: [ { uri: x } ]").expect_err("unknown key");
    assert!(error.contains("unknown field `uri`"), "{error}");
    assert!(read("balance: random").expect_err("no targets").contains("missing field `targets`"));
}

#[test]
fn the_schema_speaks_of_every_field() {
    let schema = serde_json::to_string(&schemars::schema_for!(Config)).expect("serializes");
    for word in ["targets", "gateway_secret", "client_certificate", "unhealthy_after", "client_ip"]
    {
        assert!(schema.contains(&format!("\"{word}\"")), "{word}");
    }
}
