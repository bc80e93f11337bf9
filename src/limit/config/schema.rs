//! What editors are told of the forms that are read by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{FailedCredentials, Mode, Part, Per, Rates, RuleConfig, Setting};
use crate::units::{OneOrMany, Period, Rate};

impl JsonSchema for FailedCredentials {
    fn schema_name() -> Cow<'static, str> {
        "FailedCredentials".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        json_schema!({
            "description": "How often credentials from one address may be refused, or none.",
            "anyOf": [{ "const": "none" }, rate],
        })
    }
}

impl JsonSchema for Rates {
    fn schema_name() -> Cow<'static, str> {
        "Rates".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        json_schema!({
            "description": "A rate such as 5/min, or a list of rates that all hold.",
            "anyOf": [rate.clone(), { "type": "array", "items": rate }],
        })
    }
}

impl JsonSchema for RuleConfig {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        let rates = generator.subschema_for::<Rates>();
        let per = generator.subschema_for::<Per>();
        let methods = generator.subschema_for::<OneOrMany>();
        let mode = generator.subschema_for::<Mode>();
        json_schema!({
            "description": "A rate such as 5/min, or a map with more.",
            "anyOf": [rate, {
                "type": "object",
                "additionalProperties": false,
                "required": ["rate"],
                "properties": {
                    "rate": rates,
                    "per": per,
                    "methods": methods,
                    "cost": {
                        "type": "integer",
                        "minimum": 1,
                        "default": 1,
                        "description": "How much a request takes. Default: 1.",
                    },
                    "mode": mode,
                    "observe": {
                        "type": "boolean",
                        "default": false,
                        "description": "Whether it only looks on. Default: false.",
                    },
                },
            }],
        })
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> Cow<'static, str> {
        "Limits".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rule = generator.subschema_for::<RuleConfig>();
        json_schema!({
            "description": "How often callers may call: a list of rates and maps that all hold; `none`: as \
                            often as they like.",
            "anyOf": [{ "const": "none" }, rule.clone(), { "type": "array", "items": rule }],
        })
    }
}

impl JsonSchema for Part {
    fn schema_name() -> Cow<'static, str> {
        "LimitPart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let named = |key: &str| {
            json_schema!({
                "type": "object",
                "additionalProperties": false,
                "required": [key],
                "properties": { key: { "type": "string", "description": "Its name." } },
            })
        };
        json_schema!({
            "oneOf": [{ "enum": ["consumer", "ip", "route"] }, named("header"), named("cookie"), named("claim")],
        })
    }
}

impl JsonSchema for Per {
    fn schema_name() -> Cow<'static, str> {
        "LimitPer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let part = generator.subschema_for::<Part>();
        json_schema!({
            "description": "Whom each bucket is for; what a caller lacks is replaced by its address. Default: \
                            consumer.",
            "anyOf": [part.clone(), { "type": "array", "items": part, "minItems": 1 }],
        })
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "LimitMode".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let delay = generator.subschema_for::<Period>();
        json_schema!({
            "description": "What becomes of a request that is too many: `reject`, or `delay`: it is held up for \
                            up to 1s, or as said by a map. Default: reject.",
            "oneOf": [
                { "enum": ["reject", "delay"] },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["delay"],
                    "properties": { "delay": delay },
                },
            ],
        })
    }
}
