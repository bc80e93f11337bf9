//! What the gateway itself answers: written once, and referred to by the operations whose route can give it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::portal::landscape::Place;
use crate::portal::spec::to;
use crate::reply::MOST_FAULTS;

/// The name of the schema of all of these.
pub(super) const PROBLEM: &str = "GatewayProblem";
/// The media type of a problem (RFC 9457).
const MEDIA_TYPE: &str = "application/problem+json";

/// An answer of the gateway's own.
pub(super) struct Answer {
    /// Its status in the document.
    pub status: &'static str,
    /// The name of its component.
    name: &'static str,
    /// Which operations can get it.
    when: When,
    description: &'static str,
    /// Headers that come with it, and what they say.
    headers: &'static [(&'static str, &'static str)],
}

/// Which operations can get an answer.
#[derive(Clone, Copy)]
enum When {
    /// All.
    Always,
    /// Those whose route asks for a credential.
    Guarded,
    /// Those whose route is not for everybody who is known.
    Restricted,
    /// Those whose path may be for no route.
    Conditional,
    /// Those that take a body.
    Body,
    /// Those whose route is not called as often as one likes.
    Limited,
    /// Those whose route lets only pass what is documented.
    Validated,
    /// Those of them that take a body.
    ValidatedBody,
}

impl When {
    fn holds(self, place: &Place, has_body: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Guarded => !place.schemes.is_empty(),
            Self::Restricted => place.restricted,
            Self::Conditional => place.has_conditions(),
            Self::Body => has_body,
            Self::Limited => place.limited,
            Self::Validated => place.validated,
            Self::ValidatedBody => place.validated && has_body,
        }
    }
}

const fn answer(
    status: &'static str,
    name: &'static str,
    when: When,
    description: &'static str,
) -> Answer {
    Answer { status, name, when, description, headers: &[] }
}

impl Answer {
    const fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }
}

/// When to come back.
const RETRY_AFTER: (&str, &str) =
    ("Retry-After", "After how many seconds it makes sense to try again.");

/// All that have a status of their own.
const ALL: [Answer; 11] = [
    answer(
        "400",
        "GatewayInvalidRequest",
        When::Validated,
        "The request is not what is documented here, or cannot be read; `errors` says where.",
    ),
    answer(
        "401",
        "GatewayUnauthorized",
        When::Guarded,
        "The request has no credential that is valid here.",
    )
    .with(&[("WWW-Authenticate", "The schemes that would do.")]),
    answer("403", "GatewayForbidden", When::Restricted, "This caller may not use this route."),
    answer(
        "404",
        "GatewayNoRoute",
        When::Conditional,
        "Nothing is served under this host and path, with these headers and parameters.",
    ),
    answer(
        "413",
        "GatewayBodyTooLarge",
        When::Body,
        "The request body is larger than this route allows.",
    ),
    answer(
        "415",
        "GatewayUnsupportedMediaType",
        When::ValidatedBody,
        "The body is of a type that is not documented here.",
    ),
    answer(
        "422",
        "GatewayInvalidBody",
        When::ValidatedBody,
        "The body does not fit the schema that is documented here; `errors` says where.",
    ),
    answer("429", "GatewayRateLimited", When::Limited, "This caller has sent too many requests.")
        .with(&[
            RETRY_AFTER,
            ("RateLimit", "What is left of the limit, and in how many seconds there will be more."),
            ("RateLimit-Policy", "The limit."),
        ]),
    answer(
        "502",
        "GatewayBadGateway",
        When::Always,
        "The service behind the gateway did not give a complete and valid answer.",
    ),
    answer(
        "503",
        "GatewayUnavailable",
        When::Always,
        "The service behind the gateway cannot be reached.",
    )
    .with(&[RETRY_AFTER]),
    answer(
        "504",
        "GatewayTimeout",
        When::Always,
        "The service behind the gateway did not answer in time.",
    ),
];

/// What stands for the rest.
const OTHER: Answer = answer(
    "default",
    "GatewayOther",
    When::Always,
    "The gateway refuses the request, or failed: `code` says why.",
);

/// Where [`OTHER`] has to stand beside what a service names: the statuses that the rest has, and classes with such. 404 is
/// none of them, since a path that is described leads to its route.
const OF_OTHER: [&str; 13] =
    ["400", "405", "408", "413", "414", "421", "429", "431", "500", "501", "505", "4XX", "5XX"];

/// The answers that a route can give to an operation, with their statuses; `named` are those that the service names.
pub(super) fn of<'n>(
    place: &Place,
    has_body: bool,
    named: impl Iterator<Item = &'n str>,
) -> BTreeMap<&'n str, &'static Answer> {
    let mut all: BTreeMap<&str, &Answer> = ALL
        .iter()
        .filter(|answer| answer.when.holds(place, has_body))
        .chain([&OTHER])
        .map(|answer| (answer.status, answer))
        .collect();
    // A status or a class that is named is looked at before `default`.
    for status in named.filter(|named| OF_OTHER.contains(named)) {
        all.entry(status).or_insert(&OTHER);
    }
    all
}

impl Answer {
    /// The reference to it.
    pub(super) fn reference(&self) -> Value {
        json!({ "$ref": to("responses", self.name) })
    }

    fn component(&self) -> Value {
        let mut headers = Map::new();
        let id = json!({
            "description": "The id of the request, to quote to whoever runs the gateway.",
            "schema": { "type": "string" },
        });
        headers.insert("X-Request-Id".to_owned(), id);
        for (name, description) in self.headers {
            let schema = json!({ "type": "string" });
            headers.insert(
                (*name).to_owned(),
                json!({ "description": description, "schema": schema }),
            );
        }
        json!({
            "description": self.description,
            "headers": headers,
            "content": { MEDIA_TYPE: { "schema": { "$ref": to("schemas", PROBLEM) } } },
        })
    }

    /// One response of a service's own answer with the same status and of this.
    pub(super) fn beside(&self, theirs: Value) -> Value {
        let Value::Object(mut both) = theirs else { return self.reference() };
        let ours = self.component();
        let said = both.get("description").and_then(Value::as_str).unwrap_or_default().trim();
        let said = format!("{said}\n\nOr, from the gateway: {}", self.description);
        both.insert("description".to_owned(), said.trim_start().into());
        let headers = both.entry("headers").or_insert_with(|| json!({}));
        if let (Some(headers), Some(ours)) = (headers.as_object_mut(), ours["headers"].as_object())
        {
            // Whichever of the two answers, the other's headers do not come.
            for theirs in headers.values_mut().filter_map(Value::as_object_mut) {
                theirs.remove("required");
            }
            for (name, header) in ours {
                if !headers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                    headers.insert(name.clone(), header.clone());
                }
            }
        }
        // A service that does not say what it sends may send anything.
        let content = both.entry("content").or_insert_with(|| json!({ "*/*": {} }));
        let problem = &ours["content"][MEDIA_TYPE];
        match content.get_mut(MEDIA_TYPE).and_then(Value::as_object_mut) {
            Some(known) => {
                let schema = known.remove("schema").unwrap_or(Value::Bool(true));
                known.insert("schema".to_owned(), json!({ "anyOf": [schema, problem["schema"]] }));
            }
            None => content[MEDIA_TYPE] = problem.clone(),
        }
        Value::Object(both)
    }
}

/// Adds those that the paths refer to.
pub(super) fn add(components: &mut Map<String, Value>, paths: &Map<String, Value>) {
    if paths.is_empty() {
        return;
    }
    let schemas = components.entry("schemas").or_insert_with(|| json!({}));
    schemas[PROBLEM] = problem();
    let mut used = BTreeSet::new();
    let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
    for response in operations.filter_map(|one| one["responses"].as_object()).flat_map(Map::values)
    {
        if let Some(name) = response.get("$ref").and_then(Value::as_str) {
            used.insert(name);
        }
    }
    let responses = components.entry("responses").or_insert_with(|| json!({}));
    for answer in
        ALL.iter().chain([&OTHER]).filter(|one| used.contains(to("responses", one.name).as_str()))
    {
        responses[answer.name] = answer.component();
    }
    for section in ["schemas", "responses"] {
        if let Some(Value::Object(entries)) = components.get_mut(section) {
            entries.sort_keys();
        }
    }
}

/// Whether a component is called like one of ours.
pub(super) fn is_ours(section: &str, name: &str) -> bool {
    match section {
        "schemas" => name == PROBLEM,
        "responses" => ALL.iter().chain([&OTHER]).any(|answer| answer.name == name),
        _ => false,
    }
}

fn problem() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "Why the gateway itself answers, and no service behind it (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": text("A name for the kind of problem."),
            "title": text("The cause in a few words."),
            "status": { "type": "integer", "description": "The status of the answer." },
            "detail": text("The cause in a sentence."),
            "code": text("A stable word for the cause, for programs."),
            "request_id": text("The id of the request, as it stands in the gateway's log."),
            "errors": errors(),
        },
    })
}

/// What is wrong with a request, place by place: [`Fault`](crate::reply::Fault) as it is written.
fn errors() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "array",
        "description": "Where the request is not what is documented, and how.",
        "minItems": 1,
        "maxItems": MOST_FAULTS,
        "items": {
            "type": "object",
            "required": ["detail"],
            "properties": {
                "parameter": {
                    "type": "object",
                    "description": "The parameter that is meant; without it, the body is.",
                    "required": ["in", "name"],
                    "properties": {
                        "in": {
                            "type": "string",
                            "enum": ["query", "path", "header", "cookie"],
                            "description": "Where the parameter stands.",
                        },
                        "name": text("Its name."),
                    },
                },
                "pointer": text("Where in it, as a JSON Pointer (RFC 6901); empty for the whole."),
                "detail": text("What is wrong there."),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Fault, Problem, Wanted};

    #[test]
    fn all_that_a_problem_says_is_described() {
        let fault = |parameter| Fault { parameter, pointer: "/qty".into(), detail: "is".into() };
        let faults = [fault(None), fault(Some(("query", "limit".into())))];
        let problem = Problem {
            status: 422,
            code: "invalid_body",
            title: "Invalid body",
            detail: "It does not fit.",
            request_id: "req-1",
            retry_after: None,
            faults: &faults,
        };
        for faults in [&faults[..], &[]] {
            let body = Problem { faults, ..problem }.reply(Wanted::Json).body;
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            // Nothing but what is described, at any depth.
            let mut closed = super::problem();
            close(&mut closed);
            let validator = jsonschema::validator_for(&closed).expect("a schema");
            let mistakes: Vec<_> = validator.iter_errors(&body).map(|e| e.to_string()).collect();
            assert!(mistakes.is_empty(), "{mistakes:?} {body}");
        }
    }

    fn close(schema: &mut Value) {
        let Some(object) = schema.as_object_mut() else { return };
        if object.get("type") == Some(&json!("object")) {
            object.insert("additionalProperties".to_owned(), false.into());
        }
        object.values_mut().for_each(close);
    }
}
