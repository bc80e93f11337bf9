use super::super::head::lines::head;
use super::*;

const AUTHORITIES: [&str; 4] =
    ["10.0.0.11:8001", "users.internal", "[fd00::1]:8001", "secure.internal:443"];

/// `/users` was stripped.
#[allow(clippy::unnecessary_wraps)] // the shape of `to_public`
fn prefixed(path: &str) -> Option<String> {
    Some(format!("/users{path}"))
}

#[allow(clippy::unnecessary_wraps)] // the shape of `to_public`
fn unchanged(path: &str) -> Option<String> {
    Some(path.to_owned())
}

fn lost(_: &str) -> Option<String> {
    None
}

fn origin(to_public: &dyn Fn(&str) -> Option<String>) -> Origin<'_> {
    Origin { authorities: &AUTHORITIES, public_host: Some("api.example.com:8443"), to_public }
}

#[test]
fn addresses_of_the_upstream_become_paths_of_the_client() {
    for (written, mapped) in [
        ("/profile/", Some("/users/profile/")),
        ("/", Some("/users/")),
        ("/profile/?next=/a&b=%2F#top", Some("/users/profile/?next=/a&b=%2F#top")),
        ("http://10.0.0.11:8001/profile/", Some("/users/profile/")),
        ("HTTP://10.0.0.11:8001/Profile", Some("/users/Profile")),
        ("http://USERS.internal/p?q#f", Some("/users/p?q#f")),
        ("http://users.internal:80/p", Some("/users/p")),
        ("https://users.internal:443/p", Some("/users/p")),
        ("https://users.internal/p", Some("/users/p")),
        ("https://secure.internal/p", Some("/users/p")),
        ("//10.0.0.11:8001/p", Some("/users/p")),
        ("//users.internal/p", Some("/users/p")),
        ("http://[fd00::1]:8001/p", Some("/users/p")),
        ("http://10.0.0.11:8001", Some("/users/")),
        ("http://10.0.0.11:8001?a=b", Some("/users/?a=b")),
        ("http://10.0.0.11:8001#f", Some("/users/#f")),
        ("/ä/", Some("/users/ä/")),
        // Not the upstream's.
        ("http://10.0.0.11:8002/p", None),
        ("http://10.0.0.11/p", None),
        ("http://users.internal:8080/p", None),
        ("http://users.internal.evil.example/p", None),
        ("http://users.internal@evil.example/p", None),
        ("http://u:p@users.internal/p", None),
        ("https://login.example.com/?to=http://10.0.0.11:8001/", None),
        ("https://api.example.com:8443/users/p", None),
        ("//evil.example/p", None),
        ("ftp://users.internal/p", None),
        ("mailto:a@users.internal", None),
        // Relative, empty, or not to be read with certainty.
        ("profile/", None),
        ("?page=2", None),
        ("#top", None),
        ("../x", None),
        ("", None),
        ("/\\evil.example", None),
        ("/\t/evil.example", None),
        (" /p", None),
        ("http://users.internal\\@evil.example/", None),
        ("http:", None),
        ("http://", None),
    ] {
        let found = public_reference(written, &origin(&prefixed));
        assert_eq!(found.as_deref(), mapped, "{written:?}");
    }
}

#[test]
fn no_path_becomes_a_host() {
    for (written, to_public, mapped) in [
        (
            "http://users.internal//evil.example/",
            &unchanged as &dyn Fn(&str) -> _,
            "/.//evil.example/",
        ),
        ("http://users.internal//evil.example/", &lost, "/.//evil.example/"),
        ("http://users.internal//evil.example/", &prefixed, "/users//evil.example/"),
        ("http://users.internal/p?a", &lost, "/p?a"),
    ] {
        assert_eq!(public_reference(written, &origin(to_public)).as_deref(), Some(mapped));
    }
    assert_eq!(public_reference("/p", &origin(&lost)), None);
}

#[test]
fn cookies_keep_all_but_their_path_and_a_domain_of_the_upstream() {
    for (written, mapped) in [
        ("a=b; Path=/", Some("a=b; Path=/users")),
        ("a=b; Path=/x", Some("a=b; Path=/users/x")),
        ("a=b;path=/x/;Secure", Some("a=b;path=/users/x/;Secure")),
        (
            "a=\"p=/;q\"; Expires=Wed, 21 Oct 2026 07:28:00 GMT;  PATH = /x ; HttpOnly; SameSite=Lax",
            Some(
                "a=\"p=/;q\"; Expires=Wed, 21 Oct 2026 07:28:00 GMT;  PATH =/users/x; HttpOnly; SameSite=Lax",
            ),
        ),
        ("a=b; Domain=users.internal; Secure", Some("a=b; Secure")),
        ("a=b; Domain=.USERS.internal", Some("a=b")),
        ("a=b; domain=10.0.0.11; Path=/x", Some("a=b; Path=/users/x")),
        ("a=b; Path=/x; Path=/y", Some("a=b; Path=/users/x; Path=/users/y")),
        ("a=b; Domain=example.com", None),
        ("a=b; Domain=internal", None),
        ("a=b; Domain=api.example.com", None),
        ("a=b", None),
        ("a=b; Path=x", None),
        ("a=b; Path=", None),
        ("a=b; Path", None),
        ("Path=/; Secure", None),
        ("", None),
    ] {
        let found = public_cookie(written.as_bytes(), &origin(&prefixed));
        let found = found.map(|cookie| String::from_utf8(cookie).expect("text"));
        assert_eq!(found.as_deref(), mapped, "{written:?}");
    }
    assert_eq!(public_cookie(b"a=b; Path=/x", &origin(&lost)), None);
    assert_eq!(public_cookie(b"a=b; Path=/x", &origin(&|_| Some("/;Domain=x".into()))), None);
    assert_eq!(
        public_cookie(b"a=\xff; Path=/x", &origin(&prefixed)),
        Some(b"a=\xff; Path=/users/x".to_vec())
    );
}

#[test]
fn a_domain_that_is_also_the_clients_host_stays() {
    let kept = Origin { authorities: &["api.example.com"], ..origin(&prefixed) };
    assert_eq!(public_cookie(b"a=b; Domain=api.example.com", &kept), None);
}

#[test]
fn a_whole_answer_is_restored() {
    let mut head = head(&[
        "location: http://10.0.0.11:8001/profile/",
        "Content-Location: /c",
        "Refresh: 5; URL='http://users.internal/r'",
        "Set-Cookie: a=1; Path=/",
        "Set-Cookie: b=2",
        "Set-Cookie: c=3; Path=/c",
        "X-Other: /other",
    ]);
    restore(&mut head, &origin(&prefixed));
    assert_eq!(head["location"], "/users/profile/");
    assert_eq!(head["content-location"], "/users/c");
    assert_eq!(head["refresh"], "5; URL='/users/r'");
    assert_eq!(head["x-other"], "/other");
    let cookies: Vec<_> = head.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Path=/users", "b=2", "c=3; Path=/users/c"]);
}

#[test]
fn refresh_is_read_in_its_usual_spellings() {
    for (written, mapped) in [
        ("0;url=/p", Some("0;url=/users/p")),
        ("0; url=\"/p\"", Some("0; url=\"/users/p\"")),
        ("0, URL = /p?a=b;c", Some("0; URL =/users/p?a=b;c")),
        ("5", None),
        ("0; url=https://other.example/", None),
        ("0; link=/p", None),
    ] {
        let found = refresh(&HeaderValue::from_static(written), &origin(&prefixed));
        assert_eq!(found.as_ref().and_then(|value| value.to_str().ok()), mapped, "{written:?}");
    }
}
