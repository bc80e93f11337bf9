//! Security headers: what an answer tells browsers not to do with it.
//!
//! A preset is a good start for a whole gateway, so it only *fills in* what the upstream does not say: an
//! application knows its own Content-Security-Policy better. A value that is written out by name *replaces* the
//! upstream's, since somebody means just that. Answers of the gateway's own keep what they have, which is
//! stricter than any preset.

mod config;

use http::HeaderMap;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::diagnostic::{At, Diagnostics};

pub use config::{Config, Preset, Setting};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");

/// What the presets say, by the key that changes it: `basic` and `strict`.
const PRESETS: [(&str, HeaderName, Option<&str>, Option<&str>); 9] = [
    (
        "hsts",
        STRICT_TRANSPORT_SECURITY,
        Some("max-age=31536000"),
        Some("max-age=63072000; includeSubDomains"),
    ),
    ("content_type_options", X_CONTENT_TYPE_OPTIONS, Some("nosniff"), Some("nosniff")),
    (
        "referrer_policy",
        REFERRER_POLICY,
        Some("strict-origin-when-cross-origin"),
        Some("no-referrer"),
    ),
    ("frame_options", X_FRAME_OPTIONS, Some("SAMEORIGIN"), Some("DENY")),
    (
        "content_security_policy",
        CONTENT_SECURITY_POLICY,
        Some("frame-ancestors 'self'"),
        Some("frame-ancestors 'none'; base-uri 'self'; object-src 'none'"),
    ),
    (
        "permissions_policy",
        PERMISSIONS_POLICY,
        None,
        Some("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
    ("cross_origin_opener_policy", OPENER_POLICY, None, Some("same-origin")),
    ("cross_origin_resource_policy", RESOURCE_POLICY, None, Some("same-origin")),
    ("cross_origin_embedder_policy", EMBEDDER_POLICY, None, None),
];

/// The security headers of a route's answers.
#[derive(Debug, PartialEq, Eq)]
pub struct SecurityHeaders(Box<[Line]>);

#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: HeaderName,
    value: HeaderValue,
    /// Whether it was written out, and so replaces the upstream's.
    written: bool,
}

impl SecurityHeaders {
    /// Reads what is written.
    pub fn compile(setting: &Setting, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let (preset, config) = match setting {
            Setting::Preset(preset) => (*preset, &Config::default()),
            Setting::Config(config) => (config.preset, &**config),
        };
        let before = diagnostics.len();
        let mut lines = Vec::new();
        for (key, name, basic, strict) in PRESETS {
            let filled = match preset {
                Preset::Basic => basic,
                Preset::Strict => strict,
                Preset::None => None,
            };
            let written = config.written(key);
            let text = match written {
                Some("none") => continue,
                Some(text) => text,
                None => match filled {
                    Some(text) => text,
                    None => continue,
                },
            };
            match HeaderValue::from_str(text) {
                Ok(value) if !text.trim().is_empty() => {
                    lines.push(Line { name, value, written: written.is_some() });
                }
                _ => diagnostics.error(
                    at.key(key),
                    format!("{text:?} cannot stand in the header {name}"),
                    "write its value in visible ASCII characters, or none to leave it out",
                ),
            }
        }
        (diagnostics.len() == before).then(|| Self(lines.into()))
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts them on an upstream's answer. `secure`: the client came by TLS, without which HSTS says nothing.
    pub fn answer(&self, headers: &mut HeaderMap, secure: bool) {
        for line in self.lines(secure) {
            if line.written || !headers.contains_key(&line.name) {
                headers.insert(line.name.clone(), line.value.clone());
            }
        }
    }

    /// Puts them on an answer of the gateway's own, which keeps what it has.
    pub fn own(&self, headers: &mut HeaderMap, secure: bool) {
        for line in self.lines(secure) {
            if !headers.contains_key(&line.name) {
                headers.insert(line.name.clone(), line.value.clone());
            }
        }
    }

    fn lines(&self, secure: bool) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(move |line| secure || line.name != STRICT_TRANSPORT_SECURITY)
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::lines::{head, wire};
    use super::*;

    fn compile(yaml: &str) -> (Option<SecurityHeaders>, Diagnostics) {
        let setting: Setting = serde_yaml::from_str(yaml).expect(yaml);
        let mut diagnostics = Diagnostics::new();
        let at = At::root().key("security_headers");
        (SecurityHeaders::compile(&setting, &at, &mut diagnostics), diagnostics)
    }

    fn on(yaml: &str, lines: &[&str], secure: bool) -> Vec<String> {
        let mut headers = head(lines);
        compile(yaml).0.expect(yaml).answer(&mut headers, secure);
        wire(&headers)
    }

    #[test]
    fn a_preset_fills_in_what_is_missing() {
        let basic = on("basic", &[], true);
        assert_eq!(
            basic,
            [
                "content-security-policy: frame-ancestors 'self'",
                "referrer-policy: strict-origin-when-cross-origin",
                "strict-transport-security: max-age=31536000",
                "x-content-type-options: nosniff",
                "x-frame-options: SAMEORIGIN",
            ]
        );
        assert_eq!(on("strict", &[], true).len(), 8);
        assert_eq!(on("none", &[], true), [""; 0]);
        let own = on("strict", &["referrer-policy: origin"], true);
        assert!(own.contains(&"referrer-policy: origin".to_owned()), "{own:?}");
    }

    #[test]
    fn hsts_is_for_tls_alone() {
        let is_there = |secure| {
            on("basic", &[], secure).iter().any(|line| line.starts_with("strict-transport"))
        };
        assert!(is_there(true) && !is_there(false));
    }

    #[test]
    fn a_value_that_is_written_replaces_and_none_leaves_alone() {
        let yaml = "{ preset: none, referrer_policy: same-origin, hsts: none }";
        assert_eq!(
            on(yaml, &["referrer-policy: origin", "x-frame-options: DENY"], true),
            ["referrer-policy: same-origin", "x-frame-options: DENY"]
        );
        let yaml = "{ preset: basic, content_security_policy: none, frame_options: none }";
        assert_eq!(
            on(yaml, &["content-security-policy: default-src 'self'"], false),
            [
                "content-security-policy: default-src 'self'",
                "referrer-policy: strict-origin-when-cross-origin",
                "x-content-type-options: nosniff",
            ]
        );
        assert_eq!(on("{ cross_origin_embedder_policy: require-corp }", &[], false).len(), 5);
        let yaml = "{ preset: none, content_security_policy: \"default-src 'self'\" }";
        let mut headers = head(&["content-security-policy: default-src 'none'"]);
        compile(yaml).0.expect(yaml).own(&mut headers, false);
        assert_eq!(wire(&headers), ["content-security-policy: default-src 'none'"]);
    }

    #[test]
    fn a_value_that_cannot_stand_in_a_header_is_refused() {
        for (yaml, at) in [
            ("{ referrer_policy: \"a\\nb\" }", "security_headers.referrer_policy"),
            ("{ hsts: \"\" }", "security_headers.hsts"),
        ] {
            let (security, diagnostics) = compile(yaml);
            let told = diagnostics.iter().next().expect(yaml);
            assert!(security.is_none() && told.at.to_string() == at, "{told:?}");
        }
    }
}
