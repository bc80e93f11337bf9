//! Work that nobody who sends requests may feel.
//!
//! A thread of the pool for blocking work would do it too, but as an equal of the workers: on a machine whose
//! cores are busy, requests would wait for its turns. A thread of its own can be made to give way.

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How much it gives way, from 0 (not at all) to 19: with 10 it has a tenth of what a worker has, as long as
/// one wants the same core.
const NICE: i32 = 10;

/// Does this on a thread of its own, and waits for it. `None` if it broke off, or no thread could be had.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, waits) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
        // On Linux a thread has a priority of its own. Without, the work is done all the same.
        let _ = setpriority_process(Some(gettid()), NICE);
        let _within = runtime.enter();
        // If nobody waits any more, the process is ending.
        let _ = done.send(work());
    });
    if let Err(error) = thread {
        log::error!("no thread can be had for a reload: {error}");
    }
    waits.await.ok()
}

/// Drops this there, and does not wait. Must be called within a runtime.
pub(super) fn free<T: Send + 'static>(what: T) {
    tokio::spawn(beside(move || drop(what)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_gives_way_and_may_break_off() {
        use rustix::process::getpriority_process;
        let own = getpriority_process(None).unwrap();
        let nice = beside(|| {
            tokio::runtime::Handle::current();
            getpriority_process(Some(gettid())).unwrap()
        });
        assert_eq!(nice.await, Some(NICE));
        assert_eq!(getpriority_process(None).unwrap(), own, "the others stay as they are");
        assert_eq!(beside(|| -> u8 { panic!("it broke") }).await, None);
    }
}
