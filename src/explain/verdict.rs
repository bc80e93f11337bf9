//! What a route said of a request, in words.

use std::sync::Arc;

use super::mask::{Mask, is_secret_parameter};
use super::{Verdict as Told, upstream_of};
use crate::exchange::Exchange;
use crate::route::{Condition, PathMiss, PathPattern, Tried, Verdict};
use crate::snapshot::Route;

/// A route's verdict for people.
pub(super) fn tell(x: &Exchange, tried: &Tried<'_, Arc<Route>>, mask: &Mask<'_>) -> Told {
    let (host, path) = (&*x.line.host, &*x.line.path);
    let why = match &tried.verdict {
        Verdict::Takes => match upstream_of(tried.value) {
            Some(upstream) => format!("takes it, to {upstream}"),
            None => "takes it, and answers by itself".to_owned(),
        },
        Verdict::Ambiguous { reading, owner } => {
            format!("would take it, but other software may read {reading}, which is of {owner}")
        }
        Verdict::After(first) => format!("{first} has more conditions, and takes it first"),
        Verdict::Method { allow } => format!("takes {allow} only, not {}", x.line.method),
        Verdict::Fails(condition) => fails(condition, mask),
        Verdict::Host { path: None } => format!("is for {}, not {host}", tried.hosts.join(", ")),
        Verdict::Host { path: Some(_) } => {
            format!("is for {}, not {host}, and for other paths", tried.hosts.join(", "))
        }
        Verdict::HostLessSpecific(owner) => {
            format!("{owner} is for this host in particular, and owns the path there")
        }
        Verdict::PathLessSpecific(owner) => {
            format!("fits, but the path of {owner} is more specific and owns the request")
        }
        Verdict::Path(miss) => path_miss(tried.path, path, miss),
    };
    let far = matches!(tried.verdict, Verdict::Host { path: Some(_) } | Verdict::Path(_));
    Told {
        route: tried.name.to_string(),
        hosts: tried.hosts.iter().map(|host| mask.text(host)).collect(),
        path: mask.text(tried.path.as_str()),
        takes: tried.verdict == Verdict::Takes,
        close: !far,
        why: mask.text(&why),
    }
}

/// Why a condition does not hold. A value that is a credential's is not told.
pub(super) fn fails(condition: &Condition, mask: &Mask<'_>) -> String {
    let Condition { header, name, wanted } = condition;
    let what = if *header { "the header" } else { "the query parameter" };
    let hidden = if *header {
        http::HeaderName::try_from(name.as_str()).is_ok_and(|name| mask.hides(&name))
    } else {
        is_secret_parameter(name)
    };
    match wanted {
        None => format!("wants {what} {name}, which is not there"),
        Some(_) if hidden => format!("wants another value of {what} {name}"),
        Some(value) => format!("wants {what} {name} to be {value:?}"),
    }
}

/// Why a path is none of a pattern's.
pub(super) fn path_miss(pattern: &PathPattern, path: &str, miss: &PathMiss) -> String {
    let written = pattern.as_str();
    match miss {
        PathMiss::Differs { found, wanted, .. } if begins(found, wanted) => {
            format!("{path} is not under {written}: prefixes match whole segments")
        }
        PathMiss::Differs { found, wanted, .. } if found.eq_ignore_ascii_case(wanted) => {
            format!("{path} is not under {written}: upper and lower case are not the same")
        }
        PathMiss::Differs { at: 0, found, wanted } if !is_near(found, wanted) => {
            format!("is for another path than {path}")
        }
        PathMiss::Differs { at, found, wanted } => {
            let place = at + 1;
            format!("{path} is not under {written}: segment {place} is {found:?}, not {wanted:?}")
        }
        PathMiss::Ends(_) => format!("{path} is above {written}, not under it"),
        PathMiss::Below => format!("{path} is below {written}, which is exact"),
        PathMiss::Slash => {
            format!("{path} has a slash at its end, and {written} is exact, without one")
        }
    }
}

/// Whether one segment may be the other one, mistyped.
pub(super) fn is_near(found: &str, wanted: &str) -> bool {
    strsim::damerau_levenshtein(found, wanted) <= wanted.len() / 3
}

/// Whether a segment is another one with more behind it.
pub(super) fn begins(found: &str, wanted: &str) -> bool {
    found.len() > wanted.len() && found.starts_with(wanted)
}
