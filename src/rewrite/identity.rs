//! Who was let in, told to the upstream: `X-Consumer-Name`.
//!
//! An upstream may rely on it, since [`screen`](super::screen()) drops whatever a client sends under
//! `X-Consumer-*`, on every route, open ones included.

use http::{HeaderMap, HeaderName, HeaderValue};

const CONSUMER_NAME: HeaderName = HeaderName::from_static("x-consumer-name");

/// Names the consumer that was let in, if there is one.
pub fn stamp(head: &mut HeaderMap, consumer: Option<&HeaderValue>) {
    if let Some(name) = consumer {
        head.insert(CONSUMER_NAME, name.clone());
    }
}
