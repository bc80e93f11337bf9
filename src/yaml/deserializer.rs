//! A [`Deserializer`] over one node of the tree.

use serde::de::{Deserializer, Visitor};

use super::access::{Entries, Items, Variant, Word};
use super::decode::Run;
use super::error::{Error, Fault, Spot};
use super::node::{Kind, Map, NodeId, Scalar, Typed};
use super::words;
use crate::units::{SECRET_TOKEN, SECRET_URL_TOKEN};

/// Reads one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeReader<'r> {
    run: &'r Run<'r>,
    id: NodeId,
    /// A [`Secret`](crate::units::Secret) asks: its text is nobody's template.
    secret: bool,
}

impl<'r> NodeReader<'r> {
    pub(super) fn new(run: &'r Run<'r>, id: NodeId) -> Self {
        Self { run, id, secret: false }
    }

    fn kind(self) -> &'r Kind {
        &self.run.tree.get(self.id).kind
    }

    fn here(self, error: Error) -> Error {
        error.or_at(Spot::Value(self.id))
    }

    fn refuse<'de, V: Visitor<'de>>(self, visitor: &V) -> Error {
        self.here(Error::wrong_type(visitor))
    }

    /// The text of a scalar that is something.
    fn text(self) -> Option<Result<&'r str, Error>> {
        let Kind::Scalar(scalar) = self.kind() else { return None };
        if scalar.typed == Typed::Null {
            return None;
        }
        Some(self.checked(scalar).map(|()| scalar.text()))
    }

    /// Refuses a text from outside that a template parser would take for a template.
    fn checked(self, scalar: &Scalar) -> Result<(), Error> {
        match &scalar.origin {
            Some(origin) if origin.opens_template && !self.secret => {
                let what = format!(
                    "the value of {} would make a template of its own (take the ${{ out of it, or \
                     write the value in the file, as $${{)",
                    origin.names
                );
                Err(self.here(Error::new(Fault::Custom(what))))
            }
            _ => Ok(()),
        }
    }

    /// What the scalar is where a number or a boolean is asked for: an unquoted reference counts as what
    /// it refers to.
    fn typed(self) -> Option<Typed> {
        let Kind::Scalar(scalar) = self.kind() else { return None };
        match &scalar.origin {
            Some(origin) if scalar.plain && origin.whole && !origin.masked.get() => {
                let text = scalar.text.as_str();
                let boolean = || words::boolean(text).map(Typed::Bool);
                let unsigned = || text.parse().ok().map(Typed::Unsigned);
                let signed = || text.parse().ok().map(Typed::Signed);
                let float = || text.parse().ok().filter(|n: &f64| n.is_finite()).map(Typed::Float);
                boolean().or_else(unsigned).or_else(signed).or_else(float)
            }
            _ => Some(scalar.typed),
        }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.typed() {
            Some(Typed::Unsigned(number)) => visitor.visit_u64(number),
            Some(Typed::Signed(number)) => visitor.visit_i64(number),
            Some(Typed::Float(number)) => visitor.visit_f64(number),
            _ => Err(self.refuse(&visitor)),
        }
        .map_err(|e| self.here(e))
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => visitor.visit_str(text?).map_err(|e| self.here(e)),
            None => Err(self.refuse(&visitor)),
        }
    }

    /// Warns of a secret that everybody who reads the file can read.
    fn warn_of_plain_secret(self) {
        let Kind::Scalar(scalar) = self.kind() else { return };
        if !scalar.is_outside() && scalar.typed != Typed::Null {
            self.run.warning(
                self.id,
                "a secret stands in the file",
                "keep it outside: write ${env:NAME} or ${file:/path} here",
            );
        }
    }

    fn variant<'de, V: Visitor<'de>>(
        self,
        map: &'r Map,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let here = |fault| self.here(Error::new(fault));
        match map.entries.as_slice() {
            [entry] if self.run.tree.failed(entry.value) => Err(here(Fault::Reported)),
            [entry] => visitor.visit_enum(Variant::new(self.run, entry)).map_err(|e| self.here(e)),
            _ => Err(here(Fault::Custom(format!(
                "expected exactly one key, found {} (choose one of: {})",
                map.entries.len(),
                known.join(", ")
            )))),
        }
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$to(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for NodeReader<'_> {
    type Error = Error;

    forward!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64);
    forward!(string: deserialize_char deserialize_str deserialize_string deserialize_identifier);
    forward!(deserialize_any: deserialize_bytes deserialize_byte_buf);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::List(items) => visitor.visit_seq(Items::all(self.run, items)),
            Kind::Map(map) => visitor.visit_map(Entries::all(self.run, map)),
            Kind::Scalar(scalar) => match scalar.typed {
                Typed::Null => visitor.visit_unit(),
                Typed::Bool(value) => visitor.visit_bool(value),
                Typed::Unsigned(number) => visitor.visit_u64(number),
                Typed::Signed(number) => visitor.visit_i64(number),
                Typed::Float(number) => visitor.visit_f64(number),
                Typed::Text => self.checked(scalar).and_then(|()| visitor.visit_str(scalar.text())),
            },
        }
        .map_err(|e| self.here(e))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.typed() {
            Some(Typed::Bool(value)) => visitor.visit_bool(value).map_err(|e| self.here(e)),
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Scalar(Scalar { typed: Typed::Null, .. }) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|e: Error| self.here(e))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.typed() {
            Some(Typed::Null) => visitor.visit_unit().map_err(|e| self.here(e)),
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let is_url = name == SECRET_URL_TOKEN;
        let secret = name == SECRET_TOKEN || is_url;
        if secret
            && !(is_url && self.text().is_some_and(|text| !text.is_ok_and(|t| t.contains('@'))))
        {
            self.warn_of_plain_secret();
        }
        let inner = Self { secret: self.secret || secret, ..self };
        visitor.visit_newtype_struct(inner).map_err(|e| self.here(e))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::List(items) => visitor.visit_seq(Items::open(self.run, items)),
            _ => Err(self.refuse(&visitor)),
        }
        .map_err(|e| self.here(e))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Kind::List(items) = self.kind() else { return Err(self.refuse(&visitor)) };
        if items.iter().any(|id| self.run.tree.failed(*id)) {
            // The items count by position, so none can be left out.
            return Err(self.here(Error::new(Fault::Reported)));
        }
        if items.len() != length {
            return Err(self.here(serde::de::Error::invalid_length(items.len(), &visitor)));
        }
        visitor.visit_seq(Items::all(self.run, items)).map_err(|e| self.here(e))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Map(map) => visitor.visit_map(Entries::open(self.run, map)),
            _ => Err(self.refuse(&visitor)),
        }
        .map_err(|e| self.here(e))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Map(map) => {
                self.run.refuse_unknown_keys(self.id, fields);
                visitor.visit_map(Entries::all(self.run, map))
            }
            _ => Err(self.refuse(&visitor)),
        }
        .map_err(|e| self.here(e))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (self.kind(), self.text()) {
            (Kind::Map(map), _) => self.variant(map, variants, visitor),
            (_, Some(text)) => visitor.visit_enum(Word(text?)).map_err(|e| self.here(e)),
            (_, None) => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
