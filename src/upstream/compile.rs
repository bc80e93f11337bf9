//! From one entry of `upstreams:` to an [`Upstream`], with all its mistakes told at once.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};
use pingora_load_balancing::{Backends, LoadBalancer};
use tokio::sync::watch;

use super::Upstream;
use super::balance::Policy;
use super::call::Caller;
use super::config::{Balance, Config, HashBy, Health};
use super::discovery::{Discovery, Resolve, Spec};
use super::dress::Dress;
use super::health::{Probe, Prober};
use super::origin::{Origin, Place};
use super::pool::Pool;
use super::room::Room;
use super::tally::Tally;
use super::tls::TlsSettings;
use crate::concurrency::Gate;
use crate::counter::Lasting;
use crate::diagnostic::{At, Diagnostics};
use crate::units::Period;

/// The most tries after the first.
const MOST_RETRIES: u32 = 10;
/// The longest timeout: a day. Beyond it, a mistake is likelier than a wish.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// What the hash key of a request is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashSource {
    /// The value of this header.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(String),
    /// The client's address.
    ClientIp,
    /// The request's path.
    Path,
}

/// See [`Upstream::compile`]; names are resolved by `resolve`.
pub(super) fn compile(
    name: &str,
    config: &Config,
    at: &At,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    resolve: Resolve,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Upstream>> {
    let origins = origins(config, &at.key("targets"), diagnostics);
    let any_https = config.targets.iter().any(|t| is_https(&t.url));
    let tls = TlsSettings::compile(config, any_https, &at.key("tls"), read_file, diagnostics);
    let dress = Dress::compile(config, at, diagnostics);
    let probe = match &config.health {
        Health::None => Some(None),
        Health::Check(check) => Probe::compile(check, &at.key("health"), diagnostics).map(Some),
    };
    let hash = hash_source(&config.balance, &at.key("balance").key("hash"), diagnostics);
    let limits = limits(config, at, diagnostics);
    let gate = match &config.concurrency {
        Some(cap) => cap.compile(&at.key("concurrency"), diagnostics).map(Some),
        None => Some(None),
    };
    let (origins, tls, dress, probe, hash, gate) = (origins?, tls?, dress?, probe?, hash?, gate?);
    limits?;
    let specs = specs(config, origins, &tls)?;
    Some(assemble(name, config, specs, tls.files, dress, probe, hash, gate, resolve))
}

#[allow(clippy::too_many_arguments, reason = "the parts of an upstream, each used once")]
fn assemble(
    name: &str,
    config: &Config,
    specs: Arc<[Spec]>,
    files: u64,
    dress: Dress,
    probe: Option<Probe>,
    hash: Option<HashSource>,
    gate: Option<Gate>,
    resolve: Resolve,
) -> Arc<Upstream> {
    let names = specs.iter().any(|spec| matches!(spec.origin.place, Place::Name { .. }));
    let tallies = specs.iter().map(|spec| Arc::clone(&spec.tally)).collect();
    let pool = Arc::new(Pool::new(name));
    let dress = Arc::new(dress);
    let caller = Arc::new(Caller::new(Arc::clone(&dress), config.protocol));
    let online = Arc::new(AtomicBool::new(false));
    let discovery = Discovery::new(specs, Arc::clone(&pool), resolve, Arc::clone(&online));
    let mut backends = Backends::new(Box::new(discovery));
    let probe_every = probe.as_ref().map(|probe| probe.every);
    if let Some(probe) = probe {
        let (pool, caller) = (Arc::clone(&pool), Arc::clone(&caller));
        backends.set_health_check(Box::new(Prober { probe, pool, caller }));
    }
    let policy = Policy::from(&config.balance);
    let balancer = Arc::new(LoadBalancer::from_backends_with_config(backends, Some(policy)));
    // Nothing is resolved before the start, so this is done at once.
    let _ = balancer.update().now_or_never();
    Arc::new(Upstream {
        config: config.clone(),
        hash,
        files,
        dress,
        caller,
        pool,
        balancer,
        probe_every,
        names,
        online,
        resolved: watch::Sender::new(!names),
        tallies,
        first_byte: Lasting::default(),
        room: Room::new(gate, config.concurrency.as_ref()),
        tasks: OnceLock::new(),
    })
}

fn is_https(url: &str) -> bool {
    url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
}

fn origins(config: &Config, at: &At, diagnostics: &mut Diagnostics) -> Option<Vec<Origin>> {
    if config.targets.is_empty() {
        diagnostics.error(
            at.clone(),
            "the upstream has no targets",
            "give at least one, as in [ \"127.0.0.1:8001\" ]",
        );
        return None;
    }
    let mut origins = Vec::with_capacity(config.targets.len());
    let mut seen: HashMap<Place, usize> = HashMap::new();
    let mut sound = true;
    for (index, target) in config.targets.iter().enumerate() {
        let at = at.index(index);
        if !(1..=1000).contains(&target.weight) {
            diagnostics.error(
                at.key("weight"),
                format!("the weight {} is not between 1 and 1000", target.weight),
                "weights are shares: of two targets with 1 and 3, the second gets three quarters; \
                 to send nothing, remove the target",
            );
            sound = false;
        }
        match Origin::parse(&target.url) {
            Err(error) => {
                diagnostics.error(at, error.what, error.help);
                sound = false;
            }
            Ok(origin) => {
                if let Some(first) = seen.insert(origin.place.clone(), index) {
                    diagnostics.error(
                        at,
                        format!("this address stands in the list already, at index {first}"),
                        "to send it more requests, write it once as { url: ..., weight: 2 }",
                    );
                    sound = false;
                }
                origins.push(origin);
            }
        }
    }
    sound.then_some(origins)
}

fn specs(config: &Config, origins: Vec<Origin>, tls: &TlsSettings) -> Option<Arc<[Spec]>> {
    let spec = |(origin, target): (Origin, &super::config::TargetSpec)| {
        Some(Spec {
            tally: Arc::new(Tally::new(target.url.as_str())),
            weight: target.weight as usize,
            authority: HeaderValue::try_from(origin.authority()).ok()?,
            template: tls.peer(&origin, config)?,
            origin,
        })
    };
    origins.into_iter().zip(&config.targets).map(spec).collect()
}

#[allow(clippy::option_option, reason = "the outer one tells a mistake from no hashing")]
fn hash_source(
    balance: &Balance,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Option<HashSource>> {
    let Balance::Hash(by) = balance else { return Some(None) };
    let source = match by {
        HashBy::ClientIp => Some(HashSource::ClientIp),
        HashBy::Path => Some(HashSource::Path),
        HashBy::Header(name) => {
            HeaderName::from_bytes(name.as_bytes()).ok().map(HashSource::Header)
        }
        // A cookie's name is a token, as a header's is (RFC 6265, section 4.1.1), but with its case.
        HashBy::Cookie(name) => HeaderName::from_bytes(name.as_bytes())
            .is_ok()
            .then(|| HashSource::Cookie(name.clone())),
    };
    if source.is_none() {
        let (kind, name) = match by {
            HashBy::Cookie(name) => ("cookie", name.as_str()),
            HashBy::Header(name) => ("header", name.as_str()),
            HashBy::ClientIp | HashBy::Path => ("", ""),
        };
        diagnostics.error(
            at.key(kind),
            format!("{name:?} is not the name of a {kind}"),
            "names consist of letters, digits and hyphens",
        );
    }
    source.map(Some)
}

/// Checks the numbers that are used as they stand.
fn limits(config: &Config, at: &At, diagnostics: &mut Diagnostics) -> Option<()> {
    let mut sound = true;
    let timeouts = &config.timeouts;
    for (key, timeout) in [
        ("connect", timeouts.connect),
        ("read", timeouts.read),
        ("write", timeouts.write),
        ("idle", timeouts.idle),
        ("total", timeouts.total),
    ] {
        if timeout == Period::default() || timeout.get() > LONGEST_TIMEOUT {
            diagnostics.error(
                at.key("timeouts").key(key),
                format!("the timeout {timeout} is not between 1ms and 1d"),
                "there is no way to turn a timeout off: give the longest time that makes sense",
            );
            sound = false;
        }
    }
    if timeouts.connect > timeouts.total {
        diagnostics.warning(
            at.key("timeouts").key("connect"),
            format!("{} is longer than the total of {}", timeouts.connect, timeouts.total),
            "the total counts for the whole request, with connecting and all tries",
        );
    }
    if config.retries.max > MOST_RETRIES {
        diagnostics.error(
            at.key("retries").key("max"),
            format!("{} is more than {MOST_RETRIES}", config.retries.max),
            "retries multiply the load on targets that are failing already: 1 or 2 are enough",
        );
        sound = false;
    }
    sound.then_some(())
}

#[cfg(test)]
mod tests;
