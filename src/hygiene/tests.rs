use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

fn path(raw: &str) -> Result<String, Unclean> {
    CleanTarget::parse(raw.as_bytes()).map(|target| target.path().to_owned())
}

fn readings(raw: &str) -> Vec<String> {
    let target = CleanTarget::parse(raw.as_bytes()).unwrap();
    target.readings().map(str::to_owned).collect()
}

#[test]
fn a_clean_path_stays_as_it_is_and_is_borrowed() {
    for raw in [
        "/",
        "/users",
        "/users/",
        "/.well-known/acme",
        "/..a/...",
        "/a.b/c..",
        "/%41%2a/%C3%A4",
        "/~a_b-c!$&'()*+,=:@",
        "/%e2%82%ac/%f0%9f%98%80",
        "/%252f%252e",
        "/a%20b",
    ] {
        let target = CleanTarget::parse(raw.as_bytes()).unwrap();
        assert_eq!(target.path(), raw);
        assert!(!target.was_tidied(), "{raw}");
        assert_eq!(target.readings().count(), 0, "{raw}");
    }
}

#[test]
fn slashes_are_merged_and_dot_segments_resolved() {
    for (raw, clean) in [
        ("//", "/"),
        ("//host/users", "/host/users"),
        ("/a//b///c", "/a/b/c"),
        ("/a//", "/a/"),
        ("/.", "/"),
        ("/./", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/./b", "/a/b"),
        ("/a//../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/a%2fb/../c", "/c"),
        ("/a/%41/../%42", "/a/%42"),
        ("/a/b/../../", "/"),
    ] {
        assert_eq!(path(raw).as_deref(), Ok(clean), "{raw}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (raw, why) in [
        ("", Unclean::NoLeadingSlash),
        ("users", Unclean::NoLeadingSlash),
        ("example.com:443", Unclean::NoLeadingSlash),
        ("ftp://example.com/", Unclean::NoLeadingSlash),
        ("http:/users", Unclean::NoLeadingSlash),
        ("?x", Unclean::NoLeadingSlash),
        ("*", Unclean::Asterisk),
        ("http:///users", Unclean::Authority),
        ("http://a@b/users", Unclean::Authority),
        ("http://a\\b/users", Unclean::Authority),
        ("http://a:0/", Unclean::Authority),
        ("/a\\b", Unclean::Backslash),
        ("/a%5cb", Unclean::Backslash),
        ("/a%5C..", Unclean::Backslash),
        ("/a\0", Unclean::Nul),
        ("/a%00", Unclean::Nul),
        ("/a%0a", Unclean::Control),
        ("/a%1F", Unclean::Control),
        ("/a%7f", Unclean::Control),
        ("/a\tb", Unclean::Control),
        ("/a\x7f", Unclean::Control),
        ("/a b", Unclean::Space),
        ("/ä", Unclean::NonAscii),
        ("/a#b", Unclean::Fragment),
        ("/%", Unclean::BrokenEncoding),
        ("/%2", Unclean::BrokenEncoding),
        ("/%g1", Unclean::BrokenEncoding),
        ("/%2g", Unclean::BrokenEncoding),
        ("/%%32f", Unclean::BrokenEncoding),
        ("/%?41", Unclean::BrokenEncoding),
        ("/%u0041", Unclean::BrokenEncoding),
        ("/%c0%af", Unclean::NotUtf8),
        ("/%c3", Unclean::NotUtf8),
        ("/%c3x", Unclean::NotUtf8),
        ("/%80", Unclean::NotUtf8),
        ("/%e0%80%af", Unclean::NotUtf8),
        ("/%ed%a0%80", Unclean::NotUtf8),
        ("/%f5%80%80%80", Unclean::NotUtf8),
    ] {
        assert_eq!(path(raw), Err(why), "{raw:?}");
        assert!(!why.detail().is_empty());
    }
    assert_eq!(CleanTarget::parse(b"/a\xff"), Err(Unclean::NonAscii));
}

#[test]
fn dots_that_lead_astray_and_unclean_queries_are_refused() {
    for (raw, why) in [
        ("/..", Unclean::DotsAboveRoot),
        ("/../a", Unclean::DotsAboveRoot),
        ("/a/../../b", Unclean::DotsAboveRoot),
        ("/a//../../b", Unclean::DotsAboveRoot),
        ("/%2e%2e/a", Unclean::DotsAboveRoot),
        ("/a%2f..%2fb", Unclean::HiddenDots),
        ("/a%2F%2e", Unclean::HiddenDots),
        ("/a/..%2fb", Unclean::HiddenDots),
        ("/a/..;/b", Unclean::HiddenDots),
        ("/a/.;x=1/b", Unclean::HiddenDots),
        ("/a/%2e%2e;/b", Unclean::HiddenDots),
        ("/a/..%3b/b", Unclean::HiddenDots),
        ("/a/..;%2fx/b", Unclean::HiddenDots),
        ("/a?x\0", Unclean::Nul),
        ("/a?x\r", Unclean::Control),
        ("/a?x y", Unclean::Space),
        ("/a?x#y", Unclean::Fragment),
        ("/a?ä", Unclean::NonAscii),
    ] {
        assert_eq!(path(raw), Err(why), "{raw:?}");
        assert!(!why.detail().is_empty());
    }
}

#[test]
fn the_query_survives_byte_for_byte() {
    for (raw, query) in [
        ("/a", None),
        ("/a?", Some("")),
        ("/a?x=1&&y", Some("x=1&&y")),
        ("/a?%zz%00%5c\\?/../;", Some("%zz%00%5c\\?/../;")),
        ("//a/../b?/../", Some("/../")),
        ("http://h?x=1", Some("x=1")),
    ] {
        assert_eq!(CleanTarget::parse(raw.as_bytes()).unwrap().query(), query, "{raw}");
    }
}

#[test]
fn an_absolute_url_gives_its_authority() {
    for (raw, authority, clean) in [
        ("http://example.com", "example.com", "/"),
        ("http://example.com?x", "example.com", "/"),
        ("HTTPS://Example.com:8443/a/../b?x", "Example.com:8443", "/b"),
        ("http://[::1]:80//a", "[::1]:80", "/a"),
    ] {
        let target = CleanTarget::parse(raw.as_bytes()).unwrap();
        assert_eq!((target.authority(), target.path()), (Some(authority), clean), "{raw}");
    }
    assert_eq!(CleanTarget::parse(b"/a").unwrap().authority(), None);
}

#[test]
fn encoded_slashes_and_parameters_have_other_readings() {
    assert_eq!(readings("/a%2fb"), ["/a/b"]);
    assert_eq!(readings("/a;x=1/b"), ["/a/b"]);
    assert_eq!(readings("/a%3bx/b"), ["/a/b"]);
    assert_eq!(readings("/a%2F"), ["/a/"]);
    assert_eq!(readings("/%2f%2Fa"), ["/a"]);
    assert_eq!(readings("/;x"), ["/"]);
    assert_eq!(readings("/p;%2fz/q"), ["/p;/z/q", "/p/q", "/p/z/q"]);
    assert_eq!(readings("/a%2fb;x%2fc/d"), ["/a/b;x/c/d", "/a%2fb/d", "/a/b/d", "/a/b/c/d"]);
}

#[test]
fn a_host_has_one_form() {
    for (raw, clean) in [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("a_b-c.d", "a_b-c.d"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:443", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(clean_host(raw).as_deref(), Ok(clean), "{raw}");
    }
    assert!(matches!(clean_host("example.com.:80"), Ok(Cow::Borrowed(_))));
    assert!(matches!(clean_host("[::1]:80"), Ok(Cow::Borrowed(_))));
}

#[test]
fn everything_else_is_no_host() {
    use UncleanHost::{Character, Empty, Ipv6, Label, Port, TooLong};
    for (raw, why) in [
        ("", Empty),
        (".", Empty),
        (":80", Empty),
        ("a,b", Character),
        ("a b", Character),
        ("a\tb", Character),
        ("a\0", Character),
        ("user@a", Character),
        ("user:1@a", Port),
        ("a%2eb", Character),
        ("a/b", Character),
        ("ä", Character),
        ("a..b", Label),
        (".a", Label),
        ("a..", Label),
        ("a:", Port),
        ("a:0", Port),
        ("a:65536", Port),
        ("a:+80", Port),
        ("a:000080", Port),
        ("a:80:80", Port),
        ("::1", Port),
        ("[::1", Ipv6),
        ("[a]", Ipv6),
        ("[::1%25eth0]", Ipv6),
        ("[::1]x", Character),
        ("[::1]:", Port),
    ] {
        assert_eq!(clean_host(raw), Err(why), "{raw:?}");
        assert!(!why.detail().is_empty());
    }
    assert_eq!(clean_host(&"a".repeat(254)), Err(TooLong));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = CleanTarget::parse(&raw);
        let _ = clean_host(&String::from_utf8_lossy(&raw));
    }

    #[test]
    fn a_normalised_path_is_normal(raw in "/([a/.;%]|%2[eEfF]|%3b|%41|%c3%a4|//|\\.\\.){0,16}(\\?[a/.%]{0,4})?") {
        if let Ok(first) = CleanTarget::parse(raw.as_bytes()) {
            let again = CleanTarget::parse(first.path().as_bytes()).unwrap();
            prop_assert_eq!(again.path(), first.path());
            prop_assert!(!again.was_tidied());
            prop_assert!(again.readings().eq(first.readings()));
            let untidy = first.path().contains("//")
                || first.path().split('/').any(is_dot_segment);
            prop_assert!(!untidy);
            for reading in first.readings() {
                prop_assert!(reading.starts_with('/') && !reading.contains("//"));
                prop_assert!(!reading.split('/').any(is_dot_segment));
            }
        }
    }

    #[test]
    fn a_clean_host_is_clean(raw in "[a-zA-Z0-9.:\\[\\]_-]{0,12}") {
        if let Ok(first) = clean_host(&raw) {
            let again = clean_host(&first).unwrap();
            prop_assert_eq!(again, first.clone());
        }
    }
}
