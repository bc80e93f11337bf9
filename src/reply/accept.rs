//! Whether a caller would rather have a page than JSON, from `Accept` (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether `text/html` is named and JSON is not preferred to it.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let mut html = None;
    let mut named_first = 0;
    let mut json = 0;
    for range in headers.get_all(ACCEPT).iter().flat_map(|v| v.as_bytes().split(|b| *b == b',')) {
        let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let rating = parts.find_map(rating).unwrap_or(1000);
        if name.eq_ignore_ascii_case(b"text/html") {
            html = html.max(Some(rating));
        } else if is_json(name) {
            json = json.max(rating);
            if html.is_none() {
                named_first = named_first.max(rating);
            }
        } else if name == b"*/*" || name.eq_ignore_ascii_case(b"application/*") {
            json = json.max(rating);
        }
    }
    // A wildcard of the same rating says less than a name, wherever it stands.
    html.is_some_and(|html| html > 0 && html >= json && html > named_first)
}

fn is_json(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"application/json")
        || name.eq_ignore_ascii_case(b"application/problem+json")
}

/// The value of a `q` parameter in thousandths; one that is malformed counts as not wanted.
fn rating(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else { return None };
    let (whole, fraction) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return Some(0),
    };
    if !whole.is_ascii_digit() || !fraction.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    let mut thousandths = u16::from(whole - b'0');
    for place in 0..3 {
        let digit = fraction.get(place).map_or(0, |digit| digit - b'0');
        thousandths = thousandths * 10 + u16::from(digit);
    }
    Some(thousandths.min(1000))
}
