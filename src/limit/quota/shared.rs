//! Quotas that several gateways count together, in the store.
//!
//! One hash for each consumer, quota and window: what all gateways have together, and what each has (`counter/claim.rs`).
//! A gateway asks when it has nothing left; that is a question of one request, within the store's deadline. What else it has to say it
//! says once a second, off the requests' path.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Pipeline, Value};
use sha2::{Digest as _, Sha256};

use super::counter::{Ask, Counter, Name, Told};
use crate::store::{Script, Store, Trouble};

/// A window is kept for so long after its end, in seconds, since clocks differ.
const AFTER: i64 = 86_400;
/// So long the store has to answer what no request waits for.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many questions go together then.
const TOGETHER: usize = 256;

/// A question about a counter, and what its quota is.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) counter: Arc<Counter>,
    pub(super) ask: Ask,
    pub(super) amount: u64,
}

/// Quotas in the store.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<Store>,
    script: Script,
    /// What this process is called there.
    name: String,
    /// The beginning of every digest.
    digest: Sha256,
    /// Whether the store may have forgotten what it was told.
    anew: AtomicBool,
    /// How often it was connected to when it last was told everything.
    connected: AtomicU64,
}

impl Shared {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let digest = store.naming(b"portcullis quota 1");
        let mut name = [0; 12];
        if getrandom::fill(&mut name).is_err() {
            let other = RandomState::new().hash_one((SystemTime::now(), std::process::id()));
            name[..8].copy_from_slice(&other.to_le_bytes());
        }
        Self {
            store,
            script: Script::new(include_str!("shared.lua")),
            name: URL_SAFE_NO_PAD.encode(name),
            digest,
            anew: AtomicBool::new(false),
            connected: AtomicU64::new(0),
        }
    }

    /// Asks for a request, from this worker, and learns what the store says.
    pub(super) async fn ask(
        &self,
        worker: usize,
        asking: &[Asking],
        now: i64,
        until: Instant,
    ) -> Result<(), Trouble> {
        let calls = self.calls(asking);
        let answers = self.store.ask(worker, &self.script, &calls, until).await?;
        self.hear(asking, &answers, now)
    }

    /// Tells the store what no request waits for.
    pub(super) async fn tell(&self, asking: &[Asking], now: i64) -> Result<(), Trouble> {
        for some in asking.chunks(TOGETHER) {
            let until = Instant::now() + PATIENCE.max(self.store.config().deadline.get());
            let calls = self.calls(some);
            let answers = self.store.ask_aside(&self.script, &calls, until).await?;
            self.hear(some, &answers, now)?;
        }
        Ok(())
    }

    /// Whether it has to be told everything, since it was away or is another one.
    pub(super) fn is_to_learn_anew(&self) -> bool {
        let connected = self.store.connected();
        let before = self.connected.swap(connected, Ordering::Relaxed);
        self.anew.swap(false, Ordering::Relaxed) || before != connected
    }

    /// What was to be told anew was not.
    pub(super) fn is_still_to_learn(&self) {
        self.anew.store(true, Ordering::Relaxed);
    }

    fn calls(&self, asking: &[Asking]) -> Pipeline {
        let mut calls = Pipeline::with_capacity(asking.len());
        for Asking { counter, ask, amount } in asking {
            let mut call = self.script.call(1);
            call.arg(self.key(&counter.name, &ask.window));
            let mut name = self.name.clone();
            if ask.left > 0 {
                // Writing to a String cannot fail.
                let _ = write!(name, ".{}", ask.left);
            }
            call.arg(name).arg(ask.number).arg(ask.own).arg(ask.need).arg(ask.ahead);
            call.arg(*amount).arg(ask.ends.saturating_add(AFTER)).arg(ask.rest as u8);
            calls.add_command(call);
        }
        calls
    }

    fn hear(&self, asking: &[Asking], answers: &[Value], now: i64) -> Result<(), Trouble> {
        for (Asking { counter, ask, .. }, answer) in asking.iter().zip(answers) {
            let told = read(answer).ok_or(Trouble::Refused)?;
            if counter.lock().hear(ask, told, now) {
                self.anew.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// What a window of a counter is kept under: no name of a consumer stands in the store.
    fn key(&self, name: &Name, window: &str) -> String {
        let mut digest = self.digest.clone();
        digest.update(name.calendar.word());
        digest.update([0]);
        digest.update(&name.zone);
        digest.update([0]);
        digest.update(&name.consumer);
        let digest = URL_SAFE_NO_PAD.encode(&digest.finalize()[..16]);
        format!("portcullis:quota:{{{digest}}}:{window}")
    }
}

/// Reads what the script said.
fn read(answer: &Value) -> Option<Told> {
    let Value::Array(numbers) = answer else { return None };
    let number = |index: usize| match numbers.get(index) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    Some(Told { granted: number(0)?, others: number(1)?, knew: number(2)? != 0 })
}
