//! Consumers known by the certificate that their connection shows.
//!
//! The listener has verified it already: that it is good, of an authority that is believed there, and that the
//! client holds its key. What is left to find out is whose it is.

use std::sync::Arc;

use hashbrown::HashMap;

use super::config::ConsumersConfig;
use super::consumer::{Consumer, Registry};
use super::keyring::Reason;
use crate::diagnostic::{At, Diagnostics};
use crate::listen::ClientCertificate;

/// How a certificate is named, as part of a help text.
const NAME_HELP: &str = "write one of sha256:FINGERPRINT, subject:CN=...,O=..., cn:NAME, dns:NAME, \
                         uri:URI, email:ADDRESS, ip:ADDRESS";

/// Which certificate is whose.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// By the names that [`ClientCertificate::names`] gives.
    by_name: HashMap<Box<str>, u32>,
    consumers: Arc<Registry>,
}

impl Certificates {
    /// Those of all consumers, which are in the registry already.
    pub(super) fn compile(
        config: &ConsumersConfig,
        consumers: &Arc<Registry>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut by_name: HashMap<Box<str>, u32> = HashMap::new();
        for (name, consumer) in &config.0 {
            let Some(id) = consumers.find(name).and_then(|consumer| consumer.id()) else {
                continue;
            };
            let at = At::root().key("consumers").key(name).key("certificates");
            let many = consumer.certificates.0.len() > 1;
            for (index, written) in consumer.certificates.0.iter().enumerate() {
                let at = if many { at.index(index) } else { at.clone() };
                let Some(known) = normal(written) else {
                    let what = format!("{written:?} does not name a certificate");
                    diagnostics.error(at, what, NAME_HELP);
                    continue;
                };
                if let Some(other) = by_name.insert(known, id) {
                    let other = consumers.get(other).name();
                    diagnostics.error(
                        at,
                        format!("certificates of this name are those of {other:?} already"),
                        "a certificate belongs to one consumer; take one of them out",
                    );
                }
            }
        }
        Self { by_name, consumers: Arc::clone(consumers) }
    }

    /// Whose certificate this is.
    pub(super) fn find(
        &self,
        certificate: Option<&ClientCertificate>,
    ) -> Result<&Arc<Consumer>, Reason> {
        let certificate = certificate.ok_or(Reason::Missing)?;
        let id = certificate.names().find_map(|name| self.by_name.get(name));
        let consumer = self.consumers.get(*id.ok_or(Reason::Unknown)?);
        if consumer.is_disabled() { Err(Reason::Disabled) } else { Ok(consumer) }
    }

    /// Whether this consumer has a certificate.
    pub(super) fn has(&self, consumer: &Consumer) -> Result<(), Reason> {
        if !self.by_name.values().any(|id| Some(*id) == consumer.id()) {
            return Err(Reason::Missing);
        }
        if consumer.is_disabled() { Err(Reason::Disabled) } else { Ok(()) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// A name as certificates give it, whatever the spelling. `None` if it is none.
fn normal(written: &str) -> Option<Box<str>> {
    let (kind, rest) = written.split_once(':')?;
    let rest = rest.trim();
    let rest = match kind {
        "sha256" => {
            // Tools write it with colons between the bytes, and in capitals.
            let digits = rest.replace(':', "").to_ascii_lowercase();
            let sound = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            sound.then_some(digits)?
        }
        "dns" => rest.to_ascii_lowercase(),
        "ip" => rest.parse::<std::net::IpAddr>().ok()?.to_string(),
        "subject" if rest.contains('=') => rest.to_owned(),
        "cn" | "uri" | "email" => rest.to_owned(),
        _ => return None,
    };
    (!rest.is_empty()).then(|| format!("{kind}:{rest}").into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let digits = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for (written, known) in [
            (format!("sha256:{digits}"), Some(format!("sha256:{digits}"))),
            (format!("sha256:{colons}"), Some(format!("sha256:{digits}"))),
            ("sha256:abc".to_owned(), None),
            ("dns:API.example.com".to_owned(), Some("dns:api.example.com".to_owned())),
            ("ip:2001:DB8::0:1".to_owned(), Some("ip:2001:db8::1".to_owned())),
            ("ip:somewhere".to_owned(), None),
            ("cn: partner".to_owned(), Some("cn:partner".to_owned())),
            ("subject:CN=a,O=b".to_owned(), Some("subject:CN=a,O=b".to_owned())),
            ("subject:a".to_owned(), None),
            ("cn:".to_owned(), None),
            ("CN=a".to_owned(), None),
            ("serial:12".to_owned(), None),
        ] {
            assert_eq!(normal(&written).map(String::from), known, "{written}");
        }
    }
}
