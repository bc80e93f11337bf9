//! [`Drift`]: how what is called differs from what is documented.
//!
//! Counted for the routes that lead to an upstream with a spec, and only where a portal is served. A request costs
//! one walk over the segments of its path and an atomic addition. What has no bound of its own is kept within one:
//! four statuses of an operation that it does not name, and a hundred paths of a route that its spec does not have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::landscape::{Landscape, Place};
use super::merge::{MOST_TRIES, templates};
use super::source::Source;
use super::spec::Spec;

/// Statuses outside the spec that are told apart, for each operation.
const STATUSES: usize = 4;
/// Paths without a spec that are told apart, for each route.
const MOST_PATHS: usize = 100;
/// The longest such path, in bytes; of a longer one the beginning is kept.
const LONGEST_PATH: usize = 200;

/// The routes' drifts, in the order of the landscape's places.
#[derive(Debug)]
pub struct Drifts(Vec<Option<Arc<Drift>>>);

impl Drifts {
    pub(super) fn new(
        landscape: &Landscape,
        sources: &[Arc<Source>],
        previous: Option<&Self>,
    ) -> Self {
        let of = |place: &Place| {
            let source = sources.iter().find(|source| *source.upstream() == place.upstream)?;
            let same = |drift: &&Arc<Drift>| {
                drift.route == place.route && Arc::ptr_eq(&drift.source, source)
            };
            let kept = previous.into_iter().flat_map(|all| all.0.iter().flatten()).find(same);
            Some(kept.cloned().unwrap_or_else(|| {
                Arc::new(Drift {
                    route: Arc::clone(&place.route),
                    source: Arc::clone(source),
                    tally: ArcSwapOption::empty(),
                    renewing: Mutex::new(()),
                    strangers: Mutex::new(Strangers::default()),
                })
            }))
        };
        Self(landscape.places().iter().map(of).collect())
    }

    /// The drift of a route, by its name.
    #[must_use]
    pub fn of(&self, route: &str) -> Option<&Arc<Drift>> {
        self.0.iter().flatten().find(|drift| &*drift.route == route)
    }

    /// What there is to tell of each route.
    #[must_use]
    pub fn report(&self, landscape: &Landscape) -> Vec<Report> {
        let drifts = self.0.iter().enumerate();
        let mut tries = MOST_TRIES;
        let mut report = |(index, drift): (usize, &Option<Arc<Drift>>)| {
            drift.as_ref()?.report(landscape, index, &mut tries)
        };
        drifts.filter_map(&mut report).collect()
    }
}

/// How the calls of one route differ from its upstream's spec.
pub struct Drift {
    route: Arc<str>,
    source: Arc<Source>,
    tally: ArcSwapOption<Tally>,
    renewing: Mutex<()>,
    strangers: Mutex<Strangers>,
}

impl std::fmt::Debug for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drift").field("route", &self.route).finish_non_exhaustive()
    }
}

/// The counts of one spec's operations.
struct Tally {
    version: u64,
    spec: Arc<Spec>,
    operations: Box<[Count]>,
}

#[derive(Default)]
struct Count {
    calls: AtomicU64,
    /// In each a status, and above its 16 bits how often it was answered.
    odd: [AtomicU64; STATUSES],
}

/// What is called and not in the spec.
#[derive(Default)]
struct Strangers {
    calls: BTreeMap<(String, String), u64>,
    /// Those for which there was no room.
    more: u64,
}

/// What there is to tell of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub route: Arc<str>,
    /// Its upstream's name.
    pub upstream: Arc<str>,
    /// Method and public path of what is documented and was never called.
    pub never_called: Vec<(String, String)>,
    /// Method and path, as the upstream sees it, of what is called and not documented, and how often. Segments that
    /// look like ids are `{}`.
    pub undocumented: Vec<(String, String, u64)>,
    /// Such calls for which there was no room.
    pub more: u64,
    /// Method, public path, status, and how often an operation answered with a status that its spec does not name.
    pub statuses: Vec<(String, String, u16, u64)>,
}

impl Count {
    fn odd(&self, status: u16) {
        let add = |packed: u64| {
            let known = packed == 0 || packed & 0xFFFF == u64::from(status);
            known.then(|| (packed & !0xFFFF).saturating_add(1 << 16) | u64::from(status))
        };
        for slot in &self.odd {
            if slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok() {
                return;
            }
        }
    }

    fn odd_ones(&self) -> impl Iterator<Item = (u16, u64)> {
        let unpack = |slot: &AtomicU64| {
            let packed = slot.load(Ordering::Relaxed);
            (u16::try_from(packed & 0xFFFF).unwrap_or_default(), packed >> 16)
        };
        self.odd.iter().map(unpack).filter(|(_, count)| *count > 0)
    }
}

impl Drift {
    /// Counts a request that the upstream answered. `target` is what it saw, with or without a query.
    pub fn observe(&self, method: &str, target: &str, status: u16) {
        let version = self.source.version();
        let tally = self.tally.load();
        if let Some(tally) = tally.as_ref().filter(|tally| tally.version == version) {
            self.count(tally, method, target, status);
        } else if let Some(tally) = self.renew(version) {
            self.count(&tally, method, target, status);
        }
    }

    /// Begins anew with the spec of this version. None if there is none, or another request does so.
    fn renew(&self, version: u64) -> Option<Arc<Tally>> {
        let _only = self.renewing.try_lock().ok()?;
        let spec = self.source.known().spec?;
        let before = self.tally.load_full();
        if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.spec, &spec)) {
            // It is the same one, of which something else is known.
            let operations = before.operations.iter().map(Count::copy).collect();
            let tally = Arc::new(Tally { version, spec, operations });
            self.tally.store(Some(Arc::clone(&tally)));
            return Some(tally);
        }
        let operations = (0..spec.len()).map(|_| Count::default()).collect();
        let tally = Arc::new(Tally { version, spec, operations });
        self.tally.store(Some(Arc::clone(&tally)));
        *self.strangers.lock().unwrap_or_else(PoisonError::into_inner) = Strangers::default();
        Some(tally)
    }

    fn count(&self, tally: &Tally, method: &str, target: &str, status: u16) {
        let path = target.split('?').next().unwrap_or_default();
        match tally.spec.find(method, path) {
            Some(number) => {
                let Some(count) = tally.operations.get(number) else { return };
                count.calls.fetch_add(1, Ordering::Relaxed);
                if !tally.spec.answers_with(number, status) {
                    count.odd(status);
                }
            }
            // A service that has nothing there either is right not to document it.
            None if matches!(status, 404 | 405 | 501) || method == "OPTIONS" => {}
            None => self.stranger(method, path),
        }
    }

    /// Whoever finds it in use goes on uncounted: no request waits for another.
    fn stranger(&self, method: &str, path: &str) {
        let Ok(mut known) = self.strangers.try_lock() else { return };
        let key = (method.to_owned(), shape(path));
        if known.calls.len() >= MOST_PATHS && !known.calls.contains_key(&key) {
            known.more += 1;
        } else {
            *known.calls.entry(key).or_default() += 1;
        }
    }

    /// What there is to tell, for as many operations as there are `tries` left.
    fn report(&self, landscape: &Landscape, index: usize, tries: &mut usize) -> Option<Report> {
        let place = landscape.places().get(index)?;
        let known = self.source.known();
        let spec = known.spec?;
        let tally = self.tally.load_full().filter(|tally| Arc::ptr_eq(&tally.spec, &spec));
        let mut report = Report {
            route: Arc::clone(&place.route),
            upstream: Arc::clone(&place.upstream),
            never_called: Vec::new(),
            undocumented: Vec::new(),
            more: 0,
            statuses: Vec::new(),
        };
        let told = spec.operations.iter().enumerate().take(*tries);
        *tries -= told.len();
        for (number, operation) in told {
            let reach = landscape.reach(index, operation.method, &templates(place, operation));
            let Some((public, _)) = reach else { continue };
            let told = (operation.method.to_ascii_uppercase(), public.path);
            let count = tally.as_ref().and_then(|tally| tally.operations.get(number));
            if count.is_none_or(|count| count.calls.load(Ordering::Relaxed) == 0) {
                report.never_called.push(told.clone());
            }
            for (status, times) in count.into_iter().flat_map(Count::odd_ones) {
                report.statuses.push((told.0.clone(), told.1.clone(), status, times));
            }
        }
        report.statuses.sort();
        let strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = strangers.calls.iter();
        report.undocumented =
            calls.map(|((method, path), times)| (method.clone(), path.clone(), *times)).collect();
        report.more = strangers.more;
        Some(report)
    }
}

impl Count {
    fn copy(&self) -> Self {
        let copy = |from: &AtomicU64| AtomicU64::new(from.load(Ordering::Relaxed));
        Self { calls: copy(&self.calls), odd: std::array::from_fn(|i| copy(&self.odd[i])) }
    }
}

/// A path in which segments that look like ids are `{}`.
fn shape(path: &str) -> String {
    let is_id = |segment: &str| {
        segment.len() > 24 || segment.bytes().any(|byte| byte.is_ascii_digit() || byte == b'%')
    };
    let mut shape = String::new();
    for segment in path.split('/').skip(1) {
        shape.push('/');
        shape.push_str(if is_id(segment) { "{}" } else { segment });
        if shape.len() > LONGEST_PATH {
            shape.push_str("/...");
            break;
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_left_out_of_paths() {
        for (path, expected) in [
            ("/", "/"),
            ("/users/7", "/users/{}"),
            ("/users/me", "/users/me"),
            ("/a%2fb/c", "/{}/c"),
            ("/v/abcdefabcdefabcdefabcdefabcdef", "/v/{}"),
        ] {
            assert_eq!(shape(path), expected);
        }
        assert!(shape(&"/long".repeat(1000)).len() < LONGEST_PATH + 32);
    }

    #[test]
    fn statuses_have_room_for_four() {
        let count = Count::default();
        for status in [500, 418, 500, 201, 202, 203, 500] {
            count.odd(status);
        }
        let odd: Vec<_> = count.odd_ones().collect();
        assert_eq!(odd, [(500, 3), (418, 1), (201, 1), (202, 1)]);
    }
}
