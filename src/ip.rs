//! Which addresses a route is for: an [`AddressRule`] of networks that are let in and of those that are not.
//!
//! It comes before the question who is calling, so that nobody at such an address can try credentials, and is about
//! the client's own address: the one that trusted proxies vouch for, if it came through some.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{At, Diagnostics};
use crate::networks::Networks;
use crate::units::{OrNone, Toggled};

/// Which addresses may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { allow: [ 10.0.0.0/8 ] }", deny_unknown_fields, default)]
pub struct Config {
    /// Addresses and networks (CIDR) that may call, and no others. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,

    /// Addresses and networks that may not, even if `allow` has them. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,

    /// Whether this is only found out and told, and nobody refused. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
}

/// Whether addresses are looked at.
pub type Setting = OrNone<Config>;

impl Toggled for Config {
    const NAME: &'static str = "Ip";
    const SAYS: &'static str = "Which addresses may call; `none`: all.";
    const EXAMPLE: &'static str = "{ allow: [ 10.0.0.0/8 ] }";
}

/// Which addresses may call.
#[derive(Debug, PartialEq, Eq)]
pub struct AddressRule {
    allow: Option<Networks>,
    deny: Networks,
    /// Whether it only tells what it would do.
    pub observe: bool,
}

impl AddressRule {
    /// Reads what is written.
    pub fn compile(config: &Config, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        if config.allow.is_empty() && config.deny.is_empty() {
            diagnostics.error(
                at.clone(),
                "`ip` names no network, so it would leave nobody out",
                "add `allow` or `deny`, such as { deny: [ 192.0.2.0/24 ] }, or write `ip: none`",
            );
            return None;
        }
        let allow = Networks::compile(&config.allow, &at.key("allow"), diagnostics);
        let deny = Networks::compile(&config.deny, &at.key("deny"), diagnostics);
        let allow = Some(allow?).filter(|allow| !allow.is_empty());
        Some(Self { allow, deny: deny?, observe: config.observe })
    }

    /// Whether a client at this address may not call.
    #[must_use]
    pub fn denies(&self, client: IpAddr) -> bool {
        self.deny.contains(client)
            || self.allow.as_ref().is_some_and(|allow| !allow.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(yaml: &str) -> (Option<AddressRule>, Diagnostics) {
        let config: Config = serde_yaml::from_str(yaml).expect(yaml);
        let mut diagnostics = Diagnostics::new();
        (AddressRule::compile(&config, &At::root().key("ip"), &mut diagnostics), diagnostics)
    }

    #[test]
    fn who_is_denied_is_denied_and_who_is_not_allowed_too() {
        let (both, _) = compile("{ allow: [ 10.0.0.0/8, 2001:db8::/32 ], deny: [ 10.1.0.0/16 ] }");
        let (deny, _) = compile("{ deny: [ 192.0.2.0/24 ] }");
        let (both, deny) = (both.expect("a rule"), deny.expect("a rule"));
        for (client, by_both, by_deny) in [
            ("10.2.0.1", false, false),
            ("10.1.0.1", true, false),
            ("::ffff:10.1.0.1", true, false),
            ("2001:db8::1", false, false),
            ("192.0.2.9", true, true),
            ("2001:db9::1", true, false),
        ] {
            let client = client.parse().expect("an address");
            assert_eq!((both.denies(client), deny.denies(client)), (by_both, by_deny), "{client}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (yaml, at) in [
            ("{}", "ip"),
            ("{ observe: true }", "ip"),
            ("{ allow: [ here ] }", "ip.allow[0]"),
            ("{ deny: [ 10.0.0.1/8 ] }", "ip.deny[0]"),
        ] {
            let (rule, diagnostics) = compile(yaml);
            let told = diagnostics.iter().next().expect(yaml);
            assert!(rule.is_none() && told.at.to_string() == at, "{told:?}");
        }
        assert!(serde_yaml::from_str::<Setting>("nobody").is_err());
        assert_eq!(serde_yaml::from_str::<Setting>("none").ok(), Some(Setting::None));
    }
}
