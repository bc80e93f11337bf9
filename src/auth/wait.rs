//! A [`Wait`]: what has to be asked or worked out before it is known who sent a request.
//!
//! It is rare: a token by a key that is not here yet, a password that was not seen before, a service that is to be
//! asked. A guard gives it out instead of a verdict; whoever runs the request waits, and asks the guard again with what
//! became of it. So the common path waits for nothing and allocates nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::keyring::Reason;
use super::method::{Identity, Method, Refused};

/// Something to wait for.
pub struct Wait {
    method: Arc<Method>,
    outcome: Pin<Box<dyn Future<Output = Result<Identity, Refused>> + Send>>,
}

/// What is known of a request by one method, for guards that ask for it: what a wait has come to, or what was found out
/// for several of them at once.
#[derive(Debug, Clone)]
pub struct Settled {
    method: Arc<Method>,
    outcome: Result<Identity, Refused>,
}

impl Settled {
    pub(super) fn new(method: &Arc<Method>, outcome: Result<Identity, Refused>) -> Self {
        Self { method: Arc::clone(method), outcome }
    }

    /// Whether the method knows who it is; none if it was shown nothing, or cannot tell.
    #[must_use]
    pub fn is_good(&self) -> Option<bool> {
        match &self.outcome {
            Ok(_) => Some(true),
            Err(Refused { reason, .. }) if *reason == Reason::Missing || reason.is_ours() => None,
            Err(_) => Some(false),
        }
    }
}

impl Wait {
    pub(super) fn new(
        method: &Arc<Method>,
        outcome: impl Future<Output = Result<Identity, Refused>> + Send + 'static,
    ) -> Self {
        Self { method: Arc::clone(method), outcome: Box::pin(outcome) }
    }

    /// Waits. It is bounded by whoever asked for it.
    pub async fn settle(self) -> Settled {
        Settled { method: self.method, outcome: self.outcome.await }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wait")
    }
}

/// What became of this method's wait, if it had one.
pub(super) fn settled(all: &[Settled], method: &Arc<Method>) -> Option<Result<Identity, Refused>> {
    let found = all.iter().find(|settled| Arc::ptr_eq(&settled.method, method))?;
    Some(found.outcome.clone())
}
