//! [`Rules`]: which of the known callers a route is for.

use hashbrown::HashSet;

use super::jwt::Claims;
use super::keyring::Reason;
use super::method::Identity;

/// Which of the known callers a route is for.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The consumers, by number; none for all.
    pub(super) consumers: Option<HashSet<u32>>,
    /// What the caller's token must say, each of them.
    pub(super) require: Box<[Required]>,
    /// Whether they only tell what they would do.
    pub(super) observe: bool,
}

/// A claim that must hold one of some words.
#[derive(Debug)]
pub(super) struct Required {
    pub(super) claim: String,
    pub(super) words: Box<[String]>,
}

impl Rules {
    /// Whether the route is for this caller.
    pub(super) fn judge(&self, identity: &Identity) -> Result<(), Reason> {
        if let Some(consumers) = &self.consumers {
            let id = identity.consumer.as_ref().and_then(|consumer| consumer.id());
            if !id.is_some_and(|id| consumers.contains(&id)) {
                return Err(Reason::NotAllowed);
            }
        }
        if self.require.is_empty() {
            return Ok(());
        }
        let claims = identity.details.as_deref().map(|details| &details.claims);
        let fits = claims.is_some_and(|claims| self.require.iter().all(|one| one.holds(claims)));
        if fits { Ok(()) } else { Err(Reason::ClaimMissing) }
    }
}

impl Required {
    /// Of scopes a text may name several, separated by spaces as in a token, and all must be there.
    fn holds(&self, claims: &Claims) -> bool {
        let scopes = matches!(&*self.claim, "scope" | "scp");
        self.words.iter().any(|word| {
            if scopes {
                word.split(' ').all(|scope| claims.holds(&self.claim, scope))
            } else {
                claims.holds(&self.claim, word)
            }
        })
    }
}
