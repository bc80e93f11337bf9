//! A [`Workers`] is the set of threads that serve requests, each with an event loop, connections and a pool of
//! upstream connections of its own.
//!
//! Whatever a request needs, from the client's socket to the upstream's, stays on one thread: nothing is woken across
//! threads, no queue of tasks is shared, and the caches of a core stay warm. Measured with one worker, that costs 17 %
//! less CPU time a request than a runtime whose threads steal work from each other (benches/README.md). The price is
//! that a busy worker is not helped by an idle one; so a new connection goes to whoever has the fewest.

use std::future::Future;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Threads that serve, with what each of them serves by: an `A` of its own.
///
/// When it is dropped, the threads end, and with them the tasks that are left.
#[derive(Debug)]
pub struct Workers<A> {
    workers: Vec<Worker<A>>,
}

#[derive(Debug)]
struct Worker<A> {
    app: Arc<A>,
    runtime: Handle,
    tasks: Arc<AtomicUsize>,
    /// Dropping it ends the thread.
    _end: oneshot::Sender<()>,
}

/// Held by a task as long as it runs.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<A> Workers<A> {
    /// Starts `count` threads, at least one; `app` makes what each serves by, told its number.
    ///
    /// # Errors
    /// The system refused a thread, or an event loop for it.
    pub fn start(count: usize, app: impl Fn(usize) -> A) -> io::Result<Self> {
        let start = |index| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let (end, ended) = oneshot::channel();
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || run(runtime, ended))?;
            Ok(Worker {
                app: Arc::new(app(index)),
                runtime: handle,
                tasks: Arc::default(),
                _end: end,
            })
        };
        let workers = (0..count.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    /// Runs a task on the worker that has the fewest.
    pub fn spawn<F>(&self, task: impl FnOnce(Arc<A>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self.workers.iter().min_by_key(|worker| worker.tasks.load(Ordering::Relaxed));
        let Some(worker) = fewest else { return };
        worker.tasks.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&worker.tasks));
        let task = task(Arc::clone(&worker.app));
        worker.runtime.spawn(async move {
            let _seat = seat;
            task.await;
        });
    }

    /// The workers' event loops, by their numbers.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.runtime)
    }

    /// What the workers serve by.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<A>> {
        self.workers.iter().map(|worker| &worker.app)
    }
}

/// How often a worker wakes at least.
const TICK: Duration = Duration::from_secs(1);

/// Waits until the sender is dropped; nothing is ever sent.
///
/// Meanwhile it keeps a timer that is due soon. A timer that is set to be due before all others makes Tokio interrupt
/// the wait for events by a system call, even where the loop's own thread sets it and does not wait; a request sets
/// several, and without this one most of them would be the first.
async fn until_end(mut ended: oneshot::Receiver<()>) {
    while timeout(TICK, &mut ended).await.is_err() {}
}

/// Runs an event loop until the sender is dropped.
fn run(runtime: Runtime, ended: oneshot::Receiver<()>) {
    // A task that panics ends alone. Should a panic get past it all the same, the loop can't be trusted any more, and
    // without one the worker would be given every new connection, having the fewest: better to be started anew.
    if panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(until_end(ended)))).is_err() {
        log::error!("the event loop of a worker has panicked; ending the process");
        std::process::abort();
    }
    // A blocking call that a task has left behind is waited for by nobody.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    use super::*;

    /// Where tasks run that last until the sender is dropped.
    fn place(workers: &Workers<()>, count: usize) -> (Vec<ThreadId>, Vec<oneshot::Sender<()>>) {
        let (told, places) = mpsc::channel();
        let holds = (0..count).map(|index| {
            let (hold, until) = oneshot::channel::<()>();
            let told = told.clone();
            workers.spawn(move |_| async move {
                told.send((index, thread::current().id())).unwrap();
                let _ = until.await;
            });
            hold
        });
        let holds = holds.collect();
        let places: BTreeMap<_, _> = places.iter().take(count).collect();
        (places.into_values().collect(), holds)
    }

    #[test]
    fn tasks_are_spread_evenly_and_fill_up_where_others_have_ended() {
        let workers = Workers::start(3, |_| ()).unwrap();
        let (places, mut holds) = place(&workers, 9);
        let mut counts = BTreeMap::new();
        for place in &places {
            *counts.entry(format!("{place:?}")).or_insert(0) += 1;
        }
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [3, 3, 3]);

        // The three of the first worker end; the next three go there.
        let first = places[0];
        let here: Vec<_> = (0..9).filter(|index| places[*index] == first).collect();
        for index in here.iter().rev() {
            drop(holds.remove(*index));
        }
        while workers.workers.iter().map(|w| w.tasks.load(Ordering::Relaxed)).sum::<usize>() > 6 {
            thread::yield_now();
        }
        let (again, _holds) = place(&workers, 3);
        assert_eq!(again, [first; 3]);
    }

    #[test]
    fn what_is_left_ends_with_the_workers() {
        let workers = Workers::start(1, |_| ()).unwrap();
        let (told, ended) = mpsc::channel::<()>();
        let (_places, _holds) = place(&workers, 1);
        workers.spawn(|_| async move {
            let _told = told;
            std::future::pending::<()>().await;
        });
        drop(workers);
        assert!(ended.recv().is_err(), "the task is dropped, and nothing was sent");
    }
}
