//! One mistake as the deserializer meets it: serde's kinds, kept apart, and the node.

use std::fmt;

use serde::de;

use super::node::NodeId;

/// Where the error stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Value(NodeId),
    /// The key of the entry that holds this value.
    Key(NodeId),
}

impl Spot {
    pub(super) fn node(self) -> NodeId {
        match self {
            Self::Value(id) | Self::Key(id) => id,
        }
    }
}

#[derive(Debug)]
pub(super) enum Fault {
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    MissingKey(&'static str),
    WrongType {
        expected: String,
    },
    WrongValue {
        found: String,
        expected: String,
    },
    WrongLength {
        length: usize,
        expected: String,
    },
    UnknownVariant {
        found: String,
        known: &'static [&'static str],
    },
    Custom(String),
    /// What is wrong is reported already, further down.
    Reported,
}

/// The deserializer's error. Nobody sees it: [`super::words`] makes the message.
#[derive(Debug)]
pub(super) struct Error(Box<(Option<Spot>, Fault)>);

impl Error {
    pub(super) fn new(fault: Fault) -> Self {
        Self(Box::new((None, fault)))
    }

    pub(super) fn wrong_type(expected: &dyn de::Expected) -> Self {
        Self::new(Fault::WrongType { expected: expected.to_string() })
    }

    /// Sets the place, unless one further down has done so.
    #[must_use]
    pub(super) fn or_at(mut self, spot: Spot) -> Self {
        self.0.0.get_or_insert(spot);
        self
    }

    pub(super) fn into_parts(self) -> (Option<Spot>, Fault) {
        *self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.1 {
            Fault::UnknownKey { key, .. } => write!(f, "unknown key \"{key}\""),
            Fault::MissingKey(key) => write!(f, "the key \"{key}\" is missing"),
            Fault::WrongType { expected } | Fault::WrongLength { expected, .. } => {
                write!(f, "expected {expected}")
            }
            Fault::WrongValue { found, expected } => {
                write!(f, "expected {expected}, found {found}")
            }
            Fault::UnknownVariant { found, .. } => write!(f, "unknown value {found:?}"),
            Fault::Custom(text) => f.write_str(text),
            Fault::Reported => f.write_str("a mistake further down"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Custom(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // What was found is told by the node.
        Self::wrong_type(expected)
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            de::Unexpected::Bool(value) => value.to_string(),
            de::Unexpected::Unsigned(value) => value.to_string(),
            de::Unexpected::Signed(value) => value.to_string(),
            de::Unexpected::Float(value) => value.to_string(),
            de::Unexpected::Char(value) => format!("{value:?}"),
            de::Unexpected::Str(value) => format!("{value:?}"),
            other => other.to_string(),
        };
        Self::new(Fault::WrongValue { found, expected: expected.to_string() })
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(Fault::WrongLength { length, expected: expected.to_string() })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownVariant { found: variant.to_owned(), known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownKey { key: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Fault::MissingKey(field))
    }
}
