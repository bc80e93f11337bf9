//! What editors are told of the forms that are read by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Setting, UpstreamCap};
use crate::units::Period;

fn number(description: &str) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": 1_000_000, "description": description })
}

fn queue() -> Schema {
    json_schema!({
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 4000,
        "description": "How many requests may wait. Default: as many as may be in flight.",
    })
}

fn observe() -> Schema {
    json_schema!({
        "type": "boolean",
        "default": false,
        "description": "Whether it only looks on. Default: false.",
    })
}

impl JsonSchema for Setting {
    fn schema_name() -> Cow<'static, str> {
        "RouteConcurrency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let wait = generator.subschema_for::<Period>();
        json_schema!({
            "description": "How many requests may be in flight: a number, a map with more, or `none` for as many as come.",
            "anyOf": [number("So many requests at once."), { "const": "none" }, {
                "type": "object",
                "additionalProperties": false,
                "required": ["max"],
                "properties": {
                    "max": number("So many requests at once."),
                    "queue": queue(),
                    "wait": wait,
                    "observe": observe(),
                },
            }],
        })
    }
}

impl JsonSchema for UpstreamCap {
    fn schema_name() -> Cow<'static, str> {
        "UpstreamConcurrency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let wait = generator.subschema_for::<Period>();
        json_schema!({
            "description": "How many requests may be in flight: a number, `adaptive` to have it found out, or a map \
                            with more.",
            "anyOf": [number("So many requests at once."), { "const": "adaptive" }, {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "max": number("So many requests at once; the most, where the number is found out."),
                    "adaptive": {
                        "type": "boolean",
                        "default": false,
                        "description": "Whether the number is found out from how long answers take. Default: false.",
                    },
                    "min": number("The least that may be found out. Default: 3."),
                    "per_target": number("So many requests at once at each target."),
                    "queue": queue(),
                    "wait": wait,
                    "observe": observe(),
                },
            }],
        })
    }
}
