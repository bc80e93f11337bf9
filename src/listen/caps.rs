//! How many connections may be open: in all, and of one client.
//!
//! A connection costs memory, a descriptor and, with TLS, a key exchange before anybody knows whether it
//! means well. So it is counted as soon as it is accepted, and one too many is closed before a byte is read.
//! An IPv6 client is its /64 network, which is what one subscriber is given.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::diagnostic::{At, Diagnostics};

/// How many connections may be open at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { max: 20000, per_client: 100 }", deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// In all. Default: three quarters of the files that the process may open, since each request may need
    /// another one towards its upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// Of one client address, or of one /64 network of IPv6; trusted proxies may have any number. Default:
    /// 1000, and any number from this machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_client: Option<u32>,
}

/// What one client may have if nothing else is said: many people can stand behind one address.
const PER_CLIENT: u32 = 1000;
/// What may be open in all if the system sets no bound.
const UNBOUNDED: u64 = 1 << 20;

impl ConnectionsConfig {
    /// The numbers; mistakes are reported at `at`.
    pub fn compile(&self, at: &At, diagnostics: &mut Diagnostics) -> Limits {
        let none = "nobody could be served";
        if self.max == Some(0) {
            diagnostics.error(at.key("max"), none, "write a number above 0, or leave it out");
        }
        if self.per_client == Some(0) {
            diagnostics.error(
                at.key("per_client"),
                none,
                "write a number above 0, or leave it out",
            );
        }
        Limits {
            max: self.max.unwrap_or_else(most_by_files),
            per_client: self.per_client.unwrap_or(PER_CLIENT),
            spares_loopback: self.per_client.is_none(),
        }
    }
}

fn most_by_files() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let files = files.unwrap_or(UNBOUNDED).min(UNBOUNDED);
    usize::try_from(files / 4 * 3).unwrap_or(usize::MAX).max(1)
}

/// How many connections may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max: usize,
    per_client: u32,
    /// Whether clients on this machine may have any number.
    spares_loopback: bool,
}

/// The connections that are open, for all listeners together.
#[derive(Debug)]
pub struct Caps {
    open: AtomicUsize,
    hasher: RandomState,
    /// In shards, so that two clients seldom wait for each other.
    clients: [Mutex<HashMap<Client, u32>>; SHARDS],
}

const SHARDS: usize = 64;

/// Who counts as one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.into()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments().map(u64::from);
                Self::V6(a << 48 | b << 32 | c << 16 | d)
            }
        }
    }
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            hasher: RandomState::new(),
            clients: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Caps {
    /// Counts a connection in all.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] if there are as many as may be.
    pub fn enter(self: &Arc<Self>, limits: &Limits) -> Result<Place, Refusal> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= limits.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::TooMany);
        }
        Ok(Place { caps: Arc::clone(self), client: None })
    }

    fn shard(&self, client: Client) -> std::sync::MutexGuard<'_, HashMap<Client, u32>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let shard = self.hasher.hash_one(client) as usize % SHARDS;
        self.clients[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one open connection, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    client: Option<Client>,
}

impl Place {
    /// Counts the connection for its client too.
    ///
    /// # Errors
    /// [`Refusal::TooManyOfClient`] if that one has as many as it may have.
    pub fn of_client(&mut self, address: IpAddr, limits: &Limits) -> Result<(), Refusal> {
        if limits.spares_loopback && address.to_canonical().is_loopback() {
            return Ok(());
        }
        let client = Client::of(address);
        let mut shard = self.caps.shard(client);
        let count = shard.entry(client).or_insert(0);
        if *count >= limits.per_client {
            return Err(Refusal::TooManyOfClient);
        }
        *count += 1;
        drop(shard);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            let mut shard = self.caps.shard(client);
            if let Some(count) = shard.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    shard.remove(&client);
                    // What a crowd needed is given back once it is gone.
                    if shard.is_empty() {
                        shard.shrink_to_fit();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_too_many_is_refused_until_another_has_gone() {
        let caps = Arc::new(Caps::default());
        let limits = Limits { max: 2, per_client: 1, spares_loopback: false };
        let first = caps.enter(&limits).unwrap();
        let _second = caps.enter(&limits).unwrap();
        assert_eq!(caps.enter(&limits).unwrap_err(), Refusal::TooMany);
        drop(first);
        assert!(caps.enter(&limits).is_ok());
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let caps = Arc::new(Caps::default());
        let limits = Limits { max: 100, per_client: 2, spares_loopback: true };
        let enter = |address: &str| {
            let mut place = caps.enter(&limits).unwrap();
            place.of_client(ip(address), &limits).map(|()| place)
        };
        for (one, same, other) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("198.51.100.1", "::ffff:198.51.100.1", "198.51.100.2"),
            ("2001:db8::1", "2001:db8::ffff:1:2:3", "2001:db8:0:1::1"),
        ] {
            let kept = (enter(one).unwrap(), enter(same).unwrap());
            assert_eq!(enter(one).unwrap_err(), Refusal::TooManyOfClient, "{one}");
            assert!(enter(other).is_ok(), "{other}");
            drop(kept);
            assert!(enter(one).is_ok(), "{one}");
        }
        let _many: Vec<_> = (0..9).map(|_| enter("127.0.0.1").unwrap()).collect();
        assert!(caps.clients.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn a_number_that_was_written_holds_for_this_machine_too() {
        let mut diagnostics = Diagnostics::new();
        let config = ConnectionsConfig { max: None, per_client: Some(1) };
        let limits = config.compile(&At::root(), &mut diagnostics);
        assert!(diagnostics.is_empty() && limits.max >= 1);
        let caps = Arc::new(Caps::default());
        let mut one = caps.enter(&limits).unwrap();
        let mut two = caps.enter(&limits).unwrap();
        assert!(one.of_client(ip("127.0.0.1"), &limits).is_ok());
        assert!(two.of_client(ip("127.0.0.1"), &limits).is_err());
        // A place without a client takes nothing from anybody.
        drop(two);
        assert_eq!(caps.open.load(Ordering::Relaxed), 1);
    }
}
