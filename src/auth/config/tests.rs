use super::*;

const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn keys_are_read_in_all_their_forms_and_written_back() {
    for (yaml, count) in [
        ("api_keys: []\ndisabled: false\n".to_owned(), 0),
        (format!("api_keys:\n- {ABC}\ndisabled: true\n"), 1),
        (
            format!(
                "api_keys:\n- digest: {ABC}\n  expires: 2027-01-01T00:00:00Z\n  disabled: true\n- {ABC}\ndisabled: false\n"
            ),
            2,
        ),
    ] {
        let config: ConsumerConfig = serde_yaml::from_str(&yaml).expect(&yaml);
        assert_eq!(config.api_keys.0.len(), count);
        assert!(config.api_keys.0.iter().all(|key| key.digest.is_ok()));
        assert_eq!(serde_yaml::to_string(&config).expect("yaml"), yaml);
    }
    for yaml in [format!("api_keys: {ABC}"), format!("api_keys: {{ digest: {ABC} }}")] {
        let config: ConsumerConfig = serde_yaml::from_str(&yaml).expect(&yaml);
        assert_eq!(config.api_keys.0.len(), 1);
    }
    assert_eq!(
        serde_yaml::from_str::<ConsumerConfig>("{}").expect("empty"),
        ConsumerConfig::default()
    );
}

#[test]
fn a_key_that_stands_where_a_digest_should_is_never_repeated() {
    for yaml in [
        "api_keys: [ hunter2777 ]",
        "api_keys: hunter2777",
        "api_keys: 2777",
        "api_keys: [ 2777 ]",
        "api_keys: [ -2777 ]",
        "api_keys: [ 2777.5 ]",
        "api_keys: [ 27772777277727772777277727772777 ]",
        "api_keys: { digest: hunter2777 }",
        "api_keys: [ { digest: 2777 } ]",
        "api_keys: [ { hunter2777: x } ]",
        "api_keys: { hunter2777: x }",
        "api_keys: [ [ hunter2777 ] ]",
        "api_keys: [ { digest: [ hunter2777 ] } ]",
        "api_keys: [ { digest: { hunter2777: 1 } } ]",
    ] {
        let shown = match serde_yaml::from_str::<ConsumerConfig>(yaml) {
            Ok(config) => {
                assert!(config.api_keys.0.iter().any(|key| key.digest.is_err()), "{yaml}");
                format!("{config:?} {}", serde_yaml::to_string(&config).expect("yaml"))
            }
            Err(error) => error.to_string(),
        };
        assert!(!shown.contains("2777"), "{yaml}: {shown}");
    }
}

#[test]
fn a_route_names_its_methods() {
    for (yaml, auth) in [
        ("none", RouteAuth::None),
        ("key", RouteAuth::AnyOf(vec!["key".into()])),
        ("[ key, login ]", RouteAuth::AnyOf(vec!["key".into(), "login".into()])),
        ("[ none ]", RouteAuth::AnyOf(vec!["none".into()])),
        ("[]", RouteAuth::AnyOf(vec![])),
        ("{ all: [ key, cert ] }", RouteAuth::AllOf(vec!["key".into(), "cert".into()])),
    ] {
        let read: RouteAuth = serde_yaml::from_str(yaml).expect(yaml);
        assert_eq!(read, auth);
        let written = serde_yaml::to_string(&read).expect("yaml");
        assert_eq!(serde_yaml::from_str::<RouteAuth>(&written).expect("yaml"), auth);
    }
    for yaml in ["false", "~", "7"] {
        let error = serde_yaml::from_str::<RouteAuth>(yaml).expect_err(yaml).to_string();
        assert!(error.contains("`none`, the name of an auth method"), "{yaml}: {error}");
    }
}

#[test]
fn methods_have_their_defaults() {
    let read: MethodsConfig = serde_yaml::from_str("{ key: { api_key: {} } }").expect("yaml");
    assert_eq!(read, MethodsConfig::default());
    let key = &read.0["key"].api_key;
    assert_eq!(key.as_ref().map(|key| key.header.as_str()), Some("x-api-key"));
    assert!(serde_yaml::from_str::<MethodsConfig>("{ key: { apikey: {} } }").is_err());
    assert!(serde_yaml::from_str::<MethodsConfig>("{ key: { api_key: { heade: x } } }").is_err());
}

#[test]
fn the_schema_of_each_type_can_be_made() {
    for schema in [
        schemars::schema_for!(MethodsConfig),
        schemars::schema_for!(ConsumersConfig),
        schemars::schema_for!(RouteAuth),
        schemars::schema_for!(Allow),
    ] {
        let text = serde_json::to_string(&schema).expect("json");
        assert!(text.contains("description"), "{text}");
    }
}
