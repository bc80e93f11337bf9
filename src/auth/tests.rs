use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::diagnostic::{At, Diagnostics};

/// A configuration with `${key}` for the digest of `key`, and files of keys alike.
fn load(
    auth: &str,
    consumers: &str,
    files: &[(&str, &str)],
) -> Result<Auth, Vec<(String, String, String)>> {
    let filled = |text: &str| {
        let mut out = String::new();
        let mut parts = text.split("${");
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (key, rest) = part.split_once('}').expect("closed");
            out.push_str(&digest(key));
            out.push_str(rest);
        }
        out
    };
    let files: HashMap<_, _> = files.iter().map(|(name, text)| (*name, filled(text))).collect();
    let read = |path: &Path| {
        let found = path.to_str().and_then(|path| files.get(path)).cloned();
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let methods: MethodsConfig = serde_yaml::from_str(auth).expect(auth);
    let consumers: ConsumersConfig = serde_yaml::from_str(&filled(consumers)).expect(consumers);
    let mut diagnostics = Diagnostics::new();
    let compiled = compile(&methods, &consumers, None, &read, &mut diagnostics);
    assert!(compiled.is_some() || diagnostics.has_errors());
    if diagnostics.has_errors() { Err(said(&diagnostics)) } else { Ok(compiled.expect("sound")) }
}

fn said(diagnostics: &Diagnostics) -> Vec<(String, String, String)> {
    diagnostics.iter().map(|d| (d.at.to_string(), d.what.clone(), d.help.clone())).collect()
}

fn guard(
    auth: &Auth,
    route: Option<&str>,
    allow: Option<&str>,
) -> (Option<Arc<Guard>>, Diagnostics) {
    let route: Option<RouteAuth> = route.map(|yaml| serde_yaml::from_str(yaml).expect(yaml));
    let allow: Option<Allow> = allow.map(|yaml| serde_yaml::from_str(yaml).expect(yaml));
    let mut diagnostics = Diagnostics::new();
    let at = At::root().key("routes").key("r");
    let guard = auth.guard(route.as_ref(), allow.as_ref(), &at, &mut diagnostics);
    assert_eq!(guard.is_none(), diagnostics.has_errors());
    (guard, diagnostics)
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    Presented { headers, certificate: None, request: None, settled: &[] }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("name");
        (name, HeaderValue::from_str(value).expect("value"))
    };
    lines.iter().map(line).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}

/// `Ok` with who passes, or the reason and whether it is a 403.
fn verdict(guard: &Guard, lines: &[(&str, &str)], second: u64) -> Result<String, (String, bool)> {
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(second);
    match guard.admit(&presented(&headers(lines)), now) {
        Ok(permit) => Ok(permit.consumer().map_or_else(String::new, |c| c.name().to_owned())),
        Err(denied) => {
            Err((denied.reason().to_owned(), matches!(denied, Denied::Forbidden { .. })))
        }
    }
}

const KEY: &str = "{ key: { api_key: {} } }";
const CONSUMERS: &str = "{ app: { api_keys: [ '${k1}', '${k2}' ] }, \
     partner: { api_keys: [ { digest: '${k3}', expires: 1970-01-01T00:16:40Z }, \
                            { digest: '${k4}', disabled: true } ] }, \
     gone: { disabled: true, api_keys: [ '${k5}' ] }, keyless: {} }";

#[test]
fn a_key_lets_its_consumer_in_and_nobody_else() {
    let auth = load(KEY, CONSUMERS, &[]).expect("sound");
    let (guard, _) = guard(&auth, None, None);
    let guard = guard.expect("guard");
    let unauthorized = |reason: &str| Err((reason.to_owned(), false));
    for (lines, second, expected) in [
        (&[("x-api-key", "k1")][..], 0, Ok("app".to_owned())),
        (&[("X-API-Key", "k2")], 0, Ok("app".to_owned())),
        (&[("x-api-key", "k3")], 999, Ok("partner".to_owned())),
        (&[("x-api-key", "k3")], 1000, unauthorized("credential_expired")),
        (&[("x-api-key", "k4")], 0, unauthorized("credential_disabled")),
        (&[("x-api-key", "k5")], 0, unauthorized("credential_disabled")),
        (&[], 0, unauthorized("credential_missing")),
        (&[("x-api-key", "")], 0, unauthorized("credential_missing")),
        (&[("x-api-key", "k")], 0, unauthorized("credential_unknown")),
        (&[("x-api-key", "K1")], 0, unauthorized("credential_unknown")),
        (&[("x-api-key", "k1 ")], 0, unauthorized("credential_unknown")),
        (&[("x-api-key", "k1"), ("x-api-key", "k1")], 0, unauthorized("credential_repeated")),
        (&[("x-api-key", "k1, k2")], 0, unauthorized("credential_unknown")),
        (&[("x_api_key", "k1")], 0, unauthorized("credential_missing")),
        (&[("authorization", "ApiKey k1")], 0, unauthorized("credential_missing")),
    ] {
        assert_eq!(verdict(&guard, lines, second), expected, "{lines:?}");
    }
    let digest_itself = digest("k1");
    assert!(verdict(&guard, &[("x-api-key", &digest_itself)], 0).is_err());
    let denied = Denied::Unauthorized { reason: Reason::Unknown, challenge: None };
    assert_eq!(guard.challenge(&denied), "ApiKey");
    assert_eq!(guard.credential_headers(), ["x-api-key"]);
    assert!(!guard.is_open());
}

#[test]
fn the_text_of_a_denial_tells_nothing_of_its_reason() {
    let texts: std::collections::HashSet<String> =
        [Reason::Missing, Reason::Repeated, Reason::Unknown, Reason::Expired, Reason::Disabled]
            .into_iter()
            .map(|reason| Denied::Unauthorized { reason, challenge: None }.to_string())
            .collect();
    assert_eq!(texts.len(), 1);
}

#[test]
fn an_open_route_asks_nobody_but_still_hides_the_key() {
    let auth = load("{ a: { api_key: { header: X-A } }, b: { api_key: {} } }", "{}", &[]);
    let auth = auth.expect("sound");
    let (guard, diagnostics) = guard(&auth, Some("none"), None);
    let guard = guard.expect("guard");
    assert!(guard.is_open() && diagnostics.is_empty());
    assert_eq!(verdict(&guard, &[("x-api-key", "whatever")], 0), Ok(String::new()));
    assert_eq!(guard.credential_headers(), ["x-a", "x-api-key"]);
}

#[test]
fn a_route_may_be_for_some_consumers_only() {
    let auth = load(KEY, CONSUMERS, &[]).expect("sound");
    let (guard, _) =
        guard(&auth, Some("key"), Some("{ consumers: [ partner, keyless, partner ] }"));
    let guard = guard.expect("guard");
    let forbidden = Err(("consumer_not_allowed".to_owned(), true));
    assert_eq!(verdict(&guard, &[("x-api-key", "k3")], 0), Ok("partner".to_owned()));
    assert_eq!(verdict(&guard, &[("x-api-key", "k1")], 0), forbidden);
    assert!(verdict(&guard, &[("x-api-key", "k9")], 0).is_err_and(|(_, forbidden)| !forbidden));
    let denied =
        guard.admit(&presented(&headers(&[("x-api-key", "k1")])), UNIX_EPOCH).expect_err("denied");
    assert_eq!(denied.consumer().map(|c| c.name()), Some("app"));
}

#[test]
fn one_of_several_methods_suffices() {
    let methods =
        "{ a: { api_key: { header: x-a, keys_file: a.txt } }, b: { api_key: { header: x-b } } }";
    let auth = load(methods, CONSUMERS, &[("a.txt", "${only-a} filed\n")]).expect("sound");
    let (both, _) = guard(&auth, None, None);
    let (b, _) = guard(&auth, Some("[ b, b ]"), None);
    let (both, b) = (both.expect("guard"), b.expect("guard"));
    for (lines, by_both, by_b) in [
        (&[("x-a", "k1")][..], Ok("app"), Err("credential_missing")),
        (&[("x-b", "k1")], Ok("app"), Ok("app")),
        (&[("x-a", "only-a")], Ok("filed"), Err("credential_missing")),
        (&[("x-b", "only-a")], Err("credential_unknown"), Err("credential_unknown")),
        (&[("x-a", "bad"), ("x-b", "k1")], Ok("app"), Ok("app")),
        (&[("x-a", "k3")], Err("credential_expired"), Err("credential_missing")),
        (&[("x-a", "k3"), ("x-b", "bad")], Err("credential_expired"), Err("credential_unknown")),
    ] {
        for (guard, expected) in [(&both, by_both), (&b, by_b)] {
            let expected = expected.map(str::to_owned).map_err(|reason| (reason.to_owned(), false));
            assert_eq!(verdict(guard, lines, 1000), expected, "{lines:?}");
        }
    }
    let denied = Denied::Unauthorized { reason: Reason::Missing, challenge: None };
    assert_eq!(both.challenge(&denied), "ApiKey");
}

#[test]
fn a_file_of_keys_adds_keys_and_consumers() {
    let file = "\u{feff}# all keys\r\n\r\n${f1} app\r\n  ${f2}\tnew  disabled # why\n\
                ${f3} new expires=1970-01-01T01:16:40+01:00\n${f4} gone";
    let auth = load("{ key: { api_key: { keys_file: k.txt } } }", CONSUMERS, &[("k.txt", file)]);
    let auth = auth.expect("sound");
    let (guard, _) = guard(&auth, None, Some("{ consumers: [ app, new ] }"));
    let guard = guard.expect("guard");
    for (key, second, expected) in [
        ("k1", 0, Ok("app")),
        ("f1", 0, Ok("app")),
        ("f2", 0, Err("credential_disabled")),
        ("f3", 999, Ok("new")),
        ("f3", 1000, Err("credential_expired")),
        ("f4", 0, Err("credential_disabled")),
    ] {
        let found = verdict(&guard, &[("x-api-key", key)], second).map_err(|(reason, _)| reason);
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{key}");
    }
    assert_eq!(auth.consumers().len(), 5);
    assert_eq!(
        auth.consumer("new").map(|c| c.header_value().clone()),
        Some(HeaderValue::from_static("new"))
    );
}

#[test]
#[allow(clippy::too_many_lines)] // one table
fn mistakes_of_methods_and_consumers_have_place_cause_and_help() {
    let file = "{ key: { api_key: { keys_file: k.txt } } }";
    let two = "${a} x\n${b} y\n${a} z\n${a} x\n";
    for (auth, consumers, text, at, what, help) in [
        (
            KEY,
            "{ a: { api_keys: [ hunter2 ] } }",
            "",
            "consumers.a.api_keys[0]",
            "not a digest",
            "portcullis key digest",
        ),
        (
            KEY,
            "{ a: { api_keys: [ 'sha256:hunter2' ] } }",
            "",
            "consumers.a.api_keys[0]",
            "64 hexadecimal",
            "portcullis key new",
        ),
        (
            KEY,
            "{ a: { api_keys: [ '${k}', '${k}' ] } }",
            "",
            "consumers.a.api_keys[1]",
            "already at consumers.a.api_keys[0]",
            "one place",
        ),
        (
            KEY,
            "{ a: { api_keys: [ '${k}' ] }, b: { api_keys: [ { digest: '${k}' } ] } }",
            "",
            "consumers.b.api_keys[0]",
            "already at consumers.a.api_keys[0]",
            "one consumer",
        ),
        (
            KEY,
            "{ a: { api_keys: [ { digest: '${k}', expires: 2027-01-01 } ] } }",
            "",
            "consumers.a.api_keys[0].expires",
            "not a time",
            "RFC 3339",
        ),
        (
            KEY,
            "{ a: { api_keys: [ { digest: '${k}', expires: soon } ] } }",
            "",
            "consumers.a.api_keys[0].expires",
            "not a time",
            "2027-01-01T00:00:00Z",
        ),
        (KEY, "{ 'a b': {} }", "", "consumers.\"a b\"", "can't be a consumer's name", "letters"),
        ("{ none: { api_key: {} } }", "{}", "", "auth.none", "can't be the name", "opens a route"),
        ("{ key: {} }", "{}", "", "auth.key", "of what kind", "`api_key: {}`"),
        ("{ key: { api_key: } }", "{}", "", "auth.key", "of what kind", "`api_key: {}`"),
        (
            "{ key: { api_key: { header: 'a b' } } }",
            "{}",
            "",
            "auth.key.api_key.header",
            "not a header's name",
            "x-api-key",
        ),
        (
            "{ key: { api_key: { header: Host } } }",
            "{}",
            "",
            "auth.key.api_key.header",
            "another meaning",
            "x-api-key",
        ),
        (
            "{ key: { api_key: { header: X-Consumer-Key } } }",
            "{}",
            "",
            "auth.key.api_key.header",
            "another meaning",
            "x-api-key",
        ),
        (
            "{ a: { api_key: {} }, b: { api_key: { header: X-Api-Key } } }",
            "{}",
            "",
            "auth.b.api_key.header",
            "of the method \"a\"",
            "its own header",
        ),
        (
            "{ key: { api_key: { keys_file: no.txt } } }",
            "{}",
            "",
            "auth.key.api_key.keys_file",
            "no.txt can't be read: ",
            "must exist",
        ),
        (
            file,
            "{}",
            "\n\nhunter2 app\n",
            "auth.key.api_key.keys_file",
            "k.txt line 3: this is not a digest",
            "portcullis key digest",
        ),
        (
            file,
            "{}",
            "${a}\n",
            "auth.key.api_key.keys_file",
            "k.txt line 1: no consumer's name",
            "CONSUMER",
        ),
        (
            file,
            "{}",
            "${a} ä\n",
            "auth.key.api_key.keys_file",
            "k.txt line 1: the consumer's name",
            "letters",
        ),
        (
            file,
            "{}",
            "${a} x expires=soon\n",
            "auth.key.api_key.keys_file",
            "k.txt line 1: `expires` is not a time",
            "RFC 3339",
        ),
        (
            file,
            "{}",
            "${a} x hunter2\n",
            "auth.key.api_key.keys_file",
            "k.txt line 1: what follows",
            "disabled",
        ),
        (
            file,
            "{}",
            "${a} x disabled disabled\n",
            "auth.key.api_key.keys_file",
            "k.txt line 1: what follows",
            "each once",
        ),
        (
            file,
            "{}",
            two,
            "auth.key.api_key.keys_file",
            "k.txt line 3: this key stands already in line 1",
            "one place",
        ),
        (
            file,
            "{}",
            two,
            "auth.key.api_key.keys_file",
            "k.txt line 4: this key stands already in line 1",
            "one place",
        ),
        (
            file,
            "{ c: { api_keys: [ '${b}' ] } }",
            "${b} y\n",
            "auth.key.api_key.keys_file",
            "line 1: this key stands already at consumers.c.api_keys[0]",
            "one place",
        ),
    ] {
        let said = load(auth, consumers, &[("k.txt", text)]).expect_err(what);
        let found = said.iter().any(|(a, w, h)| a == at && w.contains(what) && h.contains(help));
        assert!(found, "{what}: {said:?}");
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    }
}

#[test]
fn a_bad_file_does_not_flood_the_report() {
    let text = "hunter2 app\n".repeat(100);
    let said = load("{ key: { api_key: { keys_file: k.txt } } }", "{}", &[("k.txt", &text)]);
    let said = said.expect_err("mistakes");
    assert_eq!(said.len(), 21);
    assert!(said[20].1.contains("k.txt has 80 more mistakes"), "{:?}", said[20]);
}

#[test]
fn mistakes_of_a_route_have_place_cause_and_help() {
    let auth = load("{ key: { api_key: {} }, other: { api_key: { header: x } } }", CONSUMERS, &[]);
    let auth = auth.expect("sound");
    for (route, allow, at, what, help) in [
        (Some("kye"), None, "routes.r.auth", "no auth method \"kye\"", "did you mean \"key\"?"),
        (
            Some("[ key, login ]"),
            None,
            "routes.r.auth[1]",
            "no auth method \"login\"",
            "known here: key, other",
        ),
        (Some("[]"), None, "routes.r.auth", "is empty", "`auth: none`"),
        (Some("[ key, none ]"), None, "routes.r.auth[1]", "can't stand in a list", "`auth: none`"),
        (
            Some("none"),
            Some("{ consumers: [ app ] }"),
            "routes.r.allow",
            "needs to know who calls",
            "name an auth method",
        ),
        (None, Some("{ consumers: [] }"), "routes.r.allow.consumers", "is empty", "take out"),
        (
            None,
            Some("{ consumers: [ app, partnr ] }"),
            "routes.r.allow.consumers[1]",
            "no consumer \"partnr\"",
            "did you mean \"partner\"?",
        ),
        (
            None,
            Some("{ consumers: [ partnr, app, app ] }"),
            "routes.r.allow.consumers[0]",
            "no consumer",
            "partner",
        ),
    ] {
        let (guard, diagnostics) = guard(&auth, route, allow);
        let said = said(&diagnostics);
        let found = said.iter().any(|(a, w, h)| a == at && w.contains(what) && h.contains(help));
        assert!(guard.is_none() && found, "{what}: {said:?}");
    }
    let nothing = load("{}", "{}", &[]).expect("sound");
    let (closed, diagnostics) = guard(&nothing, None, None);
    assert!(closed.is_none() && said(&diagnostics)[0].1.contains("no auth method is declared"));
    let keyless = load(KEY, "{ a: {} }", &[]).expect("sound");
    let (closed, diagnostics) = guard(&keyless, None, None);
    assert!(said(&diagnostics)[0].1.contains("nobody can call this route"));
    let closed = closed.expect("a warning only");
    assert_eq!(
        verdict(&closed, &[("x-api-key", "k")], 0),
        Err(("credential_unknown".into(), false))
    );
}

#[test]
fn a_name_leads_where_the_best_of_its_keys_leads() {
    let auth = load(
        "{ key: { api_key: {} }, other: { api_key: { header: x-other, keys_file: keys } } }",
        "{ me: { api_keys: [ \"${a}\", { digest: \"${b}\", expires: \"1970-01-01T00:01:00Z\" } ] }, \
           old: { api_keys: { digest: \"${c}\", expires: \"1970-01-01T00:01:00Z\" } }, \
           off: { disabled: true, api_keys: \"${d}\" }, bare: {} }",
        &[("keys", "${e} filed\n")],
    )
    .expect("sound");
    let now = UNIX_EPOCH + Duration::from_secs(100);
    let verdict = |guard: &Guard, name: &str| {
        let consumer = auth.consumer(name).expect(name);
        match guard.admit_as(Some(consumer), None, now) {
            Ok(permit) => permit.consumer().map_or("open", |consumer| consumer.name()).to_owned(),
            Err(denied) => denied.reason().to_owned(),
        }
    };
    let made = |route, allow| guard(&auth, route, allow).0.expect("guard");
    let all = made(None, None);
    for (name, said) in [
        ("me", "me"),
        ("old", "credential_expired"),
        ("off", "credential_disabled"),
        ("bare", "credential_missing"),
        ("filed", "filed"),
    ] {
        assert_eq!(verdict(&all, name), said);
    }
    assert_eq!(verdict(&made(Some("key"), None), "filed"), "credential_missing");
    assert_eq!(verdict(&made(Some("none"), None), "bare"), "open");
    let mine = made(None, Some("{ consumers: [ me ] }"));
    assert_eq!(
        (verdict(&mine, "me"), verdict(&mine, "filed")),
        ("me".into(), "consumer_not_allowed".into())
    );
    let asked: Vec<_> = all.asks_for().map(ToString::to_string).collect();
    assert_eq!(asked, ["x-api-key", "x-other"]);
}
