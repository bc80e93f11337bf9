//! The framing of an upstream's answer, as far as its head shows it.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Version};

/// The most digits of a length; more might be more than a signed number of 64 bits.
const MAX_LENGTH_DIGITS: usize = 18;

/// Whether an answer's length can be read in one way only: one Content-Length at most, of digits, and no
/// Transfer-Encoding but one `chunked` in HTTP/1.1.
#[must_use]
pub fn is_framed_in_one_way(headers: &HeaderMap, version: Version) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let one_length = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(length), None) => is_length(length.as_bytes()),
        _ => false,
    };
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let one_coding = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        _ => false,
    };
    one_length && one_coding
}

/// Whether a request's length can be read in one way only: one Content-Length at most, of digits without a zero in
/// front. For HTTP/2, where lengths that agree are taken for one, and would be sent on as several.
#[must_use]
pub fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next().map(HeaderValue::as_bytes), lengths.next()) {
        (None, _) | (Some(b"0"), None) => true,
        (Some(length), None) => is_length(length) && length[0] != b'0',
        _ => false,
    }
}

fn is_length(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= MAX_LENGTH_DIGITS && value.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn one_length_or_one_coding() {
        const L: HeaderName = CONTENT_LENGTH;
        const T: HeaderName = TRANSFER_ENCODING;
        for (lines, version, good) in [
            (&[][..], Version::HTTP_11, true),
            (&[(L, "0")], Version::HTTP_11, true),
            (&[(L, "5")], Version::HTTP_2, true),
            (&[(L, "5"), (L, "5")], Version::HTTP_11, false),
            (&[(L, "5, 5")], Version::HTTP_11, false),
            (&[(L, "+5")], Version::HTTP_11, false),
            (&[(L, "")], Version::HTTP_11, false),
            (&[(L, "9999999999999999999")], Version::HTTP_11, false),
            (&[(T, "chunked")], Version::HTTP_11, true),
            (&[(T, "Chunked")], Version::HTTP_11, true),
            (&[(T, "chunked")], Version::HTTP_10, false),
            (&[(T, "chunked"), (T, "chunked")], Version::HTTP_11, false),
            (&[(T, "gzip, chunked")], Version::HTTP_11, false),
            (&[(T, "identity")], Version::HTTP_11, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(is_framed_in_one_way(&headers, version), good, "{lines:?} {version:?}");
        }
    }

    #[test]
    fn one_length_of_a_request() {
        for (lengths, good) in [
            (&[][..], true),
            (&["0"], true),
            (&["123456789012345678"], true),
            (&["1234567890123456789"], false),
            (&["5", "5"], false),
            (&["05"], false),
            (&["+5"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            assert_eq!(has_one_length(&headers), good, "{lengths:?}");
        }
    }
}
