//! Open routes that take what a guarded route took: the hole that a look at one route by itself does not show.

use super::Change;
use super::routes::auth;
use crate::config::{Config, RouteConfig};

/// A route that sends requests on, ready to be compared.
struct Way<'a> {
    name: &'a str,
    route: &'a RouteConfig,
    segments: Vec<&'a str>,
    open: bool,
}

/// In the order of their names.
fn ways(config: &Config) -> Vec<Way<'_>> {
    let forwards = config.routes.iter().filter(|(_, route)| route.to.is_some());
    forwards
        .map(|(name, route)| Way {
            name,
            route,
            segments: segments(&route.path),
            open: auth(config, route).is_none(),
        })
        .collect()
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

pub(super) fn compare(old: &Config, new: &Config) -> Vec<Change> {
    let (before, after) = (ways(old), ways(new));
    let named = |ways: &'_ [Way<'_>], name: &str| ways.binary_search_by(|way| way.name.cmp(name));
    let mut changes = Vec::new();
    for open in after.iter().filter(|way| way.open) {
        let was = named(&before, open.name).map(|at| &before[at]);
        let known = was.is_ok_and(|was| was.open && covers(was, open));
        for guarded in before.iter().filter(|way| !way.open && way.name != open.name) {
            let still = || {
                let now = named(&after, guarded.name).map(|at| &after[at]);
                now.is_ok_and(|now| !now.open && covers(now, guarded))
            };
            let inside = !known && covers(guarded, open);
            let around = covers(open, guarded) && !still();
            if inside || around {
                changes.push(Change {
                    about: "route",
                    names: vec![open.name.to_owned()],
                    what: format!(
                        "is open and takes requests that {} asked a credential for",
                        guarded.name
                    ),
                    weaker_auth: true,
                });
            }
        }
    }
    changes
}

/// Whether every request that `inner` takes could be one of `outer`'s.
fn covers(outer: &Way<'_>, inner: &Way<'_>) -> bool {
    let (wide, narrow) = (outer.route, inner.route);
    let path = if wide.exact {
        narrow.exact && outer.segments.len() == inner.segments.len()
    } else {
        outer.segments.len() <= inner.segments.len()
    };
    path && outer.segments.iter().zip(&inner.segments).all(|(a, b)| a.starts_with('{') || a == b)
        && listed(&wide.methods, &narrow.methods, |a, b| a == b)
        && listed(&wide.host.0, &narrow.host.0, host_covers)
        && wide.headers.iter().all(|(name, value)| narrow.headers.get(name) == Some(value))
        && wide.query.iter().all(|(name, value)| narrow.query.get(name) == Some(value))
}

/// Whether each word of the narrow list is meant by one of the wide one; an empty list means all.
fn listed(wide: &[String], narrow: &[String], means: impl Fn(&str, &str) -> bool) -> bool {
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|n| wide.iter().any(|w| means(w, n)))
}

fn host_covers(wide: &str, narrow: &str) -> bool {
    wide.eq_ignore_ascii_case(narrow)
        || wide
            .strip_prefix('*')
            .is_some_and(|end| narrow.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase()))
}
