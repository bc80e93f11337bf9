//! What the gateway itself answers: written once, and referred to by the operations whose route can give it.

use serde_json::{Map, Value, json};

use crate::portal::landscape::Place;
use crate::portal::spec::to;

/// The name of the schema of all of these.
pub(super) const PROBLEM: &str = "GatewayProblem";
/// The media type of a problem (RFC 9457).
const MEDIA_TYPE: &str = "application/problem+json";

/// An answer of the gateway's own.
pub(super) struct Answer {
    /// Its status in the document.
    pub status: &'static str,
    /// The name of its component.
    pub name: &'static str,
    description: &'static str,
    /// A header that comes with it, and what it says.
    header: Option<(&'static str, &'static str)>,
}

pub(super) const UNAUTHORIZED: Answer = Answer {
    status: "401",
    name: "GatewayUnauthorized",
    description: "The request has no credential that is valid here.",
    header: Some(("WWW-Authenticate", "The schemes that would do.")),
};
const FORBIDDEN: Answer = Answer {
    status: "403",
    name: "GatewayForbidden",
    description: "This caller may not use this route.",
    header: None,
};
const NO_ROUTE: Answer = Answer {
    status: "404",
    name: "GatewayNoRoute",
    description: "Nothing is served under this host and path, with these headers and parameters.",
    header: None,
};
const BODY_TOO_LARGE: Answer = Answer {
    status: "413",
    name: "GatewayBodyTooLarge",
    description: "The request body is larger than this route allows.",
    header: None,
};
const BAD_GATEWAY: Answer = Answer {
    status: "502",
    name: "GatewayBadGateway",
    description: "The service behind the gateway did not give a complete and valid answer.",
    header: None,
};
const UNAVAILABLE: Answer = Answer {
    status: "503",
    name: "GatewayUnavailable",
    description: "The service behind the gateway cannot be reached.",
    header: Some(("Retry-After", "After how many seconds it makes sense to try again.")),
};
const TIMEOUT: Answer = Answer {
    status: "504",
    name: "GatewayTimeout",
    description: "The service behind the gateway did not answer in time.",
    header: None,
};
const OTHER: Answer = Answer {
    status: "default",
    name: "GatewayOther",
    description: "The gateway refuses the request, or failed: `code` says why.",
    header: None,
};

const ALL: [Answer; 8] =
    [UNAUTHORIZED, FORBIDDEN, NO_ROUTE, BODY_TOO_LARGE, BAD_GATEWAY, UNAVAILABLE, TIMEOUT, OTHER];

/// The answers that a route can give to an operation, the general one last.
pub(super) fn of(place: &Place, has_body: bool) -> Vec<Answer> {
    let mut all = Vec::with_capacity(8);
    if !place.schemes.is_empty() {
        all.push(UNAUTHORIZED);
    }
    if place.restricted {
        all.push(FORBIDDEN);
    }
    if place.has_conditions() {
        all.push(NO_ROUTE);
    }
    if has_body {
        all.push(BODY_TOO_LARGE);
    }
    all.extend([BAD_GATEWAY, UNAVAILABLE, TIMEOUT, OTHER]);
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
        if let Some((name, description)) = self.header {
            let schema = json!({ "type": "string" });
            headers
                .insert(name.to_owned(), json!({ "description": description, "schema": schema }));
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
            for (name, header) in ours {
                if !headers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                    // The service's answers need not have it.
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
    let mut used = std::collections::BTreeSet::new();
    let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
    for response in operations.filter_map(|one| one["responses"].as_object()).flat_map(Map::values)
    {
        if let Some(name) = response.get("$ref").and_then(Value::as_str) {
            used.insert(name);
        }
    }
    let responses = components.entry("responses").or_insert_with(|| json!({}));
    for answer in ALL.iter().filter(|one| used.contains(to("responses", one.name).as_str())) {
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
        "responses" => ALL.iter().any(|answer| answer.name == name),
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
        },
    })
}
