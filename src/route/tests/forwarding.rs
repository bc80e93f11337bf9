//! Which path is sent, and how the upstream's paths come back.

use proptest::prelude::*;

use super::*;
use crate::route::{Forwarded, Forwarding, StripPrefix};

fn strip(yaml: &str) -> StripPrefix {
    serde_yaml::from_str(yaml).unwrap()
}

fn compile(
    path: &Written,
    strip: Option<&str>,
    rewrite: Option<&str>,
) -> Result<Forwarding, String> {
    let mut diagnostics = Diagnostics::new();
    let strip = strip.map(self::strip);
    let at = At::root().key("r");
    let compiled =
        Forwarding::compile(strip.as_ref(), rewrite, path.rule().path(), &at, &mut diagnostics);
    assert_eq!(compiled.is_none(), diagnostics.has_errors());
    compiled.ok_or_else(|| {
        let text = diagnostics.render("f").replace("f: error: r.", "");
        text.replace("\n    help: ", " -> ").trim_end().to_owned()
    })
}

/// What becomes of a request that the route takes.
fn forward<R>(path: &Written, how: &Forwarding, raw: &str, then: impl Fn(Forwarded<'_>) -> R) -> R {
    let table = table(std::slice::from_ref(path));
    let target = CleanTarget::parse(raw.as_bytes()).unwrap();
    let (method, headers) = (Method::GET, HeaderMap::new());
    let request = Request { host: "", method: &method, target: &target, headers: &headers };
    let Found::Route(matched) = table.find(&request) else { panic!("{raw} is not taken") };
    then(how.apply(&target, &matched.captures, matched.matched_len))
}

fn sent(path: &Written, how: &Forwarding, raw: &str) -> String {
    forward(path, how, raw, |forwarded| {
        assert_eq!(forwarded.prefixes.is_none(), how.keeps());
        forwarded.path.into_owned()
    })
}

#[test]
fn the_matched_part_is_cut_off() {
    let users = route("users", "/users");
    let user = route("user", "/users/{id}");
    let root = route("root", "/");
    let exact = route("exact", "/a/b").exact();
    for (path, raw, expected) in [
        (&users, "/users/profile", "/profile"),
        (&users, "/users", "/"),
        (&users, "/users/", "/"),
        (&users, "/users/a/", "/a/"),
        (&users, "/%75sers/%41%2f;x", "/%41%2f;x"),
        (&users, "//users//x/../y", "/y"),
        (&user, "/users/7/x", "/x"),
        (&user, "/users/%37", "/"),
        (&root, "/", "/"),
        (&root, "/a/b", "/a/b"),
        (&exact, "/a/b", "/"),
    ] {
        let how = compile(path, Some("true"), None).unwrap();
        assert_eq!(sent(path, &how, raw), expected, "{raw}");
    }
}

#[test]
fn a_leading_part_is_cut_off() {
    let users = route("users", "/api/v1/users/{id}");
    for (part, raw, expected) in [
        ("/api", "/api/v1/users/7/x", "/v1/users/7/x"),
        ("/api/v1", "/api/v1/users/7", "/users/7"),
        ("/%61pi/v1", "/api/%761/users/7", "/users/7"),
        ("/api/v1/users", "/api/v1/users/7", "/7"),
    ] {
        let how = compile(&users, Some(part), None).unwrap();
        assert_eq!(sent(&users, &how, raw), expected, "{part} {raw}");
    }
    let api = route("api", "/api");
    let how = compile(&api, Some("/api"), None).unwrap();
    assert_eq!(sent(&api, &how, "/api"), "/");
    assert_eq!(sent(&api, &how, "/api/"), "/");
}

#[test]
fn the_matched_part_is_replaced() {
    let user = route("user", "/users/{id}/{part}");
    let root = route("root", "/");
    let front = route("front", "/").exact();
    for (path, rewrite, raw, expected) in [
        (&user, "/v2/${path.part}/of-${path.id}", "/users/7/a%2Fb/x/", "/v2/a%2Fb/of-7/x/"),
        (&user, "/v2", "/users/7/a", "/v2"),
        (&user, "/", "/users/7/a", "/"),
        (&user, "/", "/users/7/a/b", "/b"),
        (&user, "/$x/${path.id}", "/users/7/a", "/$x/7"),
        (&root, "/v2", "/", "/v2/"),
        (&root, "/v2", "/x", "/v2/x"),
        (&front, "/home", "/", "/home"),
    ] {
        let how = compile(path, None, Some(rewrite)).unwrap();
        assert_eq!(sent(path, &how, raw), expected, "{rewrite} {raw}");
    }
}

#[test]
fn a_path_that_is_kept_is_borrowed() {
    let users = route("users", "/users");
    for strip in [None, Some("false")] {
        let how = compile(&users, strip, None).unwrap();
        assert!(how.keeps());
        assert_eq!(sent(&users, &how, "/users/%41//b"), "/users/%41/b");
    }
    let how = compile(&users, Some("true"), None).unwrap();
    assert!(forward(&users, &how, "/users/x", |f| matches!(
        f.path,
        std::borrow::Cow::Borrowed("/x")
    )));
}

#[test]
fn paths_of_the_upstream_are_mapped_back() {
    let users = route("users", "/api/users");
    let user = route("user", "/users/{id}");
    let root = route("root", "/");
    for (path, strip, rewrite, raw, upstream, public) in [
        (&users, Some("true"), None, "/api/users", "/profile", Some("/api/users/profile")),
        (&users, Some("true"), None, "/api/users/x", "/", Some("/api/users/")),
        (&users, Some("true"), None, "/api/users", "/a/?b#c", Some("/api/users/a/?b#c")),
        (&users, Some("true"), None, "/api/users", "/a?../", Some("/api/users/a?../")),
        (&users, Some("true"), None, "/api/users", "//evil.com/", None),
        (&users, Some("true"), None, "/api/users", "relative", None),
        (&users, Some("true"), None, "/api/users", "", None),
        (&users, Some("true"), None, "/api/users", "/../x", None),
        (&users, Some("/api"), None, "/api/users/x", "/users/x/", Some("/api/users/x/")),
        (&users, Some("/api"), None, "/%61pi/users/x", "/users/x/", Some("/%61pi/users/x/")),
        (&user, None, Some("/v2/p/${path.id}"), "/users/7/x", "/v2/p/7/x/", Some("/users/7/x/")),
        (&user, None, Some("/v2/p/${path.id}"), "/users/%41", "/v2/p/A/", Some("/users/%41/")),
        (&user, None, Some("/v2/p/${path.id}"), "/users/7", "/v2/p/7?x", Some("/users/7?x")),
        (&user, None, Some("/v2/p/${path.id}"), "/users/7", "/v2/p/77", None),
        (&user, None, Some("/v2/p/${path.id}"), "/users/7", "/v2/p", None),
        (&user, None, Some("/v2/p/${path.id}"), "/users/7", "/login", None),
        (&root, None, Some("/v2"), "/x", "/v2/y", Some("/y")),
        (&root, None, Some("/v2"), "/x", "/v2", Some("/")),
        (&root, None, Some("/v2"), "/x", "/v2?y", Some("/?y")),
    ] {
        let how = compile(path, strip, rewrite).unwrap();
        let prefixes = forward(path, &how, raw, |f| f.prefixes.unwrap());
        assert_eq!(prefixes.to_public(upstream).as_deref(), public, "{raw} {upstream}");
    }
}

#[test]
fn mistakes_are_told() {
    let user = route("user", "/api/users/{id}");
    for (strip, rewrite, expected) in [
        (Some("true"), Some("/x"), "rewrite: can't stand beside `strip_prefix`"),
        (Some("/"), None, "strip_prefix: \"/\" leaves nothing to strip"),
        (
            Some("api"),
            None,
            "strip_prefix: \"api\" is no leading part of \"/api/users/{id}\" -> write \"/api\"",
        ),
        (Some("/api/"), None, "strip_prefix: \"/api/\" is no leading part"),
        (Some("/ap"), None, "strip_prefix: \"/ap\" is no leading part"),
        (Some("/users"), None, "strip_prefix: \"/users\" is no leading part"),
        (Some("/api/users/7"), None, "strip_prefix: \"/api/users/7\" is no leading part"),
        (Some("/api/users/x/y"), None, "strip_prefix: \"/api/users/x/y\" is no leading part"),
        (
            Some("/api/users/{id}"),
            None,
            "strip_prefix: \"/api/users/{id}\" is no leading part of \"/api/users/{id}\" -> name the segments before",
        ),
        (None, Some("v2"), "rewrite: \"v2\" does not begin with a slash -> write \"/v2\""),
        (None, Some("/v2/"), "rewrite: \"/v2/\" ends with a slash"),
        (None, Some("/v2?x=1"), "rewrite: \"/v2?x=1\" contains a query"),
        (None, Some("/v2#x"), "rewrite: \"/v2#x\" is not a clean path"),
        (None, Some("/v2//x"), "rewrite: \"/v2//x\" is not a clean path"),
        (None, Some("/v2/../x"), "rewrite: \"/v2/../x\" is not a clean path"),
        (None, Some("/v2/%zz"), "rewrite: \"/v2/%zz\" is not a clean path"),
        (None, Some("/v2/.${path.id}"), "rewrite: \"/v2/.${path.id}\" is not a clean path"),
        (None, Some("/v2/${path.id}.."), "rewrite: \"/v2/${path.id}..\" is not a clean path"),
        (
            None,
            Some("/v2/{id}"),
            "rewrite: \"/v2/{id}\" has a brace outside of ${...} -> write what",
        ),
        (None, Some("/v2/${path.id"), "rewrite: \"/v2/${path.id\" has a ${ that is not closed"),
        (
            None,
            Some("/v2/${path.ids}"),
            "rewrite: the path \"/api/users/{id}\" has no capture \"ids\"",
        ),
        (None, Some("/v2/${client.ip}"), "rewrite: ${client.ip} can't be used in a path"),
    ] {
        let said = compile(&user, strip, rewrite).err().unwrap_or_default();
        assert!(said.starts_with(expected) && said.contains(" -> "), "{said}\n not {expected}");
    }
}

#[test]
fn strip_prefix_is_read_and_written_as_in_the_file() {
    for (yaml, value) in [
        ("true", StripPrefix::Whole),
        ("false", StripPrefix::Nothing),
        ("/api", StripPrefix::Part("/api".to_owned())),
    ] {
        assert_eq!(strip(yaml), value);
        assert_eq!(serde_yaml::to_string(&value).unwrap().trim(), yaml);
    }
    let error = serde_yaml::from_str::<StripPrefix>("[a]").unwrap_err().to_string();
    assert!(error.contains("expected true, false, or a path such as /api"), "{error}");
}

proptest! {
    /// Whatever is asked, the path that is sent is a clean one, and it maps back to what was asked.
    #[test]
    fn what_is_sent_is_clean_and_maps_back(
        rest in "(/?([a;.]|%2f|%41){0,3}){0,4}",
        id in "([a;.x]|%2f|%3b|%41){1,4}",
        kind in 0..5,
    ) {
        let path = route("r", "/api/{id}");
        let (strip, rewrite) = [
            (Some("true"), None),
            (Some("/api"), None),
            (None, Some("/")),
            (None, Some("/v2/${path.id}")),
            (None, Some("/v2/a${path.id}${path.id}-")),
        ][usize::try_from(kind).unwrap()];
        let how = compile(&path, strip, rewrite).unwrap();
        let raw = format!("/api/{id}/{rest}");
        let table = table(std::slice::from_ref(&path));
        if find(&table, &raw) == "r" {
            let public = CleanTarget::parse(raw.as_bytes()).unwrap().path().to_owned();
            let (sent, back) = forward(&path, &how, &raw, |f| {
                let back = f.prefixes.as_ref().unwrap().to_public(&f.path);
                (f.path.into_owned(), back)
            });
            let again = CleanTarget::parse(sent.as_bytes()).unwrap();
            prop_assert_eq!(again.path(), &*sent);
            let back = back.unwrap();
            prop_assert!(back == public || back == public + "/");
        }
    }
}
