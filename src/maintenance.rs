//! Maintenance: a route that answers 503 with `Retry-After` for a while, and lets those in who look after it.
//!
//! It is a switch in the configuration, so a reload turns it on and off, and what stands in the file is what
//! holds. It comes before the question who is calling: nobody is asked for a key to be told to come back later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{At, Diagnostics};
use crate::networks::Networks;
use crate::units::{Period, Toggle, Toggled};

/// What is said while a route is in maintenance, and who is let in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { retry_after: 5m }", deny_unknown_fields, default)]
pub struct Config {
    /// The sentence for the client. Default: that the service is being worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// When clients shall try again. Default: 5m.
    pub retry_after: Period,

    /// Addresses and networks (CIDR) of clients that pass all the same. Default: nobody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { message: None, retry_after: Period::secs(300), allow: Vec::new() }
    }
}

/// Whether a route is in maintenance.
pub type Setting = Toggle<Config>;

impl Toggled for Config {
    const NAME: &'static str = "Maintenance";
    const SAYS: &'static str =
        "Whether requests are answered with 503 and told to come back later.";
    const EXAMPLE: &'static str = "{ retry_after: 5m }";
}

/// A route in maintenance.
#[derive(Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// The sentence for the client, if it is not the usual one.
    pub message: Option<Arc<str>>,
    /// When clients shall try again.
    pub retry_after: Duration,
    allow: Networks,
}

impl Maintenance {
    /// Reads what is written.
    pub fn compile(config: &Config, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let allow = Networks::compile(&config.allow, &at.key("allow"), diagnostics);
        let message = config.message.as_deref();
        if message.is_some_and(|text| text.trim().is_empty() || text.contains(char::is_control)) {
            diagnostics.error(
                at.key("message"),
                "the message is not a sentence",
                "write one line, or take it out to have the usual one",
            );
            return None;
        }
        let retry_after = config.retry_after.get();
        if retry_after.is_zero() {
            diagnostics.error(
                at.key("retry_after"),
                "with 0s every client would come back at once",
                "write a time such as 5m",
            );
            return None;
        }
        Some(Self { message: message.map(Into::into), retry_after, allow: allow? })
    }

    /// Whether a client at this address is told to come back later.
    #[must_use]
    pub fn turns_away(&self, client: IpAddr) -> bool {
        !self.allow.contains(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(yaml: &str) -> (Option<Maintenance>, Diagnostics) {
        let config: Config = serde_yaml::from_str(yaml).expect(yaml);
        let mut diagnostics = Diagnostics::new();
        let at = At::root().key("maintenance");
        (Maintenance::compile(&config, &at, &mut diagnostics), diagnostics)
    }

    #[test]
    fn only_who_is_named_passes() {
        let (maintenance, _) = compile("{ allow: [ 10.0.0.0/8, \"2001:db8::1\" ] }");
        let maintenance = maintenance.expect("networks");
        for (client, turned_away) in [
            ("10.1.2.3", false),
            ("::ffff:10.1.2.3", false),
            ("2001:db8::1", false),
            ("192.0.2.1", true),
            ("2001:db8::2", true),
        ] {
            assert_eq!(
                maintenance.turns_away(client.parse().expect("ip")),
                turned_away,
                "{client}"
            );
        }
        assert!(compile("{}").0.expect("defaults").turns_away(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (yaml, at) in [
            ("{ retry_after: 0s }", "maintenance.retry_after"),
            ("{ message: \"\" }", "maintenance.message"),
            ("{ message: \"a\\nb\" }", "maintenance.message"),
            ("{ allow: [ here ] }", "maintenance.allow[0]"),
        ] {
            let (maintenance, diagnostics) = compile(yaml);
            let told = diagnostics.iter().next().expect(yaml);
            assert!(maintenance.is_none() && told.at.to_string() == at, "{told:?}");
        }
    }
}
