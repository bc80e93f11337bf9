//! The configured header operations: remove, rename, set, add, in this order.
//!
//! Names and templates are read at load; a value without variables is a ready [`HeaderValue`] and
//! costs a reference count per request. A rendered value that could not stand in a header (a line
//! break, NUL or another control character) is never sent, nor trimmed into something that the
//! configuration does not say: `set` then leaves the message without that header, so that the value a
//! client sent cannot stand in for it, and `add` adds nothing.
//!
//! Many servers make one variable of `X-Tenant` and `X_Tenant` (CGI, WSGI, PHP). So a request whose header is set,
//! renamed or removed loses the twins of that name before: nobody reads what a client sent in its place.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::HeadersConfig;
use super::head::{Fields as _, is_twin, owned_value, starts_alike};
use super::screen::may_be_twin;
use crate::diagnostic::{At, Diagnostics};
use crate::template::{Fill, Template, Variable};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// The compiled operations of one route and direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderOps {
    /// The names of which a request keeps no twin.
    sole: Box<[HeaderName]>,
    remove: Box<[HeaderName]>,
    rename: Box<[(HeaderName, HeaderName)]>,
    write: Box<[Write]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    name: HeaderName,
    mode: Mode,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Set,
    Add,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Ready(HeaderValue),
    Rendered(Template),
}

impl HeaderOps {
    /// Resolves the operations. `captures` are the names that the route's path captures, `at` is where
    /// the configuration stands. None if there is a mistake, and it is among the diagnostics.
    pub fn compile(
        config: &HeadersConfig,
        captures: &[impl AsRef<str>],
        direction: Direction,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let mut reader = Reader { captures, direction, diagnostics };
        let remove = reader.removals(config, at);
        let rename = reader.renamings(config, at);
        let write = reader.writings(config, at);
        let sole = match direction {
            Direction::Request => sole(&remove, &rename, &write),
            Direction::Response => Box::default(),
        };
        (diagnostics.len() == before).then(|| Self {
            sole,
            remove: remove.into(),
            rename: rename.into(),
            write: write.into(),
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.rename.is_empty() && self.write.is_empty()
    }

    /// The variables that its values are filled with.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        let templates = self.write.iter().filter_map(|write| match &write.value {
            Value::Ready(_) => None,
            Value::Rendered(template) => Some(template),
        });
        templates.flat_map(Template::variables)
    }

    /// Changes the headers of a message.
    pub fn apply(&self, head: &mut HeaderMap, fill: &dyn Fill) {
        self.apply_to(head, true, fill);
    }

    /// The same. `underscored`: whether a name with `_` may be among the headers, without which most names have no twin.
    pub fn apply_to(&self, head: &mut HeaderMap, underscored: bool, fill: &dyn Fill) {
        if !self.sole.is_empty() && (underscored || self.sole.iter().any(may_be_twin)) {
            // One that is to be renamed is what the configuration speaks of itself.
            let is_meant = |name: &str| self.rename.iter().any(|(old, _)| old == name);
            let is_other = |name: &str| self.sole.iter().any(|sole| is_twin(name, sole.as_str()));
            head.discard_where(|name| is_other(name) && !is_meant(name));
        }
        for name in &self.remove {
            head.remove(name);
        }
        for (old, new) in &self.rename {
            rename(head, old, new);
        }
        for write in &self.write {
            let value = match &write.value {
                Value::Ready(value) => Some(value.clone()),
                Value::Rendered(template) => {
                    let mut text = Vec::with_capacity(64);
                    template.render(fill, &mut text);
                    owned_value(text)
                }
            };
            match (write.mode, value) {
                (Mode::Set, Some(value)) => drop(head.insert(&write.name, value)),
                (Mode::Set, None) => drop(head.remove(&write.name)),
                (Mode::Add, Some(value)) => drop(head.append(&write.name, value)),
                (Mode::Add, None) => {}
            }
        }
    }
}

/// The names that are to be read as these operations leave them, if a twin of one can be written.
fn sole(
    remove: &[HeaderName],
    rename: &[(HeaderName, HeaderName)],
    write: &[Write],
) -> Box<[HeaderName]> {
    let renamed = rename.iter().flat_map(|(old, new)| [old, new]);
    let set = write.iter().filter(|write| write.mode == Mode::Set).map(|write| &write.name);
    let all = remove.iter().chain(renamed).chain(set);
    all.filter(|name| name.as_str().contains(['-', '_'])).cloned().collect()
}

fn rename(head: &mut HeaderMap, old: &HeaderName, new: &HeaderName) {
    if !head.contains_key(old) {
        return;
    }
    let values: Vec<HeaderValue> = head.get_all(old).iter().cloned().collect();
    head.remove(old);
    head.remove(new);
    for value in values {
        head.append(new, value);
    }
}

/// Reads the parts of one configuration and collects the mistakes.
struct Reader<'a, C> {
    captures: &'a [C],
    direction: Direction,
    diagnostics: &'a mut Diagnostics,
}

impl<C: AsRef<str>> Reader<'_, C> {
    fn removals(&mut self, config: &HeadersConfig, at: &At) -> Vec<HeaderName> {
        let mut seen = Seen::default();
        let mut all = Vec::new();
        for (index, name) in config.remove.iter().enumerate() {
            let at = at.key("remove").index(index);
            if let Some(name) = self.name(name, Touch::Take, &at) {
                self.once(&mut seen, &name, &at, "is removed twice");
                all.push(name);
            }
        }
        all
    }

    fn renamings(&mut self, config: &HeadersConfig, at: &At) -> Vec<(HeaderName, HeaderName)> {
        let mut seen = Seen::default();
        let mut all = Vec::new();
        for (old, new) in &config.rename {
            let at = at.key("rename").key(old);
            let old_name = self.name(old, Touch::Take, &at);
            let new_name = self.name(new, Touch::Give, &at);
            let (Some(old_name), Some(new_name)) = (old_name, new_name) else { continue };
            // One name in two renamings would make the outcome depend on their order.
            self.once(&mut seen, &old_name, &at, "stands in two renamings");
            if new_name != old_name {
                self.once(&mut seen, &new_name, &at, "stands in two renamings");
            }
            if config.remove.iter().any(|name| name.eq_ignore_ascii_case(old)) {
                self.diagnostics.error(
                    at,
                    format!("header \"{old}\" is removed before it could be renamed"),
                    "take it out of `remove` or out of `rename`",
                );
            }
            all.push((old_name, new_name));
        }
        all
    }

    fn writings(&mut self, config: &HeadersConfig, at: &At) -> Vec<Write> {
        let mut all = Vec::new();
        let mut seen = Seen::default();
        for (written, text) in &config.set {
            let at = at.key("set").key(written);
            let name = self.name(written, Touch::Give, &at);
            if let Some(name) = &name {
                self.once(&mut seen, name, &at, "is set twice");
            }
            let value = self.value(text, &at);
            all.extend(name.zip(value).map(|(name, value)| Write { name, mode: Mode::Set, value }));
        }
        let mut seen = Seen::default();
        for (written, texts) in &config.add {
            let at = at.key("add").key(written);
            let name = self.name(written, Touch::Give, &at);
            if let Some(name) = &name {
                self.once(&mut seen, name, &at, "stands twice in `add`");
            }
            for (index, text) in texts.0.iter().enumerate() {
                let at = if texts.0.len() == 1 { at.clone() } else { at.index(index) };
                let value = self.value(text, &at);
                let write = name.clone().zip(value);
                all.extend(write.map(|(name, value)| Write { name, mode: Mode::Add, value }));
            }
        }
        all
    }

    fn name(&mut self, written: &str, touch: Touch, at: &At) -> Option<HeaderName> {
        let header = Some(written)
            .filter(|name| !name.is_empty() && name.bytes().all(is_token))
            .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        let Some(header) = header else {
            let (what, help) = if written.starts_with(':') {
                (format!("\"{written}\" is a pseudo-header of HTTP/2"), "name a header")
            } else {
                (
                    format!("{written:?} is not a header's name"),
                    "use letters, digits and `-`, such as X-Gateway",
                )
            };
            self.diagnostics.error(at.clone(), what, help);
            return None;
        };
        if let Some((why, help)) = refusal(header.as_str(), touch, self.direction) {
            self.diagnostics.error(at.clone(), format!("header \"{written}\" {why}"), help);
            return None;
        }
        Some(header)
    }

    fn once(&mut self, seen: &mut Seen, header: &HeaderName, at: &At, what: &str) {
        if let Some(first) = seen.0.insert(header.clone(), at.clone()) {
            self.diagnostics.error(
                at.clone(),
                format!("header \"{header}\" {what}, since case does not matter in names"),
                format!("keep one; the other is {first}"),
            );
        }
    }

    fn value(&mut self, text: &str, at: &At) -> Option<Value> {
        let template = match Template::parse(text, self.captures) {
            Ok(template) => template,
            Err(error) => {
                self.diagnostics.error(at.clone(), error.what(), error.help());
                return None;
            }
        };
        // The literal parts of a template with variables are held to the same rule, at load.
        if text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            self.diagnostics.error(
                at.clone(),
                "the value holds a line break or another control character",
                "a header's value is one line of text (in YAML, `|` and `>` add a line break at the end)",
            );
            return None;
        }
        match template.literal() {
            Some(literal) => HeaderValue::from_bytes(literal.as_bytes()).ok().map(Value::Ready),
            None => Some(Value::Rendered(template)),
        }
    }
}

/// The headers met so far, and where.
#[derive(Default)]
struct Seen(HashMap<HeaderName, At>);

/// What an operation does with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// Takes it away.
    Take,
    /// Gives it a value.
    Give,
}

/// Why a header is not the configuration's to change, and what to do instead.
fn refusal(name: &str, touch: Touch, way: Direction) -> Option<(&'static str, &'static str)> {
    match name {
        "host" => Some((
            "names the upstream's virtual host and can't be rewritten here",
            "use the upstream's `host`",
        )),
        "content-length" | "transfer-encoding" => Some((
            "frames the message and belongs to the gateway",
            "leave it out: it always fits the body that is sent",
        )),
        "connection" | "upgrade" | "te" | "trailer" | "keep-alive" | "http2-settings" => Some((
            "belongs to one connection and is never passed on",
            "leave it out: the gateway removes it and sets its own",
        )),
        _ if name.starts_with("proxy-") => Some((
            "is meant for the next proxy and is never passed on",
            "leave it out: the gateway removes it",
        )),
        _ if way == Direction::Request
            && touch == Touch::Give
            && starts_alike(name, "x-consumer-") =>
        {
            Some((
                "tells the upstream who was let in and is written by the gateway alone",
                "use another name; `${consumer.name}` gives the consumer's name",
            ))
        }
        _ => None,
    }
}

/// RFC 9110, 5.6.2. Checked here because [`HeaderName`] lets more through than a token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
