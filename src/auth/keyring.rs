//! A [`Keyring`] holds the keys of one method: from a digest to a consumer.
//!
//! It is a sorted array with an index over the first bits of the digests. Digests are uniform, so the
//! index cuts the array into runs of about four, and a look-up is one read of the index and one run
//! that lies together in memory, whatever the number of keys. A hash table would have to hold up to
//! twice the memory (its size doubles), and would need a seed; this has 40 bytes a key and an index
//! of about one. If digests were not uniform, the binary search within a run keeps a look-up short.
//!
//! On timing: what is compared is the SHA-256 of what the client sent. A client that measures how far
//! a comparison went learns bits of a digest that it can compute by itself, and nothing that brings it
//! nearer to a key, so no comparison here depends on a secret and none has to take constant time.

use std::sync::Arc;
use std::time::SystemTime;

use super::cache::second;
use super::consumer::{Consumer, Registry};
use super::key::Digest;

/// Longer credentials are unknown without a look: hashing is paid by us, and no key is so long.
const LONGEST_KEY: usize = 1024;

/// Why a credential does not let anybody in. For the access log only: a client is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// None was sent, or an empty one.
    Missing,
    /// More than one was sent.
    Repeated,
    /// It belongs to nobody.
    Unknown,
    /// Its time is over.
    Expired,
    /// It, or its consumer, was switched off.
    Disabled,
    /// It is known, but the route is not for this consumer.
    NotAllowed,
    /// The service that judges it says no, and not why.
    Declined,
    /// It is known, but its token does not say what the route requires.
    ClaimMissing,
    /// Two credentials are good, and of different consumers.
    Differ,
    /// It cannot be read.
    Malformed,
    /// The header of a token has something in it that no token needs, or says that it is for another purpose.
    Header,
    /// A token says that it is signed in a way that its key is not for, or that is not known.
    Algorithm,
    /// A token is signed by a key that is not known.
    KeyUnknown,
    /// What it is signed with is wrong.
    Signature,
    /// Its time has not come.
    Early,
    /// A token of somebody else.
    Issuer,
    /// A token for somebody else.
    Audience,
    /// A token that does not say what it must, or says it in another form.
    Claims,
    /// A signature that does not cover all that it must.
    Covers,
    /// A signature that has let a request in before, and lets in one only.
    Used,
    /// The keys that it is to be verified with cannot be fetched.
    KeysUnavailable,
    /// The service that judges it does not answer.
    ServiceUnavailable,
    /// There is more to verify than can be verified at once.
    Busy,
    /// Nobody has verified it yet: that takes a moment.
    Pending,
}

impl Reason {
    /// The word for the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::Repeated => "credential_repeated",
            Self::Unknown => "credential_unknown",
            Self::Expired => "credential_expired",
            Self::Disabled => "credential_disabled",
            Self::NotAllowed => "consumer_not_allowed",
            Self::Declined => "auth_service_refused",
            Self::ClaimMissing => "claim_missing",
            Self::Differ => "consumers_differ",
            Self::Malformed => "credential_malformed",
            Self::Header => "token_header",
            Self::Algorithm => "token_algorithm",
            Self::KeyUnknown => "key_unknown",
            Self::Signature => "signature_wrong",
            Self::Early => "credential_not_yet_valid",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Claims => "token_claims",
            Self::Covers => "signature_covers_too_little",
            Self::Used => "signature_used",
            Self::KeysUnavailable => "keys_unavailable",
            Self::ServiceUnavailable => "auth_service_unavailable",
            Self::Busy => "auth_busy",
            Self::Pending => "auth_pending",
        }
    }

    /// Whether it is no fault of the caller's.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::ServiceUnavailable | Self::Busy)
    }
}

/// Until when a key lets in, in whole seconds since 1970: four bytes a key reach to the year 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Until(u32);

impl Until {
    pub(super) const NEVER: Self = Self(u32::MAX);
    pub(super) const DISABLED: Self = Self(0);

    /// From this second on the key is refused; parts of a second are cut off.
    pub(super) fn second(second: i64) -> Self {
        // Before 1970 is long over, and must not look like `DISABLED`.
        Self(u32::try_from(second.max(1)).unwrap_or(u32::MAX - 1).min(u32::MAX - 1))
    }

    fn check(self, now: SystemTime) -> Result<(), Reason> {
        match self {
            Self::NEVER => Ok(()),
            Self::DISABLED => Err(Reason::Disabled),
            Self(until) if second(now) < u64::from(until) => Ok(()),
            Self(_) => Err(Reason::Expired),
        }
    }
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) consumer: u32,
    pub(super) until: Until,
}

/// The keys of one method.
#[derive(Debug)]
pub struct Keyring {
    /// Sorted by digest, no digest twice.
    entries: Box<[Entry]>,
    /// Where the entries begin whose digest begins with these `bits`; one more at the end.
    index: Box<[u32]>,
    bits: u32,
    consumers: Arc<Registry>,
}

impl Keyring {
    /// Sorts the keys. If a digest stands there twice, gives back those digests, each once.
    pub(super) fn build(
        mut entries: Vec<Entry>,
        consumers: &Arc<Registry>,
    ) -> Result<Self, Vec<Digest>> {
        // The first eight bytes nearly always decide, and compare as one number.
        entries.sort_unstable_by(|a, b| {
            let heads = a.digest.head().cmp(&b.digest.head());
            heads.then_with(|| a.digest.cmp(&b.digest))
        });
        let twice = entries.windows(2).filter(|pair| pair[0].digest == pair[1].digest);
        let mut twice: Vec<Digest> = twice.map(|pair| pair[0].digest).collect();
        twice.dedup();
        if !twice.is_empty() {
            return Err(twice);
        }
        let bits = entries.len().max(1).ilog2().saturating_sub(2).min(28);
        let mut index = vec![0; (1 << bits) + 1];
        for entry in &entries {
            index[bucket(&entry.digest, bits) + 1] += 1;
        }
        for place in 1..index.len() {
            index[place] += index[place - 1];
        }
        Ok(Self {
            entries: entries.into(),
            index: index.into(),
            bits,
            consumers: Arc::clone(consumers),
        })
    }

    /// The consumer to whom this credential belongs and is good at this time.
    ///
    /// # Errors
    /// [`Reason::Unknown`], [`Reason::Expired`] or [`Reason::Disabled`].
    pub fn find(&self, credential: &[u8], now: SystemTime) -> Result<&Arc<Consumer>, Reason> {
        if credential.len() > LONGEST_KEY {
            return Err(Reason::Unknown);
        }
        let digest = Digest::of(credential);
        let bucket = bucket(&digest, self.bits);
        let run = &self.entries[self.index[bucket] as usize..self.index[bucket + 1] as usize];
        let place = run.binary_search_by(|entry| entry.digest.cmp(&digest));
        let entry = place.map(|place| run[place]).map_err(|_| Reason::Unknown)?;
        let consumer = self.consumers.get(entry.consumer);
        if consumer.is_disabled() {
            return Err(Reason::Disabled);
        }
        entry.until.check(now).map(|()| consumer)
    }

    /// Whether a consumer has a key that is good at this time. All keys are looked through: this is for
    /// questions about a configuration, not for traffic.
    ///
    /// # Errors
    /// [`Reason::Missing`] without a key; of keys that are no good, why the first of them is not.
    pub(super) fn best_of(&self, consumer: &Consumer, now: SystemTime) -> Result<(), Reason> {
        let mut best = Err(Reason::Missing);
        for entry in self.entries.iter().filter(|entry| Some(entry.consumer) == consumer.id()) {
            match entry.until.check(now) {
                _ if consumer.is_disabled() => return Err(Reason::Disabled),
                Ok(()) => return Ok(()),
                refused if best == Err(Reason::Missing) => best = refused,
                Err(_) => {}
            }
        }
        best
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The first `bits` of a digest; at most 28.
fn bucket(digest: &Digest, bits: u32) -> usize {
    let top = digest.head().checked_shr(64 - bits).unwrap_or(0);
    // At most 28 bits are left.
    usize::try_from(top).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn entry(key: &str, consumer: u32, until: Until) -> Entry {
        Entry { digest: Digest::of(key.as_bytes()), consumer, until }
    }

    fn registry() -> Arc<Registry> {
        let mut registry = Registry::default();
        for (name, disabled) in [("a", false), ("b", false), ("gone", true)] {
            registry.intern(name, disabled);
        }
        Arc::new(registry)
    }

    #[test]
    fn every_key_is_found_and_nothing_else_at_any_size() {
        let registry = registry();
        for size in [0, 1, 2, 3, 7, 8, 9, 100, 5000] {
            let entries = (0..size).map(|n| entry(&format!("k{n}"), n % 2, Until::NEVER)).collect();
            let ring = Keyring::build(entries, &registry).expect("unique");
            assert_eq!((ring.len(), ring.is_empty()), (size as usize, size == 0));
            for n in 0..size {
                let found = ring.find(format!("k{n}").as_bytes(), UNIX_EPOCH).expect("known");
                assert_eq!(found.name(), if n % 2 == 0 { "a" } else { "b" });
            }
            for unknown in ["", "k", "K0", "k-1", "k5000"] {
                assert_eq!(ring.find(unknown.as_bytes(), UNIX_EPOCH), Err(Reason::Unknown));
            }
        }
    }

    #[test]
    fn digests_that_are_not_uniform_are_found_too() {
        let registry = registry();
        let crowded = |n: u8| -> Digest {
            format!("sha256:{}{n:02x}", "00".repeat(31)).parse().expect("digest")
        };
        let mut entries: Vec<Entry> = (0..200)
            .map(|n| Entry { digest: crowded(n), consumer: 0, until: Until::NEVER })
            .collect();
        entries.push(entry("key", 1, Until::NEVER));
        let ring = Keyring::build(entries, &registry).expect("unique");
        assert_eq!(ring.find(b"key", UNIX_EPOCH).map(|c| c.name()), Ok("b"));
    }

    #[test]
    fn a_key_ends_when_it_says() {
        let registry = registry();
        let entries = vec![
            entry("ends", 0, Until::second(1000)),
            entry("ended", 0, Until::second(-5)),
            entry("far", 0, Until::second(i64::MAX)),
            entry("off", 0, Until::DISABLED),
            entry("whose", 2, Until::NEVER),
        ];
        let ring = Keyring::build(entries, &registry).expect("unique");
        for (key, second, expected) in [
            ("ends", 0, Ok("a")),
            ("ends", 999, Ok("a")),
            ("ends", 1000, Err(Reason::Expired)),
            ("ends", 1001, Err(Reason::Expired)),
            ("ended", 1000, Err(Reason::Expired)),
            ("far", 4_000_000_000, Ok("a")),
            ("off", 0, Err(Reason::Disabled)),
            ("whose", 0, Err(Reason::Disabled)),
        ] {
            let now = UNIX_EPOCH + Duration::from_secs(second);
            assert_eq!(
                ring.find(key.as_bytes(), now).map(|c| c.name()),
                expected,
                "{key} {second}"
            );
        }
    }

    #[test]
    fn a_digest_twice_is_told() {
        let entries = vec![
            entry("a", 0, Until::NEVER),
            entry("b", 0, Until::NEVER),
            entry("a", 1, Until::NEVER),
            entry("a", 0, Until::NEVER),
        ];
        let twice = Keyring::build(entries, &registry()).expect_err("twice");
        assert_eq!(twice, [Digest::of(b"a")]);
    }

    #[test]
    fn a_credential_of_absurd_length_is_unknown() {
        let long = "x".repeat(LONGEST_KEY + 1);
        let ring = Keyring::build(vec![entry(&long, 0, Until::NEVER)], &registry()).expect("one");
        assert_eq!(ring.find(long.as_bytes(), UNIX_EPOCH), Err(Reason::Unknown));
    }
}
