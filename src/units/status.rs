//! A status, or a range of them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::InvalidUnit;

/// Statuses of final answers: `204`, `200-299`, or `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

impl Statuses {
    /// Whether `status` is one of them.
    #[must_use]
    pub const fn holds(self, status: u16) -> bool {
        self.from <= status && status <= self.to
    }
}

impl FromStr for Statuses {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let code = |part: &str| {
            part.parse::<u16>().ok().filter(|c| part.len() == 3 && (200..=599).contains(c))
        };
        let class = text.strip_suffix("xx").and_then(|digit| code(&format!("{digit}00")));
        if let Some(from) = class {
            return Ok(Self { from, to: from + 99 });
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (code(from), code(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err(InvalidUnit(format!(
                "{text:?} is neither a status from 200 to 599 nor a range of them (write a code such \
                 as 204, or a range such as 200-299 or 2xx)"
            ))),
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from)?;
        if self.from == self.to { Ok(()) } else { write!(f, "-{}", self.to) }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 200, or a range such as 200-299 or 2xx")
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<Statuses, E> {
                self.visit_str(&code.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.from == self.to {
            serializer.serialize_u16(self.from)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status such as 200, or a range such as 200-299 or 2xx.",
            "oneOf": [
                { "type": "integer", "minimum": 200, "maximum": 599 },
                { "type": "string", "pattern": "^([2-5][0-9]{2}(-[2-5][0-9]{2})?|[2-5]xx)$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_a_code_a_range_or_a_class() {
        for (text, from, to, shown) in [
            ("204", 204, 204, "204"),
            ("200-299", 200, 299, "200-299"),
            ("5xx", 500, 599, "500-599"),
            ("200-399", 200, 399, "200-399"),
        ] {
            let statuses: Statuses = text.parse().expect(text);
            assert_eq!(statuses, Statuses { from, to });
            assert_eq!(statuses.to_string(), shown);
            assert!(statuses.holds(from) && statuses.holds(to));
            assert!(!statuses.holds(from - 1) && !statuses.holds(to + 1));
        }
        for text in ["", "x", "xx", "1xx", "6xx", "2XX", "20xx", "99", "600", "299-200", "2xx-3xx"]
        {
            assert!(text.parse::<Statuses>().is_err(), "{text:?} must be refused");
        }
    }
}
