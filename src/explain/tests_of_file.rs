//! The tests that a configuration carries: each is a question with the answer that its author expects.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};

use super::{Depth, Explanation, InvalidQuestion, Question, explain, explain_as};
use crate::config::{Config, Expect, Expectation};
use crate::diagnostic::{At, Diagnostics, did_you_mean};
use crate::snapshot::{Compiled, Snapshot};

/// Tries the tests of a configuration on what it became. Each that does not hold is a mistake, as is one that
/// speaks of what is not there.
pub fn run_tests(config: &Config, compiled: &Compiled, diagnostics: &mut Diagnostics) {
    for (index, test) in config.tests.iter().enumerate() {
        let at = At::root().key("tests").index(index);
        let mut run = Run { config, snapshot: &compiled.snapshot, test, at, diagnostics };
        if run.names_are_known() {
            run.compare();
        }
    }
}

/// One test under way.
struct Run<'a> {
    config: &'a Config,
    snapshot: &'a Snapshot,
    test: &'a Expectation,
    at: At,
    diagnostics: &'a mut Diagnostics,
}

impl Run<'_> {
    fn names_are_known(&mut self) -> bool {
        let before = self.diagnostics.len();
        let at = self.at.key("expect");
        let Expect { route, upstream, .. } = &self.test.expect;
        if self.test.expect == Expect::default() {
            self.diagnostics.error(
                at.clone(),
                "the test expects nothing, so it always holds",
                "say what shall become of the request, such as { upstream: users } or { status: 401 }",
            );
        }
        if let Some(name) = route.as_ref().filter(|name| !self.config.routes.contains_key(*name)) {
            let help = did_you_mean(name, self.config.routes.keys().map(String::as_str));
            self.diagnostics.error(at.key("route"), format!("no route {name:?}"), help);
        }
        let upstreams = &self.config.upstreams;
        if let Some(name) = upstream.as_ref().filter(|name| !upstreams.contains_key(*name)) {
            let help = did_you_mean(name, upstreams.keys().map(String::as_str));
            self.diagnostics.error(at.key("upstream"), format!("no upstream {name:?}"), help);
        }
        self.diagnostics.len() == before
    }

    fn question(&self) -> Result<Question, (At, InvalidQuestion)> {
        let Expectation { when, consumer, with, .. } = self.test;
        let at = self.at.key("when");
        let Some((method, url)) = when.trim().split_once(' ') else {
            let what = format!("{when:?} is no method and path");
            let help = "write both, such as GET /users/7".to_owned();
            return Err((at, InvalidQuestion { what, help }));
        };
        let mut question = Question::new(method, url.trim()).map_err(|error| (at, error))?;
        if let Some(host) = with.host.as_ref().filter(|_| url.trim().starts_with('/')) {
            question.host.clone_from(host);
        }
        question.headers = with.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        question.consumer.clone_from(consumer);
        question.claims.clone_from(&with.claims);
        question.body_size = with.body_size.map(crate::units::Size::bytes);
        question.client = with.client.unwrap_or(question.client);
        Ok(question)
    }

    /// A key that lets somebody in has no business in a file.
    fn warn_of_keys(&mut self, told: &Explanation) {
        let known = told.auth.as_ref().and_then(|auth| auth.consumer.as_ref());
        if let (None, Some(name)) = (&self.test.consumer, known)
            && self.test.with.claims.is_empty()
        {
            self.diagnostics.warning(
                self.at.key("with").key("headers"),
                format!("a key of {name} stands in the file"),
                format!("take it out, and write `as: {name}`, which needs no key"),
            );
        }
    }

    fn compare(&mut self) {
        let asked = self.question().and_then(|question| {
            let port = self.snapshot.usual_port();
            // What each route says is only asked for if the test does not hold: a file with a thousand of
            // each would take minutes.
            let told = explain_as(self.snapshot, port, &question, Depth::Outcome);
            let told = match told {
                Ok(brief) if !differences(&self.test.expect, &brief).is_empty() => {
                    explain(self.snapshot, port, &question)
                }
                told => told,
            };
            let told = told.map_err(|error| {
                let unknown = error.what.starts_with("no consumer");
                (self.at.key(if unknown { "as" } else { "when" }), error)
            })?;
            Ok((question, told))
        });
        let (question, told) = match asked {
            Ok(asked) => asked,
            Err((at, InvalidQuestion { what, help })) => {
                return self.diagnostics.error(at, what, help);
            }
        };
        self.warn_of_keys(&told);
        let secret = |name: &HeaderName| {
            self.snapshot.auth.secret_headers().contains(name)
                || [AUTHORIZATION, COOKIE].contains(name)
        };
        let by_tls = self.snapshot.usual_door().is_some_and(|door| door.tls.is_some());
        let help = format!("look closer: {}", question.command(by_tls, secret));
        for (key, expected, found) in differences(&self.test.expect, &told) {
            let at = key.iter().fold(self.at.key("expect"), |at, key| at.key(*key));
            let what = format!("expected {expected}, found {found}");
            self.diagnostics.error(at, what, help.clone());
        }
    }
}

/// Below which key, what was expected, and what was found.
type Difference<'a> = (Vec<&'a str>, String, String);

fn differences<'a>(expect: &'a Expect, told: &Explanation) -> Vec<Difference<'a>> {
    let mut all: Vec<Difference<'_>> = Vec::new();
    let outcome = outcome(told);
    let answer = told.answer.as_ref();
    if let Some(status) = expect.status
        && answer.map(|answer| answer.status) != Some(status)
    {
        all.push((vec!["status"], format!("status {status}"), outcome.clone()));
    }
    if let Some(code) = &expect.code
        && answer.and_then(|answer| answer.code) != Some(code)
    {
        all.push((vec!["code"], format!("code {code}"), outcome.clone()));
    }
    if let Some(route) = &expect.route
        && told.route.as_ref() != Some(route)
    {
        let found = told.route.as_ref().map_or(outcome.clone(), |name| format!("route {name:?}"));
        all.push((vec!["route"], format!("route {route:?}"), found));
    }
    let forward = told.forward.as_ref();
    if let Some(upstream) = &expect.upstream
        && forward.map(|forward| &forward.upstream) != Some(upstream)
    {
        all.push((vec!["upstream"], format!("upstream {upstream:?}"), outcome.clone()));
    }
    if let Some(path) = &expect.path {
        let part = |target: &str| {
            let whole = path.contains('?');
            if whole { target } else { target.split('?').next().unwrap_or(target) }.to_owned()
        };
        let real = told.sent().map(|sent| part(&String::from_utf8_lossy(sent.raw_path())));
        if real.as_ref() != Some(path) {
            let shown = forward.map(|forward| part(&forward.target));
            let found = shown.map_or(outcome, |shown| format!("{shown:?}"));
            all.push((vec!["path"], format!("the path {path:?}"), found));
        }
    }
    for (name, wanted) in &expect.headers {
        all.extend(header_difference(name, wanted.as_deref(), told));
    }
    all
}

/// What becomes of the request, in words.
fn outcome(told: &Explanation) -> String {
    if let Some(forward) = &told.forward {
        return format!("that it is sent on to upstream {:?}", forward.upstream);
    }
    let Some(answer) = &told.answer else {
        return "that who calls cannot be found out without a network".to_owned();
    };
    let reason = told.auth.as_ref().and_then(|auth| auth.reason);
    let cause = match (answer.code, reason) {
        (Some(code), Some(reason)) => format!(" ({code}, {reason})"),
        (Some(code), None) => format!(" ({code})"),
        (None, _) => String::new(),
    };
    let near = told.nearest.as_ref().map(|near| format!("; {near}")).unwrap_or_default();
    format!("status {}{cause}{near}", answer.status)
}

fn header_difference<'a>(
    name: &'a str,
    wanted: Option<&str>,
    told: &Explanation,
) -> Option<Difference<'a>> {
    let at = vec!["headers", name];
    let lower = name.to_ascii_lowercase();
    let (real, shown): (Vec<String>, _) = if let Some(sent) = told.sent() {
        let values = sent.headers.get_all(&lower).iter();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        (values.map(text).collect(), told.shown(&lower))
    } else {
        let headers = told.answer.iter().flat_map(|answer| &answer.headers);
        let found = headers.filter(|(known, _)| *known == lower);
        let found: Vec<_> = found.map(|(_, value)| value.clone()).collect();
        (found.clone(), found)
    };
    let found = || match &shown[..] {
        [] => "none".to_owned(),
        values => format!("{:?}", values.join(", ")),
    };
    match wanted {
        None if real.is_empty() => None,
        Some("*") if !real.is_empty() => None,
        Some(value) if real.len() == 1 && real[0] == value => None,
        None => Some((at, format!("no header {name}"), found())),
        Some("*") => Some((at, format!("the header {name}"), found())),
        Some(value) => Some((at, format!("the header {name} to be {value:?}"), found())),
    }
}
