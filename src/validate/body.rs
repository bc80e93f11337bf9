//! What an operation takes as its body, and whether one that was sent is that.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::Refused;
use super::document::Mistakes;
use super::media::{self, MediaType};
use super::parameter::{field, pairs};
use super::schema::{Pointer, Schema, Schemas, escaped};
use super::words::{Faults, Of};
use crate::strict::{self, Unreadable};

/// What an operation takes as its body.
#[derive(Debug)]
pub(super) struct Body {
    required: bool,
    media: Vec<(MediaType, Option<Arc<Schema>>)>,
    /// The names of the media types, for whoever sent another.
    accepted: Box<str>,
}

/// How a body is to be checked, once it has come.
#[derive(Debug, Clone)]
pub struct Check {
    schema: Option<Arc<Schema>>,
    is_form: bool,
    required: bool,
}

impl Body {
    /// Reads a `requestBody`, which is no reference.
    pub(super) fn compile(
        value: &Value,
        at: &Pointer,
        schemas: &mut Schemas<'_>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let Some(content) = value["content"].as_object().filter(|content| !content.is_empty())
        else {
            mistakes.add(
                at.clone(),
                "the body has no `content`",
                "name the media types that it may be of",
            );
            return None;
        };
        let mut media = Vec::new();
        for (name, described) in content {
            let at = format!("{at}/content/{}", escaped(name));
            let Some(media_type) = MediaType::parse(name) else {
                mistakes.add(at, "this is no media type", "write one such as application/json");
                continue;
            };
            let may_be_checked = media_type.is_json() || media_type.is_form() || name.contains('*');
            let schema = described.get("schema").filter(|_| may_be_checked);
            let schema = match schema {
                Some(schema) => Some(schemas.compile(schema, &format!("{at}/schema"), mistakes)?),
                None => None,
            };
            media.push((media_type, schema));
        }
        let accepted = content.keys().map(String::as_str).collect::<Vec<_>>().join(", ").into();
        Some(Self { required: value["required"] == Value::Bool(true), media, accepted })
    }

    /// The media types that it takes.
    pub(super) fn accepted(&self) -> &str {
        &self.accepted
    }

    /// Whether a body with these headers can be one, and how it is to be checked; `is_there`: whether one follows, if
    /// that is known.
    pub(super) fn begin(
        &self,
        headers: &HeaderMap,
        is_there: Option<bool>,
    ) -> Result<Option<Check>, Refused> {
        match is_there {
            Some(false) if self.required => return Err(Refused::NoBody),
            Some(false) => return Ok(None),
            None if !headers.contains_key(http::header::CONTENT_TYPE) => return Ok(None),
            _ => {}
        }
        let sent = media::sent(headers);
        let named = sent.as_ref().and_then(|sent| {
            let fits = |(range, schema)| Some((MediaType::names(range, sent)?, schema));
            self.media
                .iter()
                .filter_map(|(range, schema)| fits((range, schema)))
                .max_by_key(|(how, _)| *how)
        });
        let (Some(sent), Some((_, schema))) = (sent, named) else {
            return Err(Refused::MediaType(self.accepted.clone()));
        };
        if !sent.is_json() && !sent.is_form() {
            return Ok(None);
        }
        if media::is_encoded(headers) {
            return Err(Refused::Encoded);
        }
        if media::is_in_another_charset(headers) {
            return Err(Refused::Charset);
        }
        if sent.is_form() && schema.is_none() {
            return Ok(None);
        }
        Ok(Some(Check { schema: schema.clone(), is_form: sent.is_form(), required: self.required }))
    }
}

impl Check {
    /// Whether a body is what the operation takes.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn judge(&self, body: &[u8]) -> Result<(), Refused> {
        // A form without fields is an empty text; JSON is never.
        if body.is_empty() && !self.is_form {
            return if self.required { Err(Refused::NoBody) } else { Ok(()) };
        }
        let value = if self.is_form { self.form(body)? } else { json(body)? };
        let Some(schema) = &self.schema else { return Ok(()) };
        let mut faults = Faults::default();
        schema.judge(&value, &Of::Body, &mut faults);
        match faults.into_vec() {
            faults if faults.is_empty() => Ok(()),
            faults => Err(Refused::Body(faults)),
        }
    }

    fn form(&self, body: &[u8]) -> Result<Value, Refused> {
        let unreadable = || Refused::unreadable("", "is no form in UTF-8, percent-encoded");
        let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
        let pairs = pairs(text);
        if pairs.len() != text.split('&').filter(|part| !part.is_empty()).count() {
            return Err(unreadable());
        }
        let mut fields: BTreeMap<&str, Vec<Cow<'_, str>>> = BTreeMap::new();
        for pair in &pairs {
            let value = pair.value().ok_or_else(unreadable)?;
            fields.entry(pair.name()).or_default().push(value);
        }
        let shape = self.schema.as_ref().map(|schema| &schema.shape);
        let mut made = Map::new();
        for (name, texts) in fields {
            let value = field(&texts, shape.and_then(|shape| shape.member(name)));
            let value = value.ok_or_else(|| {
                let pointer = format!("/{}", escaped(name));
                Refused::unreadable(&pointer, "is given more than once")
            })?;
            made.insert(name.to_owned(), value);
        }
        Ok(Value::Object(made))
    }
}

fn json(body: &[u8]) -> Result<Value, Refused> {
    strict::value(body).map_err(|why| {
        Refused::unreadable(
            "",
            match why {
                Unreadable::Syntax => "is no JSON in UTF-8",
                Unreadable::Twice => "has two members of one name in an object",
                Unreadable::Deep => "is nested more than 127 levels deep",
            },
        )
    })
}
