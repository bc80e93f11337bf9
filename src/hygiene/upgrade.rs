//! Which request asks to switch protocols.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Method, Version};

/// Whether a request asks for a `WebSocket` (RFC 6455, section 4.1): a GET of HTTP/1.1 with `Upgrade: websocket`,
/// which `Connection` names. Every other `Upgrade` is a wish that a server may leave aside (RFC 9110, section
/// 7.8), and is: it is not passed on.
#[must_use]
pub fn is_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    if version != Version::HTTP_11 || !headers.contains_key(UPGRADE) || *method != Method::GET {
        return false;
    }
    let mut upgrades = headers.get_all(UPGRADE).into_iter();
    let websocket = upgrades
        .next()
        .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"));
    let named = || {
        let values = headers.get_all(CONNECTION).into_iter();
        values
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    websocket && upgrades.next().is_none() && named()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_http_1_1_that_names_it_asks_for_a_websocket() {
        let ask = |method: &Method, version, lines: &[(&'static str, &'static str)]| {
            let headers = lines.iter().map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_static(value))
            });
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value);
            }
            is_websocket(method, version, &map)
        };
        let (get, v11) = (&Method::GET, Version::HTTP_11);
        let upgrade = ("upgrade", "websocket");
        let connection = ("connection", "Upgrade");
        assert!(ask(get, v11, &[upgrade, connection]));
        assert!(ask(get, v11, &[("upgrade", "WebSocket"), ("connection", "keep-alive , upgrade")]));
        assert!(ask(get, v11, &[upgrade, ("connection", "keep-alive"), connection]));
        for lines in [
            &[upgrade][..],
            &[connection],
            &[upgrade, ("connection", "keep-alive")],
            &[("upgrade", "h2c"), connection],
            &[("upgrade", "x"), connection],
            &[("upgrade", "websocket, h2c"), connection],
            &[upgrade, ("upgrade", "h2c"), connection],
            &[upgrade, ("connection", "upgraded")],
        ] {
            assert!(!ask(get, v11, lines), "{lines:?}");
        }
        assert!(!ask(&Method::POST, v11, &[upgrade, connection]));
        assert!(!ask(get, Version::HTTP_10, &[upgrade, connection]));
        assert!(!ask(get, Version::HTTP_2, &[upgrade, connection]));
    }
}
