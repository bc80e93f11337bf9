//! Who was let in, told to the upstream: `X-Consumer-Name`.
//!
//! An upstream may rely on `X-Consumer-*` only if nobody but the gateway can write it. So whatever a
//! client sends under such a name is dropped on every route, open ones included, and also in the
//! spelling with `_`, which many servers cannot tell from `-`.

use http::HeaderValue;
use pingora::http::RequestHeader;

use super::head::{Head, starts_alike};

/// Drops what the client claims to be, then names the consumer that was let in, if there is one.
pub fn stamp(head: &mut RequestHeader, consumer: Option<&HeaderValue>) {
    head.discard_where(|name| name.starts_with('x') && starts_alike(name, "x-consumer-"));
    if let Some(name) = consumer {
        head.put("X-Consumer-Name", name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gateway_says_who_it_is() {
        let name = HeaderValue::from_static("mobile-app");
        for consumer in [None, Some(&name)] {
            let mut head = RequestHeader::build("GET", b"/", None).expect("head");
            for forged in [
                "X-Consumer-Name",
                "x-consumer-name",
                "X-CONSUMER-Plan",
                "X_Consumer_Name",
                "x-consumer_id",
            ] {
                head.append_header(forged, "root").expect("header");
            }
            head.append_header("X-Consumers", "kept").expect("header");
            stamp(&mut head, consumer);
            assert_eq!(head.headers["x-consumers"], "kept");
            assert_eq!(head.headers.get("x-consumer-name"), consumer);
            assert_eq!(head.headers.len(), 1 + usize::from(consumer.is_some()));
            stamp(&mut head, consumer);
            assert_eq!(
                head.headers.get_all("x-consumer-name").iter().count(),
                usize::from(consumer.is_some())
            );
        }
    }
}
