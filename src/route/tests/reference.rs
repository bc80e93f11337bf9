//! The table against the rules of precedence as one would write them down, over all routes in turn.

use proptest::prelude::*;

use super::*;

/// The bytes that a piece of text stands for, by a second hand.
fn decoded(text: &str) -> String {
    text.replace("%61", "a").replace("%2f", "/").replace("%3b", ";")
}

/// How well a pattern fits: for each segment, whether it is a literal.
fn fit(route: &Written, path: &str) -> Option<Vec<bool>> {
    let pattern: Vec<_> = route.path.split('/').filter(|s| !s.is_empty()).collect();
    let path: Vec<_> = path.split('/').skip(1).collect();
    let mut path = path.as_slice();
    if path == [""] {
        path = &[];
    }
    if path.len() < pattern.len() || route.exact && path.len() != pattern.len() {
        return None;
    }
    let fits = |(want, got): (&&str, &&str)| {
        let literal = !want.starts_with('{');
        let fits = if literal { decoded(want) == decoded(got) } else { !got.is_empty() };
        fits.then_some(literal)
    };
    pattern.iter().zip(path).map(fits).collect()
}

/// How well a host fits: 0 for any, more for more labels, most for exact.
fn host_fit(route: &Written, host: &str) -> Option<usize> {
    if route.hosts.is_empty() {
        return Some(0);
    }
    let fits = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => {
            (host.ends_with(suffix) && host.len() > suffix.len()).then(|| suffix.split('.').count())
        }
        None => (pattern == host).then_some(usize::MAX),
    };
    route.hosts.iter().filter_map(fits).max()
}

/// The routes at the most specific path of the most specific host.
fn owners<'a>(routes: &'a [Written], host: &str, path: &str) -> Vec<&'a Written> {
    let fits = routes.iter().filter_map(|route| {
        Some(((host_fit(route, host)?, fit(route, path)?, route.exact), route))
    });
    let fits: Vec<_> = fits.collect();
    let best = fits.iter().map(|(fit, _)| fit.clone()).max();
    fits.into_iter().filter(|(fit, _)| Some(fit) == best.as_ref()).map(|(_, route)| route).collect()
}

fn expected(routes: &[Written], method: &str, host: &str, raw: &str, beta: Option<&str>) -> String {
    let target = CleanTarget::parse(raw.as_bytes()).unwrap();
    let owners = owners(routes, host, target.path());
    let holds = |route: &&&Written| {
        route.headers.iter().all(|(_, want)| want == "*" && beta.is_some() || beta == Some(want))
            && route.query.iter().all(|(k, v)| target.query() == Some(&format!("{k}={v}")))
    };
    let takes = |route: &&&Written| {
        let has = |m: &str| route.methods.iter().any(|known| known == m);
        route.methods.is_empty() || has(method) || method == "HEAD" && has("GET")
    };
    let mut holding: Vec<_> = owners.iter().filter(holds).collect();
    holding.sort_by_key(|r| {
        (std::cmp::Reverse(r.headers.len() + r.query.len()), r.methods.is_empty())
    });
    match holding.iter().copied().find(|r| takes(r)) {
        Some(route) => {
            let mine: Vec<_> = owners.iter().map(|r| &r.name).collect();
            let elsewhere = target.readings().any(|reading| {
                let other = self::owners(routes, host, reading);
                other.first().is_some_and(|r| !mine.contains(&&r.name))
                    // The same route may own a reading at another of its hosts.
                    || !other.is_empty() && host_of(&other, host) != host_of(&owners, host)
            });
            if elsewhere { "400".to_owned() } else { route.name.clone() }
        }
        None if holding.is_empty() => "404".to_owned(),
        None => {
            let mut allow: Vec<&str> = Vec::new();
            for method in holding.iter().flat_map(|route| &route.methods) {
                allow.push(method);
                allow.extend((method == "GET").then_some("HEAD"));
            }
            allow.sort_unstable();
            allow.dedup();
            format!("405 {}", allow.join(", "))
        }
    }
}

fn host_of(routes: &[&Written], host: &str) -> Option<usize> {
    routes.first().and_then(|route| host_fit(route, host))
}

fn any_route() -> impl Strategy<Value = Written> {
    let hosts = prop::sample::subsequence(vec!["x.com", "a.x.com", "*.x.com", "*.b.x.com"], 0..3);
    let segment = prop::sample::select(vec!["a", "b", "%61", "{}", "{}"]);
    let path = prop::collection::vec(segment, 0..4);
    let methods = prop::sample::subsequence(vec!["GET", "POST", "PURGE"], 0..2);
    let beta = prop::option::weighted(0.3, prop::sample::select(vec!["1", "2", "*"]));
    let query = prop::option::weighted(0.2, prop::sample::select(vec!["1", "2"]));
    (hosts, path, any::<bool>(), methods, beta, query).prop_map(
        |(hosts, path, exact, methods, beta, query)| {
            let path: Vec<String> = path
                .iter()
                .enumerate()
                .map(|(at, s)| if *s == "{}" { format!("{{c{at}}}") } else { (*s).to_owned() })
                .collect();
            Written {
                name: String::new(),
                hosts: hosts.into_iter().map(str::to_owned).collect(),
                path: format!("/{}", path.join("/")),
                exact,
                methods: methods.into_iter().map(str::to_owned).collect(),
                headers: beta.map(|v| ("x-beta".to_owned(), v.to_owned())).into_iter().collect(),
                query: query.map(|v| ("q".to_owned(), v.to_owned())).into_iter().collect(),
            }
        },
    )
}

/// A table's worth of routes: each is kept that does not clash with those before it.
fn any_routes() -> impl Strategy<Value = Vec<Written>> {
    prop::collection::vec(any_route(), 1..16).prop_map(|all| {
        let mut kept: Vec<Written> = Vec::new();
        for (at, mut route) in all.into_iter().enumerate() {
            route.name = format!("r{at}");
            kept.push(route);
            if try_table(&kept).is_err() {
                kept.pop();
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_agrees_with_the_rules(
        routes in any_routes(),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PURGE", "PUT"]),
        host in prop::sample::select(vec!["", "x.com", "a.x.com", "b.x.com", "c.b.x.com", "y.com"]),
        path in "(/(a|b|c|%61|a%2fb|;|a;b|%2f|b%3b)){1,5}/?",
        query in prop::sample::select(vec!["", "?q=1", "?q=2", "?p=1"]),
        beta in prop::option::of(prop::sample::select(vec!["1", "2", "3"])),
    ) {
        let table = table(&routes);
        let headers: Vec<_> = beta.map(|value| ("x-beta", value)).into_iter().collect();
        let raw = format!("{path}{query}");
        let found = find_with(&table, &format!("{method} {host}{raw}"), &headers);
        prop_assert_eq!(found, expected(&routes, method, host, &raw, beta));
    }
}
