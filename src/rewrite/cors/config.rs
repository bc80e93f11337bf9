//! `cors` as it stands in the file.

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{At, Diagnostics};
use crate::route::parse_method;
use crate::units::{OneOrMany, OrNone, Period, Toggled};

/// Which web pages may call from a browser, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    expecting = "a map such as { origins: [ \"https://app.example.com\" ] }",
    deny_unknown_fields
)]
pub struct Config {
    /// The origins of the pages: `https://app.example.com`, `https://*.example.com` for every name below, or
    /// `"*"` for every page there is.
    pub origins: OneOrMany,

    /// The methods they may use; `"*"` means any. Default: those of the route.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub methods: OneOrMany,

    /// The headers they may send, beside `Authorization`, `Content-Type` and those in which the route looks for a
    /// credential; `"*"` means any. Default: none.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub headers: OneOrMany,

    /// The headers of answers that they may read, beside `X-Request-Id`, `Retry-After`, `RateLimit` and
    /// `RateLimit-Policy`; `"*"` means any. Default: none.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub expose: OneOrMany,

    /// Whether their requests may carry the browser's cookies. Default: false.
    #[serde(default)]
    pub credentials: bool,

    /// How long a browser may remember what it was told before a request. Default: 10m.
    #[serde(default = "default_max_age")]
    pub max_age: Period,
}

fn default_max_age() -> Period {
    Period::secs(600)
}

/// Whether pages of other origins may call.
pub type Setting = OrNone<Config>;

impl Toggled for Config {
    const NAME: &'static str = "Cors";
    const SAYS: &'static str =
        "Which web pages may call from a browser; `none`: of this origin only.";
    const EXAMPLE: &'static str = r#"{ origins: [ "https://app.example.com" ] }"#;
    const UNSAID: Option<&'static str> = Some("which pages may call");
}

/// The names of headers; `*` is none of them.
pub(super) fn names(written: &[String], at: &At, diagnostics: &mut Diagnostics) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate().filter(|(_, text)| *text != "*") {
        match HeaderName::try_from(text.as_str()) {
            Ok(name) => names.push(name),
            Err(_) => diagnostics.error(
                at.index(index),
                format!("{text:?} is not a header name"),
                "write a name like X-Version, or \"*\" for any",
            ),
        }
    }
    names
}

/// The value that lists the methods; none for those of the route.
pub(super) fn methods(
    written: &OneOrMany,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<HeaderValue> {
    for (index, text) in written.0.iter().enumerate() {
        if text != "*"
            && let Err((what, help)) = parse_method(text)
        {
            diagnostics.error(at.index(index), what, help);
        }
    }
    // Any method that the route takes is told by its name, which no browser misunderstands.
    if written.0.is_empty() || written.0.iter().any(|method| method == "*") {
        return None;
    }
    HeaderValue::from_str(&written.0.join(", ")).ok()
}
