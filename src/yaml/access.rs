//! Lists, maps and enums as serde walks through them, without what is left out.

use std::slice;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::decode::Run;
use super::deserializer::NodeReader;
use super::error::{Error, Fault, Spot};
use super::node::{Entry, Kind, Map, Mark, NodeId, Typed};

/// Which children are walked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Walk {
    /// All without a mistake: their number or their names may matter.
    All,
    /// Those not read well before: each stands for itself.
    Open,
}

impl Walk {
    fn skips(self, run: &Run<'_>, id: NodeId) -> bool {
        match self {
            Self::All => run.tree.failed(id),
            Self::Open => run.left_out(id),
        }
    }

    fn done(self, run: &Run<'_>, id: NodeId) {
        if self == Self::Open {
            run.tree.get(id).mark.set(Mark::Done(run.pass.get()));
        }
    }
}

/// The items of a list.
pub(super) struct Items<'r> {
    run: &'r Run<'r>,
    rest: slice::Iter<'r, NodeId>,
    walk: Walk,
}

impl<'r> Items<'r> {
    pub(super) fn all(run: &'r Run<'r>, items: &'r [NodeId]) -> Self {
        Self { run, rest: items.iter(), walk: Walk::All }
    }

    pub(super) fn open(run: &'r Run<'r>, items: &'r [NodeId]) -> Self {
        Self { run, rest: items.iter(), walk: Walk::Open }
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(id) = self.rest.find(|id| !self.walk.skips(self.run, **id)) else {
            return Ok(None);
        };
        let value = seed
            .deserialize(NodeReader::new(self.run, *id))
            .map_err(|e| e.or_at(Spot::Value(*id)))?;
        self.walk.done(self.run, *id);
        Ok(Some(value))
    }
}

/// The entries of a map.
pub(super) struct Entries<'r> {
    run: &'r Run<'r>,
    rest: slice::Iter<'r, Entry>,
    value: Option<NodeId>,
    walk: Walk,
}

impl<'r> Entries<'r> {
    pub(super) fn all(run: &'r Run<'r>, map: &'r Map) -> Self {
        Self { run, rest: map.entries.iter(), value: None, walk: Walk::All }
    }

    pub(super) fn open(run: &'r Run<'r>, map: &'r Map) -> Self {
        Self { walk: Walk::Open, ..Self::all(run, map) }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let next = self.rest.find(|entry| !self.walk.skips(self.run, entry.value));
        self.value = next.map(|entry| entry.value);
        let Some(entry) = next else { return Ok(None) };
        let spot = Spot::Key(entry.value);
        seed.deserialize(KeyReader(&entry.key)).map(Some).map_err(|e| e.or_at(spot))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some(id) = self.value.take() else {
            return Err(Error::new(Fault::Custom(
                "a value was asked for before its key".to_owned(),
            )));
        };
        let value = seed
            .deserialize(NodeReader::new(self.run, id))
            .map_err(|e| e.or_at(Spot::Value(id)))?;
        self.walk.done(self.run, id);
        Ok(value)
    }
}

/// Reads a key: text, or a number or boolean for types that have such keys.
struct KeyReader<'r>(&'r str);

macro_rules! number_key {
    ($($method:ident $visit:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Error::wrong_type(&visitor)),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for KeyReader<'_> {
    type Error = Error;

    number_key!(
        deserialize_bool visit_bool,
        deserialize_i8 visit_i64, deserialize_i16 visit_i64, deserialize_i32 visit_i64,
        deserialize_i64 visit_i64, deserialize_i128 visit_i128,
        deserialize_u8 visit_u64, deserialize_u16 visit_u64, deserialize_u32 visit_u64,
        deserialize_u64 visit_u64, deserialize_u128 visit_u128
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Word(self.0))
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// An enum's variant written as a map with one key.
pub(super) struct Variant<'r> {
    run: &'r Run<'r>,
    entry: &'r Entry,
}

impl<'r> Variant<'r> {
    pub(super) fn new(run: &'r Run<'r>, entry: &'r Entry) -> Self {
        Self { run, entry }
    }

    fn value(&self) -> NodeReader<'r> {
        NodeReader::new(self.run, self.entry.value)
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let variant = seed
            .deserialize(KeyReader(&self.entry.key))
            .map_err(|e| e.or_at(Spot::Key(self.entry.value)))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        let kind = &self.run.tree.get(self.entry.value).kind;
        if matches!(kind, Kind::Scalar(scalar) if scalar.typed == Typed::Null) {
            return Ok(());
        }
        let key = &self.entry.key;
        let what = format!("\"{key}\" takes nothing (write the word {key} alone)");
        Err(Error::new(Fault::Custom(what)).or_at(Spot::Key(self.entry.value)))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.value()).map_err(|e| e.or_at(Spot::Value(self.entry.value)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.value().deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value().deserialize_struct("", fields, visitor)
    }
}

/// An enum's variant written as a word.
pub(super) struct Word<'r>(pub &'r str);

impl Word<'_> {
    fn alone(&self) -> Error {
        let word = self.0;
        let what = format!("\"{word}\" needs more than its name (write {{ {word}: ... }})");
        Error::new(Fault::Custom(what))
    }
}

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((seed.deserialize(KeyReader(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(self.alone())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(self.alone())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(self.alone())
    }
}
