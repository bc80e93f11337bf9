//! A [`Policy`]: what a route says of browsers, compression, maintenance and addresses, with its policies and the defaults
//! put together.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::compress::{Answer, Compress, Encoder};
use crate::ip::AddressRule;
use crate::maintenance::Maintenance;
use crate::reply::Reply;
use crate::rewrite::HeaderOps;
use crate::rewrite::cors::Cors;
use crate::rewrite::security::SecurityHeaders;
use crate::template::Fill;

/// What holds for the requests of a route. A route for which nothing of it is said has none, and pays nothing.
#[derive(Debug)]
pub struct Policy {
    /// Which pages may call.
    pub cors: Option<Cors>,
    /// What browsers shall not do with the answers.
    pub security: Option<SecurityHeaders>,
    /// How answers are compressed.
    pub compress: Option<Compress>,
    /// Whether it serves at all.
    pub maintenance: Option<Maintenance>,
    /// Which addresses it is for.
    pub ip: Option<AddressRule>,
}

impl Policy {
    /// Puts what it says on an answer of the gateway's own. `sent` are the headers of the request; `secure`: the
    /// client came by TLS.
    #[must_use]
    pub fn dress(&self, reply: Reply, sent: &HeaderMap, secure: bool) -> Reply {
        let Reply { status, headers, mut body } = reply;
        let mut headers: HeaderMap = headers.into_iter().collect();
        if let Some(security) = &self.security {
            security.own(&mut headers, secure);
        }
        // A preflight's answer says for itself what its origin may do.
        if let Some(cors) = self.cors.as_ref().filter(|_| !is_preflight(&headers)) {
            cors.answer(&mut headers, sent);
        }
        let length = Some(body.len() as u64);
        if let Some(compress) = &self.compress {
            let answer = Answer { status, length, headers: &mut headers };
            if let Some(encoder) = compress.begin(sent, answer)
                && let Ok(small) = encoder.finish(&body)
            {
                body = small;
            }
        }
        let mut last = HeaderName::from_static("x-none");
        let mut named = |(name, value): (Option<HeaderName>, HeaderValue)| {
            if let Some(name) = name {
                last = name;
            }
            (last.clone(), value)
        };
        Reply { status, headers: headers.into_iter().map(&mut named).collect(), body }
    }

    /// Puts what it says on the head of an upstream's answer, around the operations of the route; what is to be
    /// compressed gets an encoder. `length` is that of its body, if it is known.
    pub fn answer(
        &self,
        headers: &mut HeaderMap,
        status: StatusCode,
        sent: &HeaderMap,
        secure: bool,
        operations: (&HeaderOps, &impl Fill),
    ) -> Option<Encoder> {
        if let Some(security) = &self.security {
            security.answer(headers, secure);
        }
        operations.0.apply(headers, operations.1);
        if let Some(cors) = &self.cors {
            cors.answer(headers, sent);
        }
        let compress = self.compress.as_ref()?;
        let length = headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        compress.begin(sent, Answer { status, length, headers })
    }
}

/// Whether an answer of our own is that to a preflight.
fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::ACCESS_CONTROL_MAX_AGE)
}
