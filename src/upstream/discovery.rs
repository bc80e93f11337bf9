//! Discovery: which addresses an upstream has at the moment.
//!
//! IP addresses and sockets are there from the start. Host names are resolved off the request path, by
//! the system's resolver, again and again; every address found becomes a target. When a name cannot be
//! resolved, its last good addresses stay: a name server that is down must not take the services down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr as InetAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, join_all};
use http::{Extensions, HeaderValue};
use log::{info, warn};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::HttpPeer;
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;

use super::origin::{Origin, Place};
use super::pool::Pool;
use super::tally::Tally;
use super::target::Target;

/// How long one resolution of a name may take.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two resolutions, give or take 10 %.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Finds the addresses of a host and port.
pub(super) type Resolve =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<InetAddr>>> + Send + Sync>;

/// The system's resolver, which reads `/etc/hosts` too. It blocks, so Tokio runs it on a thread of
/// its own.
pub(super) fn system_resolver() -> Resolve {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}

/// One target of the configuration, which can stand for several addresses.
pub(super) struct Spec {
    /// What became of the tries, at whichever of its addresses; and the label.
    pub tally: Arc<Tally>,
    pub origin: Origin,
    pub weight: usize,
    pub authority: HeaderValue,
    pub template: HttpPeer,
}

impl Spec {
    fn is_named(&self) -> bool {
        matches!(self.origin.place, Place::Name { .. })
    }
}

/// What is known of a host name.
#[derive(Default)]
struct Known {
    addresses: Vec<InetAddr>,
    failing: bool,
}

/// An upstream's source of addresses.
pub(super) struct Discovery {
    specs: Arc<[Spec]>,
    pool: Arc<Pool>,
    resolve: Resolve,
    /// One for each spec.
    known: Mutex<Vec<Known>>,
    /// Whether names may be resolved: not while a configuration is only compiled.
    online: Arc<AtomicBool>,
}

impl Discovery {
    pub fn new(
        specs: Arc<[Spec]>,
        pool: Arc<Pool>,
        resolve: Resolve,
        online: Arc<AtomicBool>,
    ) -> Self {
        let known = Mutex::new(specs.iter().map(|_| Known::default()).collect());
        Self { specs, pool, resolve, known, online }
    }

    async fn resolve_names(&self) {
        let named = self.specs.iter().enumerate().filter(|(_, spec)| spec.is_named());
        let lookups = named.map(|(index, spec)| async move {
            let Place::Name { host, port } = &spec.origin.place else { return };
            let lookup = (self.resolve)(host.clone(), *port);
            let found = match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
                Ok(Ok(found)) if found.is_empty() => Err("it has no address".to_owned()),
                Ok(Ok(found)) => Ok(found),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the resolver does not answer".to_owned()),
            };
            self.learn(index, found);
        });
        join_all(lookups).await;
    }

    /// Keeps what a lookup found, and logs when it begins or ceases to fail.
    fn learn(&self, index: usize, found: Result<Vec<InetAddr>, String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (entry, name, label) =
            (&mut known[index], &self.pool.name, self.specs[index].tally.label());
        match found {
            Ok(addresses) => {
                if entry.failing {
                    info!("upstream {name}: {label} can be resolved again");
                }
                *entry = Known { addresses, failing: false };
            }
            Err(error) if !entry.failing => {
                let kept = entry.addresses.len();
                warn!("upstream {name}: cannot resolve {label}, {kept} addresses kept: {error}");
                entry.failing = true;
            }
            Err(_) => {}
        }
    }

    /// All addresses now, each with the first spec that has it. Where several have the same one, as
    /// two names of one machine, it gets the weight of all.
    fn addresses(&self) -> Vec<(SocketAddr, &Spec, usize)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(SocketAddr, &Spec, usize)> = Vec::new();
        let mut places: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for (spec, known) in self.specs.iter().zip(known.iter()) {
            let own: BTreeSet<SocketAddr> = if spec.is_named() {
                known.addresses.iter().copied().map(SocketAddr::Inet).collect()
            } else {
                BTreeSet::from([spec.template._address.clone()])
            };
            for address in own {
                if let Some(place) = places.get(&address) {
                    all[*place].2 += spec.weight;
                } else {
                    places.insert(address.clone(), all.len());
                    all.push((address, spec, spec.weight));
                }
            }
        }
        all
    }

    /// The target at an address: the one known, as long as nothing about it changed.
    fn target(&self, address: &SocketAddr, spec: &Spec, weight: usize) -> Arc<Target> {
        if let Some(known) = self.pool.load().get(address)
            && known.weight() == weight
            && known.label() == spec.tally.label()
        {
            return Arc::clone(known);
        }
        let mut template = spec.template.clone();
        template._address = address.clone();
        Arc::new(Target::new(Arc::clone(&spec.tally), template, spec.authority.clone(), weight))
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        if self.online.load(Ordering::Acquire) {
            self.resolve_names().await;
        }
        let addresses = self.addresses();
        let targets = addresses.iter().map(|(a, spec, weight)| self.target(a, spec, *weight));
        self.pool.announce(targets.collect());
        // No extensions: they would cost every pick three allocations.
        let backends = addresses
            .into_iter()
            .map(|(addr, _, weight)| Backend { addr, weight, ext: Extensions::new() })
            .collect();
        Ok((backends, HashMap::new()))
    }
}
