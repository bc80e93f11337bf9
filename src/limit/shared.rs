//! Buckets that several gateways share, in the store.
//!
//! What a bucket is kept under there is a digest, the same in every gateway that reads the same words: no name, address,
//! header or cookie stands in the store. All buckets of a request are asked by one script in one round trip, which does
//! what [`settle`] does, by the server's clock, and tells how they were before. What that comes to is worked out here
//! by `settle` itself; so the two cannot disagree on what a caller is told.
//!
//! The buckets of one rule lie in one slot (`{...}`). A cluster may keep those of two rules in different places; then
//! each rule is asked by a call of its own, in the same round trip.

use std::sync::Arc;
use std::time::Instant;

use arrayvec::ArrayVec;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Pipeline, Value};
use sha2::{Digest as _, Sha256};

use super::decide::{Draw, Level, MOST, settle};
use super::key::Subject;
use super::lease::{Ahead, Leases, Word};
use super::rule::{MOST_RATES, Rule};
use crate::store::{Script, Store, Trouble};

/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The digest of one rule's bucket for one subject, as text.
pub(super) type Name = [u8; 22];
/// Those of one request, by the number of the rule.
pub(super) type Names = ArrayVec<Name, { MOST_RATES + 1 }>;

/// Buckets in the store.
#[derive(Debug)]
pub struct Shared {
    /// Where they are.
    pub store: Arc<Store>,
    script: Script,
    /// The beginning of every digest.
    digest: Sha256,
    leases: Option<Leases>,
}

impl Shared {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let digest = store.naming(b"portcullis limit 1");
        let leases = store.config().lease.map(|lease| Leases::new(lease.get()));
        Self { store, script: Script::new(include_str!("shared.lua")), digest, leases }
    }

    /// What the buckets of these rules are called for a subject.
    pub(super) fn names<'a>(
        &self,
        rules: impl Iterator<Item = &'a Rule>,
        subject: &Subject<'_>,
    ) -> Names {
        let name = |rule: &Rule| {
            let mut digest = self.digest.clone();
            rule.write(subject, |bytes| digest.update(bytes));
            let sum = digest.finalize();
            let mut name = [0; 22];
            // It is just as long.
            let _ = URL_SAFE_NO_PAD.encode_slice(&sum[..16], &mut name);
            name
        };
        rules.take(MOST_RATES + 1).map(name).collect()
    }

    /// Whether it can be said without asking the store, and what.
    pub(super) fn known(&self, draws: &[Draw], now: u64, levels: &mut [Level]) -> Word {
        self.leases.as_ref().map_or(Word::Unknown, |leases| leases.take(draws, now, levels))
    }

    /// Asks all buckets together. `now` is this moment as buckets of this process count it.
    pub(super) async fn take(
        &self,
        worker: usize,
        draws: &[Draw],
        names: &Names,
        now: u64,
        levels: &mut [Level],
    ) -> Result<(), Trouble> {
        let began = Instant::now();
        let until = self.store.end(began);
        let deadline = self.store.config().deadline.get();
        let deadline = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        let leases = self.leases.as_ref();
        let ahead = leases.map_or([0; MOST], |leases| leases.ahead(draws, now, deadline));
        let given = match self.ask(worker, draws, names, &ahead, levels, until).await {
            // It was not known before; now it is. What is left of the time has to do.
            Err(Trouble::Apart) => self.ask(worker, draws, names, &ahead, levels, until).await?,
            other => other?,
        };
        if let Some(leases) = leases {
            leases.learn(draws, levels, &ahead, &given, now);
            // Somebody else may have taken ahead meanwhile what this one was refused.
            let refused = levels.iter().zip(draws).any(|(level, draw)| level.wait > draw.patience);
            let mut again = [Level::default(); MOST];
            let again = &mut again[..draws.len()];
            // Not of what has run out meanwhile.
            let elapsed = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if refused && leases.take(draws, now.saturating_add(elapsed), again) == Word::Taken {
                levels.copy_from_slice(again);
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        worker: usize,
        draws: &[Draw],
        names: &Names,
        ahead: &Ahead,
        levels: &mut [Level],
        until: Instant,
    ) -> Result<Ahead, Trouble> {
        let mut calls = Pipeline::with_capacity(1);
        let apart = self.store.is_apart();
        let together = |a: &Draw, b: &Draw| !apart || a.rule == b.rule;
        let mut first = 0;
        for group in draws.chunk_by(together) {
            self.call(&mut calls, draws, first..first + group.len(), names, ahead);
            first += group.len();
        }
        let answers = self.store.ask(worker, &self.script, &calls, until).await?;
        let (mut given, mut first) = ([0; MOST], 0);
        for (group, answer) in draws.chunk_by(together).zip(&answers) {
            let range = first..first + group.len();
            first = range.end;
            read(answer, group, &mut levels[range.clone()], &mut given[range])
                .ok_or(Trouble::Refused)?;
        }
        Ok(given)
    }

    /// The call for some of the draws.
    fn call(
        &self,
        calls: &mut Pipeline,
        draws: &[Draw],
        range: std::ops::Range<usize>,
        names: &Names,
        ahead: &Ahead,
    ) {
        let mut call = self.script.call(range.len());
        for (index, draw) in draws.iter().enumerate().take(range.end).skip(range.start) {
            let first = draws[..index].iter().filter(|other| other.rule == draw.rule).count();
            let mut key = ArrayVec::<u8, 64>::new();
            let name = names.get(usize::from(draw.rule)).map_or(&[][..], |name| &name[..]);
            let digit = b'0' + u8::try_from(first).unwrap_or(0);
            for part in [b"portcullis:limit:{", name, b"}:", &[digit]] {
                // All of it is shorter than that.
                let _ = key.try_extend_from_slice(part);
            }
            call.arg(&key[..]);
        }
        for (draw, ahead) in draws[range.clone()].iter().zip(&ahead[range]) {
            let taken = draw.bucket.unit.saturating_mul(draw.cost);
            let last = draw.bucket.depth.saturating_add(draw.patience);
            call.arg(taken / SECOND).arg(taken % SECOND);
            call.arg(last / SECOND).arg(last % SECOND);
            call.arg(draw.rule).arg(u8::from(draw.observe));
            call.arg(*ahead).arg(draw.bucket.unit);
        }
        calls.add_command(call);
    }
}

/// Reads what the script said of some buckets, and works out what that comes to.
fn read(answer: &Value, draws: &[Draw], levels: &mut [Level], given: &mut [u64]) -> Option<()> {
    let Value::Array(numbers) = answer else { return None };
    let number = |index: usize| match numbers.get(index) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let now = number(0)?.checked_mul(SECOND)?.checked_add(number(1)?.checked_mul(1000)?)?;
    let mut moments = [0; MOST];
    for (index, moment) in moments.iter_mut().take(draws.len()).enumerate() {
        let at = 2 + index * 3;
        *moment = number(at)?.checked_mul(SECOND)?.checked_add(number(at + 1)?)?;
        given[index] = number(at + 2)?;
    }
    settle(draws, &mut moments[..draws.len()], now, levels);
    Some(())
}

#[cfg(test)]
mod tests;
