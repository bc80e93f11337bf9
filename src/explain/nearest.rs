//! The nearest miss of a request that no route takes: which one thing to change so that one would.

use std::sync::Arc;

use super::verdict;
use crate::exchange::Line;
use crate::route::{PathMiss, Tried, Verdict};
use crate::snapshot::Route;

/// The sentence; none if no route is near. Of two that are as near, the first in the alphabet is told.
pub(super) fn nearest(line: &Line, tried: &[Tried<'_, Arc<Route>>]) -> Option<String> {
    let scored = tried.iter().map(|tried| (closeness(tried), tried));
    let best = scored.filter(|(score, _)| *score > 0).max_by(|(a, one), (b, two)| {
        // Of equals the one with the shorter path; then the first, and `max_by` gives the last.
        let length = |tried: &Tried<'_, Arc<Route>>| tried.path.as_str().len();
        a.cmp(b).then_with(|| (length(two), two.name).cmp(&(length(one), one.name)))
    });
    let (_, tried) = best?;
    let (host, path) = (&*line.host, &*line.path);
    let pattern = tried.path.as_str();
    let why = match &tried.verdict {
        Verdict::Host { path: None } => {
            format!("{path} is under {pattern} for {}, not for {host}", tried.hosts.join(", "))
        }
        Verdict::Fails(condition) => {
            let what = if condition.header { "the header" } else { "the query parameter" };
            let name = &condition.name;
            match condition.wanted {
                None => format!("{path} is under {pattern}, but {what} {name} is missing"),
                Some(_) => {
                    format!("{path} is under {pattern}, but {what} {name} is missing or another")
                }
            }
        }
        Verdict::Path(miss) => verdict::path_miss(tried.path, path, miss),
        _ => return None,
    };
    Some(format!("{why} (route {})", tried.name))
}

/// How little is missing; 0 is far away.
fn closeness(tried: &Tried<'_, Arc<Route>>) -> usize {
    let depth = tried.path.as_str().split('/').filter(|s| !s.is_empty()).count();
    match &tried.verdict {
        Verdict::Fails(_) => 1000,
        Verdict::Path(PathMiss::Slash) => 950,
        Verdict::Host { path: None } if depth > 0 => 900 + depth,
        Verdict::Path(PathMiss::Differs { at, found, wanted }) => {
            if verdict::begins(found, wanted) || found.eq_ignore_ascii_case(wanted) {
                800 + at
            } else if verdict::is_near(found, wanted) {
                700 + at
            } else {
                // What they share from the beginning.
                100 * usize::from(*at > 0) + at
            }
        }
        Verdict::Path(PathMiss::Below) => 850 + depth,
        Verdict::Path(PathMiss::Ends(at)) => 500 * usize::from(*at > 0) + at,
        Verdict::Host { path: None } => 50,
        _ => 0,
    }
}
