//! The typed words of the configuration: durations, sizes, rates, shares, and text that must not be printed.
//!
//! Units are written, never implied by a key's name: `5s`, `10MiB`, `20%`. A bare number is refused,
//! because nobody can tell seconds from milliseconds by looking at `5`.

mod address;
mod or_none;
mod rate;
mod status;
mod toggle;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use address::write_ip;
pub use or_none::OrNone;
pub use rate::Rate;
pub use status::Statuses;
pub use toggle::{Toggle, Toggled};

/// Text that was written in a form that the unit does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUnit(String);

/// A length of time: `250ms`, `5s`, `1m`, `2h`, `1d`, or a sum such as `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(pub Duration);

impl Period {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// So many seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// The standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// The units of time, the largest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Period {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let bad = || {
            InvalidUnit(format!(
                "{text:?} is not a duration (write it like 250ms, 5s, 1m30s or 2h)"
            ))
        };
        let mut rest = text;
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
            let unit = TIME_UNITS.iter().find(|(n, _)| *n == &rest[..letters]).ok_or_else(bad)?;
            total = number
                .checked_mul(unit.1)
                .and_then(|millis| total.checked_add(millis))
                .ok_or_else(bad)?;
            rest = &rest[letters..];
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in TIME_UNITS {
            if millis >= length {
                write!(f, "{}{unit}", millis / length)?;
                millis %= length;
            }
        }
        Ok(())
    }
}

/// A number of bytes: `512B`, `64KiB`, `10MiB`, `1GiB`, or decimal `10MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

impl Size {
    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The units of size; for display, the largest binary one that divides the number is taken.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let bad = || {
            InvalidUnit(format!(
                "{text:?} is not a size (write it like 512B, 64KiB, 10MiB or 1GiB)"
            ))
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let unit = SIZE_UNITS.iter().find(|(n, _)| *n == &text[digits..]).ok_or_else(bad)?;
        number.checked_mul(unit.1).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, length) = SIZE_UNITS
            .iter()
            .find(|(_, length)| self.0 > 0 && self.0.is_multiple_of(*length))
            .unwrap_or(&SIZE_UNITS[6]);
        write!(f, "{}{unit}", self.0 / length)
    }
}

/// A share of a whole, from `0%` to `100%`, in whole percents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Share(u8);

impl Share {
    /// So many percent; more than 100 counts as 100.
    #[must_use]
    pub const fn percent(n: u8) -> Self {
        Self(if n > 100 { 100 } else { n })
    }

    /// In percent.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// This share of `whole`, rounded down.
    #[must_use]
    pub const fn of(self, whole: usize) -> usize {
        whole * self.0 as usize / 100
    }
}

impl FromStr for Share {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        text.strip_suffix('%')
            .and_then(|n| n.parse::<u8>().ok())
            .filter(|n| *n <= 100)
            .map(Self)
            .ok_or_else(|| {
                InvalidUnit(format!("{text:?} is not a share (write it from 0% to 100%)"))
            })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Reads a unit from a string; a number without its unit gets the unit's own message.
struct UnitVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = InvalidUnit>> de::Visitor<'_> for UnitVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity with its unit")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! unit_serde {
    ($type:ident, $pattern:literal, $describe:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(UnitVisitor(std::marker::PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $describe,
                    "pattern": $pattern,
                    "examples": [$example],
                })
            }
        }
    };
}

unit_serde!(Period, "^([0-9]+(d|h|m|s|ms))+$", "A duration: 250ms, 5s, 1m30s, 2h.", "5s");
unit_serde!(
    Size,
    "^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)$",
    "A number of bytes: 512B, 64KiB, 10MiB, 1GiB.",
    "10MiB"
);
unit_serde!(Share, "^(100|[0-9]{1,2})%$", "A share from 0% to 100%.", "50%");
unit_serde!(
    Rate,
    "^[0-9]+/(s|min|hour|day)( burst [0-9]+)?$",
    "So much in so long, refilled evenly: 5/min, 100/s; with a bucket of another size: 100/s burst 50.",
    "5/min"
);

/// One word or a list of words, so that the common case needs no brackets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct OneOrMany(pub Vec<String>);

impl OneOrMany {
    /// Whether there is no word at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsVisitor;

        impl<'de> de::Visitor<'de> for WordsVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(OneOrMany(words))
            }
        }

        deserializer.deserialize_any(WordsVisitor)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}

/// The name under which [`Secret`] asks a deserializer for its text. A reader of configuration files
/// sees it and can warn about a secret that stands in the file itself.
pub const SECRET_TOKEN: &str = "$portcullis::Secret";

/// The same for a URL, which is a secret in the file itself only if it holds a user name or password.
pub const SECRET_URL_TOKEN: &str = "$portcullis::SecretUrl";

/// Text that must not be printed: neither `Debug` nor `Display` nor serialization shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Every call of this is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;

        impl<'de> de::Visitor<'de> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret, as ${env:NAME} or ${file:/path}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Secret, D::Error> {
                String::deserialize(d).map(Secret)
            }
        }

        deserializer.deserialize_newtype_struct(SECRET_TOKEN, SecretVisitor)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A secret: ${env:NAME} or ${file:/path}.",
            "examples": ["${env:GATEWAY_SECRET}", "${file:/run/secrets/gateway}"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown_alike() {
        for (text, millis) in [("250ms", 250), ("5s", 5_000), ("1m30s", 90_000), ("1d", 86_400_000)]
        {
            let period: Period = text.parse().expect(text);
            assert_eq!(period, Period::millis(millis));
            assert_eq!(period.to_string(), text);
        }
        for text in ["", "5", "5x", "s", "-5s", "5 s", "5S", "99999999999999999999s", "1.5s"] {
            assert!(text.parse::<Period>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn sizes_are_read_and_shown_alike() {
        for (text, bytes) in
            [("512B", 512), ("64KiB", 65_536), ("10MiB", 10 << 20), ("1GiB", 1 << 30)]
        {
            let size: Size = text.parse().expect(text);
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("10MB".parse::<Size>().map(Size::bytes), Ok(10_000_000));
        for text in ["", "10", "10mb", "MiB", "-1B", "1.5MiB", "99999999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn shares_stay_within_the_whole() {
        assert_eq!("50%".parse::<Share>().map(|s| s.of(3)), Ok(1));
        assert_eq!("100%".parse::<Share>().map(|s| s.of(3)), Ok(3));
        for text in ["50", "101%", "-1%", "%", "5.5%"] {
            assert!(text.parse::<Share>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_secret_shows_itself_to_nobody() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** Secret(***)");
        assert_eq!(serde_json::to_string(&secret).ok().as_deref(), Some("\"***\""));
        assert_eq!(secret.expose(), "hunter2");
    }
}
