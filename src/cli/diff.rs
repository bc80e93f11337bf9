//! `portcullis diff`: what changes in meaning between two configurations.
//!
//! Text that means the same is no difference: the order of keys, a default written out, a limit that moved from
//! a route to `defaults`. Routes are compared as they come out, by name. What is said never holds a secret: of
//! header values and gateway secrets, only that they change.
//!
//! A change is *weaker* if somebody may call what they could not call before: a route loses its auth, more
//! methods or consumers are let in, or an open route takes what a guarded one took. Who may read this in a
//! pipeline (`--fail-on weaker-auth`) is told of each such change, and of some that turn out harmless on a
//! second look; but whether two patterns meet is judged by hosts, paths, methods and conditions as written, so
//! a web of overlapping patterns can hide one.

mod leaves;
mod routes;
mod weaker;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::{REFUSED, WEAKER, counted, fail, load, print};
use crate::auth::ConsumerConfig;
use crate::config::Config;
use crate::snapshot::Snapshot;
use leaves::Leaves;

/// So many names are told one by one; of more, only how many there are.
const NAMES: usize = 3;

/// What makes the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    /// Somebody may call what they could not call before
    WeakerAuth,
}

/// One change in meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// What it is about: `route`, `upstream`, `consumers`, or a key at the top of the file.
    about: &'static str,
    /// The names that change in this way; none for the file as a whole.
    names: Vec<String>,
    /// What changes.
    what: String,
    /// Whether somebody may call what they could not call before.
    weaker_auth: bool,
}

pub(super) fn diff(
    old: &Path,
    new: &Path,
    fail_on: Option<FailOn>,
    as_json: bool,
) -> io::Result<ExitCode> {
    let (before, after) = (load(old), load(new));
    for (file, compiled) in [(old, &before), (new, &after)] {
        if compiled.is_none() {
            return Ok(fail(REFUSED, &format!("{}: refused, nothing is compared", file.display())));
        }
    }
    let (Some(before), Some(after)) = (before, after) else { return Ok(ExitCode::from(REFUSED)) };
    let changes = compare(&before.snapshot, &after.snapshot);
    let weaker = changes.iter().filter(|change| change.weaker_auth).count();
    if as_json {
        let all = json!({ "changes": changes, "weaker_auth": weaker });
        print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    } else {
        print(&show(&changes))?;
    }
    if weaker > 0 && fail_on == Some(FailOn::WeakerAuth) {
        let told = counted(weaker, "change");
        return Ok(fail(WEAKER, &format!("{told} let somebody in who could not come in before")));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changes in meaning\n".to_owned();
    }
    let line = |change: &Change| {
        let mark = if change.weaker_auth { "! " } else { "  " };
        let about = match (&*change.names, change.about) {
            ([], about) => format!("{about}: "),
            ([one], about) => format!("{about} {one}: "),
            (many, about) => {
                let shown = many.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
                let more = if many.len() > NAMES { ", ..." } else { "" };
                format!("{} ({shown}{more}): ", counted(many.len(), about))
            }
        };
        format!("{mark}{about}{}\n", change.what)
    };
    changes.iter().map(line).collect()
}

/// All changes; those that let somebody in come first.
fn compare(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(routes::compare(old, new));
    changes.extend(weaker::compare(&old.config, &new.config));
    changes.extend(listeners(&old.config, &new.config));
    changes.extend(upstreams(old, new));
    changes.extend(consumers(old, new));
    changes.extend(rest(old, new));
    changes.sort_by_key(|change| !change.weaker_auth);
    changes
}

fn change(about: &'static str, name: &str, what: String) -> Change {
    Change { about, names: vec![name.to_owned()], what, weaker_auth: false }
}

/// What listeners ask of clients, where that becomes less; the rest is told setting by setting.
fn listeners(old: &Config, new: &Config) -> Vec<Change> {
    let asked = |config: &Config, name: &String| {
        config.listeners.get(name)?.tls.as_ref()?.client_auth.clone()
    };
    let mut changes = Vec::new();
    for name in new.listeners.keys() {
        let Some(was) = asked(old, name) else { continue };
        let is = asked(new, name);
        let mut note = |what: &str| {
            let weaker = change("listener", name, what.to_owned());
            changes.push(Change { weaker_auth: true, ..weaker });
        };
        if was.required && !is.as_ref().is_some_and(|is| is.required) {
            note("lets clients in that show no certificate");
        }
        if was.crl.is_some() && is.is_some_and(|is| is.crl.is_none()) {
            note("takes certificates that were revoked");
        }
    }
    changes
}

fn upstreams(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let (before, after) = (&old.config.upstreams, &new.config.upstreams);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let mut note = |what: String| changes.push(change("upstream", name, what));
        let (was, is) = match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) => (was, is),
            (Some(_), None) => {
                note("is gone".to_owned());
                continue;
            }
            _ => {
                note(format!("is new, with {}", counted(after[name].targets.len(), "target")));
                continue;
            }
        };
        let targets = |config: &crate::upstream::Config, record: &crate::snapshot::Record| {
            let target = |t: &crate::upstream::config::TargetSpec| (record.mask(&t.url), t.weight);
            config.targets.iter().map(target).collect::<BTreeMap<_, _>>()
        };
        let (from, to) = (targets(was, &old.record), targets(is, &new.record));
        for url in from.keys().filter(|url| !to.contains_key(*url)) {
            note(format!("target {url} is gone"));
        }
        for (url, weight) in &to {
            match from.get(url) {
                None => note(format!("target {url} is new")),
                Some(before) if before != weight => {
                    note(format!("target {url} has the weight {weight} instead of {before}"));
                }
                Some(_) => {}
            }
        }
        match (&was.gateway_secret, &is.gateway_secret) {
            (Some(_), None) => note("no gateway secret is sent any more".to_owned()),
            (None, Some(_)) => note("a gateway secret is sent".to_owned()),
            (a, b) if a != b => note("the gateway secret changes".to_owned()),
            _ => {}
        }
        let leaves = |config: &crate::upstream::Config, snapshot: &Snapshot| {
            Leaves::of(config, &snapshot.record, &["targets", "gateway_secret"])
        };
        leaves(was, old).until(&leaves(is, new)).into_iter().for_each(note);
    }
    changes
}

/// Whether two consumers differ in something.
type Differs = fn(&ConsumerConfig, &ConsumerConfig) -> bool;

/// What may be another at a consumer, and how that is told.
const OF_A_CONSUMER: [(&str, Differs); 6] = [
    ("other keys", |was, is| was.api_keys != is.api_keys),
    ("another plan", |was, is| was.plan != is.plan),
    ("other groups", |was, is| was.groups != is.groups),
    ("other certificates", |was, is| was.certificates != is.certificates),
    ("another password", |was, is| was.basic != is.basic),
    ("other keys for signatures", |was, is| was.signature_keys != is.signature_keys),
];

fn consumers(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let names = |snapshot: &'_ Snapshot| -> BTreeMap<String, bool> {
        let all = snapshot.auth.consumers().iter();
        all.map(|consumer| (consumer.name().to_owned(), consumer.is_disabled())).collect()
    };
    let (before, after) = (names(old), names(new));
    let mut changes = Vec::new();
    let mut note = |names: Vec<String>, what: String| {
        if !names.is_empty() {
            changes.push(Change { about: "consumer", names, what, weaker_auth: false });
        }
    };
    let only = |of: &BTreeMap<String, bool>, other: &BTreeMap<String, bool>| {
        of.keys().filter(|name| !other.contains_key(*name)).cloned().collect::<Vec<_>>()
    };
    note(only(&after, &before), "new".to_owned());
    note(only(&before, &after), "gone".to_owned());
    for (now, what) in [(true, "is switched off"), (false, "is switched on again")] {
        let turned =
            after.iter().filter(|(name, off)| **off == now && before.get(*name) == Some(&!now));
        note(turned.map(|(name, _)| name.clone()).collect(), what.to_owned());
    }
    let written = |snapshot: &Snapshot, name: &String| {
        snapshot.config.consumers.0.get(name).cloned().unwrap_or_default()
    };
    for (what, differs) in OF_A_CONSUMER {
        let both = after.keys().filter(|name| before.contains_key(*name));
        let turned = both.filter(|name| differs(&written(old, name), &written(new, name)));
        note(turned.cloned().collect(), what.to_owned());
    }
    let (from, to) = (old.auth.keys(), new.auth.keys());
    if from != to {
        let what = format!("{from} -> {to}");
        changes.push(Change { about: "keys", names: Vec::new(), what, weaker_auth: false });
    }
    changes
}

/// What stands beside routes, upstreams and consumers. Tests are no part of what a configuration does.
fn rest(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    const ELSEWHERE: [&str; 7] =
        ["version", "upstreams", "consumers", "policies", "defaults", "routes", "tests"];
    let leaves = |snapshot: &Snapshot| Leaves::of(&*snapshot.config, &snapshot.record, &ELSEWHERE);
    let fixed = ["workers", "admin", "logs.access", "logs.format"];
    let token = |snapshot: &Snapshot| snapshot.config.admin.as_ref()?.token.clone();
    let other_token = token(old).is_some() && token(new).is_some() && token(old) != token(new);
    let other_token = other_token.then(|| "admin.token changes".to_owned());
    let whats = leaves(old).until(&leaves(new)).into_iter().chain(other_token).map(|what| {
        let path = what.split(' ').next().unwrap_or_default();
        let bound = path.starts_with("listeners.") && path.ends_with(".address");
        let restart = bound || fixed.iter().any(|key| what.starts_with(key));
        if restart { format!("{what} (needs a restart)") } else { what }
    });
    whats
        .map(|what| Change { about: "file", names: Vec::new(), what, weaker_auth: false })
        .collect()
}

#[cfg(test)]
mod tests;
