//! A [`Consumer`] is somebody who may call: a name, whatever keys lead to it.

use std::fmt::Write as _;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use http::HeaderValue;

/// Somebody who may call.
///
/// The name is kept once, ready to be sent as a header; there may be a million of these.
#[derive(Debug, PartialEq, Eq)]
pub struct Consumer {
    name: HeaderValue,
    id: u32,
    disabled: bool,
}

impl Consumer {
    /// The name, from the configuration or from a file of keys.
    #[must_use]
    pub fn name(&self) -> &str {
        // Names are visible ASCII, which `Registry::intern` holds.
        self.name.to_str().unwrap_or_default()
    }

    /// The name as a header's value; cloning it copies no text.
    #[must_use]
    pub const fn header_value(&self) -> &HeaderValue {
        &self.name
    }

    /// Whether all its keys are refused.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// A number that no other consumer of the same configuration has, from 0 without gaps. None for somebody whom
    /// the configuration does not name: who that is, the name says.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        Some(self.id).filter(|id| *id != UNLISTED)
    }

    /// Somebody whom the configuration does not name, but who is known by a token or a service. None if the name
    /// could not be sent as a header.
    pub(super) fn unlisted(name: &str) -> Option<Self> {
        let name = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(name.as_bytes())).ok()?;
        name.to_str().is_ok().then_some(Self { name, id: UNLISTED, disabled: false })
    }
}

/// A name as it can stand in a header: what may not is percent-encoded, so that no two look alike.
pub(super) fn plain(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_@+:/|".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The number of everybody whom the configuration does not name.
const UNLISTED: u32 = u32::MAX;

/// The rule for names, as part of a help text.
pub(super) const NAME_HELP: &str =
    "a name has 1 to 128 letters, digits and `.-_@+:/`, since it is sent on as a header";

/// All consumers, each once, by name and by number.
#[derive(Debug, Default)]
pub(super) struct Registry {
    all: Vec<Arc<Consumer>>,
    by_name: HashTable<u32>,
    hasher: RandomState,
}

impl Registry {
    /// The number of the consumer of this name, which is added if it is new. None if the name could
    /// not be sent as a header, or if there are 2^32 - 1 consumers.
    pub(super) fn intern(&mut self, name: &str, disabled: bool) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let all = &self.all;
        if let Some(id) = self.by_name.find(hash, |id| all[*id as usize].name() == name) {
            return Some(*id);
        }
        let fit = |b: u8| b.is_ascii_alphanumeric() || b".-_@+:/".contains(&b);
        if !(1..=128).contains(&name.len()) || !name.bytes().all(fit) {
            return None;
        }
        let id = u32::try_from(self.all.len()).ok().filter(|id| *id != UNLISTED)?;
        let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(name.as_bytes())).ok()?;
        self.all.push(Arc::new(Consumer { name: value, id, disabled }));
        let (all, hasher) = (&self.all, &self.hasher);
        self.by_name.insert_unique(hash, id, |id| hasher.hash_one(all[*id as usize].name()));
        Some(id)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Consumer>> {
        let hash = self.hasher.hash_one(name);
        let id = self.by_name.find(hash, |id| self.all[*id as usize].name() == name)?;
        Some(&self.all[*id as usize])
    }

    pub(super) fn get(&self, id: u32) -> &Arc<Consumer> {
        &self.all[id as usize]
    }

    pub(super) fn all(&self) -> &[Arc<Consumer>] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_consumer() {
        let mut registry = Registry::default();
        let names: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
        for (id, name) in names.iter().enumerate() {
            assert_eq!(registry.intern(name, id == 7), u32::try_from(id).ok());
        }
        for (id, name) in names.iter().enumerate() {
            assert_eq!(registry.intern(name, true), u32::try_from(id).ok());
            let consumer = registry.find(name).expect("known");
            assert_eq!((consumer.name(), consumer.is_disabled()), (name.as_str(), id == 7));
            assert_eq!(Some(registry.get(consumer.id().expect("listed"))), Some(consumer));
        }
        assert_eq!(registry.find("c1000"), None);
        assert_eq!(registry.all().len(), 1000);
    }

    #[test]
    fn a_name_must_fit_into_a_header() {
        let mut registry = Registry::default();
        for name in ["a", "mobile-app", "a.b_c@d+e:f/g", &"x".repeat(128)] {
            assert!(registry.intern(name, false).is_some(), "{name}");
        }
        for name in ["", "a b", "ä", "a\n", "a,b", "a\"", &"x".repeat(129)] {
            assert!(registry.intern(name, false).is_none(), "{name}");
        }
    }
}
