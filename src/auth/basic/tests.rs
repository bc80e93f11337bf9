use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::*;

const NOW: SystemTime = UNIX_EPOCH;

/// Two users, of whom one is switched off; digests that cost next to nothing.
fn method() -> Basic {
    let digest = |password: &str| bcrypt::hash(password, 4).expect("a digest");
    let text = format!(
        "alice: {{ basic: {{ password: \"{}\" }} }}\n\
         bob: {{ basic: {{ user: \"Böb\", password: \"{}\" }} }}\n\
         gone: {{ disabled: true, basic: {{ password: \"{}\" }} }}\n",
        digest("pass:word"),
        digest("pässword"),
        digest("was"),
    );
    let consumers: ConsumersConfig = serde_yaml::from_str(&text).expect("consumers");
    let mut registry = Registry::default();
    for (name, consumer) in &consumers.0 {
        registry.intern(name, consumer.disabled);
    }
    let (booth, mut diagnostics) = (Arc::new(Booth::of(1)), Diagnostics::new());
    let (config, at) = (BasicConfig::default(), At::root());
    let registry = Arc::new(registry);
    let made = Basic::compile(&config, &consumers, &registry, &booth, &at, &mut diagnostics);
    made.unwrap_or_else(|| panic!("{}", diagnostics.render("")))
}

fn headers(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("value"));
    headers
}

/// Who it is, and whether that was known at once; or why not.
async fn ask(method: &Basic, value: &str, now: SystemTime) -> Result<(String, bool), Reason> {
    let name = |identity: Identity| identity.consumer.map(|c| c.name().to_owned());
    match method.look(&headers(value), now)? {
        Look::Known(identity) => Ok((name(identity).unwrap_or_default(), true)),
        Look::New(login) => {
            let identity = method.verify(login, now).await?;
            Ok((name(identity).unwrap_or_default(), false))
        }
    }
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[tokio::test]
async fn a_password_is_verified_once_and_remembered_for_a_while() {
    let method = method();
    for (text, known) in [("alice:pass:word", "alice"), ("Böb:pässword", "bob")] {
        let value = basic(text);
        assert_eq!(ask(&method, &value, NOW).await, Ok((known.to_owned(), false)));
        assert_eq!(ask(&method, &value, NOW).await, Ok((known.to_owned(), true)));
        let later = NOW + Duration::from_secs(REMEMBERED);
        assert_eq!(ask(&method, &value, later).await, Ok((known.to_owned(), false)));
    }
    for text in
        ["alice:pass", "alice:", "alice:pässword", "Alice:pass:word", "nobody:pass:word", ":x"]
    {
        for _ in 0..2 {
            assert_eq!(ask(&method, &basic(text), NOW).await, Err(Reason::Unknown), "{text}");
        }
    }
    assert_eq!(ask(&method, &basic("gone:was"), NOW).await, Err(Reason::Disabled));
    assert_eq!(ask(&method, &basic("gone:is"), NOW).await, Err(Reason::Unknown));
}

#[tokio::test]
async fn what_is_no_name_and_password_is_not_looked_up() {
    let method = method();
    let good = STANDARD.encode("Böb:pässword");
    for (value, reason) in [
        ("Bearer abc".to_owned(), Reason::Missing),
        ("Basic".to_owned(), Reason::Missing),
        ("Basic ".to_owned(), Reason::Missing),
        (format!("Basic {}", good.trim_end_matches('=')), Reason::Malformed),
        (format!("Basic {good}="), Reason::Malformed),
        (format!("Basic {good} x"), Reason::Malformed),
        (format!("Basic {}", good.replace('=', "-")), Reason::Malformed),
        ("Basic alice:pass:word".to_owned(), Reason::Malformed),
        (basic("alice"), Reason::Malformed),
        (basic("alice:pass\nword"), Reason::Malformed),
        (basic("alice\0:pass:word"), Reason::Malformed),
        (format!("Basic {}", STANDARD.encode(b"alice:\xff")), Reason::Malformed),
        (basic(&"x".repeat(LONGEST)), Reason::Malformed),
    ] {
        assert_eq!(ask(&method, &value, NOW).await, Err(reason), "{value}");
    }
    assert_eq!(ask(&method, &format!("bAsIc  {good}"), NOW).await, Ok(("bob".to_owned(), false)));
}

#[test]
fn a_user_who_is_not_known_has_a_decoy_of_its_own() {
    let method = method();
    let decoy = |user: &str| Arc::as_ptr(method.decoy(user).expect("one"));
    assert_eq!(decoy("nobody"), decoy("nobody"));
    let all: std::collections::HashSet<_> = (0..100).map(|n| decoy(&format!("n{n}"))).collect();
    assert_eq!(all.len(), 3);
}
