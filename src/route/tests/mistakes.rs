//! What the keys of a route may not say, and what is then said.

use super::*;

fn complaint(route: &Written) -> String {
    let mut diagnostics = Diagnostics::new();
    let rule = route.compile(&mut diagnostics);
    assert_eq!(rule.is_none(), diagnostics.has_errors());
    let text = diagnostics.render("f");
    text.replace("f: error: routes.r.", "").replace("\n    help: ", " -> ").trim_end().to_owned()
}

fn assert_complaints(cases: Vec<(Written, &str)>) {
    for (written, expected) in cases {
        let said = complaint(&written);
        assert!(said.starts_with(expected), "{written:?}\n  said {said}\n  not  {expected}");
        assert!(
            expected.is_empty() == said.is_empty() && (said.is_empty() || said.contains(" -> "))
        );
    }
}

#[test]
fn paths() {
    let path = |text: &str| route("r", text);
    assert_complaints(vec![
        (path("/a/{id}/b.c/%C3%A4/{_x9}"), ""),
        (path(""), "path: \"\" does not begin with a slash -> write \"/\""),
        (path("users"), "path: \"users\" does not begin with a slash -> write \"/users\""),
        (
            path("http://h/users"),
            "path: \"http://h/users\" does not begin with a slash -> write the path alone",
        ),
        (
            path("/users/"),
            "path: \"/users/\" ends with a slash -> leave it out: \"/users\" takes /users and",
        ),
        (
            path("/users/*"),
            "path: \"/users/*\" contains a `*` -> \"/users\" takes /users and all paths below",
        ),
        (path("/*/x"), "path: \"/*/x\" contains a `*`"),
        (path("/*"), "path: \"/*\" contains a `*`"),
        (
            path("/a?x=1"),
            "path: \"/a?x=1\" contains a query -> write it as `query: { key: value }`",
        ),
        (path("/a#x"), "path: \"/a#x\" can never be matched"),
        (path("/a//b"), "path: \"/a//b\" repeats a slash"),
        (path("/a/../b"), "path: \"/a/../b\" contains a dot segment"),
        (path("/a/%2e"), "path: \"/a/%2e\" contains a dot segment"),
        (path("/a/..;x"), "path: \"/a/..;x\" can never be matched"),
        (path("/a\\b"), "path: \"/a\\\\b\" can never be matched"),
        (path("/a%00"), "path: \"/a%00\" can never be matched"),
        (path("/a b"), "path: \"/a b\" can never be matched"),
        (path("/a%2"), "path: \"/a%2\" contains a broken percent-encoding"),
        (path("/a%ff"), "path: \"/a%ff\" contains a broken percent-encoding"),
        (
            path("/ä"),
            "path: \"/ä\" contains a character outside ASCII -> write it percent-encoded: \"/%C3%A4\"",
        ),
        (path("/a{id}"), "path: \"a{id}\" is only partly a capture"),
        (path("/{a}{b}"), "path: \"{a}{b}\" is only partly a capture"),
        (path("/{a/b}"), "path: \"{a\" has a brace without its partner"),
        (path("/a}"), "path: \"a}\" has a brace without its partner"),
        (path("/}a{"), "path: \"}a{\" is only partly a capture"),
        (path("/{}"), "path: \"\" is not a name for a capture"),
        (path("/{Id}"), "path: \"Id\" is not a name for a capture"),
        (path("/{1}"), "path: \"1\" is not a name for a capture"),
        (path("/{a-b}"), "path: \"a-b\" is not a name for a capture"),
        (path("/{id}/x/{id}"), "path: {id} stands in the path twice"),
        (path("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}"), ""),
        (
            path("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"),
            "path: a path has at most 8 captures and 64 segments",
        ),
        (path(&"/a".repeat(65)), "path: a path has at most 8 captures and 64 segments"),
    ]);
}

#[test]
fn hosts() {
    let host = |text: &str| route("r", "/").hosts(text);
    assert_complaints(vec![
        (host("a.com *.b.com LOCALHOST 10.0.0.1 [::1]"), ""),
        (host("*"), "host: \"*\" is not a host -> leave `host` out to take every host"),
        (
            host("a.com b.com:80"),
            "host[1]: \"b.com:80\" is not a host -> write the name alone, without a port",
        ),
        (
            host("[::1]:80"),
            "host: \"[::1]:80\" is not a host -> write the name alone, without a port",
        ),
        (
            host("::1"),
            "host: \"::1\" is not a host -> write an IPv6 address in brackets: \"[::1]\"",
        ),
        (
            host("https://a.com/x"),
            "host: \"https://a.com/x\" is not a host -> write the name alone, without a scheme: \"a.com\"",
        ),
        (host("a.*.com"), "host: \"a.*.com\" is not a host -> a `*` stands alone"),
        (host("*a.com"), "host: \"*a.com\" is not a host -> a `*` stands alone"),
        (host("*.*.com"), "host: \"*.*.com\" is not a host -> a `*` stands alone"),
        (host("a..com"), "host: \"a..com\" is not a host -> write a host like"),
        (host("a,b"), "host: \"a,b\" is not a host"),
        (
            host("ä.de"),
            "host: \"ä.de\" is not a host -> write an international name in its ASCII form",
        ),
    ]);
}

#[test]
fn methods() {
    let methods = |text: &str| route("r", "/").methods(text);
    assert_complaints(vec![
        (methods("GET POST PURGE M-SEARCH GET"), ""),
        (
            methods("GET post"),
            "methods[1]: \"post\" is not a method -> methods are written in upper case: POST",
        ),
        (methods("*"), "methods[0]: \"*\" is not a method -> leave `methods` out"),
        (methods("GET,POST"), "methods[0]: \"GET,POST\" is not a method -> write a method like"),
        (methods("CONNECT"), "methods[0]: CONNECT is never forwarded"),
        (methods("TRACE"), "methods[0]: TRACE is never forwarded"),
    ]);
}

#[test]
fn predicates() {
    let mut no_key = route("r", "/");
    no_key.query.insert(String::new(), "x".to_owned());
    let mut line_break = route("r", "/");
    line_break.headers.insert("x-a".to_owned(), "a\nb".to_owned());
    assert_complaints(vec![
        (route("r", "/").headers("X-A=1 x-b=*").query("a=* b="), ""),
        (route("r", "/").headers("x@y=1"), "headers.x@y: \"x@y\" is not a header name"),
        (
            route("r", "/").headers("Host=a"),
            "headers.Host: \"Host\" is not a condition -> write it as `host",
        ),
        (route("r", "/").headers("X-A=1 x-a=2"), "headers.x-a: \"x-a\" stands here twice"),
        (line_break, "headers.x-a: \"x-a\" asks for a value that no header has"),
        (no_key, "query.\"\": the key is empty"),
    ]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let bad = route("r", "x").hosts("*").methods("get").headers("a@b=1");
    let mut diagnostics = Diagnostics::new();
    assert!(bad.compile(&mut diagnostics).is_none());
    assert_eq!(diagnostics.len(), 4);
}

#[test]
fn a_pattern_tells_its_captures() {
    let rule = route("r", "/a/{one}/{two}").exact().rule();
    assert_eq!(rule.path().captures().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((rule.path().as_str(), rule.path().is_exact()), ("/a/{one}/{two}", true));
}
