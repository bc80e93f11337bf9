//! What a caller is told of its limit, by the fields of draft-ietf-httpapi-ratelimit-headers-10.
//!
//! `RateLimit-Policy: "5/min";q=5;w=60` says what the limit is, `RateLimit: "5/min";r=3;t=12` what is left of it now
//! and in how many seconds there will be more. Of several limits the tightest is told, so that who obeys it obeys all.

use std::fmt::Write as _;

use arrayvec::ArrayString;
use http::{HeaderName, HeaderValue};

use super::rule::Rule;

/// `RateLimit`
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy`
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left to a caller.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The number of its rule among those of its [`Limits`](super::Limits): a request would pay for holding the rule
    /// itself.
    pub(super) rule: usize,
    pub(super) window: usize,
    /// Units that are there now.
    pub(super) left: u64,
    /// Nanoseconds until there is more: one unit, or as much as was asked for.
    pub(super) reset: u64,
}

impl Standing {
    /// Units that are there now.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.left
    }

    /// The fields, in the order in which they are sent; `rule` is the one that it is of.
    pub(super) fn fields(&self, rule: &Rule) -> Option<[(HeaderName, HeaderValue); 2]> {
        let window = rule.windows.get(self.window)?;
        let seconds = self.reset.div_ceil(1_000_000_000);
        let mut text = ArrayString::<128>::new();
        write!(text, "{};r={};t={seconds}", window.quoted, self.left).ok()?;
        let value = HeaderValue::from_str(&text).ok()?;
        Some([(RATE_LIMIT_POLICY, window.policy.clone()), (RATE_LIMIT, value)])
    }
}
