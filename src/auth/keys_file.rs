//! A file of keys: one key a line, for more keys than one wants to see in the configuration.
//!
//! ```text
//! # comment
//! sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad partner
//! sha256:... mobile-app expires=2027-01-01T00:00:00Z
//! sha256:... mobile-app disabled   # lost in March
//! sha256:... shop plan=gold groups=shops,beta
//! ```
//!
//! `plan` and `groups` are the consumer's, at whichever of its keys they stand.
//!
//! A line is never quoted in a message: it may hold a key that was put there by mistake.

use std::collections::HashMap;

use jiff::Timestamp;

use super::consumer::{NAME_HELP, Registry};
use super::key::{DIGEST_HELP, Digest};
use super::keyring::{Entry, Until};
use super::roll::Roll;
use crate::diagnostic::{At, Diagnostics};

/// After so many mistakes in one file the rest is only counted.
const MOST_MISTAKES: usize = 20;

/// How to mend a time that cannot be read.
pub(super) const TIME_HELP: &str =
    "write a time of RFC 3339, such as 2027-01-01T00:00:00Z or 2027-01-01T00:00:00+01:00";

/// The time at which a key ends.
pub(super) fn until(expires: Option<&str>, disabled: bool) -> Option<Until> {
    let end = match expires {
        Some(text) => Until::second(text.parse::<Timestamp>().ok()?.as_second()),
        None => Until::NEVER,
    };
    Some(if disabled { Until::DISABLED } else { end })
}

/// Collects the mistakes of one file.
pub(super) struct Report<'a> {
    /// The file's name, as the configuration has it.
    pub(super) file: &'a str,
    /// Where the configuration names the file.
    pub(super) at: &'a At,
    pub(super) diagnostics: &'a mut Diagnostics,
    told: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, at: &'a At, diagnostics: &'a mut Diagnostics) -> Self {
        Self { file, at, diagnostics, told: 0 }
    }

    fn mistake(&mut self, line: usize, what: &str, help: &str) {
        self.told += 1;
        if self.told <= MOST_MISTAKES {
            let what = format!("{} line {line}: {what}", self.file);
            self.diagnostics.error(self.at.clone(), what, help);
        }
    }

    /// Tells how many mistakes were not told one by one.
    pub(super) fn close(self) {
        if let Some(more) = self.told.checked_sub(MOST_MISTAKES).filter(|more| *more > 0) {
            self.diagnostics.error(
                self.at.clone(),
                format!("{} has {more} more mistakes", self.file),
                "mend the ones above first",
            );
        }
    }
}

/// What one line says.
struct Line<'a> {
    digest: Digest,
    consumer: &'a str,
    until: Until,
    plan: Option<&'a str>,
    groups: Option<&'a str>,
}

/// Adds the keys of a file to `entries`, and their consumers to the registry.
pub(super) fn read(
    text: &str,
    registry: &mut Registry,
    roll: &mut Roll,
    entries: &mut Vec<Entry>,
    report: &mut Report<'_>,
) {
    entries.reserve_exact(memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1);
    for (number, line) in lines(text) {
        match parse(line) {
            Ok(None) => {}
            Ok(Some(line)) => match registry.intern(line.consumer, false) {
                Some(consumer) => {
                    entries.push(Entry { digest: line.digest, consumer, until: line.until });
                    let groups = line.groups.into_iter().flat_map(|names| names.split(','));
                    groups.for_each(|group| roll.join(consumer, group));
                    let (file, at) = (report.file, report.at);
                    let first = || Some((at.clone(), format!("{file} line {number}").into()));
                    if line.plan.is_some_and(|plan| !roll.buy(consumer, plan, first)) {
                        let help = "a consumer has one plan, whatever key it comes with";
                        report.mistake(number, "its consumer has another plan already", help);
                    }
                }
                None => report.mistake(number, "the consumer's name can't be used", NAME_HELP),
            },
            Err((what, help)) => report.mistake(number, &what, help),
        }
    }
}

/// Finds the lines in which these digests stand twice; `inline` tells where in the configuration a
/// digest stands already. Read again rather than remembered: a sound file must not pay for it.
pub(super) fn tell_repetitions(
    text: &str,
    twice: &[Digest],
    inline: &HashMap<Digest, At>,
    report: &mut Report<'_>,
) {
    let mut first: HashMap<Digest, usize> = HashMap::new();
    for (number, line) in lines(text) {
        let Ok(Some(line)) = parse(line) else { continue };
        if twice.binary_search(&line.digest).is_err() {
            continue;
        }
        let seen = first.get(&line.digest).map(|line| format!("in line {line}"));
        match seen.or_else(|| inline.get(&line.digest).map(|at| format!("at {at}"))) {
            Some(place) => report.mistake(
                number,
                &format!("this key stands already {place}"),
                "a key belongs to one consumer and stands in one place; take one of them out",
            ),
            None => {
                first.insert(line.digest, number);
            }
        }
    }
}

/// The lines with their numbers from 1, without a byte order mark.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .lines()
        .zip(1..)
        .map(|(line, number)| (number, line))
}

fn parse(line: &str) -> Result<Option<Line<'_>>, (String, &'static str)> {
    let line = line.find('#').map_or(line, |comment| &line[..comment]);
    let mut words = line.split_ascii_whitespace();
    let Some(first) = words.next() else { return Ok(None) };
    let digest: Digest = first.parse().map_err(|error| (format!("{error}"), DIGEST_HELP))?;
    let consumer = words.next().ok_or_else(|| {
        ("no consumer's name follows the digest".to_owned(), "write `sha256:... CONSUMER`")
    })?;
    let (mut expires, mut disabled, mut plan, mut groups) = (None, false, None, None);
    for word in words {
        match word.split_once('=') {
            Some(("expires", time)) if expires.is_none() => expires = Some(time),
            Some(("plan", name)) if plan.is_none() && !name.is_empty() => plan = Some(name),
            Some(("groups", names))
                if groups.is_none() && names.split(',').all(|name| !name.is_empty()) =>
            {
                groups = Some(names);
            }
            None if word == "disabled" && !disabled => disabled = true,
            _ => {
                return Err((
                    "what follows the consumer's name can't be read".to_owned(),
                    "known are `expires=2027-01-01T00:00:00Z`, `disabled`, `plan=NAME` and `groups=NAME,NAME`, \
                     each once",
                ));
            }
        }
    }
    let until = until(expires, disabled)
        .ok_or_else(|| ("`expires` is not a time".to_owned(), TIME_HELP))?;
    Ok(Some(Line { digest, consumer, until, plan, groups }))
}
