//! `limits`, `plans` and `failed_credentials` as they stand in the file.

mod schema;

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::quota::config::QuotasConfig;
use crate::concurrency::Priority;
use crate::diagnostic::did_you_mean;
use crate::units::{OneOrMany, Period, Rate};

/// What a consumer has bought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { limits: [ 60/min ] }", deny_unknown_fields, default)]
pub struct PlanConfig {
    /// How often each of its consumers may call, on all routes together. Default: as often as they like.
    #[serde(skip_serializing_if = "Rates::is_empty")]
    pub limits: Rates,
    /// How much each of its consumers may use in a day or month of the calendar, on all routes together. Default: as
    /// much as they like.
    #[serde(skip_serializing_if = "QuotasConfig::is_empty")]
    pub quota: QuotasConfig,
    /// How many requests each of its consumers may have in flight. Default: as many as they like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// Who is let in first where not all can be: `low`, `normal` or `high`. Default: normal, as callers without a plan.
    pub priority: Priority,
}

/// How often credentials from one address may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCredentials(pub Option<Rate>);

impl Default for FailedCredentials {
    fn default() -> Self {
        Self("60/min burst 100".parse().ok())
    }
}

/// One rate or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Rates(pub Vec<Rate>);

impl Rates {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The limits of a route, or of several together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// There are none.
    None,
    /// All of these hold.
    On(Vec<RuleConfig>),
}

/// One limit: a rate, or a map with more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(
    expecting = "a rate such as 5/min, or a map such as { rate: 5/min, per: ip }",
    deny_unknown_fields
)]
pub struct RuleConfig {
    /// How often: a rate, or several that all hold.
    pub rate: Rates,
    /// Whom each bucket is for.
    #[serde(default)]
    pub per: Per,
    /// The methods it is for; GET has HEAD with it. Default: all.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub methods: OneOrMany,
    /// How much a request takes. Default: 1.
    #[serde(default = "one")]
    pub cost: u32,
    /// What becomes of a request that is too many.
    #[serde(default)]
    pub mode: Mode,
    /// Whether it only looks on. Default: false.
    #[serde(default)]
    pub observe: bool,
}

const fn one() -> u32 {
    1
}

impl RuleConfig {
    /// These rates, and everything else as if nothing were said of it.
    pub(super) fn of(rate: Rates) -> Self {
        Self {
            rate,
            per: Per::default(),
            methods: OneOrMany::default(),
            cost: one(),
            mode: Mode::default(),
            observe: false,
        }
    }
}

/// Whom each bucket is for: all of these together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Per(pub Vec<Part>);

impl Default for Per {
    fn default() -> Self {
        Self(vec![Part::Consumer])
    }
}

/// What tells one caller from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Who it is.
    Consumer,
    /// Its address.
    Ip,
    /// The route.
    Route,
    /// A header that it sends.
    Header(String),
    /// A cookie that it sends.
    Cookie(String),
    /// A claim of its token.
    Claim(String),
}

/// What becomes of a request that is too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is refused.
    #[default]
    Reject,
    /// It is held up, if it need not wait longer than this.
    Delay(Period),
}

/// How long a request is held up if nothing is said of it.
const DELAY: Period = Period::secs(1);

/// What else may take a limit's place, as the text of what is expected.
const RULE: &str = "a rate such as 5/min, or a map such as { rate: 5/min, per: ip }";

#[derive(Deserialize, Serialize)]
#[serde(rename = "mode", deny_unknown_fields)]
struct DelayForm {
    delay: Period,
}

#[derive(Deserialize)]
#[serde(rename = "per", deny_unknown_fields)]
struct PartForm {
    header: Option<String>,
    cookie: Option<String>,
    claim: Option<String>,
}

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Rates;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as 5/min, or a list of rates")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rates, E> {
                Ok(Rates(vec![text.parse().map_err(E::custom)?]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Rates, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Rates, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Rates)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// A rule in either form.
struct Rule(RuleConfig);

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Rule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(RULE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rule, E> {
                let rate = text.parse().map_err(E::custom)?;
                Ok(Rule(RuleConfig::of(Rates(vec![rate]))))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Rule, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
                RuleConfig::deserialize(MapAccessDeserializer::new(map)).map(Rule)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Setting {
    /// The rules, if there are any.
    #[must_use]
    pub fn on(&self) -> Option<&[RuleConfig]> {
        match self {
            Self::None => None,
            Self::On(rules) => Some(rules),
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "none, or a list such as [ 100/min, { rate: 5/min, methods: [ POST ] } ]",
                )
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Setting, E> {
                if word == "none" {
                    return Ok(Setting::None);
                }
                let text = de::value::StrDeserializer::<E>::new(word);
                Rule::deserialize(text).map(|rule| Setting::On(vec![rule.0]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Setting, A::Error> {
                let mut rules = Vec::new();
                while let Some(Rule(rule)) = seq.next_element()? {
                    rules.push(rule);
                }
                Ok(Setting::On(rules))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Setting, A::Error> {
                let rule = RuleConfig::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Setting::On(vec![rule]))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for FailedCredentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = FailedCredentials;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as \"60/min burst 100\", or none")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<FailedCredentials, E> {
                match word {
                    "none" => Ok(FailedCredentials(None)),
                    rate => rate.parse().map(Some).map(FailedCredentials).map_err(E::custom),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for FailedCredentials {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str("none"),
            Some(rate) => rate.serialize(serializer),
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::On(rules) => rules.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "consumer, ip, route, { header: X }, { cookie: name } or { claim: name }",
                )
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Part, E> {
                match word {
                    "consumer" => Ok(Part::Consumer),
                    "ip" => Ok(Part::Ip),
                    "route" => Ok(Part::Route),
                    "header" | "cookie" | "claim" => {
                        Err(E::custom(format!("which {word}? (write {{ {word}: its-name }})")))
                    }
                    other => Err(E::custom(format!(
                        "nothing to count by is called {other:?} ({})",
                        did_you_mean(
                            other,
                            ["consumer", "ip", "route", "header", "cookie", "claim"]
                        )
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Part, A::Error> {
                match PartForm::deserialize(MapAccessDeserializer::new(map))? {
                    PartForm { header: Some(name), cookie: None, claim: None } => {
                        Ok(Part::Header(name))
                    }
                    PartForm { header: None, cookie: Some(name), claim: None } => {
                        Ok(Part::Cookie(name))
                    }
                    PartForm { header: None, cookie: None, claim: Some(name) } => {
                        Ok(Part::Claim(name))
                    }
                    PartForm { .. } => Err(de::Error::custom(
                        "one thing has one name (write { header: X }, { cookie: name } or { claim: name }, or a list of these)",
                    )),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, name) = match self {
            Self::Consumer => return serializer.serialize_str("consumer"),
            Self::Ip => return serializer.serialize_str("ip"),
            Self::Route => return serializer.serialize_str("route"),
            Self::Header(name) => ("header", name),
            Self::Cookie(name) => ("cookie", name),
            Self::Claim(name) => ("claim", name),
        };
        serializer.collect_map([(key, name)])
    }
}

impl<'de> Deserialize<'de> for Per {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Per;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "consumer, ip, route, { header: X }, { cookie: name }, { claim: name }, or a list of these",
                )
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Per, E> {
                let word = de::value::StrDeserializer::<E>::new(word);
                Part::deserialize(word).map(|part| Per(vec![part]))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Per, A::Error> {
                Part::deserialize(MapAccessDeserializer::new(map)).map(|part| Per(vec![part]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Per, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Per)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Per {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] => one.serialize(serializer),
            parts => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Mode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("reject, delay, or a map such as { delay: 2s }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Mode, E> {
                match word {
                    "reject" => Ok(Mode::Reject),
                    "delay" => Ok(Mode::Delay(DELAY)),
                    other => Err(E::custom(format!(
                        "no mode is called {other:?} ({})",
                        did_you_mean(other, ["reject", "delay"])
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Mode, A::Error> {
                let form = DelayForm::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Mode::Delay(form.delay))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Reject => serializer.serialize_str("reject"),
            Self::Delay(delay) => DelayForm { delay: *delay }.serialize(serializer),
        }
    }
}
