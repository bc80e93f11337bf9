use std::io;

use super::*;
use crate::loading::load_text;
use crate::yaml::Sources;

struct Nothing;

impl Sources for Nothing {
    fn env(&self, name: &str) -> Option<String> {
        Some(format!("value-of-{name}"))
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn data(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

const BASE: &str = r#"
version: 1
listeners: { public: { address: "127.0.0.1:8080" } }
upstreams:
  users: { targets: [ "127.0.0.1:8001" ], gateway_secret: { value: "${env:ONE}" } }
  users-v2: { targets: [ "127.0.0.1:8002" ] }
auth: { key: { api_key: {} }, other: { api_key: { header: x-other } } }
consumers:
  partner: { api_keys: [ "sha256:abababababababababababababababababababababababababababababababab" ] }
  app: { api_keys: [ "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd" ] }
defaults: { request_headers: { set: { X-Token: "${env:ONE}" } } }
routes:
  a: { path: /a, to: users, auth: key }
  b: { path: /b, to: users, allow: { consumers: [ partner ] } }
  c: { path: /c, to: users-v2, auth: none }
"#;

/// What the command says after these replacements in the file.
fn after(replacements: &[(&str, &str)]) -> String {
    let mut text = BASE.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from:?} is not in the file");
        text = text.replace(from, to);
    }
    let load = |text: &str| {
        let loaded = load_text(text, &Nothing);
        let report = loaded.diagnostics.render("f");
        loaded.compiled.unwrap_or_else(|| panic!("{report}")).snapshot
    };
    show(&compare(&load(BASE), &load(&text)))
}

#[test]
fn what_means_the_same_is_no_difference() {
    assert_eq!(after(&[]), "nothing changes in meaning\n");
    for same in [
        ("path: /a, to: users", "to: users, path: /a, exact: false, body_limit: 10MiB"),
        ("auth: key }", "auth: [ key ] }"),
        ("b: { path: /b,", "b: { path: /b, auth: [ other, key ],"),
        (
            "to: users-v2, auth: none",
            "auth: none, to: users-v2, request_headers: { set: { X-Token: \"${env:ONE}\" } }",
        ),
    ] {
        assert_eq!(after(&[same]), "nothing changes in meaning\n", "{same:?}");
    }
}

#[test]
fn whatever_lets_somebody_in_is_marked() {
    for (change, told) in [
        (("auth: key", "auth: none"), "! route a: loses auth (key -> none)\n"),
        (
            ("auth: key }", "auth: [ key, other ] }"),
            "! route a: other ways to prove who one is (key -> key or other)\n",
        ),
        (
            (", allow: { consumers: [ partner ] }", ""),
            "! route b: `allow` is gone: every known consumer may pass\n",
        ),
        (("[ partner ]", "[ partner, app ]"), "! route b: `allow` widens: app may pass too\n"),
        (
            ("path: /c", "path: /b/open"),
            "! route c: is open and takes requests that b asked a credential for\n",
        ),
        (
            (
                "  a: { path: /a, to: users, auth: key }\n",
                "  z: { path: /, to: users, auth: none }\n",
            ),
            "! route z: is open and takes requests that a asked a credential for\n",
        ),
    ] {
        let report = after(&[change]);
        assert!(report.starts_with(told), "{change:?}:\n{report}");
    }
}

#[test]
fn what_asks_for_more_is_told_and_not_marked() {
    for (change, told) in [
        (("auth: none", "auth: key"), "  route c: asks for auth (none -> key)\n"),
        (
            ("to: users, allow", "to: users, auth: key, allow"),
            "  route b: fewer ways to prove who one is (key or other -> key)\n",
        ),
        (("path: /c", "path: /c/d"), "  route c: path /c -> /c/d\n"),
        (
            ("  c: {", "  c2: { path: /c3, to: users, auth: none }\n  c: {"),
            "  route c2: is new: /c3, to users, auth none\n",
        ),
    ] {
        assert_eq!(after(&[change]), told, "{change:?}");
    }
}

#[test]
fn routes_that_change_alike_are_told_together() {
    let report = after(&[("to: users,", "to: users-v2,")]);
    assert_eq!(report, "  2 routes (a, b): moves from users to users-v2\n");
}

#[test]
fn values_from_outside_and_secrets_are_never_shown() {
    let report = after(&[
        ("{ X-Token: \"${env:ONE}\" }", "{ X-Token: \"${env:TWO}\" }"),
        ("value: \"${env:ONE}\"", "value: \"${env:TWO}\""),
        ("\"127.0.0.1:8002\"", "\"${env:HOST}:8002\""),
    ]);
    assert_eq!(
        report,
        "  3 routes (a, b, c): request headers: set X-Token otherwise\n\
         \x20 upstream users: the gateway secret changes\n\
         \x20 upstream users-v2: target 127.0.0.1:8002 is gone\n\
         \x20 upstream users-v2: target ${env:HOST}:8002 is new\n"
    );
}

#[test]
fn the_rest_of_the_file_is_compared_setting_by_setting() {
    let report = after(&[
        (
            "[ \"127.0.0.1:8002\" ]",
            "[ \"127.0.0.1:8002\", { url: \"127.0.0.1:8003\", weight: 2 } ], timeouts: { read: 5s }",
        ),
        ("127.0.0.1:8080", "127.0.0.1:8081"),
        ("version: 1", "version: 1\ndrain: 5s"),
        ("app: { api_keys", "other: { api_keys"),
        ("abababab", "efabefab"),
    ]);
    assert_eq!(
        report,
        "  upstream users-v2: target 127.0.0.1:8003 is new\n\
         \x20 upstream users-v2: timeouts.read 30s -> 5s\n\
         \x20 consumer other: new\n\
         \x20 consumer app: gone\n\
         \x20 consumer partner: other keys\n\
         \x20 file: drain 30s -> 5s\n\
         \x20 file: listeners.public.address 127.0.0.1:8080 -> 127.0.0.1:8081 (needs a restart)\n"
    );
}

#[test]
fn another_plan_and_other_groups_of_a_consumer_are_told() {
    let text = |consumer: &str| {
        format!(
            "version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:8080\" }} }}\nplans: {{ free: {{}}, gold: {{}} }}\n\
             routes: {{ a: {{ path: /a, respond: {{ status: 200 }} }} }}\n\
             consumers: {{ me: {{ {consumer}, api_keys: \"sha256:{}\" }} }}\n",
            "ab".repeat(32)
        )
    };
    let load = |consumer: &str| {
        let loaded = load_text(&text(consumer), &crate::yaml::System { base: ".".into() });
        loaded.compiled.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render("f"))).snapshot
    };
    let told = show(&compare(&load("plan: free"), &load("plan: gold, groups: [ staff ]")));
    assert_eq!(told, "  consumer me: another plan\n  consumer me: other groups\n");
}

#[test]
fn a_listener_that_asks_less_of_clients_is_weaker() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples");
    let text = std::fs::read_to_string(examples.join("client-certificates.yaml")).unwrap();
    let load = |required: &str| {
        let text = text.replace("required: false", required);
        let loaded = load_text(&text, &crate::yaml::System { base: examples.clone() });
        loaded.compiled.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render("f"))).snapshot
    };
    let told = show(&compare(&load("required: true"), &load("required: false")));
    assert_eq!(
        told,
        "! listener public: lets clients in that show no certificate\n  \
         file: listeners.public.tls.client_auth.required true -> false\n"
    );
    let told = show(&compare(&load("required: false"), &load("required: true")));
    assert_eq!(told, "  file: listeners.public.tls.client_auth.required false -> true\n");
}

#[test]
fn what_pages_may_do_and_who_is_turned_away_is_told() {
    let app = "cors: { origins: [ \"https://app.test\" ] }";
    let whole = |more: &str| ("path: /a,", format!("path: /a, {more},"));
    for (more, told) in [
        (app, "  route a: pages of https://app.test may call it from a browser (cors)\n"),
        ("cors: none, security_headers: none, compress: false, maintenance: false", ""),
        ("limits: [ 5/min ]", "  route a: is limited\n"),
        ("concurrency: 5", "  route a: has so many requests at once\n"),
        ("concurrency: none", ""),
        ("maintenance: true", "  route a: goes into maintenance: 503 for its clients\n"),
        ("compress: true", "  route a: answers are compressed\n"),
        ("security_headers: strict", "  route a: security headers none -> strict\n"),
        (
            "security_headers: { hsts: none }",
            "  route a: security headers none -> basic with changes\n",
        ),
    ] {
        let (from, to) = whole(more);
        let expected = if told.is_empty() { "nothing changes in meaning\n" } else { told };
        assert_eq!(after(&[(from, &to)]), expected, "{more}");
    }
    // From a policy or the defaults it means the same.
    let report = after(&[(
        "defaults: {",
        "policies: { p: { compress: true } }\ndefaults: { use: p, maintenance: { allow: [ 10.0.0.1 ] },",
    )]);
    assert_eq!(
        report,
        "  3 routes (a, b, c): answers are compressed\n\
         \x20 3 routes (a, b, c): goes into maintenance: 503 for its clients\n"
    );
}

#[test]
fn every_origin_that_comes_or_goes_is_named() {
    let with = |cors: &str| {
        let text = BASE.replace("path: /a,", &format!("path: /a, cors: {cors},"));
        load_text(&text, &Nothing).compiled.unwrap().snapshot
    };
    let was = with("{ origins: [ \"https://a.test\", \"https://b.test\" ] }");
    let is = with(
        "{ origins: [ \"https://b.test\", \"https://c.test\" ], credentials: true, max_age: 1m }",
    );
    assert_eq!(
        show(&compare(&was, &is)),
        "  route a: pages call it with the browser's cookies (cors)\n\
         \x20 route a: pages of https://a.test may not call it any more (cors)\n\
         \x20 route a: pages of https://c.test may call it from a browser (cors)\n\
         \x20 route a: what pages may send and read changes (cors)\n"
    );
}
