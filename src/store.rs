//! The shared [`Store`]: what several gateways know together, in one Redis or Valkey.
//!
//! Whoever needs it asks by scripts, each of which the server runs as one step, and gets an answer within the deadline
//! or none. The store never holds a request up for longer, and it says itself how it is ([`Store::status`]).
//!
//! Each worker has a connection of its own, on its own event loop, so that nothing is woken across threads and no lock is
//! shared; all its requests go over that one, without waiting for each other. A connection that ends, or on which three
//! answers in a row did not come in time, is given up: from then on requests are told at once that there is none,
//! until another one has proved that it answers (`store/link.rs`). That is the circuit breaker.

mod address;
mod config;
mod health;
mod link;

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline, Value};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::diagnostic::{At, Diagnostics};
use address::Address;
pub use config::{Config, OnError};
use health::Health;
pub use health::{Asked, Status};
use link::Lane;

/// So long a start or a reload waits for the first connections.
const FIRST: Duration = Duration::from_secs(3);

/// The shared store. When it is dropped, its connections end.
#[derive(Debug)]
pub struct Store {
    config: Config,
    address: Arc<Address>,
    health: Arc<Health>,
    lanes: OnceLock<Box<[Lane]>>,
}

/// Why the store did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no connection that answers.
    Away,
    /// The answer did not come in time.
    Late,
    /// The connection ended meanwhile.
    Lost,
    /// The server refused to do it.
    Refused,
    /// The server keeps the keys of one script in different places.
    Apart,
}

/// A script that the server runs as one step, named by its digest.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// This one.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        use std::fmt::Write as _;
        // That is how the server names scripts; no secret hangs from it.
        let sum = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let digest = sum.as_ref().iter().fold(String::new(), |mut digest, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digest, "{byte:02x}");
            digest
        });
        Self { text, digest }
    }

    /// The beginning of a call with so many keys: they follow as arguments, and then those of the script's own.
    #[must_use]
    pub fn call(&self, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.digest).arg(keys);
        call
    }
}

impl Store {
    /// Reads what is written of it: the `previous` one if nothing about it changed.
    pub fn compile(
        config: &Config,
        previous: Option<&Arc<Self>>,
        at: &At,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Self>> {
        config.check(at, diagnostics);
        let address = Address::compile(config, at, read_file, diagnostics)?;
        if let Some(previous) = previous
            && previous.config == *config
            && previous.address.is_still(&address)
        {
            return Some(Arc::clone(previous));
        }
        Some(Arc::new(Self {
            health: Arc::new(Health::new(address.name(), config.on_error)),
            config: config.clone(),
            address: Arc::new(address),
            lanes: OnceLock::new(),
        }))
    }

    /// The beginning of the digests that things of this kind are named by.
    pub(crate) fn naming(&self, kind: &[u8]) -> Sha256 {
        let secret = self.config().secret.as_ref().map_or("", |secret| secret.expose());
        let length = u64::try_from(secret.len()).unwrap_or(0).to_le_bytes();
        Sha256::new().chain_update(kind).chain_update(length).chain_update(secret)
    }

    /// How it is set up.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Begins to connect, once from each of the workers' event loops. A second call does nothing.
    pub fn start(&self, workers: &[Handle]) {
        self.lanes.get_or_init(|| {
            self.health.expect(workers.len());
            let deadline = self.config.deadline.get();
            let lane = |handle: &Handle| Lane::start(handle, &self.address, &self.health, deadline);
            workers.iter().map(lane).collect()
        });
    }

    /// Until every worker has a connection, or that takes too long. Whether they have.
    pub async fn ready(&self) -> bool {
        tokio::time::timeout(FIRST, self.health.all_up()).await.is_ok()
    }

    /// Whether every worker has a connection now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }

    /// How often a connection was made that answers. A server that was away may have forgotten what it was told.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.health.made()
    }

    /// Whether the keys of one script must lie in one slot.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.health.is_apart()
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.health.status()
    }

    /// When an answer has to be there to what is asked from this moment on.
    #[must_use]
    pub fn end(&self, now: Instant) -> Instant {
        now + self.config.deadline.get()
    }

    /// Has the server run these calls of a script, all in one round trip, and gives what each came to.
    ///
    /// # Errors
    /// There was no answer until then, or one of the calls was refused.
    pub async fn ask(
        &self,
        worker: usize,
        script: &Script,
        calls: &Pipeline,
        until: Instant,
    ) -> Result<Vec<Value>, Trouble> {
        let began = Instant::now();
        let answer = self.ask_within(worker, script, calls, until).await;
        self.health.note(answer.as_ref().err().copied(), began.elapsed());
        answer
    }

    /// The same for no request, on whichever connection there is.
    ///
    /// # Errors
    /// As above.
    pub async fn ask_aside(
        &self,
        script: &Script,
        calls: &Pipeline,
        until: Instant,
    ) -> Result<Vec<Value>, Trouble> {
        let lanes = self.lanes.get().map_or(&[][..], |lanes| lanes);
        let worker = lanes.iter().position(|lane| lane.live().is_some());
        self.ask(worker.unwrap_or(0), script, calls, until).await
    }

    async fn ask_within(
        &self,
        worker: usize,
        script: &Script,
        calls: &Pipeline,
        until: Instant,
    ) -> Result<Vec<Value>, Trouble> {
        let lane = self.lanes.get().and_then(|lanes| lanes.get(worker)).ok_or(Trouble::Away)?;
        let live = lane.live().ok_or(Trouble::Away)?;
        let mut answers = live.send(calls, until).await?;
        if answers.iter().any(|answer| code(answer) == Some("NOSCRIPT")) {
            let mut again = Pipeline::with_capacity(calls.len() + 1);
            again.cmd("SCRIPT").arg("LOAD").arg(script.text);
            let mut missed = Vec::new();
            for (index, call) in calls.cmd_iter().enumerate() {
                if code(&answers[index]) == Some("NOSCRIPT") {
                    again.add_command(call.clone());
                    missed.push(index);
                }
            }
            let later = live.send(&again, until).await?;
            for (index, answer) in missed.into_iter().zip(later.into_iter().skip(1)) {
                answers[index] = answer;
            }
        }
        for answer in &answers {
            match code(answer) {
                None => {}
                Some("CROSSSLOT") => {
                    self.health.apart();
                    return Err(Trouble::Apart);
                }
                Some(code) => {
                    live.refused(code);
                    return Err(Trouble::Refused);
                }
            }
        }
        live.answered();
        Ok(answers)
    }
}

/// The first word of a refusal.
fn code(answer: &Value) -> Option<&str> {
    match answer {
        Value::ServerError(error) => Some(error.code()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_named_as_the_server_names_it() {
        let script = Script::new("return 1");
        assert_eq!(script.digest, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
