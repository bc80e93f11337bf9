use super::*;
use crate::upstream::config::TargetSpec;
use crate::upstream::discovery::system_resolver;

fn diagnose(yaml: &str) -> (bool, String) {
    let config: Config = serde_yaml::from_str(yaml).expect(yaml);
    let mut diagnostics = Diagnostics::new();
    let at = At::root().key("upstreams").key("users");
    let missing = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let upstream =
        compile("users", &config, &at, &missing, system_resolver(), &mut diagnostics).is_some();
    assert_eq!(upstream, !diagnostics.has_errors(), "an upstream is made unless there are errors");
    (upstream, diagnostics.render("f"))
}

#[test]
fn the_defaults_are_sound() {
    let (made, text) = diagnose("targets: [ '10.0.0.1:80', 'https://users', 'unix:/run/a.sock' ]");
    assert!(made && text.is_empty(), "{text}");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let good = "targets: [ '10.0.0.1:80' ]";
    for (yaml, at, part) in [
        ("targets: []".to_owned(), "users.targets:", "no targets"),
        ("targets: [ 'a:1', 'b' ]".to_owned(), "users.targets[1]:", "no port"),
        ("targets: [ 'a:1', 'http://A:1' ]".to_owned(), "users.targets[1]:", "at index 0"),
        (
            "targets: [ { url: 'a:1', weight: 0 } ]".to_owned(),
            "users.targets[0].weight:",
            "between 1 and 1000",
        ),
        (
            "targets: [ { url: 'a:1', weight: 1001 } ]".to_owned(),
            "users.targets[0].weight:",
            "between 1 and 1000",
        ),
        (format!("{good}\nhealth: {{ path: healthz }}"), "users.health.path:", "not a path"),
        (format!("{good}\nhealth: {{ every: 10ms }}"), "users.health.every:", "between 100ms"),
        (format!("{good}\nhealth: {{ timeout: 0s }}"), "users.health.timeout:", "no time"),
        (format!("{good}\nhealth: {{ expect: [] }}"), "users.health.expect:", "could be healthy"),
        (
            format!("{good}\nhealth: {{ healthy_after: 0 }}"),
            "users.health.healthy_after:",
            "between 1 and 100",
        ),
        (
            format!("{good}\nbalance: {{ hash: {{ header: 'a b' }} }}"),
            "users.balance.hash.header:",
            "not the name of a header",
        ),
        (
            format!("{good}\nbalance: {{ hash: {{ cookie: 'a;b' }} }}"),
            "users.balance.hash.cookie:",
            "not the name of a cookie",
        ),
        (format!("{good}\ntimeouts: {{ read: 0s }}"), "users.timeouts.read:", "between 1ms"),
        (format!("{good}\ntimeouts: {{ total: 2d }}"), "users.timeouts.total:", "between 1ms"),
        (format!("{good}\nretries: {{ max: 11 }}"), "users.retries.max:", "more than 10"),
        (format!("{good}\nhost: presrve"), "users.host:", "did you mean \"preserve\"?"),
        (format!("{good}\nhost: 'a/b'"), "users.host:", "not a host"),
        (
            format!("{good}\ngateway_secret: {{ header: Host, value: x }}"),
            "users.gateway_secret.header:",
            "carry a secret",
        ),
        (
            format!("{good}\ngateway_secret: {{ value: \"x\\ny\" }}"),
            "users.gateway_secret.value:",
            "line break",
        ),
        (format!("{good}\ntls: {{ ca: /none.pem }}"), "users.tls.ca:", "cannot read /none.pem"),
        (format!("{good}\ntls: {{ sni: 'a:1' }}"), "users.tls.sni:", "has no port"),
    ] {
        let (made, text) = diagnose(&yaml);
        assert!(!made && text.contains("error: upstreams.") && text.contains(at), "{yaml}: {text}");
        assert!(text.contains(part) && text.contains("help: "), "{yaml}: {text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let (_, text) = diagnose("targets: [ 'a', 'b' ]\nretries: { max: 99 }\nhost: tarjet");
    assert_eq!(text.matches("error: ").count(), 4, "{text}");
}

#[test]
fn doubts_are_warnings() {
    for (yaml, part) in [
        ("targets: [ 'https://a' ]\ntls: { verify: false }", "not verified"),
        ("targets: [ 'a:1' ]\ntls: { sni: b }", "no effect"),
        ("targets: [ 'a:1' ]\ntimeouts: { connect: 10m }", "longer than the total"),
    ] {
        let (made, text) = diagnose(yaml);
        assert!(made && text.contains("warning: ") && text.contains(part), "{yaml}: {text}");
    }
}

#[test]
fn a_secret_is_in_no_message() {
    let (_, text) = diagnose("targets: [ 'a' ]\ngateway_secret: { value: \"hunter2\\n\" }");
    assert!(text.contains("gateway_secret.value") && !text.contains("hunter2"), "{text}");
}

#[test]
fn addresses_are_usable_before_the_start_and_names_are_not() {
    let config = Config::to(
        ["10.0.0.1:80", "users:80", "unix:/run/a.sock", "[::1]:80"]
            .map(|url| TargetSpec { url: url.to_owned(), weight: 1 })
            .to_vec(),
    );
    let missing = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let mut diagnostics = Diagnostics::new();
    let upstream =
        Upstream::compile("users", &config, &At::root(), &missing, &mut diagnostics).unwrap();
    let labels: Vec<String> = upstream.targets().iter().map(|t| t.label.to_string()).collect();
    assert_eq!(labels, ["10.0.0.1:80", "unix:/run/a.sock", "[::1]:80"]);
    assert!(upstream.is_still(&config, &missing));
    assert!(!upstream.is_still(
        &Config { host: crate::upstream::config::HostHeader::Target, ..config },
        &missing
    ));
}
