//! `concurrency` as it stands at a route, in `defaults` or a policy, and at an upstream.

mod schema;

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::adaptive::{Adaptive, Bounds};
use super::callers::refuse_number;
use super::gate::{Gate, MOST_IN, MOST_WAITING, Rule};
use crate::diagnostic::{At, Diagnostics};
use crate::units::Period;

/// The longest that a request may wait for a seat.
const LONGEST_WAIT: Period = Period::secs(10);
/// The lowest limit that is found out, unless another is written.
const MIN: u32 = 3;
/// The highest limit that is found out, unless another is written.
const MAX: u32 = 1000;

const fn default_wait() -> Period {
    Period::millis(100)
}

/// How many requests of a route, or of several together, are in flight: a number, a map with more, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// As many as come, whatever stands further away.
    None,
    /// So many.
    On(RouteCap),
}

/// So many requests in flight.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename = "concurrency", deny_unknown_fields)]
pub struct RouteCap {
    /// So many.
    pub max: u32,
    /// How many may wait. Default: as many as may be in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// How long they may.
    #[serde(default = "default_wait")]
    pub wait: Period,
    /// Whether it only looks on.
    #[serde(default)]
    pub observe: bool,
}

/// How many requests an upstream has in flight: a number, `adaptive`, or a map with more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCap {
    /// So many; the most, where the number is found out.
    pub max: Option<u32>,
    /// Whether the number is found out.
    pub adaptive: bool,
    /// The least that may be found out. Default: 3.
    pub min: Option<u32>,
    /// So many at each target.
    pub per_target: Option<u32>,
    /// How many may wait. Default: as many as may be in flight.
    pub queue: Option<u32>,
    /// How long they may.
    pub wait: Period,
    /// Whether it only looks on.
    pub observe: bool,
}

/// The map of an upstream.
#[derive(Deserialize, Serialize)]
#[serde(rename = "concurrency", deny_unknown_fields)]
struct UpstreamForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
    #[serde(default)]
    adaptive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_target: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<u32>,
    #[serde(default = "default_wait")]
    wait: Period,
    #[serde(default)]
    observe: bool,
}

impl UpstreamCap {
    const fn new(max: Option<u32>, adaptive: bool) -> Self {
        Self {
            max,
            adaptive,
            min: None,
            per_target: None,
            queue: None,
            wait: default_wait(),
            observe: false,
        }
    }
}

fn whole<E: de::Error>(number: u64) -> Result<u32, E> {
    u32::try_from(number).map_err(|_| E::custom(format!("{number} is more than can be counted")))
}

impl Setting {
    /// The cap, if there is one.
    #[must_use]
    pub const fn on(&self) -> Option<&RouteCap> {
        match self {
            Self::None => None,
            Self::On(cap) => Some(cap),
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::On(cap) => cap.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 100, none, or a map such as { max: 100, queue: 20 }")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Setting, E> {
                let (max, wait) = (whole(number)?, default_wait());
                Ok(Setting::On(RouteCap { max, queue: None, wait, observe: false }))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Setting, E> {
                match word {
                    "none" => Ok(Setting::None),
                    "adaptive" => Err(E::custom(
                        "a route does not find its number out (write `concurrency: adaptive` at its upstream)",
                    )),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Setting, A::Error> {
                RouteCap::deserialize(MapAccessDeserializer::new(map)).map(Setting::On)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for UpstreamCap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = UpstreamCap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a number such as 100, adaptive, or a map such as { max: 100, per_target: 50 }",
                )
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<UpstreamCap, E> {
                Ok(UpstreamCap::new(Some(whole(number)?), false))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<UpstreamCap, E> {
                match word {
                    "adaptive" => Ok(UpstreamCap::new(None, true)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<UpstreamCap, A::Error> {
                let form = UpstreamForm::deserialize(MapAccessDeserializer::new(map))?;
                let UpstreamForm { max, adaptive, min, per_target, queue, wait, observe } = form;
                Ok(UpstreamCap { max, adaptive, min, per_target, queue, wait, observe })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for UpstreamCap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { max, adaptive, min, per_target, queue, wait, observe } = *self;
        UpstreamForm { max, adaptive, min, per_target, queue, wait, observe }.serialize(serializer)
    }
}

impl RouteCap {
    /// The gate that this makes.
    #[must_use]
    pub fn compile(&self, at: &At, diagnostics: &mut Diagnostics) -> Option<Gate> {
        let before = diagnostics.len();
        let of = |key| at.key(key);
        check_number(Some(self.max), &of("max"), diagnostics);
        check_waiting(self.queue, self.wait, at, diagnostics);
        let Self { max, queue, wait, observe } = *self;
        let rule = Rule { max, queue, wait: wait.get(), observe };
        (diagnostics.len() == before).then(|| Gate::new(at.to_string(), rule, None))
    }
}

impl UpstreamCap {
    /// The gate of this upstream.
    #[must_use]
    pub fn compile(&self, at: &At, diagnostics: &mut Diagnostics) -> Option<Gate> {
        let before = diagnostics.len();
        for (key, number) in [("max", self.max), ("min", self.min), ("per_target", self.per_target)]
        {
            check_number(number, &at.key(key), diagnostics);
        }
        check_waiting(self.queue, self.wait, at, diagnostics);
        let max = self.max.unwrap_or(if self.adaptive { MAX } else { MOST_IN });
        let min = self.min.unwrap_or(MIN.min(max));
        if self.min.is_some() && !self.adaptive {
            diagnostics.error(
                at.key("min"),
                "a limit that is not found out has no least",
                "add `adaptive: true`, or leave `min` out",
            );
        } else if min > max {
            diagnostics.error(
                at.key("min"),
                format!("the least, {min}, is more than the most, {max}"),
                "write a smaller `min` or a larger `max`",
            );
        }
        if self.max.is_none() && !self.adaptive && self.per_target.is_none() {
            diagnostics.error(
                at.clone(),
                "it is not said how many requests may be in flight",
                "write `max: 100`, `adaptive: true` or `per_target: 50`",
            );
        }
        let adaptive = self.adaptive.then(|| Adaptive::new(Bounds { min, max }));
        let rule = Rule { max, queue: self.queue, wait: self.wait.get(), observe: self.observe };
        (diagnostics.len() == before).then(|| Gate::new(at.to_string(), rule, adaptive))
    }
}

fn check_number(number: Option<u32>, at: &At, diagnostics: &mut Diagnostics) {
    if let Some(number) = number.filter(|number| !(1..=MOST_IN).contains(number)) {
        refuse_number(number, at, diagnostics);
    }
}

fn check_waiting(queue: Option<u32>, wait: Period, at: &At, diagnostics: &mut Diagnostics) {
    if let Some(queue) = queue.filter(|queue| *queue > MOST_WAITING) {
        diagnostics.error(
            at.key("queue"),
            format!("{queue} are more than can wait"),
            format!("write up to {MOST_WAITING}; a long queue only makes everybody late"),
        );
    }
    if wait.get().is_zero() || wait > LONGEST_WAIT {
        diagnostics.error(
            at.key("wait"),
            format!("{wait} is no time to wait for a place"),
            format!("write a time of up to {LONGEST_WAIT}; to have nobody wait, write `queue: 0`"),
        );
    }
}
