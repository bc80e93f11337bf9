//! conf/reference.yaml has every key, and with each the default that the code has.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis::config::{self, Config};
use portcullis::loading::{self, Loaded};
use portcullis::rewrite::cors::Setting;
use serde_json::Value;

use super::folder;
use crate::support::gateway::TestSources;

fn sources() -> TestSources {
    let env = [("GATEWAY_SECRET".to_owned(), "from outside".to_owned())];
    TestSources { env: env.into(), base: folder("conf") }
}

fn load(text: &str) -> Config {
    let Loaded { config, diagnostics, .. } = loading::load_text(text, &sources());
    assert!(diagnostics.is_empty(), "{}", diagnostics.render("it"));
    Arc::unwrap_or_clone(config.unwrap())
}

fn reference() -> String {
    std::fs::read_to_string(folder("conf/reference.yaml")).unwrap()
}

/// What the reference says, against what is there when it says nothing.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of comparisons")]
fn its_defaults_are_those_of_the_code() {
    let told = load(&reference());
    let minimal = load(
        r#"
version: 1
listeners:
  public: { address: "127.0.0.1:8080" }
  secure:
    address: "127.0.0.1:8443"
    tls:
      certificates: [ { cert: examples/example.pem, key: examples/example.key } ]
      client_auth: { ca: examples/ca.pem }
upstreams: { u: { targets: [ "127.0.0.1:8001" ], gateway_secret: { value: "${env:GATEWAY_SECRET}" } }, d: { targets: [ "127.0.0.1:8002" ], openapi: /openapi.json } }
store: { redis: "redis://127.0.0.1:6379" }
consumers:
  c: { api_keys: [ "sha256:0000000000000000000000000000000000000000000000000000000000000001" ] }
routes:
  forwards: { path: "/orders/{id}", to: u }
  responds: { path: /hello, respond: { status: 200 } }
  redirects: { path: /old, redirect: { to: /users } }
  documented: { path: /d, to: d }
  shows: { path: /docs, auth: none, portal: true }
  edge: { path: /edge, to: u, cors: { origins: "*" }, security_headers: {}, compress: {}, maintenance: {}, concurrency: 100, limits: [ 100/min, { rate: [ 20/s, 500/min ] } ], validate: { openapi: examples/orders-openapi.json } }
"#,
    );
    assert_eq!(told.version, minimal.version);
    assert_eq!(told.workers, minimal.workers);
    assert_eq!(told.admin, minimal.admin);
    assert_eq!(told.trusted_proxies, minimal.trusted_proxies);
    assert_eq!(told.forwarded_header, minimal.forwarded_header);
    assert_eq!(told.drain, minimal.drain);
    assert_eq!(told.auth.0["key"], minimal.auth.0["key"]);
    let login = told.auth.0["login"].jwt.clone().unwrap();
    let bare = portcullis::auth::JwtConfig::default();
    assert_eq!(login.header.as_deref(), Some("authorization"), "which is where it is looked for");
    let said = portcullis::auth::JwtConfig { header: None, ..login.clone() };
    let silent = portcullis::auth::JwtConfig {
        issuer: login.issuer,
        audience: login.audience,
        keys: vec![portcullis::auth::JwtKeyConfig {
            file: login.keys[0].file.clone(),
            ..Default::default()
        }],
        ..bare
    };
    assert_eq!(said, silent);
    assert_eq!(told.auth.0["people"].basic, Some(portcullis::auth::BasicConfig::default()));
    let signed = told.auth.0["signed"].signature.clone();
    assert_eq!(signed, Some(portcullis::auth::SignatureConfig::default()));
    let ask = told.auth.0["ask"].forward_auth.clone().unwrap();
    let bare = portcullis::auth::ForwardAuthConfig { url: ask.url.clone(), ..Default::default() };
    assert_eq!(ask, bare);
    assert_eq!(told.consumers.0["partner"].certificates, minimal.consumers.0["c"].certificates);
    assert_eq!(told.store, minimal.store);
    assert_eq!(told.failed_credentials, minimal.failed_credentials);
    assert_eq!(told.defaults, minimal.defaults);
    assert_eq!(told.logs, minimal.logs);
    assert_eq!(told.connections, minimal.connections);
    assert_eq!(told.listeners["public"], minimal.listeners["public"]);
    assert_eq!(told.listeners["secure"].tls, minimal.listeners["secure"].tls);
    let consumer = |config: &Config, name: &str| config.consumers.0[name].clone();
    assert_eq!(consumer(&told, "partner").disabled, consumer(&minimal, "c").disabled);
    let [bare, full] = &consumer(&told, "partner").api_keys.0[..] else { panic!("two keys") };
    assert_eq!(bare.expires, None);
    assert_eq!(full.disabled, bare.disabled);

    let (mut said, silent) = (told.upstreams["everything"].clone(), &minimal.upstreams["u"]);
    said.targets.clone_from(&silent.targets);
    // Of the secret only the header has a default.
    let header = |upstream: &portcullis::upstream::Config| {
        upstream.gateway_secret.as_ref().map(|secret| secret.header.clone())
    };
    assert_eq!(header(&said), header(silent));
    said.gateway_secret.clone_from(&silent.gateway_secret);
    assert_eq!(&said, silent);
    let weight = |index: usize| told.upstreams["everything"].targets[index].weight;
    assert_eq!(weight(2), weight(0), "the weight written, and the default");

    let (mut said, mut silent) =
        (told.routes["everything"].clone(), minimal.routes["forwards"].clone());
    // `false` and nothing are one.
    assert_eq!(said.strip_prefix.take(), Some(portcullis::route::StripPrefix::Nothing));
    said.to = None;
    silent.to = None;
    assert_eq!(said, silent);
    let (said, silent) = (&told.policies["everything"], &minimal.routes["edge"]);
    let mut cors = said.cors.clone();
    if let (Some(Setting::On(said)), Some(Setting::On(silent))) = (&mut cors, &silent.cors) {
        // The origins have no default.
        said.origins.clone_from(&silent.origins);
    }
    assert_eq!(cors, silent.cors);
    assert_eq!(said.security_headers, silent.security_headers);
    assert_eq!(said.compress, silent.compress);
    assert_eq!(said.maintenance, silent.maintenance);
    assert_eq!(said.limits, silent.limits);
    assert_eq!(said.concurrency, silent.concurrency);
    assert_eq!(said.validate, silent.validate);
    assert_eq!(told.routes["hello"].respond, minimal.routes["responds"].respond);
    assert_eq!(told.routes["moved"].redirect, minimal.routes["redirects"].redirect);
    assert_eq!(told.routes["docs"].portal, minimal.routes["shows"].portal);
}

/// Every path of the schema that has a name, such as `upstreams.*.timeouts.connect`, stands in the file.
#[test]
fn it_has_every_key_of_the_schema() {
    let schema: Value = config::schema().to_value();
    let mut wanted = BTreeSet::new();
    schema_keys(&schema, &schema, "", &mut wanted);
    assert!(wanted.len() > 70, "{wanted:?}");
    assert!(
        wanted.contains("upstreams.*.timeouts.connect")
            && wanted.contains("routes.*.respond.status")
    );

    let file: Value = serde_yaml::from_str(&reference()).unwrap();
    let mut there = BTreeSet::new();
    file_keys(&file, "", &mut there);
    // The alternatives to what stands there, each shown in a comment beside it.
    let in_comments = [
        "admin.address",
        "admin.token",
        "quota_file",
        "logs.sample.route",
        "logs.sample.status",
        "logs.sample.keep",
        "routes.*.auth.all",
        "defaults.auth.all",
        "policies.*.limits.per.header",
        "policies.*.limits.per.cookie",
        "policies.*.limits.per.claim",
        "policies.*.limits.mode.delay",
        "upstreams.*.concurrency.max",
        "upstreams.*.concurrency.adaptive",
        "upstreams.*.concurrency.min",
        "upstreams.*.concurrency.per_target",
        "upstreams.*.concurrency.queue",
        "upstreams.*.concurrency.wait",
        "upstreams.*.concurrency.observe",
        "upstreams.*.balance.hash",
        "upstreams.*.openapi.file",
        "upstreams.*.balance.hash.header",
        "upstreams.*.balance.hash.cookie",
        "upstreams.*.tls.client_certificate.cert",
        "upstreams.*.tls.client_certificate.key",
    ];
    let text = reference();
    for path in &wanted {
        let path = &in_policies(path);
        let key = path.rsplit('.').next().unwrap();
        let commented = in_comments.contains(&path.as_str()) && text.contains(&format!("{key}: "));
        assert!(there.contains(path) || commented, "conf/reference.yaml lacks {path}");
    }
    for path in in_comments {
        assert!(wanted.contains(path) && !there.contains(path), "{path} needs no exception");
    }
}

/// What may stand in a policy stands there in full, and at a route and in `defaults` by its name.
fn in_policies(path: &str) -> String {
    let rest = ["routes.*.", "defaults."].iter().find_map(|place| path.strip_prefix(place));
    match rest.and_then(|rest| rest.split_once('.')) {
        Some((key, rest))
            if [
                "cors",
                "security_headers",
                "compress",
                "maintenance",
                "ip",
                "limits",
                "concurrency",
                "validate",
            ]
            .contains(&key) =>
        {
            format!("policies.*.{key}.{rest}")
        }
        _ => path.to_owned(),
    }
}

/// The keys that a schema names; `*` stands for a name of the user's choice.
fn schema_keys(root: &Value, node: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = node["$ref"].as_str() {
        let target = root.pointer(target.strip_prefix('#').unwrap()).expect(target);
        schema_keys(root, target, path, found);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for alternative in node[word].as_array().into_iter().flatten() {
            schema_keys(root, alternative, path, found);
        }
    }
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        schema_keys(root, value, &path, found);
    }
    if node["additionalProperties"].is_object() {
        schema_keys(root, &node["additionalProperties"], &format!("{path}.*"), found);
    }
    if node["items"].is_object() {
        schema_keys(root, &node["items"], path, found);
    }
}

/// The same of a file: below a map of names, the name is told and `*`.
fn file_keys(node: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in node.as_object().into_iter().flatten() {
        let named = match path {
            "listeners" | "upstreams" | "auth" | "consumers" | "policies" | "plans" | "routes" => {
                "*"
            }
            _ => key,
        };
        let path = if path.is_empty() { named.to_owned() } else { format!("{path}.{named}") };
        found.insert(path.clone());
        file_keys(value, &path, found);
    }
    for item in node.as_array().into_iter().flatten() {
        file_keys(item, path, found);
    }
}
