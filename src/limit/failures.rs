//! Credentials that were refused, counted by address, so that trying them out ends before they are looked up.
//!
//! Behind one address there may be many who mean no harm. So what an address may try again and again are credentials
//! that fail; who was let in from it keeps being let in: the gateway remembers digests of credentials that were good,
//! and looks these up even where an address has no failures left. What is remembered opens nothing by itself. It has
//! 65,536 places (512 KiB); a newer one takes an older one's place.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::decide::{Draw, Key, Level};
use super::key;
use super::local::Local;
use crate::units::Rate;
use siphasher::sip128::Hasher128 as _;

/// How many good credentials are remembered.
const PLACES: usize = 1 << 16;

/// What is known across reloads.
#[derive(Debug)]
struct Memory {
    /// Digests of what was good, each at the place that its lower bits name.
    good: Box<[AtomicU64]>,
    /// Until when some address has failures that count, as [`Local::moment`].
    busy_until: AtomicU64,
}

/// What a request presents, in a digest with its address.
#[derive(Debug, Clone, Copy)]
pub struct Credential(u64);

/// How often the credentials of one address may fail.
#[derive(Debug)]
pub struct Failures {
    bucket: Option<Bucket>,
    local: Arc<Local>,
    memory: Arc<Memory>,
}

impl Failures {
    pub(super) fn new(rate: Option<Rate>, local: &Arc<Local>, previous: Option<&Self>) -> Self {
        let memory = previous.map_or_else(
            || {
                let good = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
                Arc::new(Memory { good, busy_until: AtomicU64::new(0) })
            },
            |previous| Arc::clone(&previous.memory),
        );
        Self { bucket: rate.map(Bucket::of), local: Arc::clone(local), memory }
    }

    /// What a request presents, in these values and by its certificate; none if that is nothing.
    pub fn credential<'h>(
        &self,
        address: IpAddr,
        values: impl Iterator<Item = &'h [u8]>,
        certificate: Option<&'h str>,
    ) -> Option<Credential> {
        self.bucket?;
        let mut hasher = self.local.hasher();
        let mut any = false;
        for value in values.chain(certificate.map(str::as_bytes)).filter(|value| !value.is_empty())
        {
            any = true;
            hasher.write(value);
            hasher.write_usize(value.len());
        }
        key::address(address, |bytes| hasher.write(bytes));
        // Zero stands for an empty place.
        any.then(|| Credential(hasher.finish128().h1.max(1)))
    }

    /// How long an address has to wait before another of its credentials is looked up; none if it need not.
    #[must_use]
    pub fn wait(&self, address: IpAddr, credential: Credential, now: Instant) -> Option<Duration> {
        let bucket = self.bucket?;
        let now = self.local.moment(now);
        if now >= self.memory.busy_until.load(Ordering::Relaxed) {
            return None;
        }
        let full_at = self.local.full_at(self.key(address));
        let wait = bucket.ask(full_at, now, 1).wait;
        (wait > 0 && !self.knows(credential)).then(|| Duration::from_nanos(wait))
    }

    /// Whether a credential is remembered as good.
    #[must_use]
    pub fn knows(&self, credential: Credential) -> bool {
        self.place(credential).load(Ordering::Relaxed) == credential.0
    }

    /// Notes that a credential was good.
    pub fn passed(&self, credential: Credential) {
        let place = self.place(credential);
        if place.load(Ordering::Relaxed) != credential.0 {
            place.store(credential.0, Ordering::Relaxed);
        }
    }

    /// Notes that a credential was refused.
    pub fn failed(&self, address: IpAddr, credential: Credential, now: Instant) {
        let Some(bucket) = self.bucket else { return };
        // It may have been good once.
        let _ = self.place(credential).compare_exchange(
            credential.0,
            0,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        let (now, key) = (self.local.moment(now), self.key(address));
        let crowd = Key([0, 0]);
        let (rule, observe) = (0, false);
        let draw = Draw { key, crowd, bucket, cost: 1, patience: 0, rule, observe };
        let mut level = [Level::default()];
        self.local.take(&[draw], now, &mut level);
        self.memory.busy_until.fetch_max(now + level[0].missing, Ordering::Relaxed);
    }

    fn place(&self, credential: Credential) -> &AtomicU64 {
        let index = usize::try_from(credential.0 % PLACES as u64).unwrap_or(0);
        &self.memory.good[index]
    }

    /// The bucket of an address.
    fn key(&self, address: IpAddr) -> Key {
        let mut hasher = self.local.hasher();
        hasher.write(b"failed credentials");
        // Another rate is another rule.
        hasher
            .write_u64(self.bucket.map_or(0, |bucket| bucket.unit ^ bucket.depth.rotate_left(32)));
        key::address(address, |bytes| hasher.write(bytes));
        let hash = hasher.finish128();
        Key([hash.h1, hash.h2])
    }
}
