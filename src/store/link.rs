//! The connection of one worker: made, kept, given up and made anew, by a task on the worker's own event loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, Value};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::address::Address;
use super::health::Health;
use super::{Trouble, code};

/// So many questions in a row that were not answered, and the connection is given up.
const MOST_MISSED: u32 = 3;
/// How long a new connection may take, with TLS and login.
const CONNECT: Duration = Duration::from_secs(2);
/// After a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A worker's way to the store.
#[derive(Debug)]
pub(super) struct Lane {
    slot: Arc<ArcSwapOption<Live>>,
    task: AbortHandle,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection that answers.
#[derive(Debug)]
pub(super) struct Live {
    connection: MultiplexedConnection,
    missed: AtomicU32,
    given_up: Notify,
    why: Mutex<String>,
}

impl Lane {
    pub(super) fn start(
        handle: &Handle,
        address: &Arc<Address>,
        health: &Arc<Health>,
        deadline: Duration,
    ) -> Self {
        let slot = Arc::new(ArcSwapOption::empty());
        let keeper = Keeper {
            slot: Arc::clone(&slot),
            address: Arc::clone(address),
            health: Arc::clone(health),
            deadline,
        };
        Self { slot, task: handle.spawn(keeper.run()).abort_handle() }
    }

    /// The connection, if there is one that answers.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.slot.load_full()
    }
}

impl Live {
    /// Asks, and waits until this moment at most.
    pub(super) async fn send(
        &self,
        calls: &Pipeline,
        until: Instant,
    ) -> Result<Vec<Value>, Trouble> {
        let mut connection = self.connection.clone();
        let asking = connection.send_packed_commands(calls, 0, calls.len());
        match tokio::time::timeout_at(until.into(), asking).await {
            Ok(Ok(answers)) if answers.len() == calls.len() => Ok(answers),
            // What does not end the connection leaves it in an order that nobody knows.
            Ok(_) => {
                self.give_up("the connection broke");
                Err(Trouble::Lost)
            }
            Err(_) => {
                self.missed("no answer in time");
                Err(Trouble::Late)
            }
        }
    }

    /// Notes that it does what it is asked.
    pub(super) fn answered(&self) {
        if self.missed.load(Ordering::Relaxed) != 0 {
            self.missed.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that it does not.
    pub(super) fn refused(&self, code: &str) {
        self.missed(code);
    }

    fn missed(&self, why: &str) {
        if self.missed.fetch_add(1, Ordering::Relaxed) + 1 == MOST_MISSED {
            self.give_up(why);
        }
    }

    fn give_up(&self, why: &str) {
        why.clone_into(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner));
        self.given_up.notify_one();
    }
}

/// Keeps a connection in the slot.
struct Keeper {
    slot: Arc<ArcSwapOption<Live>>,
    address: Arc<Address>,
    health: Arc<Health>,
    deadline: Duration,
}

impl Keeper {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            match tokio::time::timeout(CONNECT, self.connect()).await {
                Ok(Ok((live, driver))) => {
                    self.serve(live, driver).await;
                    // One that was given up as soon as it was there is no better than none.
                    if began.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Ok(Err(why)) => self.health.missing(&why),
                Err(_) => self.health.missing("a connection takes too long"),
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn serve(&self, live: Arc<Live>, driver: Driver) {
        self.slot.store(Some(Arc::clone(&live)));
        self.health.connected();
        let why = tokio::select! {
            () = driver => "the connection was closed".to_owned(),
            () = live.given_up.notified() => {
                live.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
        };
        // With the driver everybody's question ends who still waits.
        self.slot.store(None);
        self.health.lost(&why);
    }

    /// A connection that has proved to answer in time, and that it lets us write.
    async fn connect(&self) -> Result<(Arc<Live>, Driver), String> {
        let stream = self.address.connect().await.map_err(|error| error.to_string())?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let login = &self.address.login;
        let (connection, driver) = MultiplexedConnection::new_with_config(login, stream, config)
            .await
            .map_err(|error| {
                // What the library says may repeat what it was sent.
                format!("the login failed: {}", error.code().unwrap_or(error.category()))
            })?;
        let mut driver: Driver = Box::pin(driver);
        let (missed, why) = (AtomicU32::new(0), Mutex::default());
        let live = Arc::new(Live { connection, missed, given_up: Notify::new(), why });
        tokio::select! {
            proof = self.prove(&live) => proof?,
            () = &mut driver => return Err("the connection was closed".to_owned()),
        }
        Ok((live, driver))
    }

    async fn prove(&self, live: &Live) -> Result<(), String> {
        let mut proof = Pipeline::new();
        proof.cmd("SET").arg("portcullis:probe").arg(1).arg("PX").arg(1000);
        let answers = live.send(&proof, Instant::now() + self.deadline).await;
        match answers {
            Ok(answers) => match answers.iter().find_map(code) {
                None => Ok(()),
                Some(code) => Err(code.to_owned()),
            },
            Err(Trouble::Late) => Err("no answer in time".to_owned()),
            Err(_) => Err("the connection was closed".to_owned()),
        }
    }
}

type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The pause, give or take a quarter, so that many gateways do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause.mul_f64(0.75 + 0.5 * f64::from(share) / f64::from(u32::MAX))
}
