//! A [`Template`] is a text with `${...}` in it, parsed once at load and filled for each request.
//!
//! | written | filled with |
//! |---|---|
//! | `${client.ip}`, `${client.port}` | the client's address |
//! | `${client.cert.subject}`, `${client.cert.san}`, `${client.cert.fingerprint}` | the certificate that the client showed over TLS, verified |
//! | `${request.id}` | the id of the request, as in `X-Request-Id` |
//! | `${trace.id}` | the id of the trace that it belongs to, as in `traceparent` |
//! | `${request.method}`, `${request.scheme}`, `${request.host}` | as the client sent them; scheme and host behind a trusted proxy: as it says |
//! | `${request.path}`, `${request.query}` | the path as the client sent it, normalised; the query without its `?` |
//! | `${consumer.name}` | who was let in |
//! | `${claim.NAME}` | a claim of the caller's token, such as `sub`; a list with commas, and nothing without a token |
//! | `${route.name}`, `${upstream.name}` | names from the configuration |
//! | `${path.NAME}` | what the route's `{NAME}` caught, still percent-encoded |
//! | `${header.NAME}` | the first value of a request header |
//! | `$${` | a literal `${` |
//!
//! A value that is not there is filled with nothing. The names form a closed list: a misspelt one
//! refuses the load, because a template that silently renders empty would open what it should guard.
//! There are no expressions, defaults or filters on purpose; what needs them is a decision, and
//! decisions belong to a route's own fields.

use std::fmt;

use http::HeaderName;

use crate::diagnostic::{did_you_mean, nearest};

/// The names of the variables that stand for themselves, without a part of the user's choice.
const FIXED: [(&str, Variable); 15] = [
    ("client.ip", Variable::ClientIp),
    ("client.port", Variable::ClientPort),
    ("client.cert.subject", Variable::CertificateSubject),
    ("client.cert.san", Variable::CertificateSan),
    ("client.cert.fingerprint", Variable::CertificateFingerprint),
    ("request.id", Variable::RequestId),
    ("trace.id", Variable::TraceId),
    ("request.method", Variable::RequestMethod),
    ("request.host", Variable::RequestHost),
    ("request.path", Variable::RequestPath),
    ("request.query", Variable::RequestQuery),
    ("request.scheme", Variable::RequestScheme),
    ("consumer.name", Variable::ConsumerName),
    ("route.name", Variable::RouteName),
    ("upstream.name", Variable::UpstreamName),
];

/// What a `${...}` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// The client's address, without its port.
    ClientIp,
    /// The client's port.
    ClientPort,
    /// Whose certificate the client showed; nothing without one.
    CertificateSubject,
    /// Its alternative names, separated by commas.
    CertificateSan,
    /// Its SHA-256 digest.
    CertificateFingerprint,
    /// The id of the request.
    RequestId,
    /// The id of the trace that the request belongs to.
    TraceId,
    /// The method, as sent.
    RequestMethod,
    /// The host, as the client sent it.
    RequestHost,
    /// The path, as the client sent it, normalised and percent-encoded.
    RequestPath,
    /// The query, without `?`, byte for byte.
    RequestQuery,
    /// `http` or `https`, as the client sees it.
    RequestScheme,
    /// The name of the consumer that was let in; nothing on an open route.
    ConsumerName,
    /// The name of the route.
    RouteName,
    /// The name of the upstream; nothing if the route has none.
    UpstreamName,
    /// What the route's capture of this index (from 0, in the order of the path) caught, still
    /// percent-encoded: decoding it could bring forth a slash or a line break.
    Path(u8),
    /// The first value of this request header.
    Header(HeaderName),
    /// This claim of the caller's token.
    Claim(Box<str>),
}

/// Gives the values of one request.
pub trait Fill {
    /// Appends the variable's value to `out`; appends nothing if there is none.
    fn fill(&self, variable: &Variable, out: &mut Vec<u8>);
}

/// One part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// What stands there for every request; never empty.
    Text(&'a str),
    /// What each request fills in.
    Variable(&'a Variable),
}

/// A text that is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct InvalidTemplate {
    what: String,
    help: String,
}

impl InvalidTemplate {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    /// What is wrong, in one sentence without a full stop.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// How to mend it, in one sentence without a full stop.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// A parsed text. Adjoining literal pieces are merged, so a text without variables is one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<[Piece]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Variable(Variable),
}

impl Template {
    /// Reads a template; `captures` are the names that `${path.NAME}` may use, in the order of the
    /// route's path.
    ///
    /// # Errors
    /// An unclosed `${`, and a name that is not known, with the nearest known one.
    pub fn parse(text: &str, captures: &[impl AsRef<str>]) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, from) = rest.split_at(dollar);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("$${") {
                literal.push_str("${");
                rest = after;
            } else if let Some(inside) = from.strip_prefix("${") {
                let end = inside.find('}').ok_or_else(|| {
                    InvalidTemplate::new(
                        "`${` is never closed",
                        "close it with `}`, or write `$${` for a literal `${`",
                    )
                })?;
                flush(&mut literal, &mut pieces);
                pieces.push(Piece::Variable(variable(&inside[..end], captures)?));
                rest = &inside[end + 1..];
            } else {
                literal.push('$');
                rest = &from[1..];
            }
        }
        literal.push_str(rest);
        flush(&mut literal, &mut pieces);
        Ok(Self(pieces.into_boxed_slice()))
    }

    /// The whole text, if no request changes it.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The parts, in the order of the text.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.0.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Variable(variable) => Part::Variable(variable),
        })
    }

    /// The variables, in the order of the text.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(variable) => Some(variable),
        })
    }

    /// Appends the text, filled with one request's values, to `out`.
    pub fn render(&self, fill: &dyn Fill, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => fill.fill(variable, out),
            }
        }
    }
}

impl fmt::Display for Variable {
    /// The name inside `${...}`; a capture shows its index, since its name is not kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(index) => write!(f, "path.{index}"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Claim(name) => write!(f, "claim.{name}"),
            fixed => {
                let name = FIXED.iter().find(|(_, variable)| variable == fixed);
                f.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal).into_boxed_str()));
    }
}

fn variable(name: &str, captures: &[impl AsRef<str>]) -> Result<Variable, InvalidTemplate> {
    if let Some(capture) = name.strip_prefix("path.") {
        return path_variable(capture, captures);
    }
    if let Some(header) = name.strip_prefix("header.") {
        return header_variable(header);
    }
    if let Some(claim) = name.strip_prefix("claim.") {
        if claim.is_empty() {
            let help = "name one, such as `${claim.sub}`";
            return Err(InvalidTemplate::new("`${claim.}` names no claim", help));
        }
        return Ok(Variable::Claim(claim.into()));
    }
    FIXED.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable.clone()).ok_or_else(
        || {
            let help = if let Some(rest) = name.strip_prefix("env:").or(name.strip_prefix("file:"))
            {
                format!("`${{env:...}}` and `${{file:...}}` must be the whole value, so {rest:?} cannot stand inside a longer text")
            } else if let Some(near) = nearest(name, FIXED.map(|(known, _)| known)) {
                format!("did you mean `${{{near}}}`?")
            } else {
                let all = FIXED.map(|(known, _)| known).join(", ");
                format!("known are {all}, path.NAME, header.NAME and claim.NAME; a literal `${{` is written `$${{`")
            };
            InvalidTemplate::new(format!("there is no variable `${{{name}}}`"), help)
        },
    )
}

fn path_variable(name: &str, captures: &[impl AsRef<str>]) -> Result<Variable, InvalidTemplate> {
    let what = || format!("the path captures no \"{name}\" for `${{path.{name}}}`");
    let Some(index) = captures.iter().position(|known| known.as_ref() == name) else {
        let help = if captures.is_empty() {
            format!(
                "name a segment of the route's path, such as /things/{{{}}}",
                if name.is_empty() { "id" } else { name }
            )
        } else {
            did_you_mean(name, captures.iter().map(AsRef::as_ref))
        };
        return Err(InvalidTemplate::new(what(), help));
    };
    u8::try_from(index).map(Variable::Path).map_err(|_| {
        InvalidTemplate::new(
            format!("`${{path.{name}}}` is capture number {}", index + 1),
            "a path can use its first 256 captures",
        )
    })
}

/// Headers that claim an identity are refused: what a client writes there was never checked.
fn header_variable(name: &str) -> Result<Variable, InvalidTemplate> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let header = Some(name)
        .filter(|name| name.bytes().all(plain))
        .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .ok_or_else(|| {
            InvalidTemplate::new(
                format!("`${{header.{name}}}` names no header"),
                "a header's name has letters, digits, `-` and `_`, such as `${header.user-agent}`",
            )
        })?;
    if header.as_str().replace('_', "-").starts_with("x-consumer-") {
        return Err(InvalidTemplate::new(
            format!("`${{header.{name}}}` would repeat what the client claims to be"),
            "use `${consumer.name}`, the consumer that was let in",
        ));
    }
    Ok(Variable::Header(header))
}

#[cfg(test)]
mod tests;
