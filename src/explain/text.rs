//! An explanation for people: short, aligned, read from top to bottom like the life of the request.

use std::fmt::Write as _;

use super::{Answer, Auth, Change, Changed, Explanation, Forward, Validation, Verdict};
use crate::auth::{Guard, Scheme};

/// So many of the routes that do not come near the request are told one by one.
const MOST_OTHERS: usize = 8;

/// Where the second column begins.
const COLUMN: usize = 11;

/// Lines with a word in front, which is written once for those that belong together.
#[derive(Default)]
struct Page {
    text: String,
    word: &'static str,
}

impl Page {
    fn line(&mut self, word: &'static str, line: &str) {
        let shown = if self.word == word { "" } else { word };
        self.word = word;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}", format!("{shown:COLUMN$}{line}").trim_end());
    }
}

pub(super) fn text(told: &Explanation) -> String {
    let mut page = Page::default();
    let asked = &told.request;
    let caller = asked.consumer.as_deref().map(|name| format!(", as {name}")).unwrap_or_default();
    page.line(
        "request",
        &format!(
            "{} {} on {} from {}{caller}",
            asked.method, asked.target, asked.host, asked.client
        ),
    );
    if let Some(path) = &asked.normalised {
        page.line("path", &format!("{path}, which is what routes are matched by"));
    }
    routes(&mut page, told);
    if let Some(near) = &told.nearest {
        page.line("nearest", near);
    }
    for (name, value) in &told.captures {
        page.line("captures", &format!("{name} = {value}"));
    }
    if let Some(method) = &told.preflight {
        let asked =
            format!("a browser asks whether a page may send {method}: answered at the gate");
        page.line("preflight", &asked);
    }
    if let Some(auth) = &told.auth {
        page.line("auth", &self::auth(auth));
        if auth.reason == Some("credential_missing") {
            let hint = match &asked.consumer {
                Some(name) => format!("{name} has no key that counts here"),
                None => "--as CONSUMER takes the caller for one that is known".to_owned(),
            };
            page.line("auth", &hint);
        }
    }
    if let Some(observed) = told.auth.as_ref().and_then(|auth| auth.observed) {
        page.line("observe", &format!("a rule would refuse it ({observed}), but only observes"));
    }
    for limit in &told.limits {
        let where_ = if limit.shared { ", in the store" } else { "" };
        page.line("limits", &format!("{} ({}{where_})", limit.says, limit.at));
    }
    if let Some(validation) = &told.validation {
        self::validation(&mut page, validation);
    }
    if let Some(forward) = &told.forward {
        self::forward(&mut page, forward);
    }
    if let Some(answer) = &told.answer {
        self::answer(&mut page, answer);
    }
    page.text
}

fn validation(page: &mut Page, validation: &Validation) {
    let document = &validation.document;
    let only = if validation.observe { ", which only observes" } else { "" };
    let Some(operation) = &validation.operation else {
        let line = format!("{document}{only}: has no operation for this method and path");
        return page.line("validate", &line);
    };
    page.line("validate", &format!("{document}{only}: held to {operation}"));
    if let Some(takes) = &validation.takes {
        let line =
            format!("its body may be {takes}; what is in it is known to a running gateway only");
        page.line("validate", &line);
    }
}

fn routes(page: &mut Page, told: &Explanation) {
    let (close, far): (Vec<_>, Vec<_>) = told.routes.iter().partition(|verdict| verdict.close);
    let listed = if far.len() <= MOST_OTHERS { &far[..] } else { &[] };
    let shown = || close.iter().chain(listed);
    let width = |of: fn(&Verdict) -> usize| shown().map(|verdict| of(verdict)).max().unwrap_or(0);
    let (names, paths) = (width(|v| v.route.len()), width(|v| v.path.len()));
    for verdict in shown() {
        let mark = if verdict.takes { "->" } else { "  " };
        let Verdict { route, path, why, .. } = verdict;
        page.line("routes", &format!("{mark} {route:names$}  {path:paths$}  {why}"));
    }
    if listed.len() < far.len() {
        page.line("routes", &format!("   and {} for other paths", far.len()));
    }
}

fn auth(auth: &Auth) -> String {
    if auth.asks.is_empty() {
        return "none: everybody may pass".to_owned();
    }
    let asked = format!("asks for {}", auth.asks);
    match (auth.admitted, &auth.consumer, auth.reason) {
        (true, Some(consumer), _) => format!("{asked}: lets {consumer} in"),
        (true, None, _) => asked,
        (false, Some(consumer), Some(reason)) => format!("{asked}: refuses {consumer} ({reason})"),
        (false, _, reason) => format!("{asked}: refuses ({})", reason.unwrap_or_default()),
    }
}

/// What a route asks a caller for, in words; nothing on an open one.
pub(super) fn asks(guard: &Guard) -> String {
    let (schemes, all) = guard.schemes();
    let between = if all { " and " } else { " or " };
    let word = |scheme: &Scheme| match scheme {
        Scheme::ApiKey { header } => (true, format!("a key in {header}")),
        Scheme::MutualTls => (false, "a certificate".to_owned()),
        Scheme::Bearer => (false, "a token in authorization".to_owned()),
        Scheme::Cookie { name } => (false, format!("a token in the cookie {name}")),
        Scheme::Basic => (false, "a user name and password in authorization".to_owned()),
        Scheme::Signature => (false, "a signature of the request".to_owned()),
        Scheme::Asked { headers } => {
            let names: Vec<_> = headers.iter().map(http::HeaderName::as_str).collect();
            (false, format!("what a service takes for a proof in {}", names.join(" or ")))
        }
    };
    let mut told: Vec<String> = Vec::new();
    let mut after_key = false;
    for (is_key, text) in schemes.iter().map(word) {
        let short = text.strip_prefix("a key in ").filter(|_| after_key).map(str::to_owned);
        after_key = is_key;
        told.push(short.unwrap_or(text));
    }
    told.dedup();
    told.join(between)
}

fn forward(page: &mut Page, forward: &Forward) {
    page.line("forward", &format!("to {}: {}", forward.upstream, forward.target));
    match &forward.host {
        Some(host) => page.line("headers", &format!("host: {host}")),
        None => page.line("headers", "host: that of the target that is chosen"),
    }
    let with = |wanted: Changed| forward.changes.iter().filter(move |c| c.change == wanted);
    for (mark, change) in [("+", Changed::Added), ("~", Changed::Replaced)] {
        for Change { name, values, .. } in with(change) {
            for value in values {
                page.line("headers", &format!("{mark} {name}: {value}"));
            }
        }
    }
    for Change { name, .. } in with(Changed::Removed) {
        page.line("headers", &format!("- {name}"));
    }
    if !forward.kept.is_empty() {
        page.line("headers", &format!("as sent: {}", forward.kept.join(", ")));
    }
    let choice = &forward.choice;
    let by = choice.hashed.as_deref().map(|what| format!(" by {what}")).unwrap_or_default();
    let weighted = choice.candidates.iter().any(|(_, weight)| *weight != 1);
    let targets = choice.candidates.iter().map(|(label, weight)| {
        if weighted { format!("{label} (weight {weight})") } else { label.clone() }
    });
    let targets = targets.collect::<Vec<_>>().join(", ");
    page.line("target", &format!("{}{by} of {targets}", choice.policy));
    if let Some(preferred) = &choice.preferred {
        page.line("target", &format!("leads to {preferred} while it is healthy"));
    }
    page.line("target", "which are healthy is known to a running gateway only");
    page.line("answer", &format!("what {} answers", forward.upstream));
    for (name, value) in &forward.answer {
        page.line("answer", &format!("+ {name}: {value}"));
    }
    if let Some(coding) = forward.compressed {
        page.line("answer", &format!("compressed by {coding}, if its type and size are worth it"));
    }
}

fn answer(page: &mut Page, answer: &Answer) {
    let code = answer.code.map(|code| format!(" {code}")).unwrap_or_default();
    let detail = answer.detail.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    page.line("answer", &format!("{}{code}{detail}", answer.status));
    for (name, value) in &answer.headers {
        page.line("answer", &format!("{name}: {value}"));
    }
}
