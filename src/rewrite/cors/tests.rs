use super::super::head::lines::{head, wire};
use super::*;
use crate::units::{OneOrMany, Period};

fn config(origins: &[&str]) -> Config {
    let many = |words: &[&str]| OneOrMany(words.iter().map(|&word| word.to_owned()).collect());
    Config {
        origins: many(origins),
        methods: OneOrMany::default(),
        headers: OneOrMany::default(),
        expose: OneOrMany::default(),
        credentials: false,
        max_age: Period::secs(600),
    }
}

fn list(words: &[&str]) -> OneOrMany {
    OneOrMany(words.iter().map(|&word| word.to_owned()).collect())
}

fn compile(config: &Config) -> (Option<Cors>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let key = HeaderName::from_static("x-api-key");
    let cors =
        Cors::compile(config, std::iter::once(&key), &At::root().key("cors"), &mut diagnostics);
    (cors, diagnostics)
}

fn preflight(config: &Config, lines: &[&str]) -> Option<Vec<String>> {
    let headers = head(lines);
    let asked = Preflight::of(&Method::OPTIONS, &headers).expect("a preflight");
    let reply = compile(config).0.expect("cors").preflight(&asked)?;
    assert_eq!(reply.status, 204);
    Some(wire(&reply.headers.into_iter().collect()))
}

fn answer(config: &Config, answer: &[&str], sent: &[&str]) -> Vec<String> {
    let mut headers = head(answer);
    compile(config).0.expect("cors").answer(&mut headers, &head(sent));
    wire(&headers)
}

#[test]
fn a_preflight_is_what_asks_for_an_origin_and_a_method() {
    let full = ["origin: https://a.test", "access-control-request-method: PUT"];
    let of = |method: &Method, lines: &[&str]| {
        Preflight::of(method, &head(lines)).map(|asked| asked.method)
    };
    assert_eq!(of(&Method::OPTIONS, &full), Some(Method::PUT));
    assert_eq!(of(&Method::GET, &full), None);
    assert_eq!(of(&Method::OPTIONS, &full[..1]), None);
    assert_eq!(of(&Method::OPTIONS, &full[1..]), None);
    assert_eq!(of(&Method::OPTIONS, &[full[0], full[0], full[1]]), None, "two origins");
    assert_eq!(of(&Method::OPTIONS, &[full[0], full[1], full[1]]), None, "two methods");
    assert_eq!(
        of(&Method::OPTIONS, &[full[0], "access-control-request-method: a b"]),
        None,
        "no method"
    );
}

#[test]
fn a_listed_origin_is_told_what_it_may_do() {
    let asked = [
        "origin: https://a.test",
        "access-control-request-method: PUT",
        "access-control-request-headers: x-other",
        "access-control-request-private-network: true",
    ];
    assert_eq!(
        preflight(&config(&["https://a.test"]), &asked).expect("an answer"),
        [
            "access-control-allow-headers: authorization, content-type, x-api-key",
            "access-control-allow-methods: PUT",
            "access-control-allow-origin: https://a.test",
            "access-control-max-age: 600",
            "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ]
    );
    let written = Config {
        methods: list(&["GET", "POST"]),
        headers: list(&["*"]),
        credentials: true,
        max_age: Period::secs(0),
        ..config(&["https://a.test"])
    };
    assert_eq!(
        preflight(&written, &asked).expect("an answer")[..5],
        [
            "access-control-allow-credentials: true",
            "access-control-allow-headers: x-other",
            "access-control-allow-methods: GET, POST",
            "access-control-allow-origin: https://a.test",
            "access-control-max-age: 0",
        ]
    );
    assert_eq!(preflight(&config(&["https://b.test"]), &asked), None);
    let all = preflight(&config(&["*"]), &asked).expect("an answer");
    assert!(all.contains(&"access-control-allow-origin: *".to_owned()), "{all:?}");
}

#[test]
fn names_that_are_none_are_not_echoed() {
    let any = Config { headers: list(&["*"]), ..config(&["*"]) };
    let asked = |names: &str| {
        let line = format!("access-control-request-headers: {names}");
        let lines = ["origin: https://a.test", "access-control-request-method: PUT", &line];
        let told = preflight(&any, &lines).expect("an answer");
        told.into_iter().find(|line| line.starts_with("access-control-allow-headers"))
    };
    assert_eq!(asked("X-A , x-b,").as_deref(), Some("access-control-allow-headers: x-a, x-b"));
    assert_eq!(asked("x-a, b c"), None);
    assert_eq!(asked(""), None);
}

#[test]
fn an_answer_says_who_may_read_it_and_nothing_of_the_upstreams() {
    let exposed =
        "access-control-expose-headers: X-Request-Id, Retry-After, RateLimit, RateLimit-Policy";
    let upstreams = [
        "access-control-allow-origin: *",
        "access-control-allow-credentials: true",
        "access-control-allow-private-network: true",
        "vary: Accept",
    ];
    let one = config(&["https://a.test"]);
    assert_eq!(
        answer(&one, &upstreams, &["origin: https://a.test"]),
        ["access-control-allow-origin: https://a.test", exposed, "vary: Accept, Origin"]
    );
    for sent in [&["origin: https://b.test"][..], &[], &["origin: null"]] {
        assert_eq!(answer(&one, &upstreams, sent), ["vary: Accept, Origin"], "{sent:?}");
    }
    let twice = ["origin: https://a.test", "origin: https://a.test"];
    assert_eq!(answer(&one, &[], &twice), ["vary: Origin"]);
    // All are told the same, so that one answer in a cache serves all.
    let all = config(&["*"]);
    for sent in [&["origin: https://a.test"][..], &["origin: null"], &[]] {
        let told = answer(&all, &[], sent);
        assert_eq!(told, ["access-control-allow-origin: *", exposed], "{sent:?}");
    }
    let written = Config { credentials: true, expose: list(&["X-Total"]), ..one };
    assert_eq!(
        answer(&written, &[], &["origin: https://a.test"])[..3],
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://a.test",
            &format!("{exposed}, x-total"),
        ]
    );
}

#[test]
fn what_would_open_more_than_is_meant_is_refused() {
    let base = config(&["https://a.test"]);
    for (written, at) in [
        (Config { credentials: true, ..config(&["*"]) }, "cors.credentials"),
        (Config { credentials: true, expose: list(&["*"]), ..base.clone() }, "cors.expose"),
        (Config { methods: list(&["GET", "put"]), ..base.clone() }, "cors.methods[1]"),
        (Config { methods: list(&["TRACE"]), ..base.clone() }, "cors.methods[0]"),
        (Config { headers: list(&["a b"]), ..base.clone() }, "cors.headers[0]"),
        (Config { expose: list(&["ä"]), ..base }, "cors.expose[0]"),
    ] {
        let (cors, diagnostics) = compile(&written);
        let told = diagnostics.iter().next().expect(at);
        assert!(cors.is_none() && told.at.to_string() == at, "{told:?}");
    }
}
