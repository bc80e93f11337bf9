//! From the texts of a request to values: numbers and booleans as JSON writes them, and everything else is text.

use std::borrow::Cow;

use http::header::COOKIE;
use serde_json::{Map, Number, Value as Json};

use super::{Parameter, Place, Sent, Writing};
use crate::strict;
use crate::validate::schema::{Shape, Type, Types};

/// One `name=value` of a query or form.
#[derive(Debug, Clone)]
pub(in crate::validate) struct Pair<'a> {
    /// The name, decoded.
    name: Cow<'a, str>,
    /// The value as sent.
    value: &'a str,
}

/// What a text stands for.
pub(super) enum Value {
    /// This.
    Certain(Json),
    /// One of these; the first is the likeliest.
    OneOf(Vec<Json>),
    /// Nothing, which is allowed.
    Empty,
}

const TWICE: &str = "is given more than once";
const NOT_TEXT: &str = "is no text in UTF-8, percent-encoded";

/// The pairs of a query or form, as far as their names can be read.
pub(in crate::validate) fn pairs(text: &str) -> Vec<Pair<'_>> {
    let pair = |part| {
        let (name, value) = str::split_once(part, '=').unwrap_or((part, ""));
        Some(Pair { name: formed(name)?, value })
    };
    text.split('&').filter(|part| !part.is_empty()).filter_map(pair).collect()
}

/// What a text of a query or form stands for: `+` is a space. None if it is malformed.
fn formed(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        return decoded(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()));
    }
    decoded(text)
}

/// What a percent-encoded text stands for. None if an escape is none, or it is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let is_escape = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !memchr::memchr_iter(b'%', text.as_bytes()).all(is_escape) {
        return None;
    }
    match crate::hygiene::decode(text) {
        Cow::Borrowed(_) => Some(Cow::Borrowed(text)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

impl Pair<'_> {
    pub(in crate::validate) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::validate) fn value(&self) -> Option<Cow<'_, str>> {
        formed(self.value)
    }
}

impl Parameter {
    /// The value that was sent, if one was.
    pub(super) fn read(&self, sent: &Sent<'_>) -> Result<Option<Value>, &'static str> {
        if self.writing == Writing::Deep {
            return self.deep(sent).map(|value| value.map(Value::Certain));
        }
        let texts = self.texts(sent)?;
        let [first, more @ ..] = &texts[..] else { return Ok(None) };
        if self.may_be_empty && more.is_empty() && first.is_empty() {
            return Ok(Some(Value::Empty));
        }
        let shape = self.schema.as_ref().map(|schema| &schema.shape);
        let types = shape.map_or(Types::ALL, |shape| shape.types);
        let items = shape.map_or(Types::ALL, |shape| shape.items);
        let split = match self.writing {
            Writing::Repeated => {
                texts.iter().map(|text| self.decode(text)).collect::<Result<Vec<_>, _>>()?
            }
            _ if !more.is_empty() && !self.joins() => return Err(TWICE),
            Writing::List(between) => {
                let texts = texts.iter().flat_map(|text| split(text, between));
                texts
                    .map(|text| self.decode(text.trim_matches([' ', '\t'])))
                    .collect::<Result<_, _>>()?
            }
            Writing::Json => {
                let text = self.decode(first)?;
                let value = strict::value(text.as_bytes()).map_err(|_| "is no JSON")?;
                return Ok(Some(Value::Certain(value)));
            }
            Writing::One | Writing::Deep => {
                return Ok(Some(Value::OneOf(candidates(&self.decode(first)?, types))));
            }
        };
        let likely = split.iter().map(|text| likeliest(text, items)).collect();
        let texts = split.iter().map(|text| Json::from(&**text)).collect();
        let mut values = vec![Json::Array(likely)];
        if items.has(Type::String) {
            values.push(Json::Array(texts));
        }
        Ok(Some(Value::OneOf(values)))
    }

    /// Whether several lines are one list.
    fn joins(&self) -> bool {
        matches!((&self.place, self.writing), (Place::Header(_), Writing::List(_)))
    }

    /// The texts under its name, as sent.
    fn texts<'a>(&self, sent: &Sent<'a>) -> Result<Vec<&'a str>, &'static str> {
        match &self.place {
            Place::Path(number) => Ok(sent.path.get(*number).copied().into_iter().collect()),
            Place::Query => {
                let named = sent.query.iter().filter(|pair| *pair.name == *self.name);
                Ok(named.map(|pair| pair.value).collect())
            }
            Place::Header(name) => {
                let lines = sent.headers.get_all(name).iter();
                let text = |line: &'a http::HeaderValue| std::str::from_utf8(line.as_bytes());
                lines.map(text).collect::<Result<_, _>>().map_err(|_| NOT_TEXT)
            }
            Place::Cookie => {
                let mut found = Vec::new();
                for line in sent.headers.get_all(COOKIE) {
                    let line = std::str::from_utf8(line.as_bytes()).map_err(|_| NOT_TEXT)?;
                    let cookies = line.split(';').filter_map(|one| one.trim().split_once('='));
                    found.extend(
                        cookies.filter(|(name, _)| **name == *self.name).map(|(_, value)| value),
                    );
                }
                Ok(found)
            }
        }
    }

    fn decode<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, &'static str> {
        match self.place {
            Place::Query => formed(text).ok_or(NOT_TEXT),
            Place::Path(_) => decoded(text).ok_or(NOT_TEXT),
            Place::Header(_) | Place::Cookie => Ok(Cow::Borrowed(text)),
        }
    }

    /// A map of which each member is a pair of its own.
    fn deep(&self, sent: &Sent<'_>) -> Result<Option<Json>, &'static str> {
        let mut members = Map::new();
        for pair in sent.query {
            let Some(rest) = pair.name.strip_prefix(&*self.name) else { continue };
            if rest.is_empty() {
                return Err("is no map, written as name[member]");
            }
            let Some(rest) = rest.strip_prefix('[') else { continue };
            let member = rest.strip_suffix(']').filter(|name| !name.contains(['[', ']']));
            let member = member.ok_or("has a member in a member, or a bracket too few")?;
            let shape = self.schema.as_ref().and_then(|schema| schema.shape.member(member));
            let types = shape.map_or(Types::ALL, |shape| shape.types);
            let text = pair.value().ok_or(NOT_TEXT)?;
            if members.insert(member.to_owned(), likeliest(&text, types)).is_some() {
                return Err("has a member more than once");
            }
        }
        Ok((!members.is_empty()).then_some(Json::Object(members)))
    }
}

/// The value of a form's field that stands there so often.
pub(in crate::validate) fn field(texts: &[Cow<'_, str>], shape: Option<&Shape>) -> Option<Json> {
    let types = shape.map_or(Types::ALL, |shape| shape.types);
    let is_list = types.has(Type::Array) && (types != Types::ALL || texts.len() > 1);
    match texts {
        _ if is_list => {
            let items = shape.map_or(Types::ALL, |shape| shape.items);
            Some(texts.iter().map(|text| likeliest(text, items)).collect())
        }
        [one] => Some(likeliest(one, types)),
        _ => None,
    }
}

/// The items of a list, each still encoded.
fn split<'t>(text: &'t str, between: &'static [&'static str]) -> Vec<&'t str> {
    let mut items = vec![text];
    for mark in between {
        items = items.into_iter().flat_map(|item| item.split(mark)).collect();
    }
    items
}

/// What a text may stand for, the likeliest first.
fn candidates(text: &str, types: Types) -> Vec<Json> {
    let mut values = Vec::new();
    if let Some(number) = number(text, types) {
        values.push(Json::Number(number));
    }
    if types.has(Type::Boolean) && matches!(text, "true" | "false") {
        values.push(Json::Bool(text == "true"));
    }
    if types.has(Type::String) || values.is_empty() {
        values.push(text.into());
    }
    values
}

fn likeliest(text: &str, types: Types) -> Json {
    // A text that may be anything is text.
    if types == Types::ALL {
        return text.into();
    }
    candidates(text, types).swap_remove(0)
}

/// A number as JSON writes it; where only whole ones may stand, without a point or exponent.
fn number(text: &str, types: Types) -> Option<Number> {
    let only_whole = !types.has(Type::Number);
    if !types.has(Type::Integer) && only_whole {
        return None;
    }
    let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let is_whole = !text.contains(['.', 'e', 'E']);
    let ends = text.ends_with(|c: char| c.is_ascii_digit());
    (begins && ends && (is_whole || !only_whole)).then(|| serde_json::from_str(text).ok()).flatten()
}
