//! Which route takes a request.

use super::*;

fn assert_found(table: &Table<String>, expected: &[(&str, &str)]) {
    for (request, name) in expected {
        assert_eq!(find(table, request), *name, "{request}");
    }
}

#[test]
fn a_path_takes_itself_and_what_lies_below_by_whole_segments() {
    let table = table(&[route("users", "/users"), route("me", "/users/me").exact()]);
    assert_found(
        &table,
        &[
            ("/users", "users"),
            ("/users/", "users"),
            ("/users/7/x", "users"),
            ("/%75sers/7", "users"),
            ("/users/me", "me"),
            ("/users/%6De", "me"),
            ("/users/me/", "users"),
            ("/users/me/x", "users"),
            ("/users2", "404"),
            ("/user", "404"),
            ("/Users", "404"),
            ("/", "404"),
            ("/x/users", "404"),
        ],
    );
}

#[test]
fn the_root_takes_everything_and_exactly_the_root_itself_only() {
    let everything = table(&[route("all", "/")]);
    assert_found(&everything, &[("/", "all"), ("/a", "all"), ("/a/b/", "all")]);
    let front = table(&[route("front", "/").exact()]);
    assert_found(&front, &[("/", "front"), ("/?x", "front"), ("/a", "404")]);
    let both = table(&[route("front", "/").exact(), route("all", "/")]);
    assert_found(&both, &[("/", "front"), ("/a", "all"), ("//", "front")]);
}

#[test]
fn a_capture_takes_one_segment_that_is_not_empty() {
    let table = table(&[route("order", "/users/{id}/orders"), route("root", "/{x}").exact()]);
    assert_found(
        &table,
        &[
            ("/users/7/orders", "order"),
            ("/users/7/orders/9", "order"),
            ("/users/a%20b/orders", "order"),
            ("/users//orders", "404"),
            ("/users/7", "404"),
            ("/users/7/8/orders", "404"),
            ("/7", "root"),
            ("/7/", "404"),
            ("/", "404"),
        ],
    );
}

#[test]
fn literals_beat_captures_from_the_left_and_longer_beats_shorter() {
    let table = table(&[
        route("all", "/"),
        route("user", "/users/{id}"),
        route("orders", "/users/{id}/orders"),
        route("me", "/users/me"),
        route("any-orders", "/{kind}/7/orders"),
        route("avatar", "/users/me/avatar").exact(),
    ]);
    assert_found(
        &table,
        &[
            ("/users", "all"),
            ("/users/", "all"),
            ("/users/7", "user"),
            ("/users/7/orders", "orders"),
            ("/users/me", "me"),
            ("/users/me/orders", "me"),
            ("/users/me/avatar", "avatar"),
            ("/users/me/avatar/x", "me"),
            ("/shops/7/orders", "any-orders"),
            ("/shops/8/orders", "all"),
        ],
    );
}

#[test]
fn a_literal_that_leads_nowhere_gives_way_to_a_capture() {
    let table = table(&[route("deep", "/a/b/c/d"), route("wide", "/a/{x}/c")]);
    assert_found(
        &table,
        &[("/a/b/c/d", "deep"), ("/a/b/c/e", "wide"), ("/a/b/c", "wide"), ("/a/b", "404")],
    );
}

#[test]
fn an_exact_host_beats_a_longer_wildcard_a_shorter_one_and_none() {
    let table = table(&[
        route("any", "/"),
        route("wide", "/").hosts("*.example.com"),
        route("narrow", "/").hosts("*.eu.example.com"),
        route("exact", "/shop").hosts("a.eu.example.com API.example.com"),
        route("v6", "/").hosts("[::1]"),
    ]);
    assert_found(
        &table,
        &[
            ("example.com/", "any"),
            ("/", "any"),
            ("b.example.com/", "wide"),
            ("c.b.example.com/", "wide"),
            ("eu.example.com/", "wide"),
            ("b.eu.example.com/", "narrow"),
            ("x.b.eu.example.com/", "narrow"),
            ("1.2.3.4.5.6.7.8.9.eu.example.com/", "narrow"),
            ("badexample.com/", "any"),
            ("a.eu.example.com/shop", "exact"),
            ("api.example.com/shop/x", "exact"),
            // The exact host has no route for this path, so the next group is asked.
            ("a.eu.example.com/", "narrow"),
            ("api.example.com/", "wide"),
            ("[::1]/", "v6"),
            ("[::2]/", "any"),
        ],
    );
}

#[test]
fn an_unknown_host_has_no_route() {
    let table = table(&[route("a", "/").hosts("a.com *.b.com")]);
    assert_found(&table, &[("a.com/", "a"), ("x.b.com/", "a"), ("b.com/", "404"), ("/", "404")]);
}

#[test]
fn a_wrong_method_is_told_what_would_do_and_leads_to_no_other_route() {
    let table = table(&[
        route("all", "/"),
        route("read", "/users").methods("GET"),
        route("write", "/users").methods("POST PURGE"),
        route("beta", "/users").methods("DELETE").headers("x-beta=1"),
        route("other-host", "/users").hosts("*.b.com").methods("PUT"),
    ]);
    assert_found(
        &table,
        &[
            ("GET /users", "read"),
            ("HEAD /users/7", "read"),
            ("POST /users", "write"),
            ("PURGE /users", "write"),
            ("PATCH /users", "405 GET, HEAD, POST, PURGE"),
            ("DELETE /users", "405 GET, HEAD, POST, PURGE"),
            ("PATCH /", "all"),
            ("GET a.b.com/users", "405 PUT"),
        ],
    );
    assert_eq!(find_with(&table, "DELETE /users", &[("x-beta", "1")]), "beta");
    let allow = "405 DELETE, GET, HEAD, POST, PURGE";
    assert_eq!(find_with(&table, "PATCH /users", &[("x-beta", "1")]), allow);
}

#[test]
fn more_conditions_come_first_then_methods() {
    let table = table(&[
        route("plain", "/a"),
        route("get", "/a").methods("GET"),
        route("v2", "/a").headers("x-version=2"),
        route("v2-json", "/a").headers("x-version=2").query("format=json"),
        route("v2-post", "/a").headers("x-version=2").methods("POST"),
        route("only", "/b").query("key=*"),
        route("all", "/"),
    ]);
    let v2 = [("X-Version", "2")];
    assert_eq!(find(&table, "/a"), "get");
    assert_eq!(find(&table, "PUT /a"), "plain");
    assert_eq!(find_with(&table, "/a", &v2), "v2");
    assert_eq!(find_with(&table, "POST /a", &v2), "v2-post");
    assert_eq!(find_with(&table, "POST /a?format=json", &v2), "v2-json");
    assert_eq!(find(&table, "/b?key"), "only");
    assert_eq!(find(&table, "/b"), "404", "the catch-all must not see what /b owns");
}

#[test]
fn a_value_that_is_demanded_must_be_the_only_one() {
    let table = table(&[
        route("one", "/h").headers("x-a=1"),
        route("two", "/h").headers("x-a=2"),
        route("there", "/p").headers("x-a=*"),
        route("q", "/q").query("a=x%y=z"),
        route("plus", "/plus").query("a=x+y"),
        route("space", "/space").query("näme=ok"),
        route("q1", "/q1").query("a=1"),
    ]);
    assert_eq!(find_with(&table, "/h", &[("x-a", "1")]), "one");
    assert_eq!(find_with(&table, "/h", &[("x-a", "2")]), "two");
    assert_eq!(find_with(&table, "/h", &[("x-a", "2"), ("x-a", "2")]), "two");
    assert_eq!(find_with(&table, "/h", &[("x-a", "1"), ("x-a", "2")]), "404");
    assert_eq!(find_with(&table, "/h", &[("x-a", "1, 2")]), "404");
    assert_eq!(find_with(&table, "/p", &[("x-a", "1"), ("x-a", "2")]), "there");
    for (request, name) in [
        ("/q?a=x%25y%3Dz", "q"),
        ("/q?a=x%y=z", "q"),
        ("/q?b=1&&a=x%y=z", "q"),
        ("/q?A=x%y=z", "404"),
        ("/plus?a=x%2By", "plus"),
        ("/plus?a=x+y", "404"),
        ("/space?n%C3%A4me=ok", "space"),
        ("/q1?a=1&a=1", "q1"),
        ("/q1?%61=1", "q1"),
        ("/q1?a=1&a=2", "404"),
        ("/q1?a=1&%61=2", "404"),
        ("/q1?a", "404"),
        ("/q1?a=1;a=1", "404"),
    ] {
        assert_eq!(find(&table, request), name, "{request}");
    }
}

#[test]
fn the_order_of_the_file_does_not_matter() {
    let mut routes = vec![
        route("all", "/"),
        route("user", "/users/{id}"),
        route("me", "/users/me"),
        route("get", "/users/me").methods("GET"),
        route("beta", "/users/{name}").headers("x-beta=*"),
    ];
    for _ in 0..routes.len() {
        routes.rotate_left(1);
        let table = table(&routes);
        assert_eq!(find(&table, "/users/me"), "get");
        assert_eq!(find(&table, "PUT /users/me"), "me");
        assert_eq!(find_with(&table, "/users/7", &[("x-beta", "")]), "beta");
        assert_eq!(find(&table, "/users/7"), "user");
    }
}

#[test]
fn captures_have_the_names_of_the_route_that_was_chosen() {
    let table = table(&[
        route("get", "/a/{one}/{two}").methods("GET"),
        route("post", "/a/{x}/{y}").methods("POST"),
        route("dead-end", "/a/{p}/{q}/{r}/end"),
    ]);
    let target = CleanTarget::parse(b"//a/%41/b;c/d?x").unwrap();
    let headers = HeaderMap::new();
    let mut seen = Vec::new();
    for method in [Method::GET, Method::POST] {
        let request = Request { host: "", method: &method, target: &target, headers: &headers };
        let Found::Route(matched) = table.find(&request) else { panic!("{method}") };
        assert_eq!(&target.path()[..matched.matched_len], "/a/%41/b;c");
        assert_eq!(matched.captures.get("nobody", matched.path, target.path()), None);
        assert_eq!(matched.captures.len(), 2);
        seen.extend(matched.path.captures().map(|name| {
            let took = matched.captures.get(name, matched.path, target.path());
            format!("{name}={}", took.unwrap())
        }));
    }
    assert_eq!(seen, ["one=%41", "two=b;c", "x=%41", "y=b;c"]);
}

#[test]
fn long_segments_are_told_apart() {
    let long = "s".repeat(200);
    let paths = [format!("/{long}a"), format!("/{long}b"), format!("/{long}"), "/s".into()];
    let routes: Vec<_> = paths.iter().map(|path| route(path, path)).collect();
    let table = table(&routes);
    for path in &paths {
        assert_eq!(find(&table, path), *path);
        assert_eq!(find(&table, &format!("{path}/x")), *path);
    }
    assert_eq!(find(&table, &format!("/{long}c")), "404");
}

#[test]
fn a_hostile_path_enters_no_more_nodes_than_stated() {
    // All paths of eight segments that are `a` or a capture: a path of `a` that fails at the end only.
    let routes: Vec<_> = (0..256_u32)
        .map(|bits| {
            let segments = (0..8).map(|at| {
                if bits >> at & 1 == 0 { "/a".to_owned() } else { format!("/{{c{at}}}") }
            });
            route(&format!("r{bits}"), &(segments.collect::<String>() + "/end")).exact()
        })
        .collect();
    let full = table(&routes);
    // The tree has 2^9 - 1 nodes, and 256 more that end it, of which one search enters all.
    assert_eq!(full.worst_case(), 511 + 256);
    assert_eq!(find(&full, "/a/a/a/a/a/a/a/a/end"), "r0");
    assert_eq!(find(&full, "/a/a/a/a/a/a/a/b/end"), "r128");
    assert_eq!(find(&full, "/a/a/a/a/a/a/a/a/x"), "404");
    let plain = table(&[route("a", "/a/b/c"), route("b", "/a/c"), route("c", "/b")]);
    assert_eq!(plain.worst_case(), 4);
}

#[test]
fn routes_that_can_not_be_told_apart_are_refused_with_both_names() {
    let refused = [
        [route("a", "/x"), route("b", "/x")],
        [route("a", "/x/{one}"), route("b", "/x/{two}")],
        [route("a", "/%78"), route("b", "/x")],
        [route("a", "/x").exact(), route("b", "/x").exact()],
        [route("a", "/x").methods("GET POST"), route("b", "/x").methods("POST")],
        [route("a", "/x").methods("GET"), route("b", "/x").methods("HEAD")],
        [route("a", "/x").headers("k=1"), route("b", "/x").headers("j=1")],
        [route("a", "/x").headers("k=1"), route("b", "/x").headers("K=*")],
        [route("a", "/x").headers("k=1"), route("b", "/x").query("k=2")],
        [route("a", "/x").hosts("h.com i.com"), route("b", "/x").hosts("j.com H.com")],
        [route("a", "/x").hosts("*.h.com"), route("b", "/x").hosts("*.h.com")],
    ];
    for [a, b] in refused {
        let clashes = try_table(&[b.clone(), a.clone()]).err().unwrap_or_default();
        let said: Vec<String> = clashes.iter().map(ToString::to_string).collect();
        let path = &a.path;
        let all = format!("routes \"a\" and \"b\" can't be told apart: both take {path}");
        assert_eq!(said, [all], "{a:?} {b:?}");
    }
}

#[test]
fn each_route_is_reported_once_however_many_hosts_it_shares_with_others() {
    let on = |name: &str| route(name, "/x").hosts("a.com b.com *.c.com a.com");
    let clashes = try_table(&[on("three"), on("one"), on("two")]).err().unwrap_or_default();
    let names: Vec<_> = clashes.iter().map(|c| format!("{}-{}", c.first, c.second)).collect();
    assert_eq!(names, ["one-three", "one-two"]);
    // All pairs of as many would be millions.
    let many: Vec<_> = (0..2000).map(|n| on(&format!("r{n}"))).collect();
    assert_eq!(try_table(&many).err().map(|clashes| clashes.len()), Some(1999));
}

#[test]
fn routes_that_can_be_told_apart_are_not_refused() {
    for [a, b] in [
        [route("a", "/x"), route("b", "/x").exact()],
        [route("a", "/x"), route("b", "/x").methods("GET")],
        [route("a", "/x"), route("b", "/x").headers("k=1")],
        [route("a", "/x").headers("k=1"), route("b", "/x").headers("k=2")],
        [route("a", "/x").query("k=1"), route("b", "/x").query("k=2")],
        [route("a", "/x").methods("GET"), route("b", "/x").methods("POST")],
        [route("a", "/x").methods("PURGE"), route("b", "/x").methods("BAN")],
        [route("a", "/x").headers("k=1"), route("b", "/x").headers("k=1").query("j=1")],
        [route("a", "/x").hosts("h.com"), route("b", "/x").hosts("*.h.com")],
        [route("a", "/x").hosts("h.com"), route("b", "/x")],
        [route("a", "/{x}"), route("b", "/x")],
        [route("a", "/%7Bx%7D"), route("b", "/{x}")],
    ] {
        assert!(try_table(&[a.clone(), b.clone()]).is_ok(), "{a:?} {b:?}");
    }
}

#[test]
fn a_route_whose_requests_are_all_ambiguous_is_shadowed() {
    let shadows = |routes: &[Written]| -> Vec<String> {
        let said = |s: &crate::route::Shadow| format!("{} by {}", s.shadowed, s.by);
        table(routes).shadows().iter().map(said).collect()
    };
    assert_eq!(shadows(&[route("a", "/a;v=1"), route("all", "/")]), ["a by all"]);
    assert_eq!(shadows(&[route("a", "/{x}/b%2fc"), route("b", "/{y}/b")]), ["a by b"]);
    assert_eq!(shadows(&[route("a", "/a;v=1").exact(), route("b", "/a").exact()]), ["a by b"]);
    // Only the path itself is in the way, not those below it.
    assert!(shadows(&[route("a", "/a;v=1"), route("b", "/a").exact()]).is_empty());
    assert!(shadows(&[route("a", "/a;v=1"), route("b", "/b")]).is_empty());
    assert!(
        shadows(&[route("a", "/a;v=1").hosts("a.com b.com"), route("b", "/").hosts("a.com")])
            .is_empty()
    );
    let table = table(&[route("a", "/a;v=1"), route("all", "/")]);
    assert_eq!(find(&table, "/a;v=1"), "400");
    assert_eq!(find(&table, "/a;v=1/x"), "400");
}
